//! What no model may see: hidden fields of the context, and secrets.
//!
//! A field is hidden by its name ([`ContextField::is_visible`]). Its value is hidden wherever it
//! turns up, because a tool may echo what it was sent: a [`Redactor`] finds it as it is and in the
//! forms that texts on the web give it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use aho_corasick::Anchored;
use aho_corasick::automaton::Automaton;
use aho_corasick::nfa::contiguous::NFA;
use serde_json::{Map, Value};

use crate::trigger::ContextField;

mod forms;

#[cfg(test)]
mod tests;

/// What stands in the place of what is hidden.
pub const HIDDEN: &str = "[hidden]";
/// The hidden field with what an answer to a mail needs: ids, addresses, the subject. It is for the
/// answer and not for prompts, and is no secret: the sender wrote it.
pub const MAIL_THREAD: &str = "_email";
/// The shortest value that is looked for, in characters: shorter ones are part of ordinary words.
pub const MIN_LENGTH: usize = 6;
/// The most hidden values that are compared with what is visible: each takes a look at all of that.
const MAX_COMPARED: usize = 256;
/// The most bytes that are looked for, all forms of all values together. Each takes some 20 bytes
/// of memory for as long as its execution runs.
const MAX_LOOKED_FOR: usize = 128 * 1024;
/// Where there is more than that: the longest value, in bytes, that is looked for as a whole, and
/// how much is looked for of another.
const MAX_WHOLE: usize = 8 * 1024;
const BEGINNING: usize = 1024;

/// `value` without the fields that are hidden by their names, at any depth.
pub fn without_hidden_names(value: &Value) -> Cow<'_, Value> {
    without(value, &|_| false)
}

/// `value` without the fields that are hidden by their names and without the values that `is_left_out`
/// points at, at any depth; an item of a list that is left out leaves no gap.
pub(crate) fn without<'v>(
    value: &'v Value,
    is_left_out: &dyn Fn(&Value) -> bool,
) -> Cow<'v, Value> {
    if is_left_out(value) {
        return Cow::Owned(Value::Null);
    }
    if is_free_of(value, is_left_out) {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(shown_part(value, is_left_out))
    }
}

fn is_free_of(value: &Value, is_left_out: &dyn Fn(&Value) -> bool) -> bool {
    let is_free = |part: &Value| !is_left_out(part) && is_free_of(part, is_left_out);
    match value {
        Value::Array(items) => items.iter().all(is_free),
        Value::Object(fields) => {
            fields.iter().all(|(name, part)| ContextField::is_visible(name) && is_free(part))
        }
        _ => true,
    }
}

fn shown_part(value: &Value, is_left_out: &dyn Fn(&Value) -> bool) -> Value {
    match value {
        Value::Array(items) => {
            let shown = items.iter().filter(|item| !is_left_out(item));
            shown.map(|item| shown_part(item, is_left_out)).collect()
        }
        Value::Object(fields) => {
            let is_shown =
                |name: &str, part: &Value| ContextField::is_visible(name) && !is_left_out(part);
            let shown = fields.iter().filter(|(name, part)| is_shown(name, part));
            shown.map(|(name, part)| (name.clone(), shown_part(part, is_left_out))).collect()
        }
        scalar => scalar.clone(),
    }
}

/// Takes hidden values out of texts: as they are, JSON-escaped (once or twice), HTML-escaped,
/// percent-encoded, in hexadecimal, in Base64 (also as a part of something longer), and all of that
/// in any mixture of ASCII cases.
///
/// Takes time in proportion to the text, whatever is hidden.
///
/// All forms together may have 128 KiB, which is enough for some 6 KiB of values. If there is more,
/// what is looked for is, in this order and as far as it goes:
///
/// 1. the extra secrets, the shortest first;
/// 2. the hidden values of the context, the shortest first: credentials are short.
///
/// Of a value of more than 8 KiB, and of the first that does not fit any more, it is the first 1 KiB
/// then: that much is hidden, and what follows it is not. Values of the context beyond that are not
/// hidden. If even a secret is, nothing of any text is shown: it fails closed.
#[derive(Clone, Debug)]
pub struct Redactor {
    search: Search,
    strips_hidden_names: bool,
}

#[derive(Clone, Debug)]
enum Search {
    /// Nothing is hidden.
    Nothing,
    Any(Box<NFA>),
    /// There are more secrets than can be looked for.
    Everything,
}

impl Redactor {
    /// Hides the texts and numbers of 6 characters and more in the hidden fields of `context`, and
    /// `extra_secrets` of that length.
    ///
    /// What a visible field shows anyway (`userName` counts as one: it is shown, if in one place
    /// only) is not hidden: a telephone number that is `phoneNumber` and a part of `_payload`
    /// remains readable, unless there are more than 256 hidden values. A secret is hidden always.
    /// [`MAIL_THREAD`] is not looked for: who writes a mail may be told their address.
    pub fn of<S: AsRef<str>>(
        context: &Map<String, Value>,
        extra_secrets: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut hidden = BTreeSet::new();
        let mut visible = Vec::new();
        for (name, value) in context.iter().filter(|(name, _)| *name != MAIL_THREAD) {
            let is_visible = ContextField::is_visible(name) || name == "userName";
            sort_out(value, is_visible, &mut hidden, &mut visible);
        }
        if hidden.len() <= MAX_COMPARED {
            let visible = visible.join("\n");
            hidden.retain(|value| !visible.contains(value.as_str()));
        }
        let secrets = extra_secrets.into_iter().filter_map(|secret| findable(secret.as_ref()));
        let search = Search::of(&secrets.collect(), &hidden);
        Self { search, strips_hidden_names: false }
    }

