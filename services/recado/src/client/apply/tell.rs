//! What would change, told before it does.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::diff::Change;
use super::plan::{Action, Planned};
use crate::table::{one_line, shortened};

/// The longest value of which everything is shown, in characters.
const MAX_SHOWN: usize = 160;
/// The most lines of a text that are shown, of what went and of what came.
const MAX_LINES: usize = 40;
const HIDDEN: &str = "[hidden]";

/// How things are told apart on a terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Colours(pub(super) bool);

impl Colours {
    fn paint(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn came(self, text: &str) -> String {
        self.paint("32", text)
    }

    fn went(self, text: &str) -> String {
        self.paint("31", text)
    }

    fn changed(self, text: &str) -> String {
        self.paint("33", text)
    }
}

/// The plan, thing by thing, and how many there are of each.
pub(super) fn plan(
    planned: &[Planned],
    names: &HashMap<String, String>,
    colours: Colours,
) -> String {
    let mut told: Vec<String> = Vec::new();
    for thing in planned {
        let label = thing.resource.item.label();
        let head = match thing.action {
            Action::Create => colours.came(&format!("+ {label}")),
            Action::Change => colours.changed(&format!("~ {label}  {}", thing.resource.id)),
            Action::Nothing => continue,
        };
        told.push(head);
        let changes = thing.diff.changes.iter();
        told.extend(changes.map(|it| change(it, thing.action, names, colours)));
    }
    let count = |action: Action| planned.iter().filter(|it| it.action == action).count();
    let (n_new, n_changed) = (count(Action::Create), count(Action::Change));
    let n_same = count(Action::Nothing);
    told.push(if n_new + n_changed == 0 {
        format!("Nothing to change: {n_same} as they should be.")
    } else {
        format!("{n_new} to create, {n_changed} to change, {n_same} unchanged")
    });
    told.join("\n")
}

fn change(
    change: &Change,
    action: Action,
    names: &HashMap<String, String>,
    colours: Colours,
) -> String {
    let Change { path, before, after } = masked(change);
    let path = one_line(&path);
    let shown = |value: &Value| shown(value, names);
    match (&before, &after) {
        (Some(Value::String(before)), Some(Value::String(after))) if is_long(before, after) => {
            format!("    {path}:\n{}", lines(before, after, colours))
        }
        (Some(before), Some(after)) => {
            let (before, after) = (colours.went(&shown(before)), colours.came(&shown(after)));
            format!("    {path}: {before} → {after}")
        }
        (None, Some(after)) if action == Action::Create => format!("    {path}: {}", shown(after)),
        (None, Some(after)) => {
            format!("    {path}: {}", colours.came(&format!("+ {}", shown(after))))
        }
        (Some(before), None) => {
            format!("    {path}: {}", colours.went(&format!("- {}", shown(before))))
        }
        (None, None) => format!("    {path}"),
    }
}

/// A value on one line; what is an id of something with a name, as that name.
fn shown(value: &Value, names: &HashMap<String, String>) -> String {
    match value {
        Value::String(text) => match names.get(text) {
            Some(name) => shortened(name, MAX_SHOWN),
            None => shortened(&format!("{text:?}"), MAX_SHOWN),
        },
        other => shortened(&other.to_string(), MAX_SHOWN),
    }
}

/// Whether a change would be lost in two texts side by side.
fn is_long(before: &str, after: &str) -> bool {
    [before, after].iter().any(|text| text.contains('\n') || text.chars().count() > MAX_SHOWN)
}

/// The lines that went and those that came, between what both texts begin and end with.
fn lines(before: &str, after: &str, colours: Colours) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let n_head = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[n_head..], &new[n_head..]);
    let n_tail = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[..old.len() - n_tail], &new[..new.len() - n_tail]);
    if old.is_empty() && new.is_empty() {
        return "      (line ends)".into();
    }
    let side = |lines: &[&str], mark: &str| {
        let mut told: Vec<String> = lines
            .iter()
            .take(MAX_LINES)
            .map(|line| format!("      {mark} {}", one_line(line)))
            .collect();
        if lines.len() > MAX_LINES {
            told.push(format!("      {mark} … {} more lines", lines.len() - MAX_LINES));
        }
        told
    };
    let went = side(old, "-").into_iter().map(|line| colours.went(&line));
    let came = side(new, "+").into_iter().map(|line| colours.came(&line));
    went.chain(came).collect::<Vec<_>>().join("\n")
}

