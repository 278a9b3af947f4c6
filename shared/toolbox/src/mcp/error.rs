//! Why an MCP server was of no use.

use std::error::Error;
use std::io;
use std::sync::Arc;

use recado_http::credential::InvalidCredential;
use recado_http::guard::{ForbiddenDestination, SendError};
use rmcp::ErrorData;
use rmcp::service::{ClientInitializeError, ServiceError};
use rmcp::transport::DynamicTransportError;
use rmcp::transport::streamable_http_client::StreamableHttpError;

use crate::hosts::ClosedHost;

/// The most of a server's own words that is kept. More than a model is told, because they are not
/// scrubbed yet: they may repeat what is secret in full only before they are cut.
const KEPT_BYTES: usize = 16 * 1_024;

/// A server that cannot be reached, or a call that it did not answer. `Display` is for operators
/// and repeats nothing that a server, a context or a secret said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum McpError {
    /// The address, the headers or the environment cannot be made of this context and these secrets.
    #[error("the server's address, headers or environment cannot be filled in")]
    Render(#[source] Box<dyn Error + Send + Sync>),
    /// A secret that is gone.
    #[error("the secret {0:?} does not exist")]
    NoSecret(String),
    /// A secret that is not what the tool's `auth` needs.
    #[error("the secret {name:?} cannot be used")]
    UnusableSecret {
        /// Its name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: InvalidCredential,
    },
    /// A header that HTTP cannot carry.
    #[error("the header {0:?} cannot be sent")]
    Header(String),
    /// The tenant lets no tool go there.
    #[error("the host is not allowed")]
    Closed(#[source] ClosedHost),
    /// The guard closes the address.
    #[error("the destination is forbidden")]
    Forbidden(#[source] ForbiddenDestination),
    /// The program is not on the operator's list.
    #[error("the command is not in RECADO_MCP_STDIO_COMMANDS")]
    CommandNotAllowed,
    /// The tool was saved before anybody knew better.
    #[error("the environment variable {0:?} can make a program run something else")]
    EnvironmentNotAllowed(String),
    /// The program did not start.
    #[error("the server's process did not start")]
    Start(#[source] io::Error),
    /// The time was over; a call may have been made.
    #[error("no answer in time")]
    Timeout,
    /// The request did not get through HTTP.
    #[error("the request was not answered")]
    Send(#[source] SendError),
    /// An answer of HTTP and not of MCP.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// The connection ended, or carried what the protocol does not provide for.
    #[error("the connection failed")]
    Broken(#[source] Option<Box<dyn Error + Send + Sync>>),
    /// The server's answer is an error of the protocol: an unknown tool, wrong arguments.
    #[error("the server refused with code {code}")]
    Refused {
        /// Of JSON-RPC.
        code: i32,
        /// The beginning of the server's words; for the model only, once they are scrubbed.
        message: String,
        /// Whether there were more.
        was_cut: bool,
    },
    /// The server wants something of a person or a model before it answers.
    #[error("the server asked for more than a call")]
    AsksForMore,
    /// What the server lists or answers is not what was asked for.
    #[error("the server answered something else than it was asked")]
    OtherAnswer,
    /// The same as somebody else was told at the same time, or moments ago.
    #[error(transparent)]
    Shared(Arc<McpError>),
}

impl McpError {
    /// What the model is told, once that is scrubbed and cut.
    pub(crate) fn told(&self) -> String {
        let told = match self {
            Self::Render(_) | Self::NoSecret(_) | Self::UnusableSecret { .. } | Self::Header(_) => {
                "the tool is not set up"
            }
            Self::Closed(_)
            | Self::Forbidden(_)
            | Self::CommandNotAllowed
            | Self::EnvironmentNotAllowed(_) => "the tool may not be reached from here",
            Self::Start(_) | Self::Send(_) | Self::Broken(_) => "the tool could not be reached",
            Self::Timeout => "the tool did not answer in time",
            Self::Status(401 | 403) => "the tool did not accept our credentials",
            Self::Status(status) => return format!("the tool answered with status {status}"),
            Self::Refused { message, .. } => {
                return format!("the tool refused the call: {message}");
            }
            Self::AsksForMore => "the tool asked for something that nobody here can give",
            Self::OtherAnswer => "the tool gave an answer that cannot be used",
            Self::Shared(error) => return error.told(),
        };
        told.to_owned()
    }

    /// Whether [`Self::told`] is only the beginning of what the server said.
    pub(crate) fn was_cut(&self) -> bool {
        match self {
            Self::Refused { was_cut, .. } => *was_cut,
            Self::Shared(error) => error.was_cut(),
            _ => false,
        }
    }

    /// Whether the server is away for now, as far as can be told: the same may do in a while, without
    /// anybody changing anything.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Start(_) | Self::Timeout | Self::Broken(_) => true,
            Self::Send(error) => error.is_retryable(),
            Self::Status(status) => matches!(status, 408 | 429 | 500..=599),
            Self::Shared(error) => error.is_passing(),
            _ => false,
        }
    }

    /// A short, stable name for metrics and logs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Render(_) | Self::NoSecret(_) | Self::UnusableSecret { .. } | Self::Header(_) => {
                "misconfigured"
            }
            Self::Closed(closed) => closed.code(),
            Self::Forbidden(_)
            | Self::CommandNotAllowed
            | Self::EnvironmentNotAllowed(_)
            | Self::Send(SendError::Forbidden(_)) => "forbidden",
            Self::Send(SendError::Timeout { .. }) | Self::Timeout => "timeout",
            Self::Start(_) | Self::Send(_) | Self::Broken(_) => "unreachable",
            Self::Status(_) | Self::Refused { .. } => "refused",
            Self::AsksForMore | Self::OtherAnswer => "unusable",
            Self::Shared(error) => error.code(),
        }
    }

    /// Whether the connection it was met on should be used no more.
    pub(super) fn spoils_connection(&self) -> bool {
        match self {
            Self::Send(_) | Self::Status(_) | Self::Broken(_) | Self::OtherAnswer => true,
            // What servers made with the official libraries say of a session they have forgotten.
            Self::Refused { code, .. } => *code == SERVER_ERROR,
            Self::Shared(error) => error.spoils_connection(),
            Self::Render(_)
            | Self::NoSecret(_)
            | Self::UnusableSecret { .. }
            | Self::Header(_)
            | Self::Closed(_)
            | Self::Forbidden(_)
            | Self::CommandNotAllowed
            | Self::EnvironmentNotAllowed(_)
            | Self::Start(_)
            | Self::Timeout
            | Self::AsksForMore => false,
        }
    }

    /// What a failed handshake was.
    pub(super) fn of_handshake(error: ClientInitializeError) -> Self {
        match error {
            ClientInitializeError::JsonRpcError(error) => Self::refused(&error),
            ClientInitializeError::TransportError { error, .. } => Self::of_transport(error),
            ClientInitializeError::ConnectionClosed(_) | ClientInitializeError::Cancelled => {
                Self::Broken(None)
            }
            _ => Self::OtherAnswer,
        }
    }

    /// What a failed request was.
    pub(super) fn of_request(error: ServiceError) -> Self {
        match error {
            ServiceError::McpError(error) => Self::refused(&error),
            ServiceError::TransportSend(error) => Self::of_transport(error),
            ServiceError::Timeout { .. } => Self::Timeout,
            ServiceError::UnexpectedResponse => Self::OtherAnswer,
            _ => Self::Broken(None),
        }
    }

    fn refused(error: &ErrorData) -> Self {
        let end = error.message.floor_char_boundary(KEPT_BYTES);
        let (message, was_cut) = (error.message[..end].to_owned(), end < error.message.len());
        Self::Refused { code: error.code.0, message, was_cut }
    }

    fn of_transport(error: DynamicTransportError) -> Self {
        match error.error.downcast::<StreamableHttpError<SendError>>() {
            Ok(error) => Self::of_http(*error),
            Err(error) => Self::Broken(Some(error)),
        }
    }

    fn of_http(error: StreamableHttpError<SendError>) -> Self {
        match error {
            StreamableHttpError::Client(SendError::Forbidden(forbidden)) => {
                Self::Forbidden(forbidden)
            }
            StreamableHttpError::Client(error) => Self::Send(error),
            StreamableHttpError::HttpStatus(answer) => Self::Status(answer.status),
            StreamableHttpError::AuthRequired(_) => Self::Status(401),
            StreamableHttpError::InsufficientScope(_) => Self::Status(403),
            StreamableHttpError::SessionExpired => Self::Status(404),
            StreamableHttpError::ReservedHeaderConflict(name) => Self::Header(name),
            StreamableHttpError::ReinitializationFailed(error) => Self::refused(&error),
            other => Self::Broken(Some(Box::new(other))),
        }
    }
}

/// The first of the codes that JSON-RPC leaves to servers.
const SERVER_ERROR: i32 = -32_000;
