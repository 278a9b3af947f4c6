//! YAML that knows its lines.

use std::collections::HashMap;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, Spanned, UserMessageFormatter};

/// The deepest value; a trigger's configuration is not half as deep.
const MAX_DEPTH: usize = 64;
/// The most values of a file, those that aliases repeat included.
const MAX_NODES: usize = 200_000;
const MAX_DOCUMENTS: usize = 1_000;

/// A value with the line on which it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) body: Body,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Plain(Value),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its line, and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: u64,
    pub(super) value: Node,
}

/// A key that an object has already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Twin {
    /// `limits.max_tokens`.
    pub(super) path: String,
    pub(super) line: u64,
    /// The line that had it first.
    pub(super) first: u64,
}

/// The documents of a text; those with nothing in them are left out. JSON is YAML, too.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_documents: MAX_DOCUMENTS,
        },
        // What YAML 1.2 says, and JSON: `no` is a word, and 007 no number.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        // They are mistakes, which are told with all the others: `Node::twins`.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // Its lines are told; what stands there may be nobody's business.
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| error.render_with_formatter(&UserMessageFormatter))
}

impl Node {
    pub(super) fn to_value(&self) -> Value {
        match &self.body {
            Body::Plain(value) => value.clone(),
            Body::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Body::Map(entries) => {
                let fields =
                    entries.iter().map(|entry| (entry.key.clone(), entry.value.to_value()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// The keys that it has twice itself.
    pub(super) fn twins(&self) -> Vec<Twin> {
        let mut twins = Vec::new();
        self.find_twins("", &mut twins);
        twins
    }

    /// The keys that it, or what is in it, has twice.
    pub(super) fn all_twins(&self) -> Vec<Twin> {
        let mut twins = Vec::new();
        self.find_all_twins("", &mut twins);
        twins
    }

    fn find_twins(&self, path: &str, twins: &mut Vec<Twin>) {
        let Body::Map(entries) = &self.body else { return };
        let mut lines: HashMap<&str, u64> = HashMap::new();
        for Entry { key, line, .. } in entries {
            if let Some(&first) = lines.get(key.as_str()) {
                twins.push(Twin { path: joined(path, key), line: *line, first });
            } else {
                lines.insert(key, *line);
            }
        }
    }

    fn find_all_twins(&self, path: &str, twins: &mut Vec<Twin>) {
        self.find_twins(path, twins);
        match &self.body {
            Body::Plain(_) => {}
            Body::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.find_all_twins(&format!("{path}[{index}]"), twins);
                }
            }
            Body::Map(entries) => {
                for entry in entries {
                    entry.value.find_all_twins(&joined(path, &entry.key), twins);
                }
            }
        }
    }

    /// The line of the value at a path such as `tools[1].approval`, or of what is nearest to it.
    pub(super) fn line_of(&self, path: &str) -> u64 {
        let (step, rest) = match path.split_once('.') {
            Some((step, rest)) => (step, rest),
            None => (path, ""),
        };
        let (key, indices) = match step.split_once('[') {
            Some((key, indices)) => (key, indices),
            None => (step, ""),
        };
        let Some(entry) = self.entry(key) else { return self.line };
        let mut node = &entry.value;
        for index in indices.split('[').filter(|index| !index.is_empty()) {
            let Body::List(items) = &node.body else { return entry.line };
            let item = index.trim_end_matches(']').parse().ok();
            let Some(item) = item.and_then(|index: usize| items.get(index)) else {
                return entry.line;
            };
            node = item;
        }
        // What is not there is missed where it should be.
        match (node.has(rest), indices.is_empty()) {
            (true, _) => node.line_of(rest),
            (false, true) => entry.line,
            (false, false) => node.line,
        }
    }

    fn has(&self, path: &str) -> bool {
        let key = path.split(['.', '[']).next().unwrap_or_default();
        self.entry(key).is_some()
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.body {
            Body::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Body::Plain(_) | Body::List(_) => None,
        }
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Body>::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line(), body: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Body, E> {
        Ok(Body::Plain(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Body, E> {
        Ok(Body::Plain(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Body, E> {
        Ok(Body::Plain(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Body, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("JSON has no such number"))?;
        Ok(Body::Plain(Value::Number(number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Body, E> {
        Ok(Body::Plain(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Body, E> {
        Ok(Body::Plain(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Body, E> {
        Ok(Body::Plain(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Body, D::Error> {
        deserializer.deserialize_any(Self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Body, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Body::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Body, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let value = access.next_value()?;
            entries.push(Entry { key: key.value, line: key.referenced.line(), value });
        }
        Ok(Body::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn only(text: &str) -> Node {
        documents(text).unwrap().pop().unwrap()
    }

    #[test]
    fn values_are_what_json_has_and_words_stay_words() {
        let text = "a: [1, -2, 1.5, no, 007, 1_000, ~, 2026-01-01, \"1\", true]\nb: |\n  x\n  y\n";
        assert_eq!(
            only(text).to_value(),
            json!({
                "a": [1, -2, 1.5, "no", "007", "1_000", null, "2026-01-01", "1", true],
                "b": "x\ny\n",
            })
        );
    }

    #[test]
    fn lines_are_found_by_path() {
        let node = only("a: 1\nb:\n  c:\n    - d: 2\n    - e\nf: {}\n");
        for (path, line) in [
            ("", 1),
            ("a", 1),
            ("b.c", 3),
            ("b.c[0].d", 4),
            ("b.c[1]", 5),
            ("b.c[9]", 3),
            ("b.c[0].missing", 4),
            ("b.missing.x", 2),
            ("f.missing", 6),
            ("missing", 1),
        ] {
            assert_eq!(node.line_of(path), line, "{path}");
        }
    }

    #[test]
    fn keys_that_are_there_twice_are_found_at_any_depth() {
        let node = only("a: 1\nb:\n- {c: 1, d: 2}\n- c: 1\n  \"c\": 2\na: 2\n<<: {a: 3, e: 4}\n");
        let twin = |path: &str, line, first| Twin { path: path.into(), line, first };
        assert_eq!(node.twins(), [twin("a", 6, 1)]);
        assert_eq!(node.all_twins(), [twin("a", 6, 1), twin("b[1].c", 5, 4)]);
    }

    #[test]
    fn what_is_no_plain_data_is_refused() {
        let deep = "[".repeat(100_000);
        let level = |(name, before)| {
            let aliases = vec![format!("*{before}"); 12].join(",");
            format!("{name}: &{name} [{aliases}]\n")
        };
        let levels: Vec<String> = ('b'..='h').zip('a'..).map(level).collect();
        let bomb = format!("a: &a [x]\n{}", levels.concat());
        for bad in ["a: [1", "a: .inf", "x: !custom 5", "? [a]\n: b", &deep, &bomb] {
            assert!(documents(bad).is_err(), "{bad:.40}");
        }
        let error = documents("ok: 1\nsecret: !custom hunter2").unwrap_err();
        assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_is_yaml(value in values()) {
            let text = json!({ "it": value }).to_string();
            prop_assert_eq!(only(&text).to_value(), json!({ "it": value }));
        }

        #[test]
        fn nonsense_is_survived(text in "[ -~\\n]{0,200}") {
            if let Ok(documents) = documents(&text) {
                for document in documents {
                    document.to_value();
                }
            }
        }
    }
}
