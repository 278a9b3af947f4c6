//! A reply while it is being put together, piece by piece.
//!
//! Vendors agree on what a whole reply looks like, and on little about its pieces: some leave out
//! which call a piece belongs to, or what the call is called, or repeat the tool's name, or send
//! all arguments at once. What comes out of here is sound whatever went in, and bounded.

use recado_types::LlmCallId;

use super::answer::Flaw;
use super::chat::{Reply, ToolRequest};
use super::error::Excess;
use super::mend::{is_usable_id, made_up_id, storable, usable_arguments, usable_name};

/// How much a model may say in one turn, arguments included, in bytes.
const MAX_BYTES: usize = 4 << 20;
/// How many tools it may call in one turn.
pub(super) const MAX_TOOL_CALLS: usize = 64;
/// The longest arguments of one call, in bytes.
pub(super) const MAX_ARGUMENTS_BYTES: usize = 256 << 10;
/// The longest reason for stopping that is kept.
const MAX_FINISH_REASON_CHARS: usize = 64;

/// A piece of a tool call.
#[derive(Clone, Debug, Default)]
pub(super) struct CallPiece<'a> {
    /// Which call it belongs to.
    pub(super) index: Option<u64>,
    /// What the model calls the call.
    pub(super) id: Option<&'a str>,
    /// The tool's name.
    pub(super) name: Option<&'a str>,
    /// More of the arguments.
    pub(super) arguments: &'a str,
}

/// What a model has said so far.
#[derive(Debug)]
pub(super) struct Draft {
    call_id: LlmCallId,
    text: String,
    refusal: String,
    calls: Vec<CallDraft>,
    n_bytes: usize,
    /// What the provider counted.
    pub(super) input_tokens: Option<i64>,
    /// What the provider counted.
    pub(super) output_tokens: Option<i64>,
    /// What the provider counted.
    pub(super) cached_input_tokens: Option<i64>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default)]
struct CallDraft {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Draft {
    /// Nothing yet. Calls that the model gives no id get one out of `call_id` and their place.
    pub(super) fn new(call_id: LlmCallId) -> Self {
        Self {
            call_id,
            text: String::new(),
            refusal: String::new(),
            calls: Vec::new(),
            n_bytes: 0,
            input_tokens: None,
            output_tokens: None,
            cached_input_tokens: None,
            finish_reason: None,
        }
    }