    /// Has [`Self::redact_json`] hide what stands under hidden names, too.
    #[must_use]
    pub fn strip_hidden_names(self) -> Self {
        Self { strips_hidden_names: true, ..self }
    }

    /// `text` with `[hidden]` in place of every hidden value.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let automaton = match &self.search {
            Search::Nothing => return Cow::Borrowed(text),
            Search::Everything if text.is_empty() => return Cow::Borrowed(text),
            Search::Everything => return Cow::Borrowed(HIDDEN),
            Search::Any(automaton) => automaton,
        };
        let spots = spots(automaton, text);
        if spots.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut shown = String::with_capacity(text.len());
        let mut from = 0;
        for (start, end) in spots {
            shown.push_str(&text[from..start]);
            shown.push_str(HIDDEN);
            from = end;
        }
        shown.push_str(&text[from..]);
        Cow::Owned(shown)
    }

    /// `value` with `[hidden]` in place of every hidden value, in names of fields, too.
    pub fn redact_json(&self, value: &Value) -> Value {
        match value {
            Value::Null | Value::Bool(_) => value.clone(),
            Value::Number(number) => match self.redact(&number.to_string()) {
                Cow::Borrowed(text) if text != HIDDEN => value.clone(),
                redacted => Value::String(redacted.into_owned()),
            },
            Value::String(text) => Value::String(self.redact(text).into_owned()),
            Value::Array(items) => items.iter().map(|item| self.redact_json(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| self.redact_field(name, value)).collect()
            }
        }
    }

    fn redact_field(&self, name: &str, value: &Value) -> (String, Value) {
        let is_stripped = self.strips_hidden_names && !ContextField::is_visible(name);
        let value = if is_stripped { HIDDEN.into() } else { self.redact_json(value) };
        (self.redact(name).into_owned(), value)
    }
}

impl Search {
    fn of(secrets: &BTreeSet<String>, hidden: &BTreeSet<String>) -> Self {
        let mut forms = Forms::default();
        if !secrets.union(hidden).all(|value| forms.take(value)) {
            forms = Forms::default();
            if !shortest_first(secrets).into_iter().all(|secret| forms.take_part(secret)) {
                return Self::Everything;
            }
            let values = shortest_first(hidden).into_iter();
            // Those that follow are longer still.
            let _n_taken = values.take_while(|value| forms.take_part(value)).count();
        }
        if forms.taken.is_empty() {
            return Self::Nothing;
        }
        // It refuses to count beyond 2^31, which is out of reach.
        match NFA::builder().ascii_case_insensitive(true).build(forms.taken) {
            Ok(automaton) => Self::Any(Box::new(automaton)),
            Err(_too_many) => Self::Everything,
        }
    }
}

/// What is looked for: [`MAX_LOOKED_FOR`] bytes at most.
#[derive(Default)]
struct Forms {
    taken: BTreeSet<String>,
    size: usize,
}

impl Forms {
    /// Takes all forms of `value`, or none if they do not fit.
    fn take(&mut self, value: &str) -> bool {
        if self.size + value.len() > MAX_LOOKED_FOR {
            return false;
        }
        let new: BTreeSet<String> =
            forms::of(value).into_iter().filter(|form| !self.taken.contains(form)).collect();
        let size = self.size + new.iter().map(String::len).sum::<usize>();
        let fits = size <= MAX_LOOKED_FOR;
        if fits {
            self.taken.extend(new);
            self.size = size;
        }
        fits
    }

    /// Takes `value`, or its beginning if it is long or does not fit. Whether it could.
    fn take_part(&mut self, value: &str) -> bool {
        let beginning = &value[..value.floor_char_boundary(BEGINNING)];
        (value.len() <= MAX_WHOLE && self.take(value)) || self.take(beginning)
    }
}

fn shortest_first(values: &BTreeSet<String>) -> Vec<&str> {
    let mut values: Vec<&str> = values.iter().map(String::as_str).collect();
    values.sort_by_key(|value| value.len());
    values
}

/// Sorts the texts and numbers in a field of the context into those that are hidden and those that
/// are not.
fn sort_out(
    value: &Value,
    is_visible: bool,
    hidden: &mut BTreeSet<String>,
    visible: &mut Vec<String>,
) {
    let text = match value {
        Value::Null | Value::Bool(_) => return,
        Value::Array(items) => {
            return items.iter().for_each(|item| sort_out(item, is_visible, hidden, visible));
        }
        Value::Object(fields) => {
            return fields.iter().for_each(|(name, part)| {
                let is_visible = is_visible && ContextField::is_visible(name);
                sort_out(part, is_visible, hidden, visible);
            });
        }
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
    };
    if is_visible {
        visible.push(text);
    } else {
        hidden.extend(findable(&text));
    }
}

/// A value as it is looked for, if it is long enough for that.
fn findable(value: &str) -> Option<String> {
    let value = value.trim();
    (value.chars().nth(MIN_LENGTH - 1).is_some()).then(|| value.to_owned())
}

/// Where something hidden stands: from the left, none touching another. Of several that overlap,
/// the whole stretch.
fn spots(automaton: &NFA, text: &str) -> Vec<(usize, usize)> {
    let mut spots: Vec<(usize, usize)> = Vec::new();
    let mut state = automaton
        .start_state(Anchored::No)
        .expect("an automaton that was not built for one kind of search has both");
    for (index, byte) in text.bytes().enumerate() {
        state = automaton.next_state(Anchored::No, state, byte);
        if !automaton.is_match(state) {
            continue;
        }
        // The first of those that end here is the longest.
        let length = automaton.pattern_len(automaton.match_pattern(state, 0));
        let (mut start, end) = (index + 1 - length, index + 1);
        while let Some((earlier, _)) = spots.pop_if(|(_, end)| start <= *end) {
            start = start.min(earlier);
        }
        spots.push((start, end));
    }
    spots
}
