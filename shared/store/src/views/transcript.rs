//! What was said in a session, newest first.

use std::collections::HashMap;
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use recado_types::{ExecutionId, MessageId, SessionId, TenantId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::snapshot::Snapshot;
use crate::{Store, StoreError};

/// The longest text that is shown, in characters.
const MAX_TEXT: i32 = 20_000;
/// How many messages of an open window are looked at.
const MAX_OPEN: i64 = 1_000;

/// Both halves of a session's executions have an index of their own.
const EXCHANGES: &str = "\
-- views.transcript_exchanges
SELECT e.id, e.seq, e.author, e.message_ids, e.finished_at,
       left(e.agent_response, $5) AS text, length(e.agent_response) > $5 AS is_cut,
       (SELECT d.status FROM deliveries d WHERE d.execution_id = e.id LIMIT 1) AS delivery_status
  FROM ((SELECT * FROM executions
          WHERE tenant_id = $1 AND session_id = $2 AND finished_at IS NULL AND seq <= $3
          ORDER BY seq DESC LIMIT $4)
         UNION ALL
        (SELECT * FROM executions
          WHERE tenant_id = $1 AND session_id = $2 AND finished_at IS NOT NULL AND seq <= $3
          ORDER BY seq DESC LIMIT $4)
         ORDER BY seq DESC LIMIT $4) e
 ORDER BY e.seq DESC";

const OPEN: &str = "\
-- views.transcript_open
SELECT id, seq FROM messages
 WHERE tenant_id = $1 AND session_id = $2 AND execution_id IS NULL
 ORDER BY seq LIMIT $3";

const MESSAGES: &str = "\
-- views.transcript_messages
SELECT id, execution_id, accepted_at, left(text, $3) AS text, length(text) > $3 AS is_cut
  FROM messages WHERE tenant_id = $1 AND id = ANY ($2)";

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// Whoever writes to the agent.
    User,
    /// The agent.
    Assistant,
    /// Somebody in the agent's place.
    Person,
}

impl Speaker {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::User, Self::Assistant, Self::Person];

    /// As shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Person => "person",
        }
    }
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Utterance {
    /// Its place in the transcript.
    pub position: TranscriptPosition,
    /// Who said it.
    pub speaker: Speaker,
    /// How it begins, where it is too long to be shown.
    pub text: String,
    /// Whether it goes on.
    pub is_cut: bool,
    /// When it was accepted, or when it was ready to be sent.
    pub said_at: DateTime<Utc>,
    /// The execution that it is in, or that said it; `None` while it waits for one.
    pub execution_id: Option<ExecutionId>,
    /// Of a user's: the message.
    pub message_id: Option<MessageId>,
    /// Of a person's: who.
    pub author: Option<String>,
    /// Where its delivery stands, if it has one.
    pub delivery_status: Option<String>,
}

/// A place in a transcript: `<seq of the exchange>.<place in it>` as text. What is in an exchange
/// is numbered from its first message on, so that nothing moves when the answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TranscriptPosition {
    seq: i64,
    place: i64,
}

impl TranscriptPosition {
    /// Behind everything: where a transcript begins.
    const END: Self = Self { seq: i64::MAX, place: i64::MAX };
    /// The place of an answer.
    const ANSWER: i64 = i64::MAX;
}

impl fmt::Display for TranscriptPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.seq, self.place)
    }
}

/// A text that is no [`TranscriptPosition`].
#[derive(Debug, thiserror::Error)]
pub enum NoTranscriptPosition {
    /// One of the two parts is missing.
    #[error("the position has one number only")]
    NoPlace,
    /// A part is no number.
    #[error("the position's numbers are none")]
    Number(#[from] ParseIntError),
}

impl FromStr for TranscriptPosition {
    type Err = NoTranscriptPosition;

    fn from_str(text: &str) -> Result<Self, NoTranscriptPosition> {
        let (seq, place) = text.split_once('.').ok_or(NoTranscriptPosition::NoPlace)?;
        Ok(Self { seq: seq.parse()?, place: place.parse()? })
    }
}

/// What was found of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// What was said, newest first.
    pub said: Vec<Utterance>,
    /// Where to go on, if not all exchanges were looked at.
    pub stopped_at: Option<TranscriptPosition>,
}

/// An execution, or a window that is open: messages, and what was said to them.
struct Exchange {
    seq: i64,
    messages: Vec<Uuid>,
    answer: Option<Utterance>,
}

