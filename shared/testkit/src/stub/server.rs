//! The server behind every stub.

use std::any::Any;
use std::fmt;
use std::future::pending;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use actix_web::dev::{Extensions, ServerHandle};
use actix_web::http::StatusCode;
use actix_web::rt::{System, net};
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpResponseBuilder, HttpServer};
use futures_util::stream::{self, Stream, StreamExt};

use super::faults::Faults;
use super::{Answered, Fault, Received, Reply, Request};

/// More than any body a test sends.
const BODY_LIMIT: usize = 32 << 20;

type Behaviour = dyn Fn(&Request) -> Reply + Send + Sync;

/// An HTTP server on 127.0.0.1 that remembers what it was asked. Stopped when it is dropped.
#[derive(Debug)]
pub struct Stub {
    address: SocketAddr,
    state: Arc<State>,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

struct State {
    started: Instant,
    behaviour: Box<Behaviour>,
    history: Mutex<Vec<Received>>,
    faults: Mutex<Faults>,
}

/// A second handle on the connection of a request, to cut it with.
struct Connection(TcpStream);

impl Stub {
    /// Starts a stub that answers every request as `behaviour` says.
    ///
    /// # Panics
    /// If this machine has no port or thread to spare.
    pub fn start(behaviour: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State {
            started: Instant::now(),
            behaviour: Box::new(behaviour),
            history: Mutex::default(),
            faults: Mutex::default(),
        });
        let (tell, told) = std::sync::mpsc::channel();
        let shared = Arc::clone(&state);
        let thread = thread::spawn(move || {
            System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    App::new()
                        .app_data(Data::from(Arc::clone(&shared)))
                        .app_data(web::PayloadConfig::new(BODY_LIMIT))
                        .default_service(web::to(handle))
                })
                .on_connect(keep_connection)
                .workers(1)
                .disable_signals()
                .listen(listener)
                .expect("the socket is bound")
                .run();
                tell.send(server.handle()).expect("the one who started us waits");
                server.await.expect("a stub's server runs until it is stopped");
            });
        });
        let handle = told.recv().expect("the stub's thread has started");
        Self { address, state, handle, thread: Some(thread) }
    }

    /// Where it listens, as `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything it was asked so far, in order.
    pub fn received(&self) -> Vec<Received> {
        self.state.history().clone()
    }

    /// What it was asked after the request numbered `seq` (0 for everything).
    pub fn received_after(&self, seq: u64) -> Vec<Received> {
        let skip = usize::try_from(seq).unwrap_or(usize::MAX);
        self.state.history().iter().skip(skip).cloned().collect()
    }

    /// How many requests it has read.
    pub fn count(&self) -> usize {
        self.state.history().len()
    }

    /// Since it was started: the clock of its history.
    pub fn elapsed(&self) -> Duration {
        self.state.started.elapsed()
    }

    /// Plans a fault for each of the next `n` requests.
    pub fn fail_next(&self, n: usize, fault: &Fault) {
        self.state.faults().plan_next(n, fault);
    }

    /// Plans a fault for exactly the `seq`-th request (1 is the first this stub ever sees).
    pub fn fail_at(&self, seq: u64, fault: Fault) {
        self.state.faults().plan_at(seq, fault);
    }

    /// From now on every request meets this fault, until [`Stub::heal`].
    pub fn fail_always(&self, fault: Fault) {
        self.state.faults().plan_always(fault);
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        *self.state.faults() = Faults::default();
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        // The command is sent by the call; the thread's end is the answer.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl State {
    fn history(&self) -> MutexGuard<'_, Vec<Received>> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the request down and says what is to happen to it.
    fn receive(&self, request: Request) -> (u64, Option<Fault>) {
        let mut history = self.history();
        let seq = history.len() as u64 + 1;
        history.push(Received { seq, at: self.started.elapsed(), request, answered: None });
        (seq, self.faults().take(seq))
    }

    fn answer(&self, seq: u64, reply: Reply) -> HttpResponse {
        let (mut head, body) = self.begin_answer(seq, reply);
        head.body(body)
    }

    /// Answers with a body whose end is left to the stream.
    fn answer_in_pieces<S>(
        &self,
        seq: u64,
        reply: Reply,
        cut_up: impl FnOnce(Bytes) -> S,
    ) -> HttpResponse
    where
        S: Stream<Item = Bytes> + 'static,
    {
        let (mut head, body) = self.begin_answer(seq, reply);
        head.streaming(cut_up(body.into()).map(Ok::<_, Error>))
    }

    fn begin_answer(&self, seq: u64, reply: Reply) -> (HttpResponseBuilder, Vec<u8>) {
        let at = self.started.elapsed();
        let index = usize::try_from(seq - 1).expect("it numbers an entry of a Vec");
        self.history()[index].answered = Some(Answered { status: reply.status, at });
        let status = StatusCode::from_u16(reply.status).expect("replies have statuses of HTTP");
        let mut head = HttpResponse::build(status);
        for header in reply.headers {
            head.append_header(header);
        }
        (head, reply.body)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("faults", &self.faults).finish_non_exhaustive()
    }
}

