//! Reads the turns of a script.

use std::time::Duration;

use serde_json::Value;

use super::Turn;
use crate::model::draft::MAX_TOOL_CALLS;

/// The line of a system prompt that begins what Recado adds to the agent's own words (`prompt`).
const END: &str = "# Session";
/// The line between two turns.
const NEXT: &str = "---";
/// How many turns a script may have: more than an execution can have.
const MAX_TURNS: usize = 1_000;
/// The longest name of a tool.
const MAX_TOOL_NAME_CHARS: usize = 64;

/// A mistake in a script. Lines are counted from 1.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the script: {kind}")]
pub(crate) struct Mistake {
    /// Where.
    pub(crate) line: usize,
    /// What.
    pub(crate) kind: MistakeKind,
}

/// What is wrong with a line of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MistakeKind {
    #[error("is none of `say:`, `call:`, `wait:`, `tokens:`, `fail:` and `---`")]
    Word,
    #[error("`call:` needs the name of a tool")]
    Tool,
    #[error("the arguments of the call are not JSON")]
    Arguments,
    #[error("`wait:` needs a number of milliseconds")]
    Wait,
    #[error("`tokens:` needs two numbers, of input and of output")]
    Tokens,
    #[error("the turn has too many calls")]
    Calls,
    #[error("the script has too many turns")]
    Turns,
}

/// The turns of the script that a system prompt begins with.
pub(super) fn turns(prompt: &str) -> Result<Vec<Turn>, Mistake> {
    let mut turns = Vec::new();
    // The turn that is being read, once it has a line of its own or one that ended the last.
    let mut turn = None;
    for (number, line) in (1..).zip(prompt.lines().map(str::trim)) {
        let mistake = |kind| Mistake { line: number, kind };
        match line {
            END => break,
            "" => {}
            NEXT if turns.len() == MAX_TURNS => return Err(mistake(MistakeKind::Turns)),
            NEXT => turns.push(turn.take().unwrap_or_default()),
            _ => read(line, turn.get_or_insert_default()).map_err(mistake)?,
        }
    }
    turns.extend(turn);
    Ok(turns)
}

fn read(line: &str, turn: &mut Turn) -> Result<(), MistakeKind> {
    let (word, rest) = line.split_once(':').ok_or(MistakeKind::Word)?;
    let rest = rest.trim();
    match word {
        "say" => turn.say.push(rest.to_owned()),
        "call" if turn.calls.len() == MAX_TOOL_CALLS => return Err(MistakeKind::Calls),
        "call" => turn.calls.push(call(rest)?),
        "wait" => turn.wait = rest.parse().map(Duration::from_millis).or(Err(MistakeKind::Wait))?,
        "tokens" => turn.tokens = Some(tokens(rest).ok_or(MistakeKind::Tokens)?),
        "fail" => turn.fail = Some(rest.to_owned()),
        _ => return Err(MistakeKind::Word),
    }
    Ok(())
}

/// `<tool> <json>`; without arguments it is `{}`.
fn call(text: &str) -> Result<(String, Value), MistakeKind> {
    let (name, arguments) = text.split_once(char::is_whitespace).unwrap_or((text, "{}"));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !(1..=MAX_TOOL_NAME_CHARS).contains(&name.len()) || !name.chars().all(plain) {
        return Err(MistakeKind::Tool);
    }
    let arguments = serde_json::from_str(arguments).or(Err(MistakeKind::Arguments))?;
    Ok((name.to_owned(), arguments))
}

fn tokens(text: &str) -> Option<(u32, u32)> {
    let (input, output) = text.split_once(char::is_whitespace)?;
    Some((input.parse().ok()?, output.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_script_is_read() {
        let script = "say: a: b\n\n  wait: 20\n tokens:  1   2\n---\ncall: f\ncall: g  {\"x\": 1}\n\
                      ---\n---\nfail: no\n---\n\n# Session\n???";
        let turns = turns(script).unwrap();
        let first = Turn {
            say: vec!["a: b".into()],
            wait: Duration::from_millis(20),
            tokens: Some((1, 2)),
            ..Turn::default()
        };
        let second = Turn {
            calls: vec![("f".into(), json!({})), ("g".into(), json!({"x": 1}))],
            ..Turn::default()
        };
        let last = Turn { fail: Some("no".into()), ..Turn::default() };
        assert_eq!(turns, [first, second, Turn::default(), last]);
    }

    #[test]
    fn a_mistake_names_its_line() {
        let many_calls = "call: f\n".repeat(65);
        let many_turns = "---\n".repeat(1_001);
        for (script, line, kind) in [
            ("say: a\n\nYou are helpful.", 3, MistakeKind::Word),
            ("shout: a", 1, MistakeKind::Word),
            ("call:", 1, MistakeKind::Tool),
            ("call: a.b {}", 1, MistakeKind::Tool),
            ("---\ncall: f {\"a\": }", 2, MistakeKind::Arguments),
            ("wait: soon", 1, MistakeKind::Wait),
            ("wait: -1", 1, MistakeKind::Wait),
            ("tokens: 1", 1, MistakeKind::Tokens),
            ("tokens: 1 2 3", 1, MistakeKind::Tokens),
            (&many_calls, 65, MistakeKind::Calls),
            (&many_turns, 1_001, MistakeKind::Turns),
        ] {
            let mistake = turns(script).unwrap_err();
            assert_eq!((mistake.line, mistake.kind), (line, kind), "{script:.40}");
        }
        let message = turns("oops").unwrap_err().to_string();
        assert!(message.starts_with("line 1 of the script: is none of"), "{message}");
    }
}
