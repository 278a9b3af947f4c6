//! The statements by which an outbox is read. Names in them are quoted; values are parameters, as
//! text, which the database turns into what the column is.

use recado_types::trigger::db_event::{Order, Outbox, Rows};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSqlOwned, ToSql, Type};

use super::failure;
use super::position::Position;
use super::session::Snapshot;
use crate::held::SourceError;

/// The largest row, in bytes of JSON. Larger ones are left out.
pub(super) const MAX_ROW: usize = 256 << 10;
/// The most JSON of a page, in bytes. There may be as many pages as there are connections.
pub(super) const MAX_PAGE: usize = 2 * MAX_ROW;
/// The most rows of a page: the largest `batch`, and the one after it.
pub(super) const MAX_ROWS: usize = 1_001;
/// The longest cursor, in bytes. It goes to the server and back with every page.
pub(super) const MAX_CURSOR: usize = 256;

/// What a cursor may be, and what the type is called in a statement. Of these, every value is
/// written such that it can be read again.
const CURSORS: [(&Type, &str); 12] = [
    (&Type::INT2, "smallint"),
    (&Type::INT4, "integer"),
    (&Type::INT8, "bigint"),
    (&Type::OID, "oid"),
    (&Type::NUMERIC, "numeric"),
    (&Type::XID8, "xid8"),
    (&Type::UUID, "uuid"),
    (&Type::TEXT, "text"),
    (&Type::VARCHAR, "text"),
    (&Type::TIMESTAMPTZ, "timestamptz"),
    (&Type::TIMESTAMP, "timestamp"),
    (&Type::DATE, "date"),
];

/// The statements for one outbox.
pub(super) struct Pages<'o> {
    outbox: &'o Outbox,
    /// What the rows are taken from.
    from: String,
    cursor: String,
    cursor_type: &'static str,
    transaction: Option<String>,
}

/// Some rows, in order.
pub(super) struct Page {
    pub(super) rows: Vec<PageRow>,
}

impl Page {
    /// Whether there may be much more: as many rows as half of what was asked for, or as much text as
    /// a quarter of what fits.
    pub(super) fn is_well_filled(&self, batch: u32) -> bool {
        let bytes: usize =
            self.rows.iter().filter_map(|row| row.content.as_ref()).map(String::len).sum();
        self.rows.len() * 2 >= batch as usize || bytes * 4 >= MAX_PAGE
    }
}

/// A row, by where it is.
pub(super) struct PageRow {
    pub(super) at: Position,
    /// As JSON; none if it is too large.
    pub(super) content: Option<String>,
}

impl<'o> Pages<'o> {
    /// Asks the database what the columns are.
    pub(super) async fn of(
        outbox: &'o Outbox,
        snapshot: &Snapshot<'_>,
    ) -> Result<Self, SourceError> {
        let from = match &outbox.rows {
            Rows::Table(table) => table.quoted(),
            // On lines of its own: it may end in a comment.
            Rows::Query(query) => format!("(\n{}\n)", query.as_str()),
        };
        let cursor = format!("source.{}", outbox.cursor.quoted());
        let transaction = match &outbox.order {
            Order::Transaction(column) => Some(format!("source.{}", column.quoted())),
            Order::Settled(_) => None,
        };
        let columns = transaction.iter().fold(cursor.clone(), |all, it| format!("{all}, {it}"));
        let statement =
            format!("-- db_event.columns\nSELECT {columns} FROM {from} AS source LIMIT 0");
        let statement = snapshot.prepare(&statement).await?;
        let mut types = statement.columns().iter().map(|column| column.type_().clone());
        let (found, found_transaction) = (types.next(), types.next());
        let known = CURSORS.iter().find(|(known, _)| found.as_ref() == Some(*known));
        let Some((_, cursor_type)) = known else {
            let column = &outbox.cursor;
            let message = format!(
                "the column {column} cannot be the cursor: it must be a whole or exact number, a \
                 uuid, a text, a date or a timestamp"
            );
            return Err(SourceError::failed("cursor_unsupported", message));
        };
        if found_transaction.is_some_and(|found| found != Type::XID8) {
            let message = "the column that `transaction` names must be of type xid8";
            return Err(SourceError::failed("cursor_unsupported", message));
        }
        Ok(Self { outbox, from, cursor, cursor_type, transaction })
    }

