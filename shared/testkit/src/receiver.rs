//! A receiver of requests that keeps to no rules.
//!
//! Where a [`Stub`](crate::stub::Stub) is a real HTTP server that fails on command, this one writes
//! to its connections whatever a [`Script`] says, byte for byte: answers that never end, that are no
//! HTTP, or that do not come. [`Receiver::by_path`] lets the address of a request choose the script,
//! so that one receiver can be all the callbacks of a test. It runs on a thread of its own.

mod connection;
mod paths;
mod script;
pub(crate) mod tls;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::stub::Request;

pub use script::Script;
pub use tls::AUTHORITY;

type Behaviour = dyn Fn(&Request) -> Script + Send + Sync;

/// A server on loopback that does what its scripts say. Stopped, and its connections cut, when it is
/// dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    has_tls: bool,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    behaviour: Box<Behaviour>,
    received: Mutex<Vec<Request>>,
    n_connections: AtomicUsize,
    n_open: AtomicUsize,
}

impl Receiver {
    /// Starts a receiver that follows one script for every request.
    pub fn doing(script: Script) -> Self {
        Self::start(move |_| script.clone())
    }

    /// Starts a receiver whose scripts are chosen by the paths of requests:
    ///
    /// | path | what happens |
    /// |---|---|
    /// | `/hang` | nothing, on an open connection |
    /// | `/close`, `/reset` | the connection ends, in order or with an RST |
    /// | `/half` | 200, four of a hundred bytes, and the connection ends |
    /// | `/drip` | 200, and a byte of the body each second |
    /// | `/flood` | 200, and a gigabyte |
    /// | `/headers` | 200, and headers for ever |
    /// | `/continue` | `100 Continue` for ever |
    /// | `/junk` | bytes that are no HTTP |
    /// | `/status/<code>` | that status, with the fields of the query as headers |
    /// | any other | 200 |
    pub fn by_path() -> Self {
        Self::start(paths::script_of)
    }

    /// Starts a receiver on a free port of 127.0.0.1 that asks `behave` for each request's script.
    pub fn start(behave: impl Fn(&Request) -> Script + Send + Sync + 'static) -> Self {
        Self::start_on((Ipv4Addr::LOCALHOST, 0).into(), behave)
    }

    /// The same on another address: every one that begins with 127 is this machine's.
    ///
    /// # Panics
    /// If the address is taken.
    pub fn start_on(
        address: SocketAddr,
        behave: impl Fn(&Request) -> Script + Send + Sync + 'static,
    ) -> Self {
        Self::launch(address, Box::new(behave), None)
    }

    /// The same behind TLS, with a certificate by [`AUTHORITY`] for 127.0.0.1 and the name
    /// `receiver.test`.
    pub fn start_tls(behave: impl Fn(&Request) -> Script + Send + Sync + 'static) -> Self {
        Self::launch((Ipv4Addr::LOCALHOST, 0).into(), Box::new(behave), Some(tls::acceptor()))
    }

    fn launch(address: SocketAddr, behaviour: Box<Behaviour>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).expect("the address is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State {
            behaviour,
            received: Mutex::default(),
            n_connections: AtomicUsize::new(0),
            n_open: AtomicUsize::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let (shared, has_tls) = (Arc::clone(&state), tls.is_some());
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("this machine can run another event loop");
            runtime.block_on(async move {
                tokio::select! {
                    () = accept(listener, tls, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, has_tls, state, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens, as `http://127.0.0.1:<port>` or `https://…`.
    pub fn url(&self) -> String {
        let scheme = if self.has_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests whose bodies came whole, in order.
    pub fn received(&self) -> Vec<Request> {
        self.state.received().clone()
    }

    /// How many connections it has taken, including those on which nothing was asked.
    pub fn n_connections(&self) -> usize {
        self.state.n_connections.load(Ordering::SeqCst)
    }

    /// How many of them have not ended yet.
    pub fn n_open(&self) -> usize {
        self.state.n_open.load(Ordering::SeqCst)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An address of this machine where nobody listens, as `http://127.0.0.1:<port>`.
///
/// # Panics
/// If this machine has no port to spare.
pub fn refusing_url() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    format!("http://{}", listener.local_addr().expect("a bound socket has an address"))
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    listener.set_nonblocking(true).expect("a socket can be made not to block");
    let listener = tokio::net::TcpListener::from_std(listener).expect("the event loop runs");
    // Ends with this function, and all connections with it.
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        state.n_connections.fetch_add(1, Ordering::SeqCst);
        let open = Open::new(Arc::clone(&state));
        let tls = tls.clone();
        connections.spawn(async move {
            // A peer that goes away ends the script: what it is for.
            let _ = match tls {
                None => connection::serve(socket, &open.0).await,
                Some(tls) => match tls.accept(socket).await {
                    Ok(socket) => connection::serve(socket, &open.0).await,
                    Err(error) => Err(error),
                },
            };
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Counts a connection as open while it lives.
struct Open(Arc<State>);

impl Open {
    fn new(state: Arc<State>) -> Self {
        state.n_open.fetch_add(1, Ordering::SeqCst);
        Self(state)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.n_open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl State {
    fn received(&self) -> MutexGuard<'_, Vec<Request>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a request down and says what is done with it.
    fn receive(&self, request: Request) -> Script {
        let script = (self.behaviour)(&request);
        self.received().push(request);
        script
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("n_connections", &self.n_connections).finish_non_exhaustive()
    }
}
