//! Files, read into what they want to be there.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Map, Value};

use super::mistakes::{Mistakes, Place};
use super::yaml::{self, Body, Entry, Node, Twin};
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

/// What files want to be there.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) items: Vec<Item>,
    /// What is wrong with the files, as far as it is known without the server.
    pub(super) mistakes: Mistakes,
    /// Whether there is something in the files that could not be read: then nobody knows what else
    /// they name.
    pub(super) is_partial: bool,
}

/// Something that a file wants to be there.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    /// Empty if the file gives none, which is a mistake that was told.
    pub(super) name: String,
    pub(super) external_id: Option<String>,
    /// What the file says of it, in the file's own words; no unknown ones are among them.
    pub(super) given: Map<String, Value>,
    /// Where the file has it: `agents[1]`.
    path: String,
    place: Place,
    node: Node,
}

impl Item {
    /// How it is spoken of: agent `Reception`.
    pub(super) fn label(&self) -> String {
        if self.name.is_empty() { self.path.clone() } else { calling(self.kind, &self.name) }
    }

    /// Whether it is a tool whose configuration says an agent by name.
    fn names_its_agent(&self) -> bool {
        self.given.get("config").is_some_and(|config| config["agent"].is_string())
    }

    /// Where a field of it stands: `reception.yaml:12`. `path` is in the API's words.
    pub(super) fn at(&self, path: &str) -> Place {
        let own = |path: &str| self.node.line_of(path);
        let words = self.kind.references().iter();
        let word = words.clone().find(|(word, field, _)| {
            path == *field && !self.given.contains_key(*field) && self.given.contains_key(*word)
        });
        let line = match word {
            Some((word, ..)) => own(word),
            None if path == "config.agent_id" && self.names_its_agent() => own("config.agent"),
            None => own(path),
        };
        self.place.line(line)
    }
}

/// Everything that these files want to be there; nothing but `only`, if it is given.
pub(super) fn read(files: &[PathBuf], only: Option<Kind>) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    for path in files {
        let (name, text) = text_of(path)?;
        wanted.read(&name.into(), &text, only);
        if wanted.items.len() > MAX_RESOURCES {
            let reason = format!("there are more than {MAX_RESOURCES} things in these files");
            return Err(Failure::Usage(reason));
        }
    }
    wanted.refuse_twins();
    Ok(wanted)
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

impl Wanted {
    /// Adds what a file has.
    fn read(&mut self, file: &Rc<str>, text: &str, only: Option<Kind>) {
        let documents = match yaml::documents(text) {
            Ok(documents) => documents,
            Err(reason) => {
                self.mistakes.add(Place::of_file(file), reason);
                self.is_partial = true;
                return;
            }
        };
        let (n_documents, mut is_empty) = (documents.len(), true);
        for (index, document) in documents.into_iter().enumerate() {
            let number = (n_documents > 1).then_some(index + 1);
            let place = Place { document: number, ..Place::of_file(file) };
            is_empty &= !self.read_document(document, &place, only);
        }
        if is_empty {
            // Whoever made it with a program wants to know that it came to nothing.
            let reason = format!("there is nothing in it: it must have {}", words(only));
            self.mistakes.add(Place::of_file(file), reason);
        }
    }

    /// Adds what a document has; false if there is nothing in it.
    fn read_document(&mut self, document: Node, place: &Place, only: Option<Kind>) -> bool {
        let twins = document.twins();
        let line = document.line;
        let Body::Map(lists) = document.body else {
            let is_there = !matches!(document.body, Body::Plain(Value::Null));
            if is_there {
                self.mistakes.add(place.line(line), format!("must have {}", words(only)));
                self.is_partial = true;
            }
            return is_there;
        };
        for Twin { path, line, first } in twins {
            self.mistakes.add(place.line(line), there_twice(&path, first));
        }
        let mut is_there = false;
        for Entry { key, line, value } in lists {
            let at = place.line(line);
            let kind = Kind::IN_FILES.into_iter().find(|kind| kind.plural() == key);
            let Some(kind) = kind.filter(|kind| only.is_none_or(|only| only == *kind)) else {
                self.mistakes.add(at, format!("`{key}` is not one of: {}", words(only)));
                (self.is_partial, is_there) = (true, true);
                continue;
            };
            match value.body {
                Body::List(nodes) => {
                    is_there |= !nodes.is_empty();
                    for (index, node) in nodes.into_iter().enumerate() {
                        let path = format!("{key}[{index}]");
                        self.items.extend(item(kind, path, place, node, &mut self.mistakes));
                    }
                }
                Body::Plain(Value::Null) => {}
                Body::Plain(_) | Body::Map(_) => {
                    self.mistakes.add(at, format!("{key} must be a list"));
                    (self.is_partial, is_there) = (true, true);
                }
            }
        }
        is_there
    }

    /// Two that are one to the server would change each other for ever.
    fn refuse_twins(&mut self) {
        let mut seen = HashSet::new();
        let nameless = |item: &&Item| item.name.is_empty() && item.external_id.is_none();
        for item in self.items.iter().filter(|item| !nameless(item)) {
            let owner = match item.kind {
                Kind::Trigger => item.given.get("agent").or(item.given.get("agent_id")),
                _ => None,
            };
            let name = item.external_id.as_ref().unwrap_or(&item.name);
            let owner = owner.map(Value::to_string);
            if !seen.insert((item.kind, item.external_id.is_some(), name, owner)) {
                self.mistakes.add(item.at("name"), format!("{} is there twice", item.label()));
            }
        }
    }
}

