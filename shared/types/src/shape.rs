//! Reads untrusted JSON into typed values and collects every mistake on the way.
//!
//! A configuration is parsed before it is judged, so that one answer names all of its problems,
//! each by its path. Unknown fields are problems too: nothing is silently ignored.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Map, Value};

/// One mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// Where: `trigger_config.execution.timeout_ms`.
    pub path: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// The most problems that are collected; enough to mend a file by, too few to be a weapon.
const MAX_PROBLEMS: usize = 64;

/// The mistakes found so far, shared by all readers of one document.
#[derive(Clone, Debug, Default)]
pub struct Problems(Rc<RefCell<Vec<FieldProblem>>>);

impl Problems {
    /// Adds a mistake.
    pub fn add(&self, path: impl Into<String>, reason: impl Into<String>) {
        let mut problems = self.0.borrow_mut();
        if problems.len() < MAX_PROBLEMS {
            problems.push(FieldProblem { path: path.into(), reason: reason.into() });
        }
    }

    /// `Ok(value)` if nothing was wrong, all the mistakes otherwise.
    pub fn finish<T>(self, value: T) -> Result<T, Vec<FieldProblem>> {
        let problems = self.0.take();
        if problems.is_empty() { Ok(value) } else { Err(problems) }
    }
}

/// One object of the document. Each accessor remembers its key; [`ObjectReader::done`] reports the
/// keys that nobody asked for.
#[derive(Debug)]
pub struct ObjectReader<'v> {
    object: &'v Map<String, Value>,
    path: String,
    known: Vec<&'static str>,
    problems: Problems,
}

impl<'v> ObjectReader<'v> {
    /// A reader of `value`, which `path` names (empty for the document itself). Anything but an
    /// object is a problem.
    pub fn new(value: &'v Value, path: &str, problems: &Problems) -> Option<Self> {
        if let Value::Object(object) = value {
            let (path, problems) = (path.to_owned(), problems.clone());
            return Some(Self { object, path, known: Vec::new(), problems });
        }
        problems.add(path, "must be an object");
        None
    }

    /// The path of one of its fields.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Where its mistakes go.
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// Adds a mistake at one of its fields.
    pub fn refuse(&self, key: &str, reason: impl Into<String>) {
        self.problems.add(self.path_of(key), reason);
    }

