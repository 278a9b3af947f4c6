//! Server-sent events, as far as models use them: the data of each event.
//!
//! A parser of our own, because it must be bounded: nothing stops a server from sending one line
//! without an end. Names, ids and retry times of events are passed over; what models send says in
//! its data what it is.

use super::answer::Flaw;
use super::error::Excess;

/// The largest event that is read; it is also the largest answer.
const MAX_EVENT_BYTES: usize = 4 << 20;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Turns bytes, cut up anyhow, into events.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// What came of the line that has no end yet.
    line: Vec<u8>,
    /// The data of the event that has no end yet; its lines are joined by line feeds.
    data: Option<Vec<u8>>,
    /// Whether the last byte was a carriage return: a line feed after it ends no other line.
    after_return: bool,
    /// Whether a line was read: before the first there may be a byte order mark.
    begun: bool,
}

impl Events {
    /// Takes the next bytes, and tells `heed` the data of each event that they complete.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut heed: impl FnMut(&str) -> Result<(), Flaw>,
    ) -> Result<(), Flaw> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            self.keep(&bytes[..end.unwrap_or(bytes.len())])?;
            let Some(end) = end else { break };
            self.after_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if let Some(data) = self.end_line() {
                heed(&text(data)?)?;
            }
        }
        Ok(())
    }

    /// The data of an event that was not closed by an empty line before the stream ended.
    pub(super) fn end(mut self) -> Result<Option<String>, Flaw> {
        let closed = self.end_line();
        closed.or(self.data).map(text).transpose()
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        let held = self.line.len() + self.data.as_ref().map_or(0, Vec::len);
        if held + bytes.len() > MAX_EVENT_BYTES {
            return Err(Flaw::TooLarge(Excess::Bytes));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes the line; an empty one ends the event.
    fn end_line(&mut self) -> Option<Vec<u8>> {
        let mut line = self.line.as_slice();
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            self.line.clear();
            return self.data.take();
        }
        if let Some(value) = field(line, b"data") {
            match &mut self.data {
                None => self.data = Some(value.to_vec()),
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            }
        }
        self.line.clear();
        None
    }
}

/// The value of a line, if it is of this field. Comments begin with a colon: they have no name.
fn field<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let rest = line.strip_prefix(name)?;
    match rest.first() {
        None => Some(rest),
        Some(b':') => Some(rest[1..].strip_prefix(b" ").unwrap_or(&rest[1..])),
        Some(_) => None,
    }
}

fn text(data: Vec<u8>) -> Result<String, Flaw> {
    String::from_utf8(data).map_err(|_not_shown| Flaw::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let (mut events, mut found) = (Events::default(), Vec::new());
        for piece in pieces {
            let heed = |data: &str| {
                found.push(data.to_owned());
                Ok(())
            };
            events.feed(piece, heed).unwrap();
        }
        found.extend(events.end().unwrap());
        found
    }

    #[test]
    fn data_is_found_whatever_ends_a_line() {
        for stream in [
            "data: a\n\ndata: b\n\n",
            "data: a\r\n\r\ndata: b\r\n\r\n",
            "data: a\r\rdata: b\r\r",
            "\u{feff}data:a\n\n\n\ndata:b\n\n",
            "data: a\n\ndata: b",
            "data: a\n\ndata: b\n",
        ] {
            assert_eq!(read(&[stream.as_bytes()]), ["a", "b"], "{stream:?}");
        }
    }

    #[test]
    fn comments_and_other_fields_are_passed_over() {
        let stream = ": keep-alive\n\nevent: message_start\nid: 1\nretry: 5\ndata: a\n\n\
                      :\ndatum: b\ndatab\n\ndata\ndata:  c\n\n";
        assert_eq!(read(&[stream.as_bytes()]), ["a", "\n c"]);
    }

    #[test]
    fn a_line_without_an_end_is_too_large() {
        let mut events = Events::default();
        let piece = vec![b'x'; 1 << 20];
        let n_taken = (0..10).take_while(|_| events.feed(&piece, |_| Ok(())).is_ok()).count();
        assert_eq!(n_taken, 4);
    }

    #[test]
    fn many_lines_of_one_event_are_too_large() {
        let mut events = Events::default();
        let line = [b"data: ".as_slice(), &vec![b'x'; 1 << 20], b"\n"].concat();
        assert!((0..10).any(|_| events.feed(&line, |_| Ok(())).is_err()));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_a_stream_is_cut_up(
            events in prop::collection::vec("[ -~çã€🙂]{0,12}", 1..6),
            ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n", "\r"]), 12),
            cuts in prop::collection::vec(0_usize..200, 0..12),
        ) {
            let mut stream = String::new();
            for (n, event) in events.iter().enumerate() {
                let (end, close) = (ends[n * 2 % 12], ends[(n * 2 + 1) % 12]);
                // A carriage return and a line feed after it are one end of a line.
                let close = if end == "\r" && close == "\n" { "\r" } else { close };
                stream.extend(["data: ", event, end, close, ": between\n\n"]);
            }
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            prop_assert_eq!(read(&pieces), events);
        }

        #[test]
        fn nonsense_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut events = Events::default();
            let _ = events.feed(&bytes, |_| Ok(()));
            let _ = events.end();
        }
    }
}
