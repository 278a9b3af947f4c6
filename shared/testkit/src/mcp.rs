//! MCP servers: the real one of the people who make the protocol, and one that does as a test wants.

use std::ffi::OsString;
use std::io;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::scratch::ScratchDir;
use crate::servers::{Launch, PortLease, Ready, ServerProcess, Signals};
use crate::stub::{Received, Reply, Request, Stub};
use crate::wait_for;

/// Node.js takes seconds to start on a machine that is busy compiling.
const READY_WITHIN: Duration = Duration::from_mins(1);

const NODE_PLACES: [&str; 2] = ["/usr/bin/node", "/usr/local/bin/node"];

/// `@modelcontextprotocol/server-everything`, over streamable HTTP. Killed when it is dropped.
#[derive(Debug)]
pub struct Everything {
    process: ServerProcess,
    launch: Launch,
    port: PortLease,
    _directory: ScratchDir,
}

/// The script of `server-everything`, to be run by `node` with the argument `stdio`, or
/// `streamableHttp` and the variable `PORT`.
///
/// # Errors
/// When it is not installed.
pub fn everything_script() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let found = program.ancestors().map(|directory| {
        directory.join("mcp/node_modules/@modelcontextprotocol/server-everything/dist/index.js")
    });
    let script = found.into_iter().find(|script| script.is_file());
    script.context("the MCP server is not installed: run scripts/install-mcp.sh target/mcp")
}

impl Everything {
    /// Starts it on a port of its own, and waits until it listens.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let directory = ScratchDir::new()?;
        let port = PortLease::acquire()?;
        let node = NODE_PLACES.map(PathBuf::from).into_iter().find(|node| node.is_file());
        let launch = Launch {
            program: node.context("Node.js is not installed: run scripts/install-mcp.sh")?,
            arguments: vec![everything_script()?.into(), "streamableHttp".into()],
            environment: vec![("PORT", OsString::from(port.port().to_string()))],
            log: directory.path().join("log"),
            signals: Signals::Usual,
            ready: Ready::Listening(port.port()),
        };
        let process = ServerProcess::spawn(&launch)?;
        let mut started = Self { process, launch, port, _directory: directory };
        started.listens().await?;
        Ok(started)
    }

    /// Starts it anew on its port: it knows none of its sessions any more.
    ///
    /// # Errors
    /// When it does not end or does not start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process = ServerProcess::spawn(&self.launch)?;
        self.listens().await
    }

    async fn listens(&mut self) -> anyhow::Result<()> {
        let address = ("127.0.0.1", self.port.port());
        wait_for("the MCP server to listen", READY_WITHIN, async || {
            TcpStream::connect(address).await.ok()
        })
        .await?;
        ensure!(self.process.exit_status()?.is_none(), "the MCP server did not stay");
        Ok(())
    }

    /// Its endpoint.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port.port())
    }

    /// Kills it; its port stays leased.
    ///
    /// # Errors
    /// When it lives on.
    pub fn kill(&mut self) -> io::Result<()> {
        self.process.kill()
    }
}

/// A server over streamable HTTP without sessions and streams; it remembers everything, and faults
/// are planned through [`Stub`].
#[derive(Debug)]
pub struct McpStub(Stub);

impl McpStub {
    /// Starts a server whose requests after the handshake are answered by `result`: it is given the
    /// method and the parameters, and gives the result.
    pub fn start(result: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) -> Self {
        Self(Stub::start(move |request| answer(request, &result)))
    }

    /// Starts a server with these tools, all of which answer `ok`.
    pub fn listing(tools: Value) -> Self {
        Self::start(move |method, _| match method {
            "tools/list" => json!({"tools": tools}),
            _ => json!({"content": [{"type": "text", "text": "ok"}]}),
        })
    }

    /// The parameters of every request of `method`, in order.
    pub fn asked(&self, method: &str) -> Vec<Value> {
        let messages = self.received().into_iter().filter_map(|request: Received| request.json());
        let asked = messages.filter(|message| message["method"] == method);
        asked.map(|mut message| message["params"].take()).collect()
    }
}

fn answer(request: &Request, result: &impl Fn(&str, &Value) -> Value) -> Reply {
    let Some(message) = request.json() else { return Reply::text(405, "") };
    let method = message["method"].as_str().unwrap_or_default();
    let result = match (method, &message["id"]) {
        (_, Value::Null) => return Reply::text(202, ""),
        ("initialize", _) => json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "stub", "version": "1"},
        }),
        _ => result(method, &message["params"]),
    };
    Reply::json(200, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}))
}

impl Deref for McpStub {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.0
    }
}