fn words(only: Option<Kind>) -> String {
    let kinds = Kind::IN_FILES.iter().filter(|kind| only.is_none_or(|only| only == **kind));
    kinds.map(|kind| kind.plural()).collect::<Vec<_>>().join(", ")
}

fn there_twice(path: &str, first: u64) -> String {
    format!("{path} is there twice; line {first} has it, too")
}

/// What a list has at `path`; whatever is wrong with it, others may name it.
fn item(
    kind: Kind,
    path: String,
    place: &Place,
    node: Node,
    mistakes: &mut Mistakes,
) -> Option<Item> {
    let Value::Object(mut given) = node.to_value() else {
        let reason = format!("{path}: {} must be an object", kind.one());
        mistakes.add(place.line(node.line), reason);
        return None;
    };
    let is_known = |key: &str| {
        kind.fields().iter().any(|(field, _)| *field == key)
            || kind.references().iter().any(|(word, ..)| *word == key)
    };
    let unknown: Vec<String> = given.keys().filter(|key| !is_known(key)).cloned().collect();
    given.retain(|key, _| is_known(key));
    let text = |name: &str| given.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = text("name").map(str::to_owned);
    let external_id = text("external_id").map(str::to_owned);
    let place = place.clone();
    let (is_named, name) = (name.is_some(), name.unwrap_or_default());
    let item = Item { kind, name, external_id, given, path, place, node };

    for Twin { path, line, first } in item.node.all_twins() {
        let reason = format!("{}: {}", item.label(), there_twice(&path, first));
        mistakes.add(item.place.line(line), reason);
    }
    for key in unknown {
        if SECRETS.contains(&key.as_str()) {
            mistakes.add_of(&item, &key, "must not be here: only the name of a secret is");
        } else {
            mistakes.add_of(&item, &key, "is not a known field");
        }
    }
    if !is_named {
        mistakes.add_of(&item, "name", "is required, and is a text");
    }
    if item.given.get("external_id").is_some_and(|id| !id.is_null() && !id.is_string()) {
        mistakes.add_of(&item, "external_id", "must be a text");
    }
    Some(item)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a text wants, with what is wrong with it.
    pub(in crate::client::apply) fn wanted(text: &str, only: Option<Kind>) -> Wanted {
        let mut wanted = Wanted::default();
        wanted.read(&"x.yaml".into(), text, only);
        wanted.refuse_twins();
        wanted
    }

    /// The items of a text that is right.
    pub(in crate::client::apply) fn items(text: &str) -> Vec<Item> {
        let Wanted { items, mistakes, .. } = wanted(text, None);
        mistakes.finish().unwrap();
        items
    }

    fn refused(text: &str, only: Option<Kind>) -> String {
        wanted(text, only).mistakes.finish().expect_err(text).to_string()
    }

    #[test]
    fn several_documents_are_one_set() {
        let items = items(
            "agents:\n- name: A\n  model: builtin.echo\n---\ntriggers:\n- name: T\n  agent: A\n\
             ---\n# nothing\n---\nagents:\n",
        );
        let labels: Vec<String> = items.iter().map(Item::label).collect();
        assert_eq!(labels, ["agent `A`", "trigger `T`"]);
        assert_eq!(items[0].at("model").to_string(), "x.yaml:3 (document 1)");
        let at = items[1].at("agent_id").to_string();
        assert_eq!(at, "x.yaml:7 (document 2)", "the API's field, in the file's word");
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "agents:\n- name: A\n  modle: x\n- model: y\n- 7\nthings: []\ntools: {}\n\
                    event_endpoints:\n- name: E\n  secret: whsec_x\nproviders:\n- {name: p}\n- {name: p}\n";
        let told = refused(text, None);
        for expected in [
            "x.yaml:3: agent `A`: modle is not a known field",
            "x.yaml:4: agents[1]: name is required",
            "x.yaml:5: agents[2]: an agent must be an object",
            "x.yaml:6: `things` is not one of: providers, apps, tools, agents, triggers, event_endpoints",
            "x.yaml:7: tools must be a list",
            "x.yaml:10: event endpoint `E`: secret must not be here",
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
    fn a_key_that_is_there_twice_is_refused_wherever_it_is() {
        let text = "agents:\n- name: A\n  limits: {max_tokens: 1,\n    max_tokens: hunter2}\n  model: x\n\
                    agents:\n- name: B\n---\n\
                    {\"triggers\": [{\"name\": \"T\",\n\"name\": \"U\"}]}\n";
        let told = refused(text, None);
        for expected in [
            "there are 3 mistakes",
            "x.yaml:4 (document 1): agent `A`: limits.max_tokens is there twice; line 3 has it, too",
            "x.yaml:6 (document 1): agents is there twice; line 1 has it, too",
            "x.yaml:10 (document 2): trigger `U`: name is there twice; line 9 has it, too",
        ] {
            assert!(told.contains(expected), "{expected}\n{told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn a_file_with_nothing_in_it_is_a_mistake() {
        for empty in ["", "# nothing\n", "---\n---\n", "~", "agents:\n", "agents: []\n", "{}"] {
            let told = refused(empty, None);
            assert!(
                told.starts_with("x.yaml: there is nothing in it: it must have prov"),
                "{told}"
            );
        }
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
