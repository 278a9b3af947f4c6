//! What can go wrong at the database, sorted by what to do about it.

use std::error::Error;

use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::WrongType;

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
        source: PoolError,
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

    /// Whether there is a server, but not the roles that the migrations make.
    pub(crate) fn is_without_roles(&self) -> bool {
        let Self::Connection { source, .. } = self else { return false };
        let PoolError::PostCreateHook(HookError::Backend(error)) = source else { return false };
        // What `SET ROLE` says of a role that does not exist.
        error.code() == Some(&SqlState::INVALID_PARAMETER_VALUE)
    }

    /// Whether the statement waited for somebody's lock, or took too long: with fewer rows it may
    /// succeed at once.
    pub fn is_timeout(&self) -> bool {
        let Self::Query { source, .. } = self else { return false };
        matches!(source.code(), Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::QUERY_CANCELED))
    }

    /// Whether the same statement may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        self.failure() == Failure::Unavailable
    }
}

fn connection_failure(error: &PoolError) -> Failure {
    match error {
        // A wrong password does not mend itself, but it may be mended without a restart of ours.
        PoolError::Timeout(_) | PoolError::Backend(_) => Failure::Unavailable,
        // Not migrated yet, or not granted the role: neither needs a restart of ours.
        PoolError::PostCreateHook(HookError::Backend(error))
            if matches!(
                error.code(),
                Some(&SqlState::INVALID_PARAMETER_VALUE | &SqlState::INSUFFICIENT_PRIVILEGE)
            ) =>
        {
            Failure::Unavailable
        }
        PoolError::PostCreateHook(HookError::Backend(error)) => query_failure(error),
        PoolError::PostCreateHook(HookError::Message(_))
        | PoolError::Closed
        | PoolError::NoRuntimeSpecified => Failure::Internal,
    }
}

fn query_failure(error: &tokio_postgres::Error) -> Failure {
    let Some(state) = error.code() else {
        // Without a code it is the connection, or a value that we gave a wrong type: a bug.
        let is_ours = error.source().is_some_and(<dyn Error>::is::<WrongType>);
        return if is_ours { Failure::Internal } else { Failure::Unavailable };
    };
    match *state {
        SqlState::UNIQUE_VIOLATION => Failure::Duplicate,
        // Not ours, not yet or not any more: a database that was not migrated, a standby. Whoever
        // waits for it to become ours loses nothing.
        SqlState::UNDEFINED_TABLE
        | SqlState::UNDEFINED_COLUMN
        | SqlState::UNDEFINED_FUNCTION
        | SqlState::INVALID_CATALOG_NAME
        | SqlState::READ_ONLY_SQL_TRANSACTION => Failure::Unavailable,
        _ => failure_of_class(&state.code()[..2]),
    }
}

/// By class (`PostgreSQL` documentation, appendix A).
fn failure_of_class(class: &str) -> Failure {
    match class {
        // Connection, authorization, resources, operator intervention, transaction rollback
        // (deadlocks included), lock not available, system error.
        "08" | "28" | "53" | "57" | "40" | "55" | "58" => Failure::Unavailable,
        // Data exception, integrity constraint, limit exceeded.
        "22" | "23" | "54" => Failure::Rejected,
        _ => Failure::Internal,
    }
}