    /// The raw value, `null` counting as absent.
    pub fn any(&mut self, key: &'static str) -> Option<&'v Value> {
        self.known.push(key);
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// Whether the field is there and is `null`: "take it away", in a patch.
    pub fn is_null(&mut self, key: &'static str) -> bool {
        self.known.push(key);
        self.object.get(key).is_some_and(Value::is_null)
    }

    /// Like [`Self::any`], but absence is a problem.
    pub fn required(&mut self, key: &'static str) -> Option<&'v Value> {
        let value = self.any(key);
        if value.is_none() {
            self.refuse(key, "is required");
        }
        value
    }

    /// A string of `length` characters.
    pub fn string(&mut self, key: &'static str, length: RangeInclusive<usize>) -> Option<&'v str> {
        let value = self.any(key)?;
        let Some(text) = value.as_str() else {
            self.refuse(key, "must be a string");
            return None;
        };
        if !length.contains(&text.chars().count()) {
            let (least, most) = (length.start(), length.end());
            self.refuse(key, format!("must have {least} to {most} characters"));
            return None;
        }
        if text.contains('\0') {
            self.refuse(key, "must not contain U+0000");
            return None;
        }
        Some(text)
    }

    /// A string that must be there.
    pub fn required_string(
        &mut self,
        key: &'static str,
        length: RangeInclusive<usize>,
    ) -> Option<&'v str> {
        self.required(key)?;
        self.string(key, length)
    }

    /// What people call something: 1 to `max_length` characters, on one line and to be seen.
    pub fn name(&mut self, key: &'static str, max_length: usize) -> Option<&'v str> {
        let name = self.string(key, 1..=max_length)?;
        self.accept(key, judge_name(name))?;
        Some(name)
    }

    /// A name that must be there.
    pub fn required_name(&mut self, key: &'static str, max_length: usize) -> Option<&'v str> {
        self.required(key)?;
        self.name(key, max_length)
    }

    /// A string that parses as `T`; the reason is the parser's own.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        let text = self.string(key, 1..=4_096)?;
        self.accept(key, text.parse())
    }

    /// A value already judged: its error becomes a problem of `key`.
    pub fn accept<T, E: Display>(&self, key: &str, judged: Result<T, E>) -> Option<T> {
        judged.map_err(|error| self.refuse(key, error.to_string())).ok()
    }

    /// A whole number within `range`.
    pub fn integer(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.any(key)?;
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let accepted = number.filter(|number| range.contains(number));
        if accepted.is_none() {
            let (least, most) = (range.start(), range.end());
            self.refuse(key, format!("must be a whole number from {least} to {most}"));
        }
        accepted
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.any(key)?;
        if value.as_bool().is_none() {
            self.refuse(key, "must be true or false");
        }
        value.as_bool()
    }

    /// One of a closed set of words.
    pub fn choice<T: Copy>(&mut self, key: &'static str, options: &[(&str, T)]) -> Option<T> {
        let value = self.any(key)?;
        let chosen = value.as_str().and_then(|word| {
            options.iter().find(|(name, _)| *name == word).map(|(_, option)| *option)
        });
        if chosen.is_none() {
            let names: Vec<&str> = options.iter().map(|(name, _)| *name).collect();
            self.refuse(key, format!("must be one of: {}", names.join(", ")));
        }
        chosen
    }

    /// A nested object.
    pub fn object(&mut self, key: &'static str) -> Option<ObjectReader<'v>> {
        let value = self.any(key)?;
        ObjectReader::new(value, &self.path_of(key), &self.problems)
    }

    /// The entries of a nested object whose keys are free, at most `most` of them.
    pub fn entries(&mut self, key: &'static str, most: usize) -> Vec<(&'v String, &'v Value)> {
        let Some(reader) = self.object(key) else { return Vec::new() };
        if reader.object.len() > most {
            self.refuse(key, format!("must have at most {most} entries"));
            return Vec::new();
        }
        reader.object.iter().collect()
    }

    /// A list of `count` strings of 1 to `max_length` characters.
    pub fn strings(
        &mut self,
        key: &'static str,
        count: RangeInclusive<usize>,
        max_length: usize,
    ) -> Option<Vec<&'v str>> {
        let value = self.any(key)?;
        let items = value.as_array().filter(|items| count.contains(&items.len()));
        let Some(items) = items else {
            let (least, most) = (count.start(), count.end());
            self.refuse(key, format!("must be a list of {least} to {most} strings"));
            return None;
        };
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match item.as_str() {
                Some(text) if !text.is_empty() && text.chars().count() <= max_length => {
                    texts.push(text);
                }
                _ => self.problems.add(
                    format!("{}[{index}]", self.path_of(key)),
                    format!("must be a string of 1 to {max_length} characters"),
                ),
            }
        }
        Some(texts)
    }

    /// Says that these fields exist but cannot be set by the caller.
    pub fn read_only(&mut self, keys: &[&'static str]) {
        for key in keys {
            if self.object.contains_key(*key) {
                self.refuse(key, "is read-only");
            }
            self.known.push(key);
        }
    }

    /// Reports every field that nobody asked for.
    pub fn done(self) {
        for key in self.object.keys().filter(|key| !self.known.contains(&key.as_str())) {
            let shown: String = key.chars().take(64).collect();
            self.refuse(&shown, "is not a known field");
        }
    }
}

/// Judges what people call something: it is on one line, and there is something to be seen of it.
///
/// # Errors
/// What is wrong with it.
pub fn judge_name(name: &str) -> Result<(), &'static str> {
    if name.contains(char::is_control) {
        return Err("must not contain line breaks, tabs or other control characters");
    }
    if name.chars().all(|char| char.is_whitespace() || is_invisible(char)) {
        return Err("must have a character that can be seen");
    }
    Ok(())
}

/// Whether nothing is drawn for it: `Default_Ignorable_Code_Point` of Unicode 16, annotations, and
/// the Braille pattern without dots.
fn is_invisible(char: char) -> bool {
    matches!(
        char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_mistake_is_reported_with_its_path() {
        let value = json!({"name": 7, "limits": {"n": 900, "typo": 1}, "mode": "fast"});
        let problems = Problems::default();
        let mut reader = ObjectReader::new(&value, "", &problems).unwrap();
        reader.required_string("name", 1..=10);
        reader.required_string("missing", 1..=10);
        reader.choice("mode", &[("slow", ())]);
        let mut limits = reader.object("limits").unwrap();
        limits.integer("n", 1..=100);
        limits.done();
        reader.done();

        let found = problems.finish(()).unwrap_err();
        let found: Vec<(&str, &str)> =
            found.iter().map(|p| (p.path.as_str(), p.reason.as_str())).collect();
        assert_eq!(
            found,
            [
                ("name", "must be a string"),
                ("missing", "is required"),
                ("mode", "must be one of: slow"),
                ("limits.n", "must be a whole number from 1 to 100"),
                ("limits.typo", "is not a known field"),
            ]
        );
    }

    #[test]
    fn a_name_is_on_one_line_and_can_be_seen() {
        let read = |name: &str| {
            let (value, problems) = (json!({"name": name}), Problems::default());
            let mut reader = ObjectReader::new(&value, "", &problems).unwrap();
            let name = reader.required_name("name", 8).map(str::to_owned);
            problems.finish(name).map_err(|found| found[0].path.clone())
        };
        // A family is people who are joined by what cannot be seen.
        for fine in ["Olá 👋🏽", " a ", "\u{200f}שלום", "👨\u{200d}👩\u{200d}👧", "."]
        {
            assert_eq!(read(fine), Ok(Some(fine.to_owned())));
        }
        for bad in ["", "123456789", "a\nb", "a\tb", "\u{1b}[2J", "\u{7f}", "\u{85}", "\0"] {
            assert_eq!(read(bad), Err("name".to_owned()), "{bad:?}");
        }
        for blank in
            [" ", "\u{a0}\u{3000}", "\u{200b}", "\u{202e} \u{2069}", "\u{feff}", "\u{e0041}"]
        {
            assert_eq!(read(blank), Err("name".to_owned()), "{blank:?}");
        }
    }

    #[test]
    fn a_document_full_of_mistakes_gives_a_short_answer() {
        let keys = (0..500).map(|n| (format!("k{n}"), Value::Null));
        let value = Value::Object(keys.collect());
        let problems = Problems::default();
        ObjectReader::new(&value, "", &problems).unwrap().done();
        assert_eq!(problems.finish(()).unwrap_err().len(), MAX_PROBLEMS);
    }
}
