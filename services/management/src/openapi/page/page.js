"use strict";

// As the reader's system has it, also when that changes.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

// In the order in which one gets to know a resource.
const METHODS = ["get", "post", "put", "patch", "delete"];
const place = (operation) => METHODS.indexOf(operation.get("method"));
const byPath = (one, other) =>
  one.get("path").localeCompare(other.get("path")) || place(one) - place(other);

window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  presets: [window.SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  filter: true,
  operationsSorter: byPath,
  // Nothing is asked of anybody else.
  validatorUrl: null,
});
