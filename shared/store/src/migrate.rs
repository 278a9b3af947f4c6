//! Brings the schema up to date, and tells whether it is.

use tokio_postgres::error::SqlState;

use crate::{Store, StoreError};

mod embedded {
    //! The files of `/migrations`.
    refinery::embed_migrations!("../../migrations");
}

/// The version of the schema that this program was written for.
pub const SCHEMA_VERSION: i32 = 1;

/// Any number; it only has to be the same in every process that migrates.
const MIGRATION_LOCK: i64 = 0x7265_6361_646f;

const LOCK: &str = "\
-- migrate.lock
SELECT pg_advisory_lock($1)";

const CURRENT_VERSION: &str = "\
-- migrate.current_version
SELECT max(version) FROM refinery_schema_history";

/// Why the schema is not up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be reached.
    #[error("cannot connect to the database to migrate it")]
    Connect(#[source] tokio_postgres::Error),
    /// The lock that keeps migrations apart was not to be had.
    #[error("cannot lock the database for migration")]
    Lock(#[source] tokio_postgres::Error),
    /// A migration failed; the ones before it are in place.
    #[error("a migration failed")]
    Migration(#[source] refinery::Error),
}

/// Runs every migration that the database at `url` does not have yet. Several processes may do it
/// at once: one works, the others wait and find nothing to do.
pub async fn migrate(url: &str) -> Result<(), MigrateError> {
    let (mut client, connection) =
        tokio_postgres::connect(url, crate::tls()).await.map_err(MigrateError::Connect)?;
    let work = async {
        // The lock goes with the connection, however this ends.
        client.execute(LOCK, &[&MIGRATION_LOCK]).await.map_err(MigrateError::Lock)?;
        // A newer release may have been here: its migrations only add, and this one goes on beside it.
        let runner = embedded::migrations::runner().set_abort_missing(false);
        let done = runner.run_async(&mut client).await;
        done.map(drop).map_err(MigrateError::Migration)
    };
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => done,
        closed = connection => match closed {
            Err(source) => Err(MigrateError::Connect(source)),
            Ok(()) => work.await,
        },
    }
}

pub(crate) async fn is_current(store: &Store) -> Result<bool, StoreError> {
    let client = match store.client("migrate.current_version").await {
        Ok(client) => client,
        Err(error) if error.is_without_roles() => return Ok(false),
        Err(error) => return Err(error),
    };
    match client.query_one(CURRENT_VERSION, &[]).await {
        // Newer is fine: migrations only add while old code is running.
        Ok(row) => Ok(row.get::<_, Option<i32>>(0).is_some_and(|found| found >= SCHEMA_VERSION)),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(false),
        Err(source) => Err(StoreError::Query { operation: "migrate.current_version", source }),
    }
}