    /// It says more.
    pub(super) fn say(&mut self, text: &str) -> Result<(), Flaw> {
        self.make_room(text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    /// It says more about why it will not answer, which counts as its text if it has no other.
    pub(super) fn refuse(&mut self, text: &str) -> Result<(), Flaw> {
        self.make_room(text.len())?;
        self.refusal.push_str(text);
        Ok(())
    }

    /// It says more of a call.
    pub(super) fn call(&mut self, piece: &CallPiece<'_>) -> Result<(), Flaw> {
        let (id, name) = (piece.id.unwrap_or_default(), piece.name.unwrap_or_default());
        self.make_room(id.len() + name.len() + piece.arguments.len())?;
        let at = self.place_of(piece);
        if at == self.calls.len() {
            if at == MAX_TOOL_CALLS {
                return Err(Flaw::TooLarge(Excess::ToolCalls));
            }
            self.calls.push(CallDraft { index: piece.index, ..CallDraft::default() });
        }
        let call = &mut self.calls[at];
        if call.id.is_empty() {
            id.clone_into(&mut call.id);
        }
        // Some repeat the name with every piece, and some send it in pieces.
        if call.name != name && call.arguments.is_empty() {
            call.name.push_str(name);
        }
        call.arguments.push_str(piece.arguments);
        if call.arguments.len() > MAX_ARGUMENTS_BYTES {
            return Err(Flaw::TooLarge(Excess::Arguments));
        }
        Ok(())
    }

    /// It stopped, in the provider's words.
    pub(super) fn stop(&mut self, reason: &str) {
        self.finish_reason = Some(storable(reason).chars().take(MAX_FINISH_REASON_CHARS).collect());
    }

    /// Whether it stopped.
    pub(super) fn has_stopped(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// The reply.
    pub(super) fn reply(self) -> Reply {
        let text = if self.text.is_empty() { &self.refusal } else { &self.text };
        let mut tool_calls: Vec<ToolRequest> = Vec::with_capacity(self.calls.len());
        for call in self.calls.iter().filter(|call| !call.is_empty()) {
            let position = tool_calls.len();
            let known = |id: &str| tool_calls.iter().any(|earlier| earlier.id == id);
            let id = if is_usable_id(&call.id) && !known(&call.id) {
                call.id.clone()
            } else {
                made_up_id(self.call_id, position)
            };
            let (name, arguments) = (usable_name(&call.name), usable_arguments(&call.arguments));
            tool_calls.push(ToolRequest { id, name, arguments });
        }
        Reply {
            text: storable(text),
            tool_calls,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cached_input_tokens: self.cached_input_tokens,
            cost_usd: None,
            finish_reason: self.finish_reason,
        }
    }

    fn make_room(&mut self, n_bytes: usize) -> Result<(), Flaw> {
        self.n_bytes += n_bytes;
        if self.n_bytes > MAX_BYTES { Err(Flaw::TooLarge(Excess::Bytes)) } else { Ok(()) }
    }

    /// Which call a piece belongs to; one past the last if it begins another.
    fn place_of(&self, piece: &CallPiece<'_>) -> usize {
        let id = piece.id.filter(|id| !id.is_empty());
        if let Some(at) = id.and_then(|id| self.calls.iter().rposition(|call| call.id == id)) {
            return at;
        }
        let is_named = piece.name.is_some_and(|name| !name.is_empty());
        let found = match (piece.index, id) {
            // Some number all calls 0: an index with another id and a name is another call.
            (Some(index), Some(_)) if is_named => self.calls.iter().rposition(|call| {
                call.index == Some(index) && call.id.is_empty() && !call.is_whole()
            }),
            (Some(index), _) => self.calls.iter().rposition(|call| call.index == Some(index)),
            (None, Some(_)) => None,
            (None, None) => {
                let last = self.calls.len().checked_sub(1);
                last.filter(|&at| !is_named || !self.calls[at].is_whole())
            }
        };
        found.unwrap_or(self.calls.len())
    }
}

impl CallDraft {
    fn is_empty(&self) -> bool {
        self.id.is_empty() && self.name.is_empty() && self.arguments.is_empty()
    }

    /// Whether its arguments are all there, as far as one can tell.
    fn is_whole(&self) -> bool {
        !self.name.is_empty()
            && serde_json::from_str::<serde::de::IgnoredAny>(&self.arguments).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const CALL: LlmCallId = LlmCallId(Uuid::from_u128(7));

    type Piece<'a> = (Option<u64>, Option<&'a str>, Option<&'a str>, &'a str);

    fn calls(pieces: &[Piece<'_>]) -> Vec<(String, String, String)> {
        let mut draft = Draft::new(CALL);
        for &(index, id, name, arguments) in pieces {
            draft.call(&CallPiece { index, id, name, arguments }).unwrap();
        }
        let calls = draft.reply().tool_calls;
        calls.into_iter().map(|call| (call.id, call.name, call.arguments)).collect()
    }

    fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
        (id.to_owned(), name.to_owned(), arguments.to_owned())
    }

    #[test]
    fn pieces_are_joined_by_index() {
        let pieces = [
            (Some(0), Some("a"), Some("find"), ""),
            (Some(0), None, None, "{\"q\":"),
            (Some(1), Some("b"), Some("find"), "{\"q\""),
            (Some(0), None, None, "1}"),
            (Some(1), Some(""), Some(""), ":2}"),
        ];
        let expected = [call("a", "find", r#"{"q":1}"#), call("b", "find", r#"{"q":2}"#)];
        assert_eq!(calls(&pieces), expected);
    }

    #[test]
    fn calls_that_all_have_the_same_index_are_told_apart_by_id() {
        let pieces = [
            (Some(0), Some("a"), Some("find"), "{}"),
            (Some(0), Some("b"), Some("find"), "{\"q\":1}"),
        ];
        assert_eq!(calls(&pieces), [call("a", "find", "{}"), call("b", "find", r#"{"q":1}"#)]);
    }

    #[test]
    fn without_an_index_a_piece_goes_on_with_the_last_call() {
        let pieces = [
            (None, Some("a"), Some("find"), "{\"q\""),
            (None, None, None, ":1}"),
            (None, Some("b"), Some("find"), "{}"),
            (None, Some("b"), Some("find"), ""),
        ];
        assert_eq!(calls(&pieces), [call("a", "find", r#"{"q":1}"#), call("b", "find", "{}")]);
    }

    #[test]
    fn without_index_and_id_whole_arguments_end_a_call() {
        let pieces = [
            (None, None, Some("find"), "{\"q\":1}"),
            (None, None, Some("find"), "{\"q\":2}"),
            (None, None, Some("drop"), "{\"q\""),
            (None, None, Some("drop"), ":3}"),
        ];
        let made_up = |n| format!("call_{}_{n}", Uuid::from_u128(7).simple());
        let expected = [
            call(&made_up(0), "find", r#"{"q":1}"#),
            call(&made_up(1), "find", r#"{"q":2}"#),
            call(&made_up(2), "drop", r#"{"q":3}"#),
        ];
        assert_eq!(calls(&pieces), expected);
        assert_eq!(calls(&pieces), expected, "made up the same each time");
    }

    #[test]
    fn a_repeated_name_is_one_name_and_a_divided_name_too() {
        let repeated = [
            (Some(0), Some("a"), Some("find"), ""),
            (Some(0), None, Some("find"), "{}"),
            (Some(0), None, Some("find"), " "),
        ];
        assert_eq!(calls(&repeated), [call("a", "find", "{} ")]);
        let divided = [(Some(0), Some("a"), Some("fi"), ""), (Some(0), None, Some("nd"), "{}")];
        assert_eq!(calls(&divided), [call("a", "find", "{}")]);
    }

    #[test]
    fn what_no_provider_would_take_back_is_mended() {
        let long = "x".repeat(100);
        let pieces = [
            (Some(0), Some("a b"), Some("functions.find:0"), ""),
            (Some(1), Some("same"), Some(""), "{\"a\\u0000\":\"\\u0000b\"}"),
            (Some(2), Some(long.as_str()), Some(long.as_str()), "no JSON\0"),
            (Some(3), None, None, ""),
        ];
        let made_up = |n| format!("call_{}_{n}", Uuid::from_u128(7).simple());
        let expected = [
            call(&made_up(0), "functions_find_0", "{}"),
            call("same", "_", r#"{"a":"b"}"#),
            call(&made_up(2), &"x".repeat(64), "no JSON"),
        ];
        assert_eq!(calls(&pieces), expected);
        assert!(made_up(63).len() <= 40, "the longest that OpenAI takes");
    }

    #[test]
    fn a_refusal_is_the_text_if_there_is_no_other() {
        let mut draft = Draft::new(CALL);
        draft.refuse("I will ").unwrap();
        draft.refuse("not.\0").unwrap();
        assert_eq!(draft.reply().text, "I will not.");
    }

    #[test]
    fn everything_is_bounded() {
        let mut draft = Draft::new(CALL);
        let piece = "x".repeat(1 << 20);
        assert_eq!((0..10).take_while(|_| draft.say(&piece).is_ok()).count(), 4);

        let mut draft = Draft::new(CALL);
        let begin = |draft: &mut Draft, n: u64| {
            draft.call(&CallPiece { index: Some(n), name: Some("f"), ..CallPiece::default() })
        };
        assert!((0..64).all(|n| begin(&mut draft, n).is_ok()));
        assert_eq!(begin(&mut draft, 64), Err(Flaw::TooLarge(Excess::ToolCalls)));

        let mut draft = Draft::new(CALL);
        let arguments = "x".repeat(MAX_ARGUMENTS_BYTES);
        draft.call(&CallPiece { arguments: &arguments, ..CallPiece::default() }).unwrap();
        let more = draft.call(&CallPiece { arguments: "x", ..CallPiece::default() });
        assert_eq!(more, Err(Flaw::TooLarge(Excess::Arguments)));
    }

    proptest! {
        #[test]
        fn ids_are_never_the_same(
            pieces in prop::collection::vec(
                (prop::option::of(0_u64..4), prop::option::of("[ab]{0,1}"), "[fg]{0,1}", "[{}]{0,2}"),
                0..20,
            ),
        ) {
            let mut draft = Draft::new(CALL);
            for (index, id, name, arguments) in &pieces {
                let (id, name) = (id.as_deref(), Some(name.as_str()));
                draft.call(&CallPiece { index: *index, id, name, arguments }).unwrap();
            }
            let calls = draft.reply().tool_calls;
            for (n, call) in calls.iter().enumerate() {
                prop_assert!(calls[..n].iter().all(|earlier| earlier.id != call.id));
            }
        }
    }
}
