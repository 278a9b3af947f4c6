//! Several statements that see the database as it was at one moment.

use deadpool_postgres::Object;
use futures_util::FutureExt;
use tokio_postgres::Row;

use super::Parameters;
use crate::{Store, StoreError};

/// A connection in a transaction that only reads.
pub(super) struct Snapshot {
    client: Object,
}

impl Snapshot {
    /// As `store` sees the database. Scope and transaction begin in one round trip.
    pub(super) async fn of(store: &Store, operation: &'static str) -> Result<Self, StoreError> {
        let snapshot = Self { client: store.unscoped_client(operation).await? };
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}",
            store.scope_of_transaction()
        );
        snapshot.client.batch_execute(&begin).await.map_err(StoreError::query(operation))?;
        Ok(snapshot)
    }

    /// Part of what it shows. Several that are awaited together are sent together.
    pub(super) async fn query(
        &self,
        sql: &str,
        operation: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let failed = StoreError::query(operation);
        let statement = self.client.prepare_cached(sql).await.map_err(&failed)?;
        self.client.query(&statement, parameters).await.map_err(&failed)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // It is sent here, however far we came, and nobody waits for the answer: whatever is asked
        // over this connection next comes after it.
        let _sent = self.client.batch_execute("ROLLBACK").now_or_never();
    }
}
