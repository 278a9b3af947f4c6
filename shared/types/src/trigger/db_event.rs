//! `db_event`: what happens in a PostgreSQL database of the tenant.
//!
//! Either its notifications (`listen`), which are lost while nobody listens, or the rows of an
//! outbox, of which none is missed. Names are compared as they are written: they are quoted when
//! they are used, so `Orders` is not `orders`.

mod names;
#[cfg(test)]
mod tests;

pub use names::{Identifier, NameError, TableName};

use std::fmt;
use std::str::FromStr;

use crate::credential::read_secret_ref;
use crate::jmespath::Expression;
use crate::shape::ObjectReader;

/// The longest query, in bytes.
pub(super) const MAX_QUERY: usize = 8_192;
/// For how long rows must have been visible, at the most and usually.
pub(super) const MAX_SETTLE_MS: u32 = 60_000;
pub(super) const SETTLE_MS: u32 = 2_000;
/// How often an outbox is looked at.
pub(super) const MIN_POLL_MS: u32 = 100;
pub(super) const MAX_POLL_MS: u32 = 3_600_000;
pub(super) const POLL_MS: u32 = 1_000;
/// How many rows are read at a time.
pub(super) const MAX_BATCH: u32 = 1_000;
pub(super) const BATCH: u32 = 100;

/// The `db_event` of a trigger of that type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DbEvent {
    /// The secret that holds the database's URL: `postgres://user:password@host:port/database`.
    pub secret_ref: String,
    /// What is looked at there.
    pub feed: Feed,
    /// What this is not true for is left out.
    pub filter: Option<Expression>,
}

/// What is looked at in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feed {
    /// The notifications of a channel.
    Listen(Identifier),
    /// The rows of a table or of a query.
    Outbox(Box<Outbox>),
}

/// Rows that come to be, and how they are told apart from those that were there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox {
    /// The rows.
    pub rows: Rows,
    /// The column that grows from row to row and differs in all of them; `id` by default.
    pub cursor: Identifier,
    /// How late transactions are waited for.
    pub order: Order,
    /// Which rows are read first.
    pub start: Start,
    /// How often it is looked at, 100 to 3,600,000 ms.
    pub poll_ms: u32,
    /// How many rows are read at a time, 1 to 1,000.
    pub batch: u32,
    /// A channel whose notifications have it looked at at once.
    pub notify: Option<Identifier>,
}

/// Where the rows are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// In a table or a view.
    Table(TableName),
    /// In the result of a query.
    Query(Query),
}

/// How rows are ordered, so that none that is committed late is missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// By this column of type `xid8`, which says what transaction made the row, then by the cursor.
    /// Rows are read once every older transaction has ended: none is missed.
    Transaction(Identifier),
    /// By the cursor. Rows are read when they have been visible for so many milliseconds, 0 to
    /// 60,000: none is missed that is committed no later than that after one with a higher cursor.
    Settled(u32),
}

/// Which rows are read first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Those that are there already.
    Beginning,
    /// Those that come from now on.
    Now,
}

/// One `SELECT`, or one that begins with `WITH`, as far as that can be told without the database:
/// it runs in a transaction that cannot write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(String);

/// Why a query is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Over 8 KiB.
    #[error("must have at most {MAX_QUERY} bytes")]
    TooLong,
    /// Some other statement.
    #[error("must begin with SELECT or WITH")]
    Verb,
    /// Perhaps several.
    #[error("must be one statement, without `;`")]
    Several,
}

impl Query {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        if text.len() > MAX_QUERY {
            return Err(QueryError::TooLong);
        }
        let text = text.trim();
        let word: String = text.chars().take_while(char::is_ascii_alphabetic).collect();
        let follows = text[word.len()..].chars().next();
        let is_word =
            follows.is_some_and(|it| it.is_whitespace() || matches!(it, '(' | '\'' | '"'));
        let begins = ["select", "with"].into_iter().any(|verb| word.eq_ignore_ascii_case(verb));
        if !begins || !is_word {
            return Err(QueryError::Verb);
        }
        if text.contains(';') {
            return Err(QueryError::Several);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => fmt::Display::fmt(table, f),
            Self::Query(_) => f.write_str("query"),
        }
    }
}

