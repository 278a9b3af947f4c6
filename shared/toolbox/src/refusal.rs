//! Why a request comes to nothing before anything is sent.

use recado_http::credential::InvalidCredential;
use recado_http::guard::{ForbiddenDestination, InvalidOutbound};
use recado_types::tool::{DefaultsError, RenderError};
use recado_types::trigger::ContextField;

use super::arguments::Unreadable;
use super::hosts::ClosedHost;

/// The code of what only the tool's owner can mend.
pub(super) const MISCONFIGURED: &str = "misconfigured";

/// A call that is not made. `Display` is for operators; the model is told [`Refusal::told`].
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// They are no JSON object.
    #[error("the arguments cannot be read")]
    Unreadable(#[source] Unreadable),
    /// In words for the model.
    #[error("the arguments do not fit the schema")]
    NoFit(String),
    /// A parameter that the tool's owner has set.
    #[error("the argument {0:?} would repeat a parameter that is set")]
    Fixed(String),
    /// A parameter that a server might take for another one.
    #[error("the argument {0:?} is not known and has no plain name")]
    Unknown(String),
    /// Over this many bytes.
    #[error("the URL would have more than {0} bytes")]
    LongUrl(usize),
    /// What the context decides cannot be set.
    #[error("the context cannot decide the arguments")]
    Defaults(#[source] DefaultsError),
    /// A placeholder without a value, or with one that does not fit.
    #[error("the request cannot be filled in")]
    Fill(#[source] RenderError),
    /// The tenant lets no tool go there.
    #[error("the host is not allowed")]
    Closed(#[source] ClosedHost),
    /// The guard lets nobody there.
    #[error("the destination is forbidden")]
    Forbidden(#[source] ForbiddenDestination),
    /// It is gone.
    #[error("the secret {0:?} does not exist")]
    NoSecret(String),
    /// It is not what the tool's `auth` needs.
    #[error("the secret {name:?} cannot be used")]
    UnusableSecret {
        /// Its name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: InvalidCredential,
    },
    /// A header that HTTP cannot carry, or a body that is no JSON.
    #[error("the request cannot be expressed in HTTP")]
    Http(#[source] InvalidOutbound),
}

impl Refusal {
    /// What the model is told. It has no use for the names of secrets and of hidden fields.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Unreadable(error) => error.to_string(),
            Self::NoFit(told) => told.clone(),
            Self::Fixed(name) => format!("the argument `{}` is not yours to set", shortened(name)),
            Self::Unknown(name) => format!("the tool has no argument `{}`", shortened(name)),
            Self::LongUrl(most) => format!("the arguments are too long for a URL of {most} bytes"),
            Self::Defaults(DefaultsError::MissingContext { .. })
            | Self::Fill(RenderError::MissingContext(_)) => {
                "this conversation has no value for something that the tool needs".into()
            }
            Self::Defaults(error) => error.to_string(),
            Self::Fill(error) => fill_told(error),
            Self::Closed(_) | Self::Forbidden(_) => "the destination is not allowed".into(),
            Self::NoSecret(_) | Self::UnusableSecret { .. } => "the tool is not set up".into(),
            Self::Http(_) => "a value that the tool needs cannot stand in a header".into(),
        }
    }

    /// A short, stable name.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Closed(closed) => closed.code(),
            Self::Forbidden(_) => "forbidden",
            Self::NoSecret(_) | Self::UnusableSecret { .. } | Self::Http(_) => MISCONFIGURED,
            Self::Defaults(DefaultsError::MissingContext { .. })
            | Self::Fill(RenderError::MissingContext(_)) => "missing_context",
            _ => "invalid_arguments",
        }
    }

    /// Whether the model can do better; if not, somebody else should know.
    pub(super) fn is_the_models(&self) -> bool {
        match self {
            Self::Unreadable(_)
            | Self::NoFit(_)
            | Self::Fixed(_)
            | Self::Unknown(_)
            | Self::LongUrl(_) => true,
            Self::Defaults(error) => !matches!(error, DefaultsError::MissingContext { .. }),
            Self::Fill(error) => matches!(error, RenderError::MissingArgument(_)),
            Self::Closed(_)
            | Self::Forbidden(_)
            | Self::NoSecret(_)
            | Self::UnusableSecret { .. }
            | Self::Http(_) => false,
        }
    }
}

fn fill_told(error: &RenderError) -> String {
    match error {
        RenderError::MissingArgument(_) | RenderError::TooLong(_) => error.to_string(),
        RenderError::Segment(name) | RenderError::Control(name)
            if ContextField::is_visible(name) =>
        {
            error.to_string()
        }
        RenderError::Host(_) | RenderError::NotPlain => "the destination is not allowed".into(),
        _ => "a value does not fit its place in the tool's request".into(),
    }
}

/// What is shown of a name that a model made up.
pub(super) fn shortened(name: &str) -> String {
    const MOST: usize = 64;
    name.chars().take(MOST).collect()
}
