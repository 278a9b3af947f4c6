//! Where in a trace something happened, as W3C Trace Context writes it: what travels with a row, so
//! that the one who works on it later goes on with the trace of whoever caused it.

use std::fmt;

/// `00-<trace id, 32>-<span id, 16>-<flags, 2>`.
const PARENT_LEN: usize = 55;
/// Where the span's id stands in it.
const SPAN_ID: std::ops::Range<usize> = 36..52;
/// The longest `tracestate` that is kept; a longer one is dropped whole, as the standard allows.
const MAX_STATE_LEN: usize = 256;

/// The context of a span that is recorded. What is not recorded has none, and costs nothing.
///
/// As text: the `traceparent`, and behind a space the `tracestate`, if there is one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TraceContext(String);

impl TraceContext {
    /// Of what stands in the two headers. `None` if the first is malformed, or says that nothing is
    /// recorded. A state that is too long, or not one of headers, is left out.
    pub fn of(traceparent: &str, tracestate: &str) -> Option<Self> {
        if !is_recorded_parent(traceparent) {
            return None;
        }
        let is_header = |byte: u8| (b' '..=b'~').contains(&byte);
        let keep =
            (1..=MAX_STATE_LEN).contains(&tracestate.len()) && tracestate.bytes().all(is_header);
        Some(Self(if keep {
            format!("{traceparent} {tracestate}")
        } else {
            traceparent.to_owned()
        }))
    }

    /// Of what [`TraceContext::as_str`] gave.
    pub fn parse(text: &str) -> Option<Self> {
        let (parent, state) = text.split_once(' ').unwrap_or((text, ""));
        Self::of(parent, state)
    }

    /// As it is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The header `traceparent`.
    pub fn parent(&self) -> &str {
        &self.0[..PARENT_LEN]
    }

    /// The header `tracestate`; may be empty.
    pub fn state(&self) -> &str {
        self.0.get(PARENT_LEN + 1..).unwrap_or_default()
    }

    /// The same place in the trace, but in another span. `None` if that is no span's id.
    #[must_use]
    pub fn in_span(&self, span_id: &str) -> Option<Self> {
        let mut text = self.0.clone();
        if span_id.len() != SPAN_ID.len() {
            return None;
        }
        text.replace_range(SPAN_ID, span_id);
        Self::parse(&text)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.parent())
    }
}

/// The version that we write, ids that are not all zeros, and the flag that says "recorded".
fn is_recorded_parent(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |part: &[u8]| is_hex(part) && part.iter().any(|byte| *byte != b'0');
    bytes.len() == PARENT_LEN
        && bytes.starts_with(b"00-")
        && [bytes[35], bytes[52]] == *b"--"
        && is_id(&bytes[3..35])
        && is_id(&bytes[SPAN_ID])
        && is_hex(&bytes[53..])
        && matches!(bytes[54], b'1' | b'3' | b'5' | b'7' | b'9' | b'b' | b'd' | b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_was_kept_is_read_as_it_was() {
        for state in ["", "vendor=t61rcWkgMzE,other=1"] {
            let context = TraceContext::of(PARENT, state).unwrap();
            assert_eq!((context.parent(), context.state()), (PARENT, state));
            assert_eq!(TraceContext::parse(context.as_str()), Some(context));
        }
    }

    #[test]
    fn what_is_not_recorded_or_malformed_is_none() {
        for parent in [
            "",
            "é",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033é-01",
        ] {
            assert_eq!(TraceContext::of(parent, ""), None, "{parent}");
        }
    }

    #[test]
    fn a_state_that_is_too_long_or_no_header_is_left_out() {
        for state in ["x".repeat(257), "a=\n".to_owned(), "a=é".to_owned()] {
            assert_eq!(TraceContext::of(PARENT, &state).unwrap().state(), "");
        }
    }

    #[test]
    fn a_place_in_another_span_is_in_the_same_trace() {
        let context = TraceContext::of(PARENT, "a=1").unwrap();
        let other = context.in_span("00f067aa0ba902b7").unwrap();
        let expected = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01 a=1";
        assert_eq!(other.as_str(), expected);
        for none in ["", "0000000000000000", "00f067aa0ba902b", "00f067aa0ba902bé"] {
            assert_eq!(context.in_span(none), None, "{none}");
        }
    }
}
