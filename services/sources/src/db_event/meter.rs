//! A stream that may only bring so much at a time.
//!
//! The driver makes room for whatever length the server announces, and looks types up for as long
//! as it is told of unknown ones, each within the look-up of the one before. The server is the
//! tenant's, so what it sends for one statement is bounded here, below the driver.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pages::{MAX_CURSOR, MAX_PAGE, MAX_ROWS};

/// What may come of a statement without rows, and from one notification to the next.
const MESSAGE: usize = 64 << 10;
/// What may come while a statement is prepared. An honest server needs less than 1 KiB. Each level
/// of look-ups takes 40 bytes at least, and some KiB of the stack: there are 100 levels at most.
const DESCRIPTION: usize = 4 << 10;
/// What may come of a statement with rows: the largest page, as `pages` bounds it, with what is
/// around each row.
const PAGE: usize = MAX_PAGE + MAX_ROWS * (MAX_CURSOR + 128);
/// The most that is read at a time: so little that it never holds more than [`MESSAGE`] allows.
const CHUNK: usize = 16 << 10;

/// How much may still come. Clones share it.
#[derive(Clone)]
pub(super) struct Meter(Arc<Left>);

struct Left {
    n_bytes: AtomicUsize,
    /// Whether it is for one answer, whatever comes between its rows.
    is_fixed: AtomicBool,
}

impl Meter {
    pub(super) fn new() -> Self {
        let n_bytes = AtomicUsize::new(MESSAGE);
        Self(Arc::new(Left { n_bytes, is_fixed: AtomicBool::new(false) }))
    }

    /// An answer without rows may come.
    pub(super) fn allow_message(&self) {
        self.allow(MESSAGE, false);
    }

    /// The description of a statement may come.
    pub(super) fn allow_description(&self) {
        self.allow(DESCRIPTION, true);
    }

    /// Rows may come.
    pub(super) fn allow_page(&self) {
        self.allow(PAGE, true);
    }

    /// A notification has come, or a notice. Neither gives room for more of an answer.
    pub(super) fn heard(&self) {
        if !self.0.is_fixed.load(Ordering::Relaxed) {
            self.allow_message();
        }
    }

    fn allow(&self, n_bytes: usize, is_fixed: bool) {
        self.0.n_bytes.store(n_bytes, Ordering::Relaxed);
        self.0.is_fixed.store(is_fixed, Ordering::Relaxed);
    }

    /// Whether so much may come.
    fn take(&self, n_bytes: usize) -> bool {
        let left = self.0.n_bytes.load(Ordering::Relaxed);
        self.0.n_bytes.store(left.saturating_sub(n_bytes), Ordering::Relaxed);
        n_bytes <= left
    }
}

/// More came than may.
#[derive(Debug)]
pub(super) struct TooMuch;

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the database sends more than was asked for")
    }
}

impl Error for TooMuch {}

/// A stream with a meter.
pub(super) struct Metered<S> {
    stream: S,
    meter: Meter,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, meter: Meter) -> Self {
        Self { stream, meter }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining().min(CHUNK);
        let mut chunk = ReadBuf::new(buffer.initialize_unfilled_to(room));
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut chunk);
        let n_bytes = chunk.filled().len();
        buffer.advance(n_bytes);
        if self.meter.take(n_bytes) { read } else { Poll::Ready(Err(io::Error::other(TooMuch))) }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn an_answer_without_end_is_ended() {
        let meter = Meter::new();
        let mut stream = Metered::new(tokio::io::repeat(0), meter.clone());
        meter.allow_page();
        let mut page = vec![0; PAGE];
        stream.read_exact(&mut page).await.unwrap();
        meter.heard();
        assert!(stream.read_u8().await.is_err(), "what is heard is no room for an answer");
        meter.allow_message();
        stream.read_exact(&mut page[..MESSAGE]).await.unwrap();
        meter.heard();
        assert!(stream.read_u8().await.is_ok());
    }

    #[tokio::test]
    async fn little_is_read_at_a_time() {
        let mut stream = Metered::new(tokio::io::repeat(0), Meter::new());
        assert_eq!(stream.read(&mut vec![0; PAGE]).await.unwrap(), CHUNK);
    }
}
