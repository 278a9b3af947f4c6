//! Why there is no answer.

use std::error::Error;
use std::io;

use reqwest::StatusCode;

use super::ForbiddenDestination;

/// A request that was not answered. Holds no address, header or body.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The destination is closed; nothing was sent.
    #[error("the destination is forbidden")]
    Forbidden(#[source] ForbiddenDestination),
    /// The time was over.
    #[error("no complete answer in time ({phase})")]
    Timeout {
        /// What was going on then.
        phase: Phase,
    },
    /// No connection; nothing was sent.
    #[error("failed to connect")]
    Connect(#[source] reqwest::Error),
    /// The server is not who it should be; nothing was sent.
    #[error("the server's certificate is not valid")]
    Tls(#[source] reqwest::Error),
    /// The request cannot be expressed in HTTP.
    #[error("the request is malformed")]
    Malformed(#[source] reqwest::Error),
    /// The connection broke before there was an answer. The request may have been received.
    #[error("the connection failed")]
    Io(#[source] reqwest::Error),
    /// The connection broke in the middle of the answer's body, or the body is malformed: what the
    /// server made of the request is known, what it says about it is not.
    #[error("the connection failed while reading the body after status {}", status.as_u16())]
    Body {
        /// What was answered.
        status: StatusCode,
        /// How it broke.
        source: reqwest::Error,
    },
}

/// How far an exchange had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Resolving the name, connecting, agreeing on TLS: nothing was sent.
    Connect,
    /// The request may have been received; no answer yet.
    Answer,
    /// The answer's status and headers were there, its body was not complete.
    Body(StatusCode),
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect => f.write_str("connecting"),
            Self::Answer => f.write_str("waiting for the answer"),
            Self::Body(status) => write!(f, "reading the body after status {}", status.as_u16()),
        }
    }
}

impl SendError {
    /// Whether the same request may fare better later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Connect(_) | Self::Io(_) | Self::Body { .. } => true,
            Self::Forbidden(_) | Self::Tls(_) | Self::Malformed(_) => false,
        }
    }

    /// A short, stable name for logs, metrics and records.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Forbidden(_) => "forbidden_destination",
            Self::Timeout { .. } => "timeout",
            Self::Connect(_) => "connect_failed",
            Self::Tls(_) => "invalid_certificate",
            Self::Malformed(_) => "malformed_request",
            Self::Io(_) | Self::Body { .. } => "connection_failed",
        }
    }

    /// The status of an answer that began and was not complete.
    pub fn begun_status(&self) -> Option<StatusCode> {
        match self {
            Self::Timeout { phase: Phase::Body(status) } | Self::Body { status, .. } => {
                Some(*status)
            }
            _ => None,
        }
    }

    /// What an error means that was met in the body of an answer.
    pub(super) fn of_body(status: StatusCode, error: reqwest::Error) -> Self {
        Self::Body { status, source: error.without_url() }
    }

    /// What an error of the client means, without the address that it holds.
    pub fn of(error: reqwest::Error) -> Self {
        // The address may hold a token.
        let error = error.without_url();
        if let Some(forbidden) = find::<ForbiddenDestination>(&error) {
            return Self::Forbidden(*forbidden);
        }
        if is_certificate_error(&error) {
            return Self::Tls(error);
        }
        if error.is_connect() {
            let timed_out = error.is_timeout();
            return if timed_out {
                Self::Timeout { phase: Phase::Connect }
            } else {
                Self::Connect(error)
            };
        }
        if error.is_builder() { Self::Malformed(error) } else { Self::Io(error) }
    }
}

fn is_certificate_error(error: &(dyn Error + 'static)) -> bool {
    use rustls::Error as Tls;
    matches!(find::<Tls>(error), Some(Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented))
}

/// The first cause of type `T`. An [`io::Error`] hides what it wraps: its `source` is the cause
/// of what it wraps.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}
