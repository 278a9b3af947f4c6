//! A tool behind an HTTP API: it remembers how it was called and answers what a test wants.
//!
//! [`Tool`] answers whole requests; planned faults ([`Stub`]) make it fail, hang or cut the
//! connection. [`Talker`] is for what a well-behaved server cannot do: a body that never ends.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use crate::stub::{Received, Reply, Request, Stub};

/// A tool with a history; faults are planned through [`Stub`].
#[derive(Debug)]
pub struct Tool(Stub);

/// How a tool was called once.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCalled {
    /// 1 for the first request.
    pub seq: u64,
    /// When it was read, since the stub was started.
    pub at: Duration,
    /// Upper case.
    pub method: String,
    /// As it was sent, percent-encoding included.
    pub path: String,
    /// The fields of the query, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// The body, if it is JSON.
    pub body: Option<Value>,
    /// Whether the tool answered with a 2xx.
    pub succeeded: bool,
}

impl Tool {
    /// Starts a tool that answers every request as `answer` says.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self(Stub::start(answer))
    }

    /// Starts a tool that answers each path with its JSON and everything else with 404.
    pub fn answering<const N: usize>(answers: [(&str, Value); N]) -> Self {
        let answers = answers.map(|(path, answer)| (path.to_owned(), answer));
        Self::start(move |request| {
            let found = answers.iter().find(|(path, _)| *path == request.path);
            match found {
                Some((_, answer)) => Reply::json(200, answer),
                None => Reply::json(404, &json!({"error": "no such path"})),
            }
        })
    }

    /// Starts a tool that answers with everything it was told, credentials included.
    pub fn echoing() -> Self {
        Self::start(|request| {
            let told = json!({
                "method": request.method,
                "path": request.path,
                "query": request.query,
                "headers": request.headers,
                "body": request.text(),
            });
            Reply::json(200, &told)
        })
    }

    /// How it was called, in order.
    pub fn calls(&self) -> Vec<ToolCalled> {
        self.received().iter().map(ToolCalled::of).collect()
    }

    /// How often it was called under each idempotency key; calls without one are left out.
    pub fn calls_by_key(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for key in self.calls().into_iter().filter_map(|call| call.idempotency_key) {
            *counts.entry(key).or_default() += 1;
        }
        counts
    }
}

impl ToolCalled {
    fn of(received: &Received) -> Self {
        let header = |name| received.header(name).map(str::to_owned);
        let query = url::form_urlencoded::parse(received.query.as_bytes());
        Self {
            seq: received.seq,
            at: received.at,
            method: received.method.clone(),
            path: received.path.clone(),
            query: query.into_owned().collect(),
            authorization: header("authorization"),
            idempotency_key: header("idempotency-key"),
            body: received.json(),
            succeeded: received.succeeded(),
        }
    }
}

impl Deref for Tool {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.0
    }
}

/// A server that answers 200 and a body of a gigabyte, in its own time, until nobody listens any
/// more. Stopped when it is dropped.
#[derive(Debug)]
pub struct Talker {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    n_connections: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// What [`Talker`] says its body's length is.
const CLAIMED_BYTES: u64 = 1_000_000_000;
/// The most of a request that is read before the answer.
const REQUEST_BYTES: usize = 64 * 1024;

impl Talker {
    /// Starts a server that sends its body as fast as it can.
    pub fn flooding() -> Self {
        Self::start(vec![b'x'; 64 * 1024], Duration::ZERO)
    }

    /// Starts a server that sends a byte of its body whenever `every` has passed.
    pub fn dripping(every: Duration) -> Self {
        Self::start(b".".to_vec(), every)
    }

    fn start(piece: Vec<u8>, every: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let stop = Arc::new(AtomicBool::new(false));
        let n_connections = Arc::new(AtomicUsize::new(0));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&n_connections));
        let thread = thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                counted.fetch_add(1, Ordering::Relaxed);
                // Ends with an error as soon as the other side hangs up.
                let _ = talk(socket, &piece, every, &stopped);
            }
        });
        Self { address, stop, n_connections, thread: Some(thread) }
    }

    /// Where it listens, as `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections it has taken.
    pub fn n_connections(&self) -> usize {
        self.n_connections.load(Ordering::Relaxed)
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread if it waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it runs on a thread of its own")]
fn talk(
    mut socket: TcpStream,
    piece: &[u8],
    every: Duration,
    stopped: &AtomicBool,
) -> std::io::Result<()> {
    // Nobody may read any more and nobody may have hung up either: look up now and then.
    socket.set_write_timeout(Some(Duration::from_millis(100)))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut request = vec![0; REQUEST_BYTES];
    let _ = socket.read(&mut request)?;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {CLAIMED_BYTES}\r\n\r\n"
    );
    socket.write_all(head.as_bytes())?;
    let mut left = CLAIMED_BYTES;
    while left > 0 && !stopped.load(Ordering::Relaxed) {
        match socket.write(piece) {
            Ok(n_bytes) => left = left.saturating_sub(n_bytes as u64),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        thread::sleep(every);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_client;

    #[tokio::test]
    async fn a_call_is_remembered_with_its_key() {
        let tool = Tool::answering([("/contracts", json!({"found": 2}))]);
        let url = format!("{}/contracts?q=a%20b", tool.url());
        for key in ["one", "one", "two"] {
            let request = http_client().post(&url).header("Idempotency-Key", key);
            let answer = request.json(&json!({"id": 7})).send().await.unwrap();
            assert_eq!(answer.json::<Value>().await.unwrap(), json!({"found": 2}));
        }
        let calls = tool.calls();
        assert_eq!(calls[0].query, [("q".to_owned(), "a b".to_owned())]);
        assert_eq!(calls[0].body, Some(json!({"id": 7})));
        let counts = [("one".to_owned(), 2), ("two".to_owned(), 1)];
        assert_eq!(tool.calls_by_key(), BTreeMap::from(counts));
    }

    #[tokio::test]
    async fn an_echoing_tool_leaves_nothing_out() {
        let tool = Tool::echoing();
        let request = http_client().get(tool.url()).bearer_auth("hunter2");
        let told = request.send().await.unwrap().text().await.unwrap();
        assert!(told.contains("Bearer hunter2"), "{told}");
    }

    #[tokio::test]
    async fn a_talker_talks_until_one_hangs_up() {
        let talker = Talker::flooding();
        let mut answer = http_client().get(talker.url()).send().await.unwrap();
        assert_eq!(answer.content_length(), Some(CLAIMED_BYTES));
        assert!(answer.chunk().await.unwrap().is_some());
        drop(answer);
        assert_eq!(talker.n_connections(), 1);
    }
}
