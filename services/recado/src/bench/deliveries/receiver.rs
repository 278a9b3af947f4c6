//! Where these callbacks go: answers at once and remembers when each came.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::super::http1::Wire;
use super::super::message::numbers_in;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nContent-Length: 0\r\n\r\n";

/// Which first requests are put off.
#[derive(Clone, Copy)]
pub(super) enum Manner {
    /// None.
    Friendly,
    /// The first of every so many numbers: it is asked to come again after 10 s.
    PutsOff { every: usize },
}

/// A receiver of callbacks, for as long as it is kept.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    arrivals: Arc<Mutex<Vec<Vec<Instant>>>>,
    _listener: JoinSet<()>,
}

impl Receiver {
    /// Listens on a free port of the loopback, for the numbers up to `n`.
    pub(super) async fn start(n: usize, manner: Manner) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let arrivals = Arc::new(Mutex::new(vec![Vec::new(); n]));
        let mut tasks = JoinSet::new();
        let noted = Arc::clone(&arrivals);
        tasks.spawn(async move { listen(&listener, &noted, manner).await });
        Ok(Self { address, arrivals, _listener: tasks })
    }

    /// How many callbacks came.
    pub(super) fn n_arrived(&self) -> usize {
        self.lock().iter().map(Vec::len).sum()
    }

    /// How many numbers came at all.
    pub(super) fn n_begun(&self) -> usize {
        self.lock().iter().filter(|arrivals| !arrivals.is_empty()).count()
    }

    /// When each came, by number.
    pub(super) fn arrivals(&self) -> Vec<Vec<Instant>> {
        self.lock().clone()
    }

    /// How many of `n` numbers that were to come `each` times came less often, and how often some
    /// came besides.
    pub(super) fn astray(&self, n: usize, each: usize) -> (usize, usize) {
        let arrivals = self.lock();
        let counts = arrivals.iter().take(n).map(Vec::len);
        let missing = counts.clone().map(|came| each.saturating_sub(came)).sum();
        (missing, counts.map(|came| came.saturating_sub(each)).sum())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Instant>>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The callers are our own, and bound their connections.
async fn listen(listener: &TcpListener, arrivals: &Arc<Mutex<Vec<Vec<Instant>>>>, manner: Manner) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let arrivals = Arc::clone(arrivals);
        connections.spawn(async move {
            // A callback that is cut off is not counted, and is missing at the end.
            let _ = receive(stream, &arrivals, manner).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn receive(
    stream: TcpStream,
    arrivals: &Mutex<Vec<Vec<Instant>>>,
    manner: Manner,
) -> io::Result<()> {
    let mut wire = Wire::new(stream)?;
    while let Some(callback) = wire.read().await? {
        let number = numbers_in(callback.body).next();
        let answer = number.map_or(OK, |number| note(arrivals, number, manner));
        wire.write(answer).await?;
    }
    Ok(())
}

fn note(arrivals: &Mutex<Vec<Vec<Instant>>>, number: usize, manner: Manner) -> &'static [u8] {
    let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(of_number) = arrivals.get_mut(number) else { return OK };
    of_number.push(Instant::now());
    match manner {
        Manner::PutsOff { every } if number.is_multiple_of(every) && of_number.len() == 1 => BUSY,
        Manner::PutsOff { .. } | Manner::Friendly => OK,
    }
}
