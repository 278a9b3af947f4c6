//! Where the callbacks go: answers 200 and notes the time.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::http1::Wire;
use super::ledger::Ledger;
use super::message::numbers_in;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A receiver of callbacks, for as long as it is kept.
pub(super) struct Sink {
    pub(super) address: SocketAddr,
    _listener: JoinSet<()>,
}

impl Sink {
    /// Listens on a free port of the loopback.
    pub(super) async fn start(ledger: Arc<Ledger>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { listen(&listener, &ledger).await });
        Ok(Self { address, _listener: tasks })
    }

    /// Where the triggers that every system has call back, if nobody posts to them.
    pub(super) async fn unused() -> anyhow::Result<Self> {
        let sink = Self::start(Arc::new(Ledger::unkept())).await;
        sink.context("there is no place to call back")
    }
}

/// The only caller is our own delivery, which bounds its connections.
async fn listen(listener: &TcpListener, ledger: &Arc<Ledger>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let ledger = Arc::clone(ledger);
        connections.spawn(async move {
            // A callback that is cut off is not counted, and is missing at the end.
            let _ = receive(stream, &ledger).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn receive(stream: TcpStream, ledger: &Ledger) -> io::Result<()> {
    let mut wire = Wire::new(stream)?;
    while let Some(callback) = wire.read().await? {
        ledger.called_back(numbers_in(callback.body));
        wire.write(OK).await?;
    }
    Ok(())
}
