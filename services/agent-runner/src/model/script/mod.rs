//! `builtin.script`: an agent whose turns stand in its system prompt. It needs no network and says
//! the same each time: for demonstrations, tests and load.
//!
//! `docs/agents.md` tells how a script is written. Which turn is played follows from the
//! conversation alone, so a run that resumes after a crash goes on where it was.

mod parse;

use std::time::Duration;

use serde_json::Value;

use super::answer::Flaw;
use super::chat::{Ask, ChatMessage, Reply, last_input};
use super::draft::{CallPiece, Draft, MAX_ARGUMENTS_BYTES};
use super::error::{Excess, ModelError};

pub(crate) use parse::Mistake;

/// What is done in one turn.
#[derive(Clone, Debug, Default, PartialEq)]
struct Turn {
    /// The lines of the answer.
    say: Vec<String>,
    /// Tools and their arguments.
    calls: Vec<(String, Value)>,
    /// How long the thinking takes.
    wait: Duration,
    /// What is claimed to have been used: of input, of output.
    tokens: Option<(u32, u32)>,
    /// What goes wrong in place of an answer.
    fail: Option<String>,
}

/// What stands in for `$input`, `$results`, `$1`, ….
struct Stage<'a> {
    input: &'a str,
    results: Vec<&'a str>,
}

/// Plays the turn that a conversation has come to.
pub(super) async fn play(ask: &Ask<'_>) -> Result<Reply, ModelError> {
    let system = ask.conversation.iter().find_map(|message| match message {
        ChatMessage::System(text) => Some(text.as_str()),
        _ => None,
    });
    let turns = parse::turns(system.unwrap_or_default()).map_err(ModelError::Script)?;
    let turn = choose(turns, n_said(ask.conversation));
    tokio::time::sleep(turn.wait.min(ask.patience)).await;
    if turn.wait > ask.patience {
        return Err(ModelError::Failing { n_attempts: 1, last: "timeout".to_owned() });
    }
    if let Some(text) = turn.fail {
        return Err(ModelError::Scripted(text));
    }
    let stage = Stage { input: last_input(ask.conversation), results: results(ask.conversation) };
    turn.perform(ask, &stage).map_err(|flaw| match flaw {
        Flaw::TooLarge(excess) => ModelError::TooLarge(excess),
        Flaw::Malformed | Flaw::BrokenOff | Flaw::Complaint(_) => ModelError::Malformed,
    })
}

/// How often the agent has spoken since the user did.
fn n_said(conversation: &[ChatMessage]) -> usize {
    let since =
        conversation.iter().rev().take_while(|message| !matches!(message, ChatMessage::User(_)));
    since.filter(|message| matches!(message, ChatMessage::Assistant { .. })).count()
}

/// What the tools of the last turn said, in order.
fn results(conversation: &[ChatMessage]) -> Vec<&str> {
    let mut results: Vec<&str> = conversation
        .iter()
        .rev()
        .map_while(|message| match message {
            ChatMessage::Tool { content, .. } => Some(content.as_str()),
            _ => None,
        })
        .collect();
    results.reverse();
    results
}

/// A turn of the script; past its end the last one that calls nothing, or silence.
fn choose(mut turns: Vec<Turn>, n_said: usize) -> Turn {
    if n_said < turns.len() {
        return turns.swap_remove(n_said);
    }
    turns.into_iter().rev().find(|turn| turn.calls.is_empty()).unwrap_or_default()
}

impl Turn {
    fn perform(&self, ask: &Ask<'_>, stage: &Stage<'_>) -> Result<Reply, Flaw> {
        let mut draft = Draft::new(ask.call_id);
        for (n, line) in self.say.iter().enumerate() {
            if n > 0 {
                draft.say("\n")?;
            }
            stage.fill(line, |text| draft.say(text))?;
        }
        for (index, (name, arguments)) in (0..).zip(&self.calls) {
            let arguments = stage.fill_value(arguments)?.to_string();
            let (index, name) = (Some(index), Some(name.as_str()));
            draft.call(&CallPiece { index, id: None, name, arguments: &arguments })?;
        }
        draft.stop(if self.calls.is_empty() { "stop" } else { "tool_calls" });
        draft.input_tokens = self.tokens.map(|(input, _)| input.into());
        draft.output_tokens = self.tokens.map(|(_, output)| output.into());
        Ok(draft.reply())
    }
}

