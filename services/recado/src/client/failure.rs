//! Why a command came to nothing, and the exit code that says so.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::Value;

use crate::exit_code;
use crate::table::one_line;

/// A command that came to nothing. What it says is for a person, and holds no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// What was given cannot be understood; nothing was sent that would change something.
    #[error("{0}")]
    Usage(String),
    /// The server said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// Something else is not as it was asked for.
    #[error("{0}")]
    Failed(String),
    /// The server is not there, or says that it cannot answer now.
    #[error("{0}")]
    Unavailable(String),
}

/// What the server said no with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The stable code, as docs/errors.md lists it.
    pub(super) code: String,
    pub(super) message: String,
    /// What is wrong, by the field's path.
    pub(super) fields: Vec<(String, String)>,
    /// Where that is which cannot be shown yet.
    pub(super) standing: Option<String>,
}

impl Failure {
    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed(reason.into())
    }

    pub(super) fn usage(reason: impl Into<String>) -> Self {
        Self::Usage(reason.into())
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(exit_code::USAGE),
            Self::Refused(_) | Self::Failed(_) => ExitCode::FAILURE,
            Self::Unavailable(_) => ExitCode::from(exit_code::UNAVAILABLE),
        }
    }

    /// Whether it may be another time: the server was away or busy.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether the server has no such thing.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.status == 404)
    }
}

impl Refusal {
    /// What a body says that came with `status`.
    pub(super) fn of(status: u16, body: &Value) -> Self {
        let text = |name: &str| body[name].as_str().map(one_line);
        let fields = body["details"]["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
        let field = |field: &Value| {
            Some((one_line(field["path"].as_str()?), one_line(field["reason"].as_str()?)))
        };
        let mut message = text("message").unwrap_or_else(|| "no reason is given".into());
        let users = body["details"]["used_by"].as_array().map(Vec::as_slice).unwrap_or_default();
        for user in users {
            let word = |name: &str| one_line(user[name].as_str().unwrap_or_default());
            let _ = write!(message, "; {} {} ({})", word("type"), word("name"), word("id"));
        }
        Self {
            status,
            code: text("error").unwrap_or_else(|| "unknown".into()),
            message,
            fields: fields.iter().filter_map(field).collect(),
            standing: body["details"]["status"].as_str().map(one_line),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.status, self.message)?;
        for (path, reason) in &self.fields {
            let path = if path.is_empty() { "the body" } else { path };
            write!(f, "\n  {path} {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_names_its_code_and_every_field() {
        let body = json!({
            "success": false, "error": "invalid_input", "message": "2 fields are missing",
            "details": {"fields": [
                {"path": "name", "reason": "is required"},
                {"path": "trigger_config.x\u{1b}[2J", "reason": "is not a known field"},
            ]},
        });
        assert_eq!(
            Refusal::of(400, &body).to_string(),
            "invalid_input (400): 2 fields are missing\n  name is required\n  \
             trigger_config.x [2J is not a known field"
        );
        assert_eq!(Refusal::of(502, &Value::Null).code, "unknown");
    }
}