impl DbEvent {
    pub(super) fn read(reader: &mut ObjectReader<'_>) -> Option<Self> {
        let mut fields = reader.object("db_event")?;
        let secret_ref = read_secret_ref(&mut fields);
        let feed = read_feed(&mut fields);
        let filter = fields.parsed("filter");
        fields.done();
        Some(Self { secret_ref: secret_ref?, feed: feed?, filter })
    }

    /// The secrets it names, each with where in the configuration it does so.
    pub fn secret_refs(&self) -> Vec<(String, &str)> {
        vec![("db_event.secret_ref".to_owned(), self.secret_ref.as_str())]
    }
}

fn read_feed(fields: &mut ObjectReader<'_>) -> Option<Feed> {
    let is_listened = fields.any("listen").is_some();
    let is_polled = fields.any("outbox").is_some();
    let listen = fields.object("listen").map(|mut listen| {
        listen.required("channel");
        let channel = listen.parsed("channel");
        listen.done();
        channel
    });
    let outbox = fields.object("outbox").map(Outbox::read);
    match (is_listened, is_polled) {
        (true, true) => {
            fields.refuse("outbox", "must not be there beside `listen`");
            None
        }
        (false, false) => {
            fields.refuse("outbox", "is required, unless there is `listen`");
            None
        }
        (true, false) => listen?.map(Feed::Listen),
        (false, true) => outbox?.map(|outbox| Feed::Outbox(Box::new(outbox))),
    }
}

impl Outbox {
    fn read(mut fields: ObjectReader<'_>) -> Option<Self> {
        let rows = read_rows(&mut fields);
        let cursor = match fields.any("cursor") {
            Some(_) => fields.parsed("cursor"),
            None => Some(Identifier::id()),
        };
        let order = read_order(&mut fields);
        let starts = [("beginning", Start::Beginning), ("now", Start::Now)];
        let start = fields.choice("start", &starts).unwrap_or(Start::Beginning);
        let poll_ms = fields.integer("poll_ms", MIN_POLL_MS..=MAX_POLL_MS).unwrap_or(POLL_MS);
        let batch = fields.integer("batch", 1..=MAX_BATCH).unwrap_or(BATCH);
        let notify = fields.parsed("notify");
        fields.done();
        Some(Self { rows: rows?, cursor: cursor?, order: order?, start, poll_ms, batch, notify })
    }
}

fn read_rows(fields: &mut ObjectReader<'_>) -> Option<Rows> {
    let both = (fields.any("table").is_some(), fields.any("query").is_some());
    let table = fields.parsed("table").map(Rows::Table);
    // Longer than other texts, and its own limit is in bytes.
    let query = fields.string("query", 1..=MAX_QUERY);
    let query = query.and_then(|text| fields.accept("query", text.parse())).map(Rows::Query);
    match both {
        (true, true) => {
            fields.refuse("query", "must not be there beside `table`");
            None
        }
        (false, false) => {
            fields.refuse("table", "is required, unless there is `query`");
            None
        }
        _ => table.or(query),
    }
}

fn read_order(fields: &mut ObjectReader<'_>) -> Option<Order> {
    let settle_ms = fields.integer("settle_ms", 0..=MAX_SETTLE_MS);
    if fields.any("transaction").is_none() {
        return Some(Order::Settled(settle_ms.unwrap_or(SETTLE_MS)));
    }
    if fields.any("settle_ms").is_some() {
        fields.refuse("settle_ms", "is for outboxes without `transaction`");
    }
    fields.parsed("transaction").map(Order::Transaction)
}