async fn handle(http: HttpRequest, body: Bytes, state: Data<State>) -> HttpResponse {
    let request = read(&http, &body);
    let reply = (state.behaviour)(&request);
    let (seq, fault) = state.receive(request);
    match fault {
        None => state.answer(seq, reply),
        Some(Fault::Answer(instead)) => state.answer(seq, instead),
        Some(Fault::Delay(delay)) => {
            actix_web::rt::time::sleep(delay).await;
            state.answer(seq, reply)
        }
        Some(Fault::Hang) => pending().await,
        Some(Fault::Cut) => {
            cut(&http);
            pending().await
        }
        Some(Fault::Drip(pause)) => state.answer_in_pieces(seq, reply, |body| drip(body, pause)),
        Some(Fault::Stall(n_bytes)) => {
            let silence = stream::pending();
            state.answer_in_pieces(seq, reply, |body| beginning(body, n_bytes).chain(silence))
        }
        Some(Fault::Break(n_bytes)) => {
            let end = stream::once(break_off(http)).filter_map(std::future::ready);
            state.answer_in_pieces(seq, reply, |body| beginning(body, n_bytes).chain(end))
        }
    }
}

fn drip(body: Bytes, pause: Duration) -> impl Stream<Item = Bytes> {
    stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        let byte = rest.split_to(1);
        actix_web::rt::time::sleep(pause).await;
        Some((byte, rest))
    })
}

fn beginning(mut body: Bytes, n_bytes: usize) -> impl Stream<Item = Bytes> {
    body.truncate(n_bytes);
    stream::iter((!body.is_empty()).then_some(body))
}

/// Cuts the connection once what was answered so far is on its way: the server sends it whenever
/// the body has nothing more to say for the moment.
async fn break_off(http: HttpRequest) -> Option<Bytes> {
    tokio::task::yield_now().await;
    cut(&http);
    pending().await
}

fn read(http: &HttpRequest, body: &Bytes) -> Request {
    let headers = http.headers().iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Request {
        method: http.method().to_string(),
        path: http.path().to_owned(),
        query: http.query_string().to_owned(),
        headers: headers.collect(),
        body: body.to_vec(),
    }
}

fn keep_connection(connection: &dyn Any, data: &mut Extensions) {
    let stream = connection.downcast_ref::<net::TcpStream>().expect("stubs speak plain HTTP");
    if let Ok(copy) = stream.as_fd().try_clone_to_owned() {
        data.insert(Connection(copy.into()));
    }
}

fn cut(http: &HttpRequest) {
    if let Some(Connection(stream)) = http.conn_data() {
        // Fails only if the peer was quicker.
        let _ = stream.shutdown(Shutdown::Both);
    }
}
