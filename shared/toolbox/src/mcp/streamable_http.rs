//! Servers behind HTTP, reached through the guarded client.
//!
//! rmcp brings the protocol; this is what it must not do without us: leave the guard, or put
//! addresses, which may hold a token, and bodies into errors that end up in a log.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use recado_http::guard::{GuardedClient, SendError};
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::model::ClientJsonRpcMessage;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::common::client_side_sse::ExponentialBackoff;
use rmcp::transport::streamable_http_client::{
    AuthRequiredError, InsufficientScopeError, SseError, StreamableHttpClient,
    StreamableHttpClientTransportConfig, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::Sse;

use super::error::McpError;

/// How many calls of one connection may wait for the server's first byte at a time.
const MOST_WAITING: usize = 64;

/// How often a stream that broke is asked for again. Each call has a stream of its own, so it is
/// only the news of a server that may be missed, and they are not needed.
const MOST_RECONNECTS: usize = 3;

type Headers = HashMap<HeaderName, HeaderValue>;
type Result<T> = std::result::Result<T, StreamableHttpError<SendError>>;

/// The guarded client, as rmcp uses it.
#[derive(Clone)]
pub(super) struct Sealed(reqwest::Client);

/// A transport to `url`. Events of more than `message_limit` bytes, and other answers of more than
/// 16 MiB (rmcp's limit), are refused.
///
/// # Errors
/// [`McpError::Forbidden`].
pub(super) fn transport(
    client: &GuardedClient,
    url: &Url,
    headers: &[(HeaderName, HeaderValue)],
    message_limit: usize,
) -> std::result::Result<StreamableHttpClientTransport<Sealed>, McpError> {
    let client = client.transport_for(url).map_err(McpError::Forbidden)?;
    let mut retries = ExponentialBackoff::default();
    retries.max_times = Some(MOST_RECONNECTS);
    let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
        .custom_headers(headers.iter().cloned().collect())
        .max_sse_event_size(message_limit)
        .max_concurrent_requests(MOST_WAITING);
    config.retry_config = Arc::new(retries);
    Ok(StreamableHttpClientTransport::with_client(Sealed(client), config))
}

impl StreamableHttpClient for Sealed {
    type Error = SendError;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse> {
        let answer = self.0.post_message(uri, message, session_id, auth_header, headers);
        answer.await.map(sealed_answer).map_err(sealed)
    }

    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        headers: Headers,
        limit: usize,
    ) -> Result<StreamableHttpPostResponse> {
        let client = &self.0;
        let answer = client.post_message_with_max_sse_event_size(
            uri,
            message,
            session_id,
            auth_header,
            headers,
            limit,
        );
        answer.await.map(sealed_answer).map_err(sealed)
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        headers: Headers,
    ) -> Result<()> {
        self.0.delete_session(uri, session_id, auth_header, headers).await.map_err(sealed)
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        headers: Headers,
    ) -> Result<BoxStream<'static, std::result::Result<Sse, SseError>>> {
        let stream = self.0.get_stream(uri, session_id, last_event_id, auth_header, headers);
        stream.await.map(sealed_stream).map_err(sealed)
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        headers: Headers,
        limit: usize,
    ) -> Result<BoxStream<'static, std::result::Result<Sse, SseError>>> {
        let client = &self.0;
        let stream = client.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            auth_header,
            headers,
            limit,
        );
        stream.await.map(sealed_stream).map_err(sealed)
    }
}

fn sealed_answer(answer: StreamableHttpPostResponse) -> StreamableHttpPostResponse {
    match answer {
        StreamableHttpPostResponse::Sse(stream, session) => {
            StreamableHttpPostResponse::Sse(sealed_stream(stream), session)
        }
        whole => whole,
    }
}

fn sealed_stream(
    stream: BoxStream<'static, std::result::Result<Sse, SseError>>,
) -> BoxStream<'static, std::result::Result<Sse, SseError>> {
    stream.map(|event| event.map_err(|_may_show_the_address| broken_stream())).boxed()
}

fn broken_stream() -> SseError {
    SseError::Body("the stream of events broke".into())
}

/// The same error without addresses, challenges and bodies.
fn sealed(error: StreamableHttpError<reqwest::Error>) -> StreamableHttpError<SendError> {
    use StreamableHttpError as E;
    match error {
        E::Client(error) => E::Client(SendError::of(error)),
        E::HttpStatus(status) => E::HttpStatus(status),
        E::AuthRequired(_) => E::AuthRequired(AuthRequiredError::new(String::new())),
        E::InsufficientScope(_) => {
            E::InsufficientScope(InsufficientScopeError::new(String::new(), None))
        }
        E::SessionExpired => E::SessionExpired,
        E::ServerDoesNotSupportSse => E::ServerDoesNotSupportSse,
        E::ServerDoesNotSupportDeleteSession => E::ServerDoesNotSupportDeleteSession,
        E::ReservedHeaderConflict(name) => E::ReservedHeaderConflict(name),
        E::ResponseBodyTooLarge { max_size } => E::ResponseBodyTooLarge { max_size },
        E::UnexpectedContentType(_) => E::UnexpectedContentType(None),
        E::UnexpectedServerResponse(told) => {
            // What follows the colon is the body's.
            let kind = told.split(':').next().unwrap_or_default().to_owned();
            E::UnexpectedServerResponse(kind.into())
        }
        _ => E::UnexpectedServerResponse("the exchange failed".into()),
    }
}
