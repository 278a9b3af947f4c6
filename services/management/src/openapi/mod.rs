//! The OpenAPI 3.1 document of this API, and the pages that show it.
//!
//! Paths, permissions, parameters, bodies, answers and errors are taken from
//! [`crate::http::resources`], by which the server is built too, so the document cannot know less
//! or more than there is. Only what another address serves is written by hand (`ingress.rs`). The
//! same code always makes the same document, byte for byte.

mod about;
mod answers;
mod archive;
mod components;
mod examples;
mod headers;
mod ingress;
mod names;
mod operations;
mod parameters;
mod problems;
mod reference;

pub(crate) use reference::{Reference, configure};

use serde_json::{Map, Value, json};

use crate::http::resources;
use components::Components;

/// The document. `public_url` is where ingress is reached.
pub fn document(public_url: &str) -> Value {
    let mut components = Components::default();
    let mut paths = Map::new();
    for resource in resources() {
        paths.insert(resource.path.to_owned(), operations::path(resource, &mut components));
    }
    for (path, item) in ingress::paths(public_url, &mut components) {
        paths.insert(path, item);
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": about::info(),
        "servers": [{ "url": "/", "description": "Where this document was read." }],
        "tags": about::tags(),
        "paths": paths,
        "components": components.into_value(),
    });
    examples::complete(&mut document);
    document
}
