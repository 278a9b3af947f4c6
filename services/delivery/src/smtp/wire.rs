//! A connection as the library that speaks SMTP takes it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that a server may say in one connection; what there is to say fits in some lines.
const MAX_SAID: usize = 256 * 1024;

/// A connection to a server that cannot say more than is bearable: the library reads lines however
/// long they are.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    peer: SocketAddr,
    /// What is read before the connection itself.
    again: Vec<u8>,
    n_left: usize,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, peer: SocketAddr) -> Self {
        Self::hearing_again(Vec::new(), stream, peer)
    }

    /// A connection on which `said` is heard first. A server greets once, and the library waits for
    /// a greeting where STARTTLS came before it.
    pub(super) fn hearing_again(said: Vec<u8>, stream: S, peer: SocketAddr) -> Self {
        Self { stream, peer, again: said, n_left: MAX_SAID }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.again.is_empty() {
            let n_now = self.again.len().min(into.remaining());
            into.put_slice(&self.again[..n_now]);
            self.again.drain(..n_now);
            return Poll::Ready(Ok(()));
        }
        if self.n_left == 0 {
            return Poll::Ready(Err(io::Error::other("the server says too much")));
        }
        let n_before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        self.n_left = self.n_left.saturating_sub(into.filled().len() - n_before);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S> AsyncTokioStream for Wire<S>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug,
{
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
