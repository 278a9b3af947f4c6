//! What goes wrong with a tenant's database: a code for programs, a sentence for people.
//!
//! Of what the server says, only its SQLSTATE and its primary message are shown, to the tenant:
//! even that may quote a value (details, hints and context have whole rows), so it is in no log.

use recado_http::guard::DialError;
use tokio_postgres::error::DbError;

use super::meter::TooMuch;
use crate::held::SourceError;

/// The longest message, in characters.
const MAX_MESSAGE: usize = 300;

pub(super) const UNREACHABLE: &str = "database_unreachable";

/// There is no connection.
pub(super) fn of_dialling(error: &DialError) -> SourceError {
    let code = match error {
        DialError::Forbidden { .. } | DialError::NotAllowed { .. } => error.code(),
        DialError::Timeout { .. } | DialError::Connect { .. } | DialError::Tls { .. } => {
            UNREACHABLE
        }
    };
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    SourceError::failed(code, format!("{error}{}", cause.unwrap_or_default()))
}

/// The server did not answer in time.
pub(super) fn of_silence() -> SourceError {
    SourceError::failed(UNREACHABLE, "the database does not answer")
}

/// The server, or what is between it and us, has ended it.
pub(super) fn of_lost_connection() -> SourceError {
    SourceError::failed(UNREACHABLE, "the connection to the database was lost")
}

/// Nobody is logged in.
pub(super) fn of_logging_in(error: &tokio_postgres::Error) -> SourceError {
    if let Some(error) = error.as_db_error() {
        return of_server(error);
    }
    // The driver says what it was at in words only. Nothing in them comes from the secret.
    let message = error.to_string();
    let code = if message.contains("TLS") {
        "database_tls_failed"
    } else if message.contains("password") || message.contains("authentic") {
        "database_auth_failed"
    } else {
        UNREACHABLE
    };
    SourceError::failed(code, shown(&message))
}

/// A statement failed, or the connection was lost meanwhile.
pub(super) fn of_statement(error: &tokio_postgres::Error) -> SourceError {
    match error.as_db_error() {
        Some(error) => of_server(error),
        None if is_too_much(error) => query_failed(&TooMuch.to_string()),
        None if error.is_closed() || io_error(error).is_some() => of_lost_connection(),
        None => query_failed(&error.to_string()),
    }
}

/// A row is not what the statement asks for.
pub(super) fn of_row(error: &tokio_postgres::Error) -> SourceError {
    query_failed(&format!("the database answers something else than was asked: {error}"))
}

fn query_failed(message: &str) -> SourceError {
    SourceError::failed("query_failed", shown(message))
}

fn is_too_much(error: &tokio_postgres::Error) -> bool {
    let cause = io_error(error).and_then(std::io::Error::get_ref);
    cause.is_some_and(<dyn std::error::Error + Send + Sync>::is::<TooMuch>)
}

fn io_error(error: &tokio_postgres::Error) -> Option<&std::io::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

fn of_server(error: &DbError) -> SourceError {
    let state = error.code().code();
    let message = format!("{} (SQLSTATE {state})", shown(error.message()));
    SourceError::failed(code_of(state), message)
}

fn code_of(state: &str) -> &'static str {
    match state {
        "42501" => "permission_denied",
        "3D000" => "unknown_database",
        "42P01" | "3F000" => "unknown_table",
        "42703" => "unknown_column",
        "57014" | "55P03" => "query_timeout",
        "25006" => "query_writes",
        _ if state.starts_with("28") => "database_auth_failed",
        // It shuts down, starts up, or has no room; or what is between it and us says so.
        _ if ["08", "53", "57P"].iter().any(|class| state.starts_with(class)) => UNREACHABLE,
        _ => "query_failed",
    }
}

/// On one line, and not too much of it.
pub(super) fn shown(message: &str) -> String {
    let plain = |char: char| if char.is_control() { ' ' } else { char };
    message.chars().take(MAX_MESSAGE).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_codes() {
        for (state, code) in [
            ("28P01", "database_auth_failed"),
            ("57P01", UNREACHABLE),
            ("53300", UNREACHABLE),
            ("57014", "query_timeout"),
            ("25006", "query_writes"),
            ("22P02", "query_failed"),
        ] {
            assert_eq!(code_of(state), code, "{state}");
        }
        assert_eq!(shown(&format!("a\nb{}", "é".repeat(400))).chars().count(), MAX_MESSAGE);
    }
}
