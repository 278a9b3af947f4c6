//! `/api/dead-letters`: messages that nobody could handle, as far as they say that they are the
//! caller's.
//!
//! The broker has them, not the database: without it all requests are answered 503
//! `broker_unavailable`. What a handler said about a message (its `error`) is for the operator, and
//! is not told here.

use std::slice;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_broker::topology::{self, Queue};
use recado_broker::{DeadLetter, DeadLettersError, Found as FoundLetter, Outcome, Scope, Settled};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_types::scope::Scope as KeyScope;
use recado_types::{DeadLetterId, TenantId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::executions::redacted_value;
use super::{DONE, Done, Found, schema};
use crate::Api;
use crate::access::Caller;
use crate::http::operation::{Access, Operation, Parameter, Resource};
use crate::query::QueryReader;

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/api/dead-letters",
        "Dead letters",
        &[Operation::get("List dead letters", Access::Key(KeyScope::ReadOperations), || {
            web::get().to(list)
        })
        .details(
            "The oldest first, of all queues together, without pages: `more` says that there are \
             others behind them. What does not say whose it is, is nobody's.",
        )
        .query(&[QUEUE, LIMIT])
        .answers::<Listing>(200)
        .problems(&BROKER_PROBLEMS)],
    ),
    Resource::new(
        "/api/dead-letters/{id}",
        "Dead letters",
        &[
            Operation::get("Show a dead letter", Access::Key(KeyScope::ReadOperations), || {
                web::get().to(show)
            })
            .details("With its body, in which what gives access is blanked out.")
            .answers_data::<Shown>(200)
            .problems(&LETTER_PROBLEMS),
            Operation::delete("Discard a dead letter", Access::Role(Role::Editor), || {
                web::delete().to(discard)
            })
            .details("For good.")
            .answers::<Done>(200)
            .problems(&LETTER_PROBLEMS),
        ],
    ),
    Resource::new(
        "/api/dead-letters/{id}/redrive",
        "Dead letters",
        &[Operation::post("Redrive a dead letter", Access::Role(Role::Editor), || {
            web::post().to(redrive)
        })
        .details("It goes to the end of its queue, to be handled again.")
        .answers::<Done>(200)
        .problems(&LETTER_PROBLEMS)],
    ),
];

/// What the broker may be.
const BROKER_PROBLEMS: [Problem; 2] = [Problem::BrokerUnavailable, Problem::DeadLettersBusy];
const LETTER_PROBLEMS: [Problem; 3] =
    [Problem::DeadLetterNotFound, Problem::BrokerUnavailable, Problem::DeadLettersBusy];

const MAX_LIMIT: usize = 100;
const DEFAULT_LIMIT: usize = 20;
/// When a broker that is away may be back.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// When others may have finished.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

const QUEUE: Parameter = Parameter {
    name: "queue",
    about: "Those of this queue only.",
    schema: || schema::choice(queue_names()),
};

const LIMIT: Parameter = Parameter {
    name: "limit",
    about: "How many there are at most.",
    schema: || json!({ "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT }),
};

/// A dead letter, as its owner may know it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterSummary")]
struct Letter {
    id: DeadLetterId,
    #[schemars(extend("enum" = queue_names()))]
    queue: &'static str,
    /// `undecodable`, `failed` or `panicked`; the word of the broker if that gave it up.
    reason: String,
    /// How often somebody tried to handle it.
    attempts: Option<i64>,
    times_dead_lettered: i64,
    message_id: Option<String>,
    /// What kind of message it is: `message.received`.
    kind: Option<String>,
    published_at: Option<DateTime<Utc>>,
    size_bytes: usize,
    tenant_id: Option<TenantId>,
    trace_id: Option<String>,
}

impl From<DeadLetter> for Letter {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id,
            queue: letter.queue,
            reason: letter.reason,
            attempts: letter.attempts,
            times_dead_lettered: letter.times_dead_lettered,
            message_id: letter.message_id,
            kind: letter.kind,
            published_at: letter.published_at,
            size_bytes: letter.size_bytes,
            tenant_id: letter.tenant_id,
            trace_id: letter.trace_id,
        }
    }
}

/// A list without pages: what is behind its end is seen when these are settled.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterList")]
struct Listing {
    success: bool,
    data: Vec<Letter>,
    /// Whether there are others behind these.
    more: bool,
}

/// One with its body.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
struct Shown {
    #[serde(flatten)]
    letter: Letter,
    /// Without what gives access, as in an execution's context.
    body: Value,
}

impl From<FoundLetter> for Shown {
    fn from(found: FoundLetter) -> Self {
        let FoundLetter { letter, body } = found;
        // It is JSON: it told whose it is. Numbers that nothing can hold are left to the command.
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Self { letter: letter.into(), body: redacted_value(&body) }
    }
}