/// What was said in a session `after` a position, newest first, up to `limit` utterances.
///
/// An open window is an exchange in its place: when it becomes an execution, nothing moves.
pub async fn transcript(
    store: &Store,
    tenant: TenantId,
    session: SessionId,
    after: Option<TranscriptPosition>,
    limit: i64,
) -> Result<Transcript, StoreError> {
    let snapshot = Snapshot::of(store, "views.transcript").await?;
    let after = after.unwrap_or(TranscriptPosition::END);
    let n_wanted = usize::try_from(limit).unwrap_or_default();
    let rows = snapshot
        .query(
            EXCHANGES,
            "views.transcript_exchanges",
            &[&tenant.0, &session.0, &after.seq, &limit, &MAX_TEXT],
        )
        .await?;
    let mut exchanges: Vec<Exchange> = rows.iter().map(exchange_from_row).collect();
    let last = exchanges.last().map(|last| TranscriptPosition { seq: last.seq, place: 0 });
    let stopped_at = last.filter(|_| exchanges.len() >= n_wanted);
    let open = open_window(&snapshot, tenant, session).await?;
    // What stands behind those that were not looked at has to wait for them.
    let is_in_reach = |open: &Exchange| stopped_at.is_none_or(|stop| open.seq > stop.seq);
    exchanges.extend(open.filter(is_in_reach));
    exchanges.sort_by_key(|exchange| std::cmp::Reverse(exchange.seq));

    let places = places(&exchanges).filter(|(at, _)| *at < after).take(n_wanted);
    let places: Vec<(TranscriptPosition, Place<'_>)> = places.collect();
    let stopped_at = match places.last() {
        Some((last, _)) if places.len() >= n_wanted => Some(*last),
        _ => stopped_at,
    };
    let ids = places.iter().filter_map(|(_, place)| match place {
        Place::Message(id) => Some(*id),
        Place::Answer(_) => None,
    });
    let ids: Vec<Uuid> = ids.collect();
    let messages = snapshot
        .query(MESSAGES, "views.transcript_messages", &[&tenant.0, &ids, &MAX_TEXT])
        .await?;
    let messages: HashMap<Uuid, &Row> = messages.iter().map(|row| (row.get("id"), row)).collect();
    let said = places.into_iter().filter_map(|(at, place)| match place {
        Place::Answer(answer) => Some(answer.clone()),
        // A message that is not kept any longer is passed over.
        Place::Message(id) => messages.get(&id).map(|row| message_from_row(row, at)),
    });
    Ok(Transcript { said: said.collect(), stopped_at })
}

enum Place<'e> {
    Answer(&'e Utterance),
    Message(Uuid),
}

/// Everything in these exchanges, newest first.
fn places(exchanges: &[Exchange]) -> impl Iterator<Item = (TranscriptPosition, Place<'_>)> {
    exchanges.iter().flat_map(|exchange| {
        let answer = exchange.answer.iter().map(|said| (said.position, Place::Answer(said)));
        let messages = (0..).zip(&exchange.messages).map(|(place, id)| {
            (TranscriptPosition { seq: exchange.seq, place }, Place::Message(*id))
        });
        answer.chain(messages.collect::<Vec<_>>().into_iter().rev())
    })
}

fn exchange_from_row(row: &Row) -> Exchange {
    let seq: i64 = row.get("seq");
    let author: Option<String> = row.get("author");
    let answer = row.get::<_, Option<String>>("text").zip(row.get("finished_at"));
    Exchange {
        seq,
        messages: row.get("message_ids"),
        answer: answer.map(|(text, said_at)| Utterance {
            position: TranscriptPosition { seq, place: TranscriptPosition::ANSWER },
            speaker: if author.is_some() { Speaker::Person } else { Speaker::Assistant },
            text,
            is_cut: row.get("is_cut"),
            said_at,
            execution_id: Some(ExecutionId(row.get("id"))),
            message_id: None,
            author,
            delivery_status: row.get("delivery_status"),
        }),
    }
}

/// The messages that are in no execution yet.
async fn open_window(
    snapshot: &Snapshot,
    tenant: TenantId,
    session: SessionId,
) -> Result<Option<Exchange>, StoreError> {
    let operation = "views.transcript_open";
    let rows = snapshot.query(OPEN, operation, &[&tenant.0, &session.0, &MAX_OPEN]).await?;
    Ok(rows.first().map(|first| Exchange {
        seq: first.get("seq"),
        messages: rows.iter().map(|row| row.get("id")).collect(),
        answer: None,
    }))
}

fn message_from_row(row: &Row, position: TranscriptPosition) -> Utterance {
    Utterance {
        position,
        speaker: Speaker::User,
        text: row.get("text"),
        is_cut: row.get("is_cut"),
        said_at: row.get("accepted_at"),
        execution_id: row.get::<_, Option<_>>("execution_id").map(ExecutionId),
        message_id: Some(MessageId(row.get("id"))),
        author: None,
        delivery_status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        for position in [TranscriptPosition::END, TranscriptPosition { seq: 7, place: 0 }] {
            assert_eq!(position.to_string().parse::<TranscriptPosition>().unwrap(), position);
        }
        for bad in ["", "1", "1.x", "x.1", "."] {
            assert!(bad.parse::<TranscriptPosition>().is_err(), "{bad}");
        }
    }
}
