//! What is done with a connection once a request was read.

use std::fmt::Write as _;
use std::time::Duration;

use crate::stub::Reply;

/// What a flood says its body's length is.
const GIGABYTE: u64 = 1_000_000_000;

/// Steps, one after the other. At the end of a script that has not ended the connection, the next
/// request is read.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Send(Vec<u8>),
    /// Until the other side hangs up.
    Repeat {
        bytes: Vec<u8>,
        pause: Duration,
    },
    Pause(Duration),
    /// Until the other side hangs up.
    Hang,
    Close,
    Reset,
}

impl Script {
    /// A whole answer.
    pub fn answer(reply: &Reply) -> Self {
        let mut head = format!("HTTP/1.1 {} \r\n", reply.status);
        for (name, value) in &reply.headers {
            write!(head, "{name}: {value}\r\n").expect("a String takes everything");
        }
        write!(head, "content-length: {}\r\n\r\n", reply.body.len())
            .expect("a String takes everything");
        Self::send(head).then_send(reply.body.clone())
    }

    /// An answer with this status and nothing to read.
    pub fn status(status: u16) -> Self {
        Self::answer(&Reply::text(status, ""))
    }

    /// These bytes.
    pub fn send(bytes: impl Into<Vec<u8>>) -> Self {
        Self::default().then_send(bytes)
    }

    /// Nothing, until the other side hangs up.
    pub fn hang() -> Self {
        Self::default().then(Step::Hang)
    }

    /// The connection ends without an answer.
    pub fn close() -> Self {
        Self::default().then_close()
    }

    /// The connection ends with an RST.
    pub fn reset() -> Self {
        Self::default().then_reset()
    }

    /// 200, and a byte of the body whenever `pause` has passed.
    pub fn drip(pause: Duration) -> Self {
        Self::ok_of(GIGABYTE).then_repeat(".", pause)
    }

    /// 200, and a gigabyte of body, as fast as it is taken.
    pub fn flood() -> Self {
        Self::ok_of(GIGABYTE).then_repeat(vec![b'x'; 64 * 1024], Duration::ZERO)
    }

    /// The head of a 200 whose body is said to have `length` bytes.
    pub fn ok_of(length: u64) -> Self {
        Self::send(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n"
        ))
    }

    /// Then these bytes.
    #[must_use]
    pub fn then_send(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Step::Send(bytes.into()))
    }

    /// Then these bytes again and again, with this pause after each time.
    #[must_use]
    pub fn then_repeat(self, bytes: impl Into<Vec<u8>>, pause: Duration) -> Self {
        self.then(Step::Repeat { bytes: bytes.into(), pause })
    }

    /// Then nothing for a while.
    #[must_use]
    pub fn then_pause(self, pause: Duration) -> Self {
        self.then(Step::Pause(pause))
    }

    /// Then nothing, until the other side hangs up.
    #[must_use]
    pub fn then_hang(self) -> Self {
        self.then(Step::Hang)
    }

    /// Then the connection ends.
    #[must_use]
    pub fn then_close(self) -> Self {
        self.then(Step::Close)
    }

    /// Then the connection ends with an RST, which may overtake what was sent before.
    #[must_use]
    pub fn then_reset(self) -> Self {
        self.then(Step::Reset)
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}
