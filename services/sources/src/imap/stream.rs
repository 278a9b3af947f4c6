//! The bytes of a connection, of which a server may send only so many for each thing it is asked,
//! and only in a form that can be read at little cost.
//!
//! The reader behind this keeps a line until it is whole, takes the room for what is announced
//! before it comes, and calls itself for each level of parentheses. So all three have a bound here.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest line, without what is announced in it.
const MAX_LINE: usize = 64 << 10;
/// How deeply it may nest: what is asked for here nests twice.
const MAX_NESTING: usize = 32;

/// Any connection.
pub(super) trait Bytes: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Bytes for T {}

/// A connection that fails once more has come than was allowed.
#[derive(Debug)]
pub(super) struct Metered {
    inner: Box<dyn Bytes>,
    left: u64,
    form: Form,
}

impl Metered {
    /// Of which so many bytes may come at first.
    pub(super) fn new(inner: Box<dyn Bytes>, left: u64) -> Self {
        Self { inner, left, form: Form::default() }
    }

    /// From here on, so many bytes may come.
    pub(super) fn allow(&mut self, bytes: u64) {
        self.left = bytes;
    }

    pub(super) fn into_inner(self) -> Box<dyn Bytes> {
        self.inner
    }

    fn take(&mut self, read: &[u8]) -> Result<(), &'static str> {
        let left = self.left.checked_sub(read.len() as u64).ok_or("the server sends too much")?;
        self.form.take(read, left)?;
        self.left = left;
        Ok(())
    }
}

/// Where in a line the server is.
#[derive(Debug, Default)]
struct Form {
    line: usize,
    nesting: usize,
    announced: Announced,
    /// How much of what was announced is still to come.
    literal: u64,
}

/// `{123}` at the end of a line announces so many bytes (RFC 3501, 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Announced {
    #[default]
    Nothing,
    Begun(u64),
    Whole(u64),
}

impl Form {
    /// `left` may come after `read`.
    fn take(&mut self, read: &[u8], left: u64) -> Result<(), &'static str> {
        let mut rest = read;
        while let Some((&byte, after)) = rest.split_first() {
            if self.literal > 0 {
                let skipped = rest.len().min(usize::try_from(self.literal).unwrap_or(usize::MAX));
                self.literal -= skipped as u64;
                rest = &rest[skipped..];
                continue;
            }
            self.see(byte)?;
            if self.literal > left + after.len() as u64 {
                return Err("the server announces too much");
            }
            rest = after;
        }
        Ok(())
    }

    fn see(&mut self, byte: u8) -> Result<(), &'static str> {
        self.line += 1;
        if self.line > MAX_LINE {
            return Err("the server sends a line that is too long");
        }
        let announced = std::mem::take(&mut self.announced);
        match (byte, announced) {
            (b'{', _) => self.announced = Announced::Begun(0),
            (b'0'..=b'9', Announced::Begun(n)) => {
                let n = n.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
                self.announced = Announced::Begun(n);
            }
            (b'}', Announced::Begun(n)) => self.announced = Announced::Whole(n),
            (b'\r', Announced::Whole(_)) => self.announced = announced,
            // The line goes on behind it.
            (b'\n', Announced::Whole(n)) => self.literal = n,
            (b'\n', _) => (self.line, self.nesting) = (0, 0),
            (b'(', _) => self.nesting += 1,
            (b')', _) => self.nesting = self.nesting.saturating_sub(1),
            _ => {}
        }
        if self.nesting > MAX_NESTING {
            return Err("the server nests too deeply");
        }
        Ok(())
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        match self.take(&buffer.filled()[before..]) {
            Ok(()) => polled,
            Err(reason) => Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason))),
        }
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In one piece, and byte by byte.
    fn taken(allowed: u64, sent: &[u8]) -> Result<(), &'static str> {
        let metered = || {
            let mut metered = Metered::new(Box::new(tokio::io::empty()), 0);
            metered.allow(allowed);
            metered
        };
        let at_once = metered().take(sent);
        let mut slow = metered();
        let in_pieces = sent.chunks(1).try_for_each(|piece| slow.take(piece));
        // Where more comes than is allowed, the one may notice sooner than the other.
        assert_eq!(at_once.is_ok(), in_pieces.is_ok(), "{}", String::from_utf8_lossy(sent));
        at_once
    }

    #[test]
    fn what_is_announced_is_judged_before_it_comes() {
        let mail = b"* 1 FETCH (UID 1 BODY[]<0> {5}\r\n((((\n)\r\nA1 OK done\r\n";
        assert_eq!(taken(100, mail), Ok(()));
        let announced = "the server announces too much";
        assert_eq!(taken(100, b"* 1 FETCH (BODY[] {500000000}\r\n"), Err(announced));
        assert_eq!(taken(100, b"* 1 FETCH (BODY[] {99999999999999999999999}\r\n"), Err(announced));
        assert_eq!(taken(10, b"* OK nothing of it"), Err("the server sends too much"));
        assert_eq!(taken(100, b"* OK {500000000} is a text\r\n"), Ok(()));
    }

    #[test]
    fn lines_are_short_and_flat() {
        let of = |n: usize, what: &str| format!("* 1 FETCH (BODYSTRUCTURE {}", what.repeat(n));
        let too_deep = Err("the server nests too deeply");
        assert_eq!(taken(1 << 20, of(MAX_NESTING, "(").as_bytes()), too_deep);
        assert_eq!(taken(1 << 20, of(MAX_NESTING - 1, "(").as_bytes()), Ok(()));
        assert_eq!(taken(1 << 20, of(1_000, "()").as_bytes()), Ok(()));
        assert_eq!(taken(1 << 20, of(1_000, "(\r\n").as_bytes()), Ok(()));
        let too_long = Err("the server sends a line that is too long");
        assert_eq!(taken(1 << 20, of(MAX_LINE, "1").as_bytes()), too_long);
        assert_eq!(taken(1 << 20, of(MAX_LINE, "1\r\n").as_bytes()), Ok(()));
    }
}
