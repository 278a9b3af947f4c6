//! `db_event`.

use serde_json::{Map, Value, json};

use super::pieces::{about, choice, integer, object, or, secret_ref, text};
use crate::jmespath::MAX_EXPRESSION;
use crate::trigger::db_event::{
    BATCH, MAX_BATCH, MAX_POLL_MS, MAX_QUERY, MAX_SETTLE_MS, MIN_POLL_MS, POLL_MS, SETTLE_MS,
};

pub(super) fn schema() -> Value {
    let url = "The name of a secret that holds `postgres://user:password@host:port/database`.";
    let filter = "A JMESPath expression over the payload; what it is not true for is left out.";
    let schema = object(
        &["secret_ref"],
        [
            ("secret_ref", about(secret_ref(), url)),
            ("listen", listen()),
            ("outbox", outbox()),
            ("filter", about(text(1, MAX_EXPRESSION), filter)),
        ],
    );
    about(one_of_both(schema, ["listen", "outbox"]), "What is looked at in a PostgreSQL database.")
}

fn listen() -> Value {
    let schema =
        object(&["channel"], [("channel", identifier("The channel, as NOTIFY names it."))]);
    about(schema, "Notifications. Those that come while nobody listens are lost.")
}

fn outbox() -> Value {
    let mut table = text(1, 127);
    table["pattern"] = r#"^[^\s"'`;.,()]+(\.[^\s"'`;.,()]+)?$"#.into();
    let mut query = text(1, MAX_QUERY);
    query["pattern"] = r"^\s*([Ss][Ee][Ll][Ee][Cc][Tt]|[Ww][Ii][Tt][Hh])[\s('\u0022][^;]*$".into();
    let transaction = "A column of type xid8 with the transaction that made the row: rows are read \
                       once every older transaction has ended, so none is missed.";
    let settle = "Without `transaction`: rows are read when they have been visible for so long.";
    let notify = "A channel whose notifications have it looked at at once.";
    let start = or(choice(["beginning", "now"]), "beginning");
    let poll = or(integer(MIN_POLL_MS, MAX_POLL_MS), POLL_MS);
    let schema = object(
        &[],
        [
            ("table", about(table, "A table or a view, with or without its schema.")),
            ("query", about(query, "One SELECT, in place of a table.")),
            ("cursor", or(identifier("A column that grows and is never twice the same."), "id")),
            ("transaction", identifier(transaction)),
            ("settle_ms", about(or(integer(0, MAX_SETTLE_MS), SETTLE_MS), settle)),
            ("start", about(start, "Whether rows are read that are there already.")),
            ("poll_ms", about(poll, "How often it is looked at.")),
            ("batch", about(or(integer(1, MAX_BATCH), BATCH), "Rows that are read at a time.")),
            ("notify", identifier(notify)),
        ],
    );
    about(one_of_both(schema, ["table", "query"]), "Rows, each of which is taken once.")
}

fn identifier(description: &str) -> Value {
    let mut name = text(1, 63);
    name["pattern"] = r#"^[^\s"'`;.,()]+$"#.into();
    about(name, description)
}

/// Of two fields, exactly one.
fn one_of_both(mut schema: Value, [one, other]: [&str; 2]) -> Value {
    let only = |key: &str, absent: &str| {
        let there = (key.to_owned(), json!({ "not": { "type": "null" } }));
        let absent = (absent.to_owned(), json!({ "type": "null" }));
        let properties: Map<_, _> = [there, absent].into_iter().collect();
        json!({ "required": [key], "properties": properties })
    };
    // Within `allOf`, since `null` in place of the object is for the object to judge.
    schema["allOf"] = json!([{ "anyOf": [only(one, other), only(other, one)] }]);
    schema
}
