//! What the document says about the API as a whole: conventions, credentials, and what each group
//! of operations is about.

use serde_json::{Value, json};

/// The title, and what holds everywhere.
pub(super) fn info() -> Value {
    json!({
        "title": "Recado",
        "version": env!("CARGO_PKG_VERSION"),
        "summary": "Turns webhooks into conversations with agents, and carries the answers back.",
        "description": DESCRIPTION,
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    })
}

const DESCRIPTION: &str = "\
Everything that is configured, and everything that happened.

* **Credentials.** `Authorization: Bearer <token>` with a JWT that names a tenant and a role \
(`viewer` < `editor` < `admin` < `owner`), or `X-Api-Key: <key>` for reading. What each operation \
needs is said at the operation, and in `x-recado-role` and `x-recado-scope`. A credential is for \
one tenant; what belongs to another one is not found.
* **Bodies** are JSON in UTF-8, at most 1 MiB, uncompressed. Unknown fields and unknown query \
parameters are mistakes, and all mistakes of a request are told at once, by path.
* **Lists** take `limit` and `cursor`; `pagination.next_cursor` leads to what follows.
* **Changes.** PATCH is a JSON merge patch. With `If-Match`, only what is still as its `ETag` says \
is changed. A POST with an `Idempotency-Key` can be sent again without being done again.
* **Errors** have a stable code, for programs. A method that an address does not have is a 405 \
with `Allow`.
* **Every answer** has an `x-request-id`. Times are RFC 3339 in UTC.";

pub(super) fn security_schemes() -> Value {
    json!({
        "token": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token that names a tenant and a role, or the role `operator` without \
                            a tenant. `recado token` issues one.",
        },
        "apiKey": {
            "type": "apiKey",
            "in": "header",
            "name": "X-Api-Key",
            "description": "A key of a tenant, made with `POST /api/api-keys`. It reads what its \
                            scopes say, and changes nothing.",
        },
    })
}

/// What the groups of operations are about, in the order in which they are shown.
const TAGS: &[(&str, &str)] = &[
    (
        "Triggers",
        "Configured ways in: who may write, to which agent, and how the answer goes back.",
    ),
    (
        "Executions",
        "What agents did: each run with its messages, model calls, tool calls and deliveries.",
    ),
    ("Sessions", "Conversations, each of one sender with one agent."),
    ("Deliveries", "How answers travel: chunks, attempts, and sending them again."),
    ("Destinations", "Where answers go, and whether it takes them."),
    ("Event endpoints", "Where events of executions are sent to, signed."),
    ("Agents", "Prompts, models and tools, in versions."),
    ("Tools", "What agents can do besides talking."),
    ("Providers", "Where models are reached."),
    ("Secrets", "Named values that are never shown again."),
    ("Projects", "Groups of agents and triggers."),
    ("Members", "Who is who: the directory that `sender_access` looks at."),
    ("Apps", "Published agents with webhook channels."),
    ("API keys", "Credentials that read."),
    ("Dead letters", "Messages that could not be handled, and handling them again."),
    ("Tenant", "The credential's own tenant, and what it used."),
    ("Audit log", "Who changed what."),
    ("Tenants", "All tenants, for those who run the installation."),
    (
        "Triggers, in seed 001's words",
        "Triggers and invocations in the words of another product's clients.",
    ),
    ("Objectives", "Executions in the words of another product's SDKs."),
    (INGRESS, "Where senders post. Served by ingress, at the address that is named as the server."),
];

/// The tag of what is not served here.
pub(super) const INGRESS: &str = "Ingress (another address)";

pub(super) fn tags() -> Value {
    TAGS.iter().map(|(name, about)| json!({ "name": name, "description": about })).collect()
}
