//! Just enough HTTP/1.1 for both ends of the measurement: requests and responses with a
//! `Content-Length` over a connection that is kept.
//!
//! A complete client would cost more CPU time than what is measured.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest head and the longest body: far more than anybody here sends, and that is a question
/// with all that an agent remembers.
const MAX_MESSAGE: usize = 1024 * 1024;

/// One connection.
pub(super) struct Wire {
    stream: TcpStream,
    /// What was received; the first `consumed` bytes have been given out.
    received: Vec<u8>,
    consumed: usize,
}

/// A request or a response.
pub(super) struct Message<'a> {
    /// The start line and the headers.
    pub(super) head: &'a [u8],
    pub(super) body: &'a [u8],
}

impl Message<'_> {
    /// The status code, if this is a response.
    pub(super) fn status(&self) -> Option<u16> {
        let text = self.head.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
        std::str::from_utf8(text).ok()?.parse().ok()
    }
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4096), consumed: 0 })
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next message; `None` when the other side has closed.
    pub(super) async fn read(&mut self) -> io::Result<Option<Message<'_>>> {
        self.received.drain(..self.consumed);
        self.consumed = 0;
        loop {
            if let Some((head, end)) = complete(&self.received)? {
                self.consumed = end;
                let (head, body) = self.received[..end].split_at(head);
                return Ok(Some(Message { head, body }));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Where the head and the whole of a message end, once all of it is there.
fn complete(received: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let invalid = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    let Some(head) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if received.len() > MAX_MESSAGE { invalid("an endless head") } else { Ok(None) };
    };
    let head = head + 4;
    let Some(length) = content_length(&received[..head]) else {
        return invalid("a message without Content-Length");
    };
    if length > MAX_MESSAGE {
        return invalid("a body that nobody here sends");
    }
    let end = head + length;
    Ok((received.len() >= end).then_some((head, end)))
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_complete_when_its_body_is() {
        let text = b"HTTP/1.1 202 Accepted\r\ncontent-LENGTH: 2\r\n\r\n{}HTTP/1.1 ";
        let (head, end) = complete(text).unwrap().unwrap();
        assert_eq!(&text[head..end], b"{}");
        assert_eq!(Message { head: &text[..head], body: b"" }.status(), Some(202));
        for cut in 0..end {
            assert_eq!(complete(&text[..cut]).unwrap(), None);
        }
    }

    #[test]
    fn what_has_no_end_is_refused() {
        assert!(complete(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(complete(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n").is_err());
        assert!(complete(&vec![b'x'; MAX_MESSAGE + 1]).is_err());
    }
}
