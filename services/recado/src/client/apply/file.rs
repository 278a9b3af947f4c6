//! Files, read into what they want to be there.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Map, Value};

use super::mistakes::Mistakes;
use super::yaml::{self, Body, Entry, Node};
use crate::client::failure::Failure;
use crate::client::kind::Kind;
use crate::client::lookup::calling;

/// The longest file, in bytes.
const MAX_FILE: u64 = 1024 * 1024;
/// The most that all files together may have.
const MAX_RESOURCES: usize = 1_000;
const STANDARD_INPUT: &str = "-";

/// What the API would take, and a file must not hold.
const SECRETS: [&str; 4] = ["secret", "webhook_secret", "value", "key"];

/// Something that a file wants to be there.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) external_id: Option<String>,
    /// What the file says of it, in the file's own words.
    pub(super) given: Map<String, Value>,
    file: Rc<str>,
    node: Node,
}

impl Item {
    /// How it is spoken of: agent `Reception`.
    pub(super) fn label(&self) -> String {
        calling(self.kind, &self.name)
    }

    /// Where a field of it stands: `reception.yaml:12`. `path` is in the API's words.
    pub(super) fn at(&self, path: &str) -> String {
        let own = |path: &str| self.node.line_of(path);
        let words = self.kind.references().iter();
        let word = words.clone().find(|(word, field, _)| {
            path == *field && !self.given.contains_key(*field) && self.given.contains_key(*word)
        });
        let line = match word {
            Some((word, ..)) => own(word),
            None if path == "config.agent_id" && self.given["config"]["agent"].is_string() => {
                own("config.agent")
            }
            None => own(path),
        };
        format!("{}:{line}", self.file)
    }
}

/// Everything that these files want to be there; nothing but `only`, if it is given.
pub(super) fn read(files: &[PathBuf], only: Option<Kind>) -> Result<Vec<Item>, Failure> {
    let mut items = Vec::new();
    let mut mistakes = Mistakes::default();
    for path in files {
        let (name, text) = text_of(path)?;
        items.extend(parse(&name, &text, only, &mut mistakes));
        if items.len() > MAX_RESOURCES {
            let reason = format!("there are more than {MAX_RESOURCES} things in these files");
            return Err(Failure::Usage(reason));
        }
    }
    refuse_twins(&items, &mut mistakes);
    mistakes.finish()?;
    Ok(items)
}

