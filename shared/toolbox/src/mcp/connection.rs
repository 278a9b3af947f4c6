//! One connection to one server.

use std::sync::Arc;
use std::time::Duration;

use recado_http::guard::GuardedClient;
use recado_types::ToolCallId;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, ClientConfig, Implementation,
    ProtocolVersion, RequestMetaObject,
};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, ClientServiceExt, RoleClient, RunningService,
};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::destination::Destination;
use super::error::McpError;
use super::restrained::Restrained;
use super::stdio::Process;
use super::usage::{IDLE, InUse, Usage};
use super::{McpAnswer, McpToolInfo, answer, listing, streamable_http};

/// How long a list of tools holds, unless the server says earlier that it changed.
const LIST_HOLDS: Duration = Duration::from_mins(1);

/// Where a call carries the key under which it may be repeated. MCP has no field for it; `_meta` is
/// the place for what two sides agree on.
const IDEMPOTENCY_KEY: &str = "recado/idempotency-key";

/// The least that a message may have, in bytes: a long list of tools is one message.
const LEAST_MESSAGE_LIMIT: usize = 4 << 20;

/// The most of an answer that is looked at, and how long messages may be for that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) answer_bytes: usize,
}

impl Limits {
    /// JSON says a text in more bytes than it has.
    fn message_bytes(self) -> usize {
        LEAST_MESSAGE_LIMIT.max(self.answer_bytes.saturating_mul(2))
    }
}

/// A connection that is initialized. Dropping it ends it, and the server's process if it has one.
#[derive(Debug)]
pub(super) struct Connection {
    service: RunningService<RoleClient, ClientConfig>,
    usage: Arc<Usage>,
    listed: Mutex<Option<Listed>>,
    limits: Limits,
}

#[derive(Debug)]
struct Listed {
    tools: Arc<[McpToolInfo]>,
    at: Instant,
}

impl Connection {
    /// Connects and shakes hands: as servers have done since 2024, or, if the server knows that
    /// no more, as they do since 2026-07-28.
    ///
    /// # Errors
    /// Why there is no connection. It may take for ever; the caller sets the time.
    pub(super) async fn open(
        client: &GuardedClient,
        destination: &Destination,
        limits: Limits,
    ) -> Result<Self, McpError> {
        let initialize = ClientLifecycleMode::Initialize;
        let first = Self::open_as(client, destination, limits, initialize).await?;
        match first {
            Ok(connection) => Ok(connection),
            Err(ClientInitializeError::JsonRpcError(refusal)) => {
                let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
                let discover = ClientLifecycleMode::Discover { preferred_versions };
                let second = Self::open_as(client, destination, limits, discover).await?;
                let first = ClientInitializeError::JsonRpcError(refusal);
                second.map_err(|_not_this_way_either| McpError::of_handshake(first))
            }
            Err(error) => Err(McpError::of_handshake(error)),
        }
    }

    async fn open_as(
        client: &GuardedClient,
        destination: &Destination,
        limits: Limits,
        lifecycle: ClientLifecycleMode,
    ) -> Result<Result<Self, ClientInitializeError>, McpError> {
        let usage = Usage::new(IDLE);
        let most = limits.message_bytes();
        let service = match destination {
            Destination::Http { url, headers } => {
                let transport = streamable_http::transport(client, url, headers, most)?;
                let restrained = Restrained::new(transport, Arc::clone(&usage));
                Box::pin(we().serve_with_lifecycle(restrained, lifecycle)).await
            }
            Destination::Stdio(program) => {
                let restrained =
                    Restrained::new(Process::start(program, most)?, Arc::clone(&usage));
                Box::pin(we().serve_with_lifecycle(restrained, lifecycle)).await
            }
        };
        Ok(service.map(|service| Self { service, usage, listed: Mutex::new(None), limits }))
    }

    /// Keeps it open; `None` if it is closed, or about to be.
    pub(super) fn hold(&self) -> Option<InUse> {
        if self.is_over() { None } else { self.usage.hold() }
    }

    /// Whether it is of no use for anything new.
    pub(super) fn is_over(&self) -> bool {
        self.usage.is_retired() || self.service.is_transport_closed()
    }

    /// The server's tools, asked for if need be.
    ///
    /// # Errors
    /// When the server does not list them. It may take for ever; the caller sets the time.
    pub(super) async fn tools(&self) -> Result<Arc<[McpToolInfo]>, McpError> {
        let mut listed = self.listed.lock().await;
        let changed = self.usage.take_changed_tools();
        if let Some(listed) = listed.as_ref()
            && !changed
            && listed.at.elapsed() < LIST_HOLDS
        {
            return Ok(Arc::clone(&listed.tools));
        }
        *listed = None;
        let tools = self.watched(listing::of(self.service.peer()).await)?;
        *listed = Some(Listed { tools: Arc::clone(&tools), at: Instant::now() });
        Ok(tools)
    }

    /// Calls a tool, once. If the answer does not come in time, or nobody waits for it any more,
    /// the server is told.
    ///
    /// # Errors
    /// When there is no answer; the call may have been made.
    pub(super) async fn call(
        &self,
        name: &str,
        args: Map<String, Value>,
        key: ToolCallId,
        patience: Duration,
    ) -> Result<McpAnswer, McpError> {
        let mut params = CallToolRequestParams::new(name.to_owned()).with_arguments(args);
        let mut meta = RequestMetaObject::new();
        meta.insert(IDEMPOTENCY_KEY.to_owned(), key.to_string().into());
        params.meta = Some(meta);
        let answered = timeout(patience, self.service.peer().call_tool_once(params)).await;
        let answered = answered.map_err(|_elapsed| McpError::Timeout)?;
        match self.watched(answered.map_err(McpError::of_request))? {
            CallToolResponse::Complete(result) => Ok(answer::of(&result, self.limits.answer_bytes)),
            _ => Err(McpError::AsksForMore),
        }
    }

    /// Takes note of errors after which the connection is better not used again.
    fn watched<T>(&self, result: Result<T, McpError>) -> Result<T, McpError> {
        result.inspect_err(|error| {
            if error.spoils_connection() {
                self.usage.retire();
            }
        })
    }
}

/// Who we are, and that we can do nothing but call.
fn we() -> ClientConfig {
    let recado = Implementation::new("recado", env!("CARGO_PKG_VERSION"));
    ClientConfig::new(ClientCapabilities::default(), recado)
}
