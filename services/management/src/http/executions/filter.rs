//! Which executions a list shows: what its query says.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use recado_store::views::{ExecutionFilter, ExecutionStatus};
use recado_types::TriggerId;
use serde_json::{Value, json};

use crate::http::operation::Parameter;
use crate::http::schema;
use crate::page;
use crate::query::QueryReader;

/// How long a text may be that is looked for, in characters.
const TEXT: RangeInclusive<usize> = 1..=200;

const STATUS: Parameter = Parameter {
    name: "status",
    about: "Those that stand here only.",
    schema: || schema::choice(super::statuses()),
};

const SESSION: Parameter = Parameter {
    name: "session_id",
    about: "Those of one session only, by their places in it.",
    schema: schema::id,
};

const TEXT_IN_IT: Parameter = Parameter {
    name: "text",
    about: "Those in whose question or answer this stands only, in capitals or not.",
    schema: text_schema,
};

/// The beginning of a time, which is part of it.
pub(in crate::http) const FROM: Parameter =
    Parameter { name: "from", about: "Those that began then or later only.", schema: time_schema };

/// The end of a time, which is part of it.
pub(in crate::http) const TO: Parameter =
    Parameter { name: "to", about: "Those that began then or earlier only.", schema: time_schema };

/// Those of one trigger.
pub(in crate::http) const TRIGGER: Parameter =
    Parameter { name: "trigger_id", about: "Those of one trigger only.", schema: schema::id };

/// Those of one agent.
pub(in crate::http) const AGENT: Parameter =
    Parameter { name: "agent_id", about: "Those of one agent only.", schema: schema::id };

/// What the query of a trigger's list may say.
pub(super) const OF_TRIGGER: &[Parameter] =
    &[STATUS, FROM, TO, SESSION, AGENT, TEXT_IN_IT, page::LIMIT, page::CURSOR];

/// What the query of a tenant's list may say.
pub(super) const OF_TENANT: &[Parameter] =
    &[STATUS, FROM, TO, TRIGGER, SESSION, AGENT, TEXT_IN_IT, page::LIMIT, page::CURSOR];

fn text_schema() -> Value {
    let mut text = schema::text(*TEXT.start(), *TEXT.end());
    text["pattern"] = json!("^[^\\u0000]*$");
    text
}

fn time_schema() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// Reads the filters; of one trigger's list, that is given.
pub(super) fn read(query: &mut QueryReader, trigger: Option<TriggerId>) -> ExecutionFilter {
    let status = query.choice("status", &ExecutionStatus::ALL, ExecutionStatus::as_str);
    let (from, to) = read_time(query);
    ExecutionFilter {
        status,
        trigger_id: trigger.or_else(|| query.parsed("trigger_id", "an id")),
        agent_id: query.parsed("agent_id", "an id"),
        session_id: query.parsed("session_id", "an id"),
        from,
        to,
        text: query.words("text", TEXT),
    }
}

/// Reads `from` and `to`.
pub(in crate::http) fn read_time(
    query: &mut QueryReader,
) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    let (from, to) = (query.time("from"), query.time("to"));
    if from.zip(to).is_some_and(|(from, to)| to < from) {
        query.refuse("to", "must not be before `from`");
    }
    (from, to)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_time_does_not_end_before_it_begins() {
        let judged = |query: &str| {
            let uri = format!("/?{query}");
            let request = TestRequest::with_uri(&uri).to_http_request();
            let mut reader = QueryReader::of(&request);
            read(&mut reader, None);
            reader.done().is_ok()
        };
        assert!(judged("from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z"));
        assert!(!judged("from=2026-01-01T00:00:01Z&to=2026-01-01T00:00:00Z"));
        assert!(judged("text=a&status=timeout&to=2026-01-01T00:00:00Z"));
    }
}