fn text_of(path: &Path) -> Result<(String, String), Failure> {
    let is_stdin = path.as_os_str() == STANDARD_INPUT;
    let name = if is_stdin { "standard input".into() } else { path.display().to_string() };
    let read = if is_stdin { bounded(stdin()) } else { File::open(path).and_then(bounded) };
    let refused = |reason: &str| Failure::Usage(format!("{name}: {reason}"));
    let bytes = read.map_err(|error| refused(&error.to_string()))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(refused("has more than 1 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_not_shown| refused("is not UTF-8"))?;
    Ok((name, text))
}

fn bounded(source: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(file: &str, text: &str, only: Option<Kind>, mistakes: &mut Mistakes) -> Vec<Item> {
    let documents = match yaml::documents(text) {
        Ok(documents) => documents,
        Err(reason) => {
            mistakes.add(file, reason);
            return Vec::new();
        }
    };
    let file: Rc<str> = file.into();
    let mut items = Vec::new();
    for document in documents {
        let Body::Map(lists) = document.body else {
            let is_empty = matches!(document.body, Body::Plain(Value::Null));
            if !is_empty {
                let reason = format!("must have {}", words(only));
                mistakes.add(format!("{file}:{}", document.line), reason);
            }
            continue;
        };
        for Entry { key, line, value } in lists {
            let at = format!("{file}:{line}");
            let kind = Kind::IN_FILES.into_iter().find(|kind| kind.plural() == key);
            let Some(kind) = kind.filter(|kind| only.is_none_or(|only| only == *kind)) else {
                mistakes.add(at, format!("`{key}` is not one of: {}", words(only)));
                continue;
            };
            match value.body {
                Body::List(nodes) => {
                    items
                        .extend(nodes.into_iter().filter_map(|it| item(kind, &file, it, mistakes)));
                }
                Body::Plain(Value::Null) => {}
                Body::Plain(_) | Body::Map(_) => {
                    mistakes.add(at, format!("{key} must be a list"));
                }
            }
        }
    }
    items
}

fn words(only: Option<Kind>) -> String {
    let kinds = Kind::IN_FILES.iter().filter(|kind| only.is_none_or(|only| only == **kind));
    kinds.map(|kind| kind.plural()).collect::<Vec<_>>().join(", ")
}

fn item(kind: Kind, file: &Rc<str>, node: Node, mistakes: &mut Mistakes) -> Option<Item> {
    let at = |line: u64| format!("{file}:{line}");
    let Body::Map(entries) = &node.body else {
        mistakes.add(at(node.line), format!("{} must be an object", kind.one()));
        return None;
    };
    let is_known = |key: &str| {
        kind.fields().iter().any(|(field, _)| *field == key)
            || kind.references().iter().any(|(word, ..)| *word == key)
    };
    for Entry { key, line, .. } in entries {
        if SECRETS.contains(&key.as_str()) {
            let reason = format!("{key}: a secret is never in a file, only its name is");
            mistakes.add(at(*line), reason);
        } else if !is_known(key) {
            mistakes.add(at(*line), format!("{key} is not a known field of {}", kind.one()));
        }
    }
    let Value::Object(given) = node.to_value() else { return None };
    let text = |name: &str| given.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let Some(name) = text("name").map(str::to_owned) else {
        mistakes.add(at(node.line_of("name")), "name is required, and is a text");
        return None;
    };
    if given.get("external_id").is_some_and(|id| !id.is_null() && !id.is_string()) {
        mistakes.add(at(node.line_of("external_id")), "external_id must be a text");
    }
    let external_id = text("external_id").map(str::to_owned);
    Some(Item { kind, name, external_id, given, file: Rc::clone(file), node })
}

/// Two that are one to the server would change each other for ever.
fn refuse_twins(items: &[Item], mistakes: &mut Mistakes) {
    let mut seen = HashSet::new();
    for item in items {
        let owner = match item.kind {
            Kind::Trigger => item.given.get("agent").or(item.given.get("agent_id")),
            _ => None,
        };
        let name = item.external_id.as_ref().unwrap_or(&item.name);
        let owner = owner.map(Value::to_string);
        if !seen.insert((item.kind, item.external_id.is_some(), name, owner)) {
            mistakes.add(item.at("name"), format!("{} is there twice", item.label()));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The items of a text that is right.
    pub(in crate::client::apply) fn items(text: &str) -> Vec<Item> {
        let mut mistakes = Mistakes::default();
        let items = parse("x.yaml", text, None, &mut mistakes);
        refuse_twins(&items, &mut mistakes);
        mistakes.finish().unwrap();
        items
    }

    fn refused(text: &str, only: Option<Kind>) -> String {
        let mut mistakes = Mistakes::default();
        let items = parse("x.yaml", text, only, &mut mistakes);
        refuse_twins(&items, &mut mistakes);
        mistakes.finish().expect_err(text).to_string()
    }

    #[test]
    fn several_documents_are_one_set() {
        let items = items(
            "agents:\n- name: A\n  model: builtin.echo\n---\ntriggers:\n- name: T\n  agent: A\n\
             ---\n# nothing\n---\nagents:\n",
        );
        let labels: Vec<String> = items.iter().map(Item::label).collect();
        assert_eq!(labels, ["agent `A`", "trigger `T`"]);
        assert_eq!(items[0].at("model"), "x.yaml:3");
        assert_eq!(items[1].at("agent_id"), "x.yaml:7", "the API's field, in the file's word");
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "agents:\n- name: A\n  modle: x\n- model: y\n- 7\nthings: []\ntools: {}\n\
                    event_endpoints:\n- name: E\n  secret: whsec_x\nproviders:\n- {name: p}\n- {name: p}\n";
        let told = refused(text, None);
        for expected in [
            "x.yaml:3: modle is not a known field of an agent",
            "x.yaml:4: name is required",
            "x.yaml:5: an agent must be an object",
            "x.yaml:6: `things` is not one of: providers, apps, tools, agents, triggers, event_endpoints",
            "x.yaml:7: tools must be a list",
            "x.yaml:10: secret: a secret is never in a file",
            "x.yaml:13: provider `p` is there twice",
        ] {
            assert!(told.contains(expected), "{expected}\n{told}");
        }
        assert!(!told.contains("whsec_x"), "{told}");
        assert!(refused("- 1", None).contains("x.yaml:1: must have"));
        assert!(refused("agents: [", None).contains("x.yaml: "));
        let told = refused("agents:\n- name: A\n", Some(Kind::Trigger));
        assert!(told.contains("`agents` is not one of: triggers"), "{told}");
    }

    #[test]
    fn triggers_of_several_agents_may_share_a_name() {
        let both = "triggers:\n- {name: T, agent: A}\n- {name: T, agent: B}\n";
        assert_eq!(items(both).len(), 2);
        assert!(
            refused("triggers:\n- {name: T, agent: A}\n- {name: T, agent: A}\n", None)
                .contains("there twice")
        );
    }
}
