// Checks with an official library what Recado signed: its name is the argument, what it needs is
// JSON on the standard input. The exit code is 0 if it holds, and 1 if the library refuses it.

import { readFileSync } from "node:fs";

const { secret, headers, body } = JSON.parse(readFileSync(0, "utf8"));
const [library] = process.argv.slice(2);
const { Webhook } = await import(library);
try {
  new Webhook(secret).verify(body, headers);
} catch {
  process.exitCode = 1;
}