    /// The rows after `position`, up to the cursor `until` if there is one.
    pub(super) async fn after(
        &self,
        position: &Position,
        until: Option<&str>,
        snapshot: &Snapshot<'_>,
    ) -> Result<Page, SourceError> {
        let limit = i64::from(self.outbox.batch) + 1;
        let mut parameters: Vec<&(dyn ToSql + Sync)> = Vec::with_capacity(3);
        let mut conditions = Vec::with_capacity(3);
        let (cursor, kind) = (&self.cursor, self.cursor_type);
        let mut parameter = |value, kind: &str| {
            parameters.push(value);
            format!("${}::text::{kind}", parameters.len())
        };
        match (&self.transaction, &position.transaction, &position.cursor) {
            (Some(column), Some(transaction), Some(last)) => {
                let transaction = parameter(transaction, "xid8");
                let last = parameter(last, kind);
                conditions.push(format!("({column}, {cursor}) > ({transaction}, {last})"));
            }
            (Some(column), Some(transaction), None) => {
                conditions.push(format!("{column} >= {}", parameter(transaction, "xid8")));
            }
            (None, _, Some(last)) => {
                conditions.push(format!("{cursor} > {}", parameter(last, kind)));
            }
            _ => conditions.push(format!("{cursor} IS NOT NULL")),
        }
        if let Some(column) = &self.transaction {
            // Of older ones, everything is there that ever will be.
            conditions.push(format!("{column} < pg_snapshot_xmin(pg_current_snapshot())"));
        }
        if let Some(until) = &until {
            conditions.push(format!("{cursor} <= {}", parameter(until, kind)));
        }
        let statement = self.statement(&conditions.join(" AND "), limit);
        let rows = snapshot.rows(&statement, &parameters).await?;
        let mut page = Page { rows: Vec::with_capacity(rows.len()) };
        for row in rows.iter().take(self.outbox.batch as usize) {
            let (transaction, cursor, is_tied): (Option<String>, Option<String>, bool) =
                (column(row, 0)?, column(row, 1)?, column(row, 2)?);
            if is_tied {
                let message = format!(
                    "several rows have the same {}: a cursor must differ from row to row",
                    self.outbox.cursor
                );
                return Err(SourceError::failed("cursor_not_unique", message));
            }
            // Those are not even sent.
            if cursor.is_none() {
                let message = format!("a cursor is longer than {MAX_CURSOR} bytes");
                return Err(SourceError::failed("cursor_unsupported", message));
            }
            let at = position.at(transaction, cursor);
            page.rows.push(PageRow { at, content: column(row, 3)? });
        }
        Ok(page)
    }

    /// The JSON is as the columns have it: a `json` may hold what a `jsonb` cannot, and would fail
    /// the whole page if it were made one.
    ///
    /// The innermost query is the only one that touches the table: it takes as many rows as a page
    /// has, by the index. Around it, as many of them are kept as fit.
    fn statement(&self, conditions: &str, limit: i64) -> String {
        let Self { from, cursor, transaction, .. } = self;
        let made_by = transaction.as_deref().unwrap_or("NULL::xid8");
        let (of_source, of_page, next) = match transaction {
            Some(transaction) => (
                format!("{transaction}, {cursor}"),
                "page.made_by, page.place",
                "lead(page.made_by) OVER in_order, lead(page.place) OVER in_order",
            ),
            None => (cursor.clone(), "page.place", "lead(page.place) OVER in_order"),
        };
        format!(
            "-- db_event.page\n\
             SELECT sized.made_by::text,
                    CASE WHEN octet_length(sized.place::text) <= {MAX_CURSOR}
                         THEN sized.place::text END,
                    sized.is_tied,
                    CASE WHEN sized.size <= {MAX_ROW} THEN sized.content END
               FROM (SELECT page.*, octet_length(page.content) AS size,
                            coalesce(({of_page}) = ({next}), false) AS is_tied,
                            row_number() OVER in_order AS number,
                            sum(least(octet_length(page.content), {MAX_ROW})) OVER in_order AS total
                       FROM (SELECT {made_by} AS made_by, {cursor} AS place,
                                    row_to_json(source.*)::text AS content
                               FROM {from} AS source
                              WHERE {conditions}
                              ORDER BY {of_source}
                              LIMIT {limit}) AS page
                     WINDOW in_order AS (ORDER BY {of_page} ROWS UNBOUNDED PRECEDING)) AS sized
              WHERE sized.total <= {MAX_PAGE}
              ORDER BY sized.number"
        )
    }

    /// The highest cursor that can be seen.
    pub(super) async fn highest(
        &self,
        snapshot: &Snapshot<'_>,
    ) -> Result<Option<String>, SourceError> {
        let Self { from, cursor, .. } = self;
        let statement = format!(
            "-- db_event.highest\n\
             SELECT {cursor}::text FROM {from} AS source WHERE {cursor} IS NOT NULL
              ORDER BY {cursor} DESC LIMIT 1"
        );
        let rows = snapshot.rows(&statement, &[]).await?;
        rows.first().map_or(Ok(None), |row| column(row, 0))
    }

    /// The oldest transaction that may still be running.
    pub(super) async fn oldest_running(
        snapshot: &Snapshot<'_>,
    ) -> Result<Option<String>, SourceError> {
        const OLDEST: &str = "\
            -- db_event.oldest_running
            SELECT pg_snapshot_xmin(pg_current_snapshot())::text";
        let rows = snapshot.rows(OLDEST, &[]).await?;
        rows.first().map_or(Ok(None), |row| column(row, 0))
    }

    /// Fails if the position is one of transactions that there have not been yet: then the database
    /// was moved to another server, which counts them anew, and nothing would ever be read.
    pub(super) async fn expect_past(
        position: &Position,
        snapshot: &Snapshot<'_>,
    ) -> Result<(), SourceError> {
        const IS_AHEAD: &str = "\
            -- db_event.expect_past
            SELECT $1::text::xid8 > pg_snapshot_xmax(pg_current_snapshot())";
        let Some(transaction) = &position.transaction else { return Ok(()) };
        let rows = snapshot.rows(IS_AHEAD, &[transaction]).await?;
        if rows.first().map(|row| column(row, 0)).transpose()? == Some(true) {
            let message = "the database counts its transactions anew, so the position means nothing \
                           there: make a new trigger";
            return Err(SourceError::failed("position_ahead", message));
        }
        Ok(())
    }
}

/// The server is the tenant's: it may answer anything.
fn column<T: FromSqlOwned>(row: &Row, index: usize) -> Result<T, SourceError> {
    row.try_get(index).map_err(|error| failure::of_row(&error))
}