impl Stage<'_> {
    /// Puts in what placeholders stand for, once: what is put in is not looked at again.
    fn fill(
        &self,
        mut template: &str,
        mut write: impl FnMut(&str) -> Result<(), Flaw>,
    ) -> Result<(), Flaw> {
        while let Some((before, after)) = template.split_once('$') {
            write(before)?;
            if let Some(rest) = after.strip_prefix("input") {
                write(self.input)?;
                template = rest;
            } else if let Some(rest) = after.strip_prefix("results") {
                for (n, result) in self.results.iter().enumerate() {
                    write(if n > 0 { "\n" } else { "" })?;
                    write(result)?;
                }
                template = rest;
            } else if let Some((n, rest)) = number(after) {
                let result = n.checked_sub(1).and_then(|at| self.results.get(at));
                write(result.copied().unwrap_or_default())?;
                template = rest;
            } else {
                write("$")?;
                template = after;
            }
        }
        write(template)
    }

    /// The same in every text of an argument. Serialised, it is escaped as JSON wants it.
    fn fill_value(&self, value: &Value) -> Result<Value, Flaw> {
        Ok(match value {
            Value::String(template) => {
                let mut text = String::new();
                self.fill(template, |piece| {
                    if text.len() + piece.len() > MAX_ARGUMENTS_BYTES {
                        return Err(Flaw::TooLarge(Excess::Arguments));
                    }
                    text.push_str(piece);
                    Ok(())
                })?;
                Value::String(text)
            }
            Value::Array(items) => {
                items.iter().map(|item| self.fill_value(item)).collect::<Result<_, _>>()?
            }
            Value::Object(fields) => {
                let filled =
                    fields.iter().map(|(name, value)| Ok((name.clone(), self.fill_value(value)?)));
                Value::Object(filled.collect::<Result<_, Flaw>>()?)
            }
            plain => plain.clone(),
        })
    }
}

