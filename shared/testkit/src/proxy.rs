//! A TCP proxy on the way to a server, which does what networks do on a bad day.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use crate::servers::PortLease;

/// How much of one direction is under way inside the proxy.
const BUFFER: usize = 16 * 1024;

/// Between two tries to listen again: another process may be slow to give the port back.
const LISTEN_AGAIN: Duration = Duration::from_millis(20);

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Carries everything.
    Works,
    /// Nobody listens any more, and connections that were there are closed.
    Refuses,
    /// Connections stay open, and are made, but nothing is carried. What was sent meanwhile
    /// arrives when the network works again.
    Holds,
    /// Every connection is reset, new ones at once.
    Resets,
    /// A connection is closed, perhaps in the middle of a message, when so many bytes have gone
    /// one way.
    CutsAfter(usize),
    /// Each piece arrives later by this much.
    Delays(Duration),
}

/// The way to one server. Connections and listener end with it.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    network: watch::Sender<Network>,
    _tasks: JoinSet<()>,
}

/// How a connection came to its end.
enum End {
    Closed,
    Reset,
}

impl Proxy {
    /// Listens on a port of its own, and connects to the server that `url` names.
    pub async fn before(url: &str) -> anyhow::Result<Self> {
        let mut url = Url::parse(url).context("a server's URL is malformed")?;
        let port = url.port().context("a server's URL names no port")?;
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let lease = PortLease::acquire().context("failed to lease a port")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, lease.port())).await?;
        let _ = url.set_port(Some(lease.port()));
        let (network, told) = watch::channel(Network::Works);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { listen(listener, lease, server, told).await });
        Ok(Self { url: url.into(), network, _tasks: tasks })
    }

    /// The server's URL, by way of this proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on the network does this.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

/// Takes connections until the proxy is dropped.
async fn listen(
    listener: TcpListener,
    lease: PortLease,
    server: SocketAddr,
    network: watch::Receiver<Network>,
) {
    let mut connections = JoinSet::new();
    let mut listener = Some(listener);
    let mut told = network.clone();
    loop {
        if let Some(listening) = &listener {
            tokio::select! {
                refuses = told.wait_for(|network| *network == Network::Refuses) => {
                    if refuses.is_err() { return }
                }
                accepted = listening.accept() => {
                    if let Ok((client, _)) = accepted {
                        connections.spawn(carry(client, server, network.clone()));
                    }
                    while connections.try_join_next().is_some() {}
                    continue;
                }
            }
        }
        drop(listener.take());
        if told.wait_for(|network| *network != Network::Refuses).await.is_err() {
            return;
        }
        listener = TcpListener::bind((Ipv4Addr::LOCALHOST, lease.port())).await.ok();
        if listener.is_none() {
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, network: watch::Receiver<Network>) {
    let ended = {
        let both_ways = both_ways(&mut client, server, network.clone());
        tokio::select! {
            ended = both_ways => ended,
            ended = broken(network) => ended,
        }
    };
    if matches!(ended, End::Reset) {
        // Otherwise it is closed in good order, which is a fault too.
        let _ = client.set_zero_linger();
    }
}

/// Returns once the network closes connections that are there.
async fn broken(mut network: watch::Receiver<Network>) -> End {
    let breaks = |network: &Network| matches!(network, Network::Refuses | Network::Resets);
    match network.wait_for(breaks).await.map(|network| *network) {
        Ok(Network::Resets) => End::Reset,
        _ => End::Closed,
    }
}

async fn both_ways(
    client: &mut TcpStream,
    server: SocketAddr,
    mut network: watch::Receiver<Network>,
) -> End {
    if network.wait_for(|network| *network != Network::Holds).await.is_err() {
        return End::Closed;
    }
    let Ok(mut server) = TcpStream::connect(server).await else { return End::Reset };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let there = copy(from_client, to_server, network.clone());
    let back = copy(from_server, to_client, network);
    match tokio::try_join!(there, back) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => End::Reset,
        Ok(_) | Err(_) => End::Closed,
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut network: watch::Receiver<Network>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut carried = 0;
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return to.shutdown().await;
        }
        let told = network.wait_for(|network| *network != Network::Holds).await;
        let network = told.map_or(Network::Works, |network| *network);
        let mut passed = n;
        match network {
            Network::Delays(delay) => tokio::time::sleep(delay).await,
            Network::CutsAfter(limit) => passed = n.min(limit.saturating_sub(carried)),
            _ => carried = 0,
        }
        to.write_all(&buffer[..passed]).await?;
        carried += passed;
        if passed < n {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORTLY: Duration = Duration::from_secs(10);
    const NOT_YET: Duration = Duration::from_millis(50);

    /// A server that repeats what it is told, and the way to it.
    async fn echo() -> (Proxy, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("redis://{}/0", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        (Proxy::before(&url).await.unwrap(), tasks)
    }

    async fn connect(proxy: &Proxy) -> io::Result<TcpStream> {
        let port = Url::parse(proxy.url()).unwrap().port().unwrap();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
    }

    async fn say(stream: &mut TcpStream, text: &str) -> io::Result<String> {
        stream.write_all(text.as_bytes()).await?;
        hear(stream, text.len()).await
    }

    async fn hear(stream: &mut TcpStream, n: usize) -> io::Result<String> {
        let mut heard = vec![0; n];
        let read = tokio::time::timeout(SHORTLY, stream.read_exact(&mut heard)).await;
        read.map_err(io::Error::from)??;
        Ok(String::from_utf8(heard).unwrap())
    }

    #[tokio::test]
    async fn what_is_held_arrives_later() {
        let (proxy, _server) = echo().await;
        let mut stream = connect(&proxy).await.unwrap();
        assert_eq!(say(&mut stream, "one").await.unwrap(), "one");
        proxy.set(Network::Holds);
        stream.write_all(b"two").await.unwrap();
        let early = tokio::time::timeout(NOT_YET, stream.read_u8()).await;
        assert!(early.is_err(), "something came through");
        proxy.set(Network::Works);
        assert_eq!(hear(&mut stream, 3).await.unwrap(), "two");
        proxy.set(Network::Delays(NOT_YET));
        assert_eq!(say(&mut stream, "three").await.unwrap(), "three");
    }

    #[tokio::test]
    async fn connections_end_as_they_are_told() {
        let (proxy, _server) = echo().await;
        let mut stream = connect(&proxy).await.unwrap();
        proxy.set(Network::Resets);
        let error = hear(&mut stream, 1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

        proxy.set(Network::CutsAfter(4));
        let mut stream = connect(&proxy).await.unwrap();
        assert_eq!(say(&mut stream, "four").await.unwrap(), "four");
        assert!(say(&mut stream, "more").await.is_err());

        proxy.set(Network::Refuses);
        // One that was about to be taken is reset.
        let refused = crate::wait_for("a refusal", SHORTLY, async || {
            let error = connect(&proxy).await.err()?;
            (error.kind() == io::ErrorKind::ConnectionRefused).then_some(())
        });
        refused.await.unwrap();
        proxy.set(Network::Works);
        let again = crate::wait_for("a connection", SHORTLY, async || connect(&proxy).await.ok());
        assert_eq!(say(&mut again.await.unwrap(), "five").await.unwrap(), "five");
    }
}
