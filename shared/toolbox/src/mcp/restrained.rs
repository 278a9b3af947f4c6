//! What a server may do of its own accord: next to nothing.
//!
//! A server can send requests (for a model, for a person, for files) and notifications at any
//! time. We have none of what it could ask for, and log none of what it could say, so all of that
//! ends here: requests are declined, notifications are dropped, and whoever sends very many of
//! them loses the connection. A connection that nobody uses any more ends here too.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use rmcp::model::{
    ClientResult, ElicitResult, ElicitationAction, ErrorCode, ErrorData, JsonRpcMessage, RequestId,
    ServerNotification, ServerRequest,
};
use rmcp::service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::time::Instant;

use super::usage::Usage;

/// How many messages that answer nothing a server may send in [`WINDOW`]. Progress of many calls at
/// a time is far below it.
const MOST_UNASKED: u32 = 10_000;
const WINDOW: Duration = Duration::from_mins(1);

/// How many requests of the server may wait for our answer to be taken.
const MOST_UNANSWERED: usize = 16;

/// A transport that lets through what we asked for.
pub(super) struct Restrained<T> {
    inner: T,
    usage: Arc<Usage>,
    answering: FuturesUnordered<BoxFuture<'static, ()>>,
    n_unasked: u32,
    window_ends: Instant,
}

impl<T: Transport<RoleClient>> Restrained<T> {
    pub(super) fn new(inner: T, usage: Arc<Usage>) -> Self {
        let window_ends = Instant::now() + WINDOW;
        Self { inner, usage, answering: FuturesUnordered::new(), n_unasked: 0, window_ends }
    }

    /// Whether one more message that nobody asked for is still bearable.
    fn bears_another(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.window_ends {
            self.n_unasked = 0;
            self.window_ends = now + WINDOW;
        }
        self.n_unasked += 1;
        self.n_unasked <= MOST_UNASKED
    }

    fn answer(&mut self, request: &ServerRequest, id: RequestId) {
        let sent = self.inner.send(answer_to(request, id));
        self.answering.push(Box::pin(async move {
            // If it does not get through, the next request of ours will not either, and tells.
            let _ = sent.await;
        }));
    }
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Restrained<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.inner.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            let message = tokio::select! {
                message = self.inner.receive() => message?,
                Some(()) = self.answering.next(), if !self.answering.is_empty() => continue,
                () = self.usage.idle() => {
                    tracing::debug!("an idle MCP connection is closed");
                    return None;
                }
            };
            match message {
                JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => return Some(message),
                JsonRpcMessage::Notification(sent) => {
                    if matches!(
                        sent.notification,
                        ServerNotification::ToolListChangedNotification(_)
                    ) {
                        self.usage.note_changed_tools();
                    }
                }
                JsonRpcMessage::Request(asked) => {
                    if self.answering.len() >= MOST_UNANSWERED {
                        tracing::warn!("an MCP server asks more than it lets us answer");
                        return None;
                    }
                    self.answer(&asked.request, asked.id);
                }
            }
            if !self.bears_another() {
                tracing::warn!("an MCP server sends too much that nobody asked for");
                return None;
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.usage.retire();
        self.inner.close().await
    }
}

/// A polite no, but for signs of life.
fn answer_to(request: &ServerRequest, id: RequestId) -> TxJsonRpcMessage<RoleClient> {
    let refusal = match request {
        ServerRequest::PingRequest(_) => {
            return JsonRpcMessage::response(ClientResult::empty(()), id);
        }
        ServerRequest::ElicitRequest(_) => {
            let declined = ElicitResult::new(ElicitationAction::Decline);
            return JsonRpcMessage::response(ClientResult::ElicitResult(declined), id);
        }
        ServerRequest::CreateMessageRequest(_) => "this client lends no model",
        ServerRequest::ListRootsRequest(_) => "this client has no files",
        _ => "this client does not know the method",
    };
    let error = ErrorData::new(ErrorCode::METHOD_NOT_FOUND, refusal, None);
    JsonRpcMessage::error(error, Some(id))
}
