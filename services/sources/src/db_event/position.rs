//! How far an outbox was read.

use recado_types::Fingerprint;
use recado_types::trigger::db_event::{Order, Outbox};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest cursor that is itself in an id, in bytes. With the longest name of a table (127) and
/// the longest transaction (20), an id is within the 256 bytes that one may have.
const MAX_READABLE: usize = 100;

/// Everything up to here is published. Values are as the database writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// What it is a position in: the table, and the columns by which it is ordered. If that is
    /// changed, it means nothing any more.
    of: String,
    /// The transaction that made the last row; with no cursor, the first one that is to be read.
    pub(super) transaction: Option<String>,
    /// The last row's cursor; none before the first row.
    pub(super) cursor: Option<String>,
}

impl Position {
    /// Before the first row.
    pub(super) fn beginning(outbox: &Outbox) -> Self {
        Self { of: place(outbox), transaction: None, cursor: None }
    }

    /// The one that was saved, if it is one of this outbox.
    pub(super) fn saved(outbox: &Outbox, saved: Option<&Value>) -> Option<Self> {
        let saved: Self = serde_json::from_value(saved?.clone()).ok()?;
        (saved.of == place(outbox)).then_some(saved)
    }

    pub(super) fn at(&self, transaction: Option<String>, cursor: Option<String>) -> Self {
        Self { of: self.of.clone(), transaction, cursor }
    }

    /// What a row at this position is called, now and whenever it is read again. Of a long cursor
    /// it has a hash: a message's id may not be of any length.
    pub(super) fn id(&self, outbox: &Outbox) -> String {
        let transaction = self.transaction.as_deref().unwrap_or("-");
        let cursor = self.cursor.as_deref().unwrap_or("-");
        if cursor.len() > MAX_READABLE {
            let hash = Fingerprint::of(cursor.as_bytes());
            return format!("{}/{transaction}/#{hash}", outbox.rows);
        }
        format!("{}/{transaction}/{cursor}", outbox.rows)
    }

    pub(super) fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

fn place(outbox: &Outbox) -> String {
    let transaction = match &outbox.order {
        Order::Transaction(column) => column.as_str(),
        Order::Settled(_) => "-",
    };
    format!("{}/{transaction}/{}", outbox.rows, outbox.cursor)
}

#[cfg(test)]
mod tests {
    use recado_types::trigger::{Source, TriggerConfig};
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_readable_or_short() {
        let name = "n".repeat(63);
        let config = json!({"db_event": {"secret_ref": "S", "outbox": {
            "table": format!("{name}.{name}"), "transaction": "txid",
        }}});
        let Source::DbEvent(config) = TriggerConfig::parse(&config).unwrap().source else {
            panic!("it is a database's")
        };
        let recado_types::trigger::db_event::Feed::Outbox(outbox) = &config.feed else {
            panic!("it is an outbox")
        };
        let id = |cursor: String| {
            let transaction = Some(u64::MAX.to_string());
            Position::beginning(outbox).at(transaction, Some(cursor)).id(outbox)
        };
        assert_eq!(id("7".into()), format!("{name}.{name}/18446744073709551615/7"));
        let ids =
            [100, 101, 256].map(|n_bytes| id("é".repeat(n_bytes / 2) + &"x".repeat(n_bytes % 2)));
        assert!(ids.iter().all(|id| id.len() <= 256), "{ids:?}");
        assert!(ids[1] != ids[2] && ids[1].contains("/#"), "{ids:?}");
    }
}
