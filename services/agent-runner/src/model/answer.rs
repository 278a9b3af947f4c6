//! Reads an answer while it comes, whichever form it has.
//!
//! Everything is asked for as a stream of events, but there are servers that know no streams and
//! answer with one JSON document, whatever they say its type is. The first byte tells which: an
//! event stream begins with a comment, the name of a field or a byte order mark.

use super::chat::Reply;
use super::complaint::Complaint;
use super::error::Excess;
use super::sse::Events;

/// The largest answer that comes as one document.
const MAX_DOCUMENT_BYTES: usize = 4 << 20;

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is not what the API promises.
    Malformed,
    /// It ended before it was complete.
    BrokenOff,
    /// It is too large.
    TooLarge(Excess),
    /// It is an error.
    Complaint(Complaint),
}

/// An answer that is being put together, as one API writes it.
pub(super) trait Answer: Send {
    /// Takes the data of an event.
    fn event(&mut self, data: &str) -> Result<(), Flaw>;

    /// Takes the whole answer as one document.
    fn document(&mut self, body: &[u8]) -> Result<(), Flaw>;

    /// Whether the server has said that this is all.
    fn is_over(&self) -> bool;

    /// What was said, if that is all of it.
    fn reply(self: Box<Self>) -> Result<Reply, Flaw>;
}

/// Feeds the bytes of a body to an answer.
pub(super) struct AnswerReader {
    answer: Box<dyn Answer>,
    form: Form,
}

enum Form {
    /// Nothing but white space came yet.
    Unknown,
    Document(Vec<u8>),
    Events(Events),
}

impl AnswerReader {
    pub(super) fn new(answer: Box<dyn Answer>) -> Self {
        Self { answer, form: Form::Unknown }
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        if matches!(self.form, Form::Unknown) {
            match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
                None => return Ok(()),
                Some(b':' | b'd' | b'e' | b'i' | b'r' | 0xef) => {
                    self.form = Form::Events(Events::default());
                }
                Some(_) => self.form = Form::Document(Vec::new()),
            }
        }
        match &mut self.form {
            Form::Unknown => Ok(()),
            Form::Document(body) if body.len() + bytes.len() > MAX_DOCUMENT_BYTES => {
                Err(Flaw::TooLarge(Excess::Bytes))
            }
            Form::Document(body) => {
                body.extend_from_slice(bytes);
                Ok(())
            }
            Form::Events(events) => events.feed(bytes, |data| self.answer.event(data)),
        }
    }

    /// Whether nothing more is to be expected.
    pub(super) fn is_over(&self) -> bool {
        self.answer.is_over()
    }

    /// What was said, now that the body has ended.
    pub(super) fn end(mut self) -> Result<Reply, Flaw> {
        match self.form {
            Form::Unknown => return Err(Flaw::Malformed),
            Form::Document(body) => self.answer.document(&body)?,
            Form::Events(events) => {
                if let Some(data) = events.end()?.filter(|_| !self.answer.is_over()) {
                    // An event that nobody closed is complete, or it is where the stream broke.
                    self.answer.event(&data).map_err(|flaw| match flaw {
                        Flaw::Malformed => Flaw::BrokenOff,
                        flaw => flaw,
                    })?;
                }
            }
        }
        self.answer.reply()
    }
}