/// The number at the beginning of a text, and what follows.
fn number(text: &str) -> Option<(usize, &str)> {
    let n_digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(n_digits);
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;
    use recado_types::agent::Sampling;

    use super::*;
    use crate::model::chat::ToolRequest;
    use crate::model::fixtures::with;

    fn said(text: &str, n_calls: usize) -> ChatMessage {
        let call = ToolRequest { id: "x".into(), name: "f".into(), arguments: "{}".into() };
        ChatMessage::Assistant { text: text.into(), tool_calls: vec![call; n_calls] }
    }

    fn told(content: &str) -> ChatMessage {
        let (call_id, name, content) = ("x".into(), "f".into(), content.into());
        ChatMessage::Tool { call_id, name, content, is_error: false }
    }

    fn conversation(script: &str, rest: &[ChatMessage]) -> Vec<ChatMessage> {
        let system = format!("{script}\n\n# Session\nsession_id: 1\nsay: not this\n");
        let mut conversation = vec![ChatMessage::System(system)];
        conversation.extend_from_slice(rest);
        conversation
    }

    async fn ask(script: &str, rest: &[ChatMessage]) -> Result<Reply, ModelError> {
        let (conversation, sampling) = (conversation(script, rest), Sampling::default());
        play(&with(&conversation, &[], &sampling)).await
    }

    fn user(text: &str) -> ChatMessage {
        ChatMessage::User(text.into())
    }

    const SCRIPT: &str = r#"
        say: Let me see.
        call: find {"q": "$input", "n": 2}
        call: list
        tokens: 120 30
        ---
        call: note {"all": ["$results"], "second": "$2"}
        ---
        say: Found: $1
        say: That is all for "$input".
    "#;

    #[tokio::test]
    async fn a_conversation_says_which_turn_it_is() {
        let before = [user("old"), said("old", 0)];
        let mut rest: Vec<ChatMessage> = before.to_vec();
        rest.push(user("a \"b\"\nc"));
        let first = ask(SCRIPT, &rest).await.unwrap();
        assert_eq!(first.text, "Let me see.");
        let calls: Vec<(&str, &str)> =
            first.tool_calls.iter().map(|call| (&*call.name, &*call.arguments)).collect();
        assert_eq!(calls, [("find", r#"{"n":2,"q":"a \"b\"\nc"}"#), ("list", "{}")]);
        assert_ne!(first.tool_calls[0].id, first.tool_calls[1].id);
        assert_eq!((first.input_tokens, first.output_tokens), (Some(120), Some(30)));
        assert_eq!(first.finish_reason.as_deref(), Some("tool_calls"));

        rest.extend([said("Let me see.", 2), told("one"), told("two $1")]);
        let second = ask(SCRIPT, &rest).await.unwrap();
        let arguments = &second.tool_calls[0].arguments;
        assert_eq!(arguments, r#"{"all":["one\ntwo $1"],"second":"two $1"}"#);

        rest.extend([said("", 1), told("noted")]);
        let third = ask(SCRIPT, &rest).await.unwrap();
        assert_eq!(third.text, "Found: noted\nThat is all for \"a \"b\"\nc\".");
        assert_eq!(third.finish_reason.as_deref(), Some("stop"));

        rest.push(said("x", 0));
        assert_eq!(ask(SCRIPT, &rest).await.unwrap().tool_calls, [], "the last turn again");
    }

    #[tokio::test]
    async fn past_the_end_a_script_of_calls_is_silent() {
        let reply = ask("call: f {}", &[user("a"), said("", 1), told("b")]).await.unwrap();
        assert_eq!((reply.text.as_str(), reply.tool_calls.len()), ("", 0));
        assert_eq!(ask("", &[user("a")]).await.unwrap().text, "");
    }

    #[tokio::test]
    async fn a_script_can_fail_and_take_its_time() {
        let failed = ask("fail: the moon is wrong", &[user("a")]).await.unwrap_err();
        assert_eq!(failed.code(), "script_failed");
        assert_eq!(failed.to_string(), "the script fails: the moon is wrong");

        let begun = Instant::now();
        assert_eq!(ask("wait: 300\nsay: x", &[user("a")]).await.unwrap().text, "x");
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }

    #[tokio::test]
    async fn a_script_takes_no_longer_than_there_is_patience() {
        let (conversation, sampling) = (conversation("wait: 60000", &[]), Sampling::default());
        let mut ask = with(&conversation, &[], &sampling);
        ask.patience = Duration::from_millis(100);
        let begun = Instant::now();
        assert_eq!(play(&ask).await.unwrap_err().code(), "model_unavailable");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn what_is_put_in_is_bounded() {
        let long = "x".repeat(1 << 20);
        let said = ask("say: $input$input$input$input$input", &[user(&long)]).await.unwrap_err();
        assert_eq!(said.code(), "model_answer_too_large");
        let called = ask(r#"call: f {"a": "$input"}"#, &[user(&long)]).await.unwrap_err();
        assert_eq!(called.code(), "model_answer_too_large");
    }

    #[test]
    fn placeholders_are_filled_once_and_others_left() {
        let stage = Stage { input: "$1", results: vec!["$input", "b"] };
        let fill = |template: &str| {
            let mut text = String::new();
            let write = |piece: &str| {
                text.push_str(piece);
                Ok(())
            };
            stage.fill(template, write).unwrap();
            text
        };
        assert_eq!(fill("$input $1 $2 $3 $0 $ $$ $x $12"), "$1 $input b   $ $$ $x ");
        assert_eq!(fill("$results$inputs"), "$input\nb$1s");
    }

    proptest! {
        #[test]
        fn nonsense_is_survived(script in "[ -~\n]{0,80}", input in ".{0,10}") {
            let turns = parse::turns(&script).unwrap_or_default();
            let (conversation, sampling) = (conversation("", &[user(&input)]), Sampling::default());
            let stage = Stage { input: &input, results: vec!["a", "b"] };
            for turn in turns {
                let _ = turn.perform(&with(&conversation, &[], &sampling), &stage);
            }
        }
    }
}