fn queue_names() -> Vec<&'static str> {
    topology::QUEUES.iter().map(|queue| queue.name).collect()
}

/// GET: the oldest.
async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing>, ApiError> {
    let (queues, limit) = read_query(&request)?;
    let scope = Scope { queues, tenant: Some(caller.tenant) };
    let listed = api.dead_letters.list(&scope, limit).await.map_err(broker_failed)?;
    let data = listed.letters.into_iter().map(Letter::from).collect();
    Ok(Json(Listing { success: true, data, more: listed.more }))
}

/// GET: one.
async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<Json<Found<Shown>>, ApiError> {
    let found = api.dead_letters.find(caller.tenant, parse_id(&id)?).await;
    let found = found.map_err(broker_failed)?.ok_or(Problem::DeadLetterNotFound)?;
    Ok(Json(Found::new(found.into())))
}

/// POST `…/redrive`: it goes to the end of its queue.
async fn redrive(api: Data<Api>, caller: Caller, id: Path<String>) -> Result<Json<Done>, ApiError> {
    let id = parse_id(&id)?;
    let settled = api.dead_letters.redrive(caller.tenant, id).await;
    settled_one(settled.map_err(broker_failed)?)?;
    tell(&caller, id, "redrove");
    Ok(Json(DONE))
}

/// DELETE: it is lost.
async fn discard(api: Data<Api>, caller: Caller, id: Path<String>) -> Result<Json<Done>, ApiError> {
    let id = parse_id(&id)?;
    let settled = api.dead_letters.discard(caller.tenant, id).await;
    settled_one(settled.map_err(broker_failed)?)?;
    tell(&caller, id, "discarded");
    Ok(Json(DONE))
}

fn parse_id(id: &str) -> Result<DeadLetterId, ApiError> {
    id.parse().map_err(|_no_id| Problem::DeadLetterNotFound.into())
}

/// Which queues, and how many dead letters.
fn read_query(request: &HttpRequest) -> Result<(&'static [Queue], usize), ApiError> {
    let mut query = QueryReader::of(request);
    let queue = query.text("queue").map(topology::queue);
    if matches!(queue, Some(None)) {
        query.refuse("queue", format!("must be one of {}", queue_names().join(", ")));
    }
    let limit = query.text("limit").map(|limit| limit.parse().ok());
    let limit = limit.map(|limit| limit.filter(|limit| (1..=MAX_LIMIT).contains(limit)));
    if matches!(limit, Some(None)) {
        query.refuse("limit", format!("must be a whole number from 1 to {MAX_LIMIT}"));
    }
    query.done()?;
    let queues = queue.flatten().map_or(topology::QUEUES, slice::from_ref);
    Ok((queues, limit.flatten().unwrap_or(DEFAULT_LIMIT)))
}

/// What became of the one dead letter that was asked for.
fn settled_one(settled: Settled) -> Result<(), ApiError> {
    match settled.outcomes.into_iter().next() {
        Some((_, Outcome::Done)) => Ok(()),
        Some((_, Outcome::Failed(error))) => Err(unavailable().with_source(error)),
        Some((_, Outcome::NotFound)) | None => Err(Problem::DeadLetterNotFound.into()),
    }
}

fn broker_failed(error: DeadLettersError) -> ApiError {
    match error {
        DeadLettersError::Busy => {
            ApiError::from(Problem::DeadLettersBusy).with_retry_after(BUSY_RETRY_AFTER)
        }
        error => unavailable().with_source(error),
    }
}

fn unavailable() -> ApiError {
    ApiError::from(Problem::BrokerUnavailable).with_retry_after(RETRY_AFTER)
}

/// Who did it: the broker's own log line does not know.
fn tell(caller: &Caller, id: DeadLetterId, did: &str) {
    tracing::info!(
        dead_letter.id = %id,
        tenant.id = %caller.tenant,
        caller.subject = caller.subject,
        "somebody {did} a dead letter"
    );
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(query: &str) -> Result<(&'static [Queue], usize), ApiError> {
        read_query(&TestRequest::with_uri(&format!("/?{query}")).to_http_request())
    }

    #[test]
    fn a_query_names_one_of_our_queues_and_a_number() {
        let (queues, limit) = read("").unwrap();
        assert_eq!((queues.len(), limit), (topology::QUEUES.len(), DEFAULT_LIMIT));
        let (queues, limit) = read("queue=buffer.inbound&limit=7").unwrap();
        assert_eq!((queues.len(), queues[0].name, limit), (1, "buffer.inbound", 7));
        for bad in ["queue=", "queue=other", "limit=0", "limit=101", "limit=x", "tenant=1"] {
            assert_eq!(read(bad).unwrap_err().problem(), Problem::InvalidInput, "{bad}");
        }
    }
}
