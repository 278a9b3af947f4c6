//! The headers of answers.

use serde_json::{Map, Value, json};

/// Those that there are, by name.
pub(super) fn shared() -> Value {
    let whole = || json!({ "type": "integer", "minimum": 0 });
    json!({
        "x-request-id": header(
            "Which request this was: the one you sent, if it was well-formed, or a fresh one.",
            &json!({ "type": "string" }),
        ),
        "ETag": header(
            "The version of what is shown; send it back in `If-Match` to change only that.",
            &json!({ "type": "string", "pattern": "^\".*\"$" }),
        ),
        "Location": header("Where it is.", &json!({ "type": "string" })),
        "Retry-After": header("When to come back, in seconds.", &whole()),
        "X-RateLimit-Limit": header("How many requests there may be in a minute.", &whole()),
        "X-RateLimit-Remaining": header("How many of them are left.", &whole()),
        "X-RateLimit-Reset": header("The Unix second by which all of them are there again.", &whole()),
        "Idempotency-Replayed": header(
            "`true` if this is the first answer to this `Idempotency-Key` once more.",
            &json!({ "type": "string", "const": "true" }),
        ),
        "WWW-Authenticate": header("How to say who is asking.", &json!({ "type": "string" })),
        "Allow": header("The methods that the address has.", &json!({ "type": "string" })),
    })
}

/// References to these.
pub(super) fn some(names: &[&str]) -> Value {
    let reference = |name: &&str| {
        ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
    };
    Value::Object(names.iter().map(reference).collect::<Map<_, _>>())
}

fn header(about: &str, schema: &Value) -> Value {
    json!({ "description": about, "schema": schema })
}