/// What gives access is not shown, even if somebody wrote it where a name belongs.
pub(super) fn masked(change: &Change) -> Change {
    let field = change.path.rsplit(['.', '[']).find(|step| !step.ends_with(']')).unwrap_or("");
    let field = field.to_lowercase().replace('-', "_");
    let is_a_name = field.ends_with("_ref") || field.ends_with("_refs");
    let gives_access =
        ["authorization", "password", "secret", "api_key", "apikey", "cookie", "credential"]
            .iter()
            .any(|word| field.contains(word));
    let hide = |value: &Option<Value>| {
        value.as_ref().map(|value| {
            if gives_access && !is_a_name && value.is_string() {
                json!(HIDDEN)
            } else {
                value.clone()
            }
        })
    };
    Change { path: change.path.clone(), before: hide(&change.before), after: hide(&change.after) }
}

/// The plan for programs; `done` are the ids of what was made and changed, by their places.
pub(super) fn json(planned: &[Planned], done: &HashMap<usize, String>, dry_run: bool) -> Value {
    let changes = planned.iter().enumerate().filter(|(_, it)| it.action != Action::Nothing);
    let changes: Vec<Value> = changes
        .map(|(index, thing)| {
            let is_new = thing.action == Action::Create;
            let known = (!is_new).then(|| thing.resource.id.clone());
            let fields: Vec<Value> = thing
                .diff
                .changes
                .iter()
                .map(masked)
                .map(|it| json!({"path": it.path, "before": it.before, "after": it.after}))
                .collect();
            json!({
                "action": if is_new { "create" } else { "change" },
                "kind": thing.resource.item.kind.singular(),
                "name": thing.resource.item.name,
                "id": done.get(&index).cloned().or(known),
                "fields": fields,
                "done": done.contains_key(&index),
            })
        })
        .collect();
    let n_unchanged = planned.len() - changes.len();
    let told: Map<String, Value> = [
        ("dry_run".to_owned(), json!(dry_run)),
        ("changes".to_owned(), json!(changes)),
        ("unchanged".to_owned(), json!(n_unchanged)),
    ]
    .into_iter()
    .collect();
    Value::Object(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, before: Value, after: Value) -> String {
        let known = |value: Value| (!value.is_null()).then_some(value);
        let change = Change { path: path.into(), before: known(before), after: known(after) };
        let names = HashMap::from([("id-1".to_owned(), "Echo".to_owned())]);
        super::change(&change, Action::Change, &names, Colours(false))
    }

    #[test]
    fn a_change_is_on_one_line_with_names_for_ids() {
        assert_eq!(told("limits.max_tokens", json!(1), json!(2)), "    limits.max_tokens: 1 → 2");
        assert_eq!(told("agent_id", json!("id-1"), json!("id-2")), "    agent_id: Echo → \"id-2\"");
        assert_eq!(told("app_id", json!(null), json!("id-1")), "    app_id: + Echo");
        assert_eq!(told("a", json!("x\u{1b}[2J"), json!(null)), "    a: - \"x\\u{1b}[2J\"");
    }

    #[test]
    fn of_a_long_text_the_lines_that_differ_are_told() {
        let before = "one\ntwo\nthree\nfour";
        let after = "one\n2\nthree\nfour";
        let expected = "    system_prompt:\n      - two\n      + 2";
        assert_eq!(told("system_prompt", json!(before), json!(after)), expected);
    }

    #[test]
    fn what_gives_access_is_hidden() {
        for path in ["config.headers.Authorization", "config.env.API_KEY", "headers.X-Api-Key"] {
            let line = told(path, json!("hunter1"), json!("hunter2"));
            assert!(!line.contains("hunter"), "{line}");
        }
        assert!(told("auth.secret_ref", json!("OLD"), json!("NEW")).contains("NEW"));
    }

    #[test]
    fn colours_are_for_terminals() {
        assert_eq!(Colours(false).came("x"), "x");
        assert_eq!(Colours(true).came("x"), "\u{1b}[32mx\u{1b}[0m");
    }
}
