//! What can go wrong at the database, sorted by what to do about it.

use std::error::Error;

use tokio_postgres::error::SqlState;

/// A statement, or getting to run one, failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection could be had from the pool.
    #[error("no database connection for {operation}")]
    Connection {
        /// `<module>.<function>`.
        operation: &'static str,
        /// Why not.
        #[source]
        source: deadpool_postgres::PoolError,
    },
    /// The database refused a statement or went away while it ran.
    #[error("{operation} failed")]
    Query {
        /// `<module>.<function>`.
        operation: &'static str,
        /// The database's reason.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A stored value is not what this program writes.
    #[error("{operation} found an impossible value in {column}")]
    Inconsistent {
        /// `<module>.<function>`.
        operation: &'static str,
        /// `<table>.<column>`.
        column: &'static str,
        /// What is impossible about it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A secret could not be sealed or opened.
    #[error("{operation} could not use a sealed value")]
    Seal {
        /// `<module>.<function>`.
        operation: &'static str,
        /// Why not.
        #[source]
        source: crate::seal::SealError,
    },
}

/// What to do about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The database is away, overloaded or restarting: the same statement may succeed later.
    Unavailable,
    /// A uniqueness constraint: it is there already.
    Duplicate,
    /// The data cannot be stored as they are: trying again changes nothing.
    Rejected,
    /// A bug, or a database that is not ours.
    Internal,
}

impl StoreError {
    /// For `map_err`: a failed statement of `operation`.
    pub(crate) fn query(operation: &'static str) -> impl Fn(tokio_postgres::Error) -> Self {
        move |source| Self::Query { operation, source }
    }

    /// What to do about it.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Connection { source, .. } => connection_failure(source),
            Self::Query { source, .. } => query_failure(source),
            Self::Inconsistent { .. } | Self::Seal { .. } => Failure::Internal,
        }
    }

    /// Whether the same statement may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        self.failure() == Failure::Unavailable
    }
}

fn connection_failure(error: &deadpool_postgres::PoolError) -> Failure {
    match error {
        // A wrong password does not mend itself, but it may be mended without a restart of ours.
        deadpool_postgres::PoolError::Timeout(_) | deadpool_postgres::PoolError::Backend(_) => {
            Failure::Unavailable
        }
        deadpool_postgres::PoolError::Closed
        | deadpool_postgres::PoolError::NoRuntimeSpecified
        | deadpool_postgres::PoolError::PostCreateHook(_) => Failure::Internal,
    }
}

fn query_failure(error: &tokio_postgres::Error) -> Failure {
    let Some(state) = error.code() else {
        // Without a code it is the connection (or a parameter of the wrong type, a bug).
        let source = error.source();
        let is_conversion = source.is_some_and(|s| s.to_string().contains("cannot convert"));
        return if is_conversion { Failure::Internal } else { Failure::Unavailable };
    };
    if *state == SqlState::UNIQUE_VIOLATION {
        return Failure::Duplicate;
    }
    // By class (PostgreSQL documentation, appendix A).
    match &state.code()[..2] {
        // Connection, resources, operator intervention, transaction rollback (deadlocks included),
        // lock not available, system error.
        "08" | "53" | "57" | "40" | "55" | "58" => Failure::Unavailable,
        // Data exception, integrity constraint, limit exceeded.
        "22" | "23" | "54" => Failure::Rejected,
        _ => Failure::Internal,
    }
}
