//! What the context decides about a call, whatever the model says.
//!
//! A model can be talked into anything, so who asks is not for it to say: `{"body[].requesterId":
//! "requesterId"}` sets `requesterId` in every item of `body` to the context's value. It is set after
//! the model has spoken; names that differ from it in case only are taken away, because many servers
//! do not tell them apart; and where it cannot be set, the call is refused.

use serde_json::{Map, Value};

use crate::shape::ObjectReader;

/// The most paths of a tool, and the most bytes and steps of one.
const MAX_PATHS: usize = 32;
const MAX_PATH: usize = 256;
const MAX_STEPS: usize = 16;
/// The most items of a list that a path goes through.
const MAX_ITEMS: usize = 1_000;
/// The most bytes of values that one call is given: a large value may have to go into many items.
const MAX_GIVEN: usize = 1 << 20;

/// Paths into a call's arguments, and the context fields whose values they get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultsFromContext(Vec<Setting>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    path: String,
    /// Objects, or lists of them, from the outside in.
    steps: Vec<Step>,
    /// What is set in the innermost.
    key: String,
    /// The context's field.
    field: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    key: String,
    /// `key[]`: every item of a list.
    each: bool,
}

/// Why a call is refused. Shows names, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefaultsError {
    /// The context does not have the field, or `null` for it.
    #[error("the context has no value for `{field}`, which decides `{path}`")]
    MissingContext {
        /// The field.
        field: String,
        /// What it would decide.
        path: String,
    },
    /// Something else than an object, or a list of objects, where the path goes through.
    #[error("`{at}` must be {wanted}")]
    NotThere {
        /// Where, as a path from the arguments.
        at: String,
        /// What is wanted.
        wanted: &'static str,
    },
    /// Over 1,000 items.
    #[error("`{at}` must have at most {MAX_ITEMS} items")]
    TooMany {
        /// Where.
        at: String,
    },
    /// Over 1 MiB of values.
    #[error("there are too many items to set `{path}` in")]
    TooLarge {
        /// What.
        path: String,
    },
}

impl DefaultsFromContext {
    /// Reads `defaults_from_context`. `implied` are names that a path may begin with although the
    /// arguments have no such part: they are the arguments themselves.
    pub(super) fn read(fields: &mut ObjectReader<'_>, implied: &[&str]) -> Self {
        const KEY: &str = "defaults_from_context";
        let mut settings: Vec<Setting> = Vec::new();
        for (path, field) in fields.entries(KEY, MAX_PATHS) {
            let shown: String = path.chars().take(64).collect();
            let at = format!("{KEY}.{shown}");
            let Some(field) = field.as_str().filter(|field| (1..=128).contains(&field.len()))
            else {
                fields.refuse(&at, "must be the name of a context field");
                continue;
            };
            let Some(setting) = fields.accept(&at, Setting::parse(path, field, implied)) else {
                continue;
            };
            if let Some(other) = settings.iter().find(|other| other.disagrees_with(&setting)) {
                fields.refuse(&at, format!("cannot be set together with `{}`", other.path));
            }
            settings.push(setting);
        }
        Self(settings)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The context fields it needs.
    pub fn context_fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|setting| setting.field.as_str())
    }

    /// The names of the arguments that are set, or that something is set in.
    pub(super) fn roots(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|setting| setting.steps.first().map_or(&*setting.key, |step| &*step.key))
    }

    /// Sets everything in `args`, after the model and after anything else. If this fails the call
    /// must not be made, and `args` may be half done.
    ///
    /// Afterwards, at every place that a path names, there is exactly the context's value, and no
    /// name that differs from one of the path's in case only. Objects on the way that are not there
    /// are made; a list that is not there is an error, because nothing could be set in it.
    pub fn apply(
        &self,
        args: &mut Value,
        context: &Map<String, Value>,
    ) -> Result<(), DefaultsError> {
        let mut left = MAX_GIVEN;
        for setting in &self.0 {
            let value = context.get(&setting.field).filter(|value| !value.is_null());
            let value = value.ok_or_else(|| DefaultsError::MissingContext {
                field: setting.field.clone(),
                path: setting.path.clone(),
            })?;
            let size = value.to_string().len();
            let mut give = |object: &mut Map<String, Value>| {
                left = left
                    .checked_sub(size)
                    .ok_or_else(|| DefaultsError::TooLarge { path: setting.path.clone() })?;
                remove_variants(object, &setting.key);
                object.insert(setting.key.clone(), value.clone());
                Ok(())
            };
            at_each(args, "", &setting.steps, &mut give)?;
        }
        Ok(())
    }

    /// `schema` without what is set: a model need not know of it, and cannot be asked for it.
    pub fn hide_in(&self, schema: &Value) -> Value {
        let mut schema = schema.clone();
        for setting in &self.0 {
            setting.hide_in(&mut schema);
        }
        schema
    }
}

/// Calls `give` with each object that `steps` lead to.
fn at_each(
    value: &mut Value,
    at: &str,
    steps: &[Step],
    give: &mut impl FnMut(&mut Map<String, Value>) -> Result<(), DefaultsError>,
) -> Result<(), DefaultsError> {
    let not_there = |wanted| DefaultsError::NotThere { at: shown(at), wanted };
    let Value::Object(object) = value else { return Err(not_there("an object")) };
    let [step, rest @ ..] = steps else { return give(object) };
    remove_variants(object, &step.key);
    let at = if at.is_empty() { step.key.clone() } else { format!("{at}.{}", step.key) };
    let part = object.entry(step.key.as_str()).or_insert(Value::Null);
    match part {
        Value::Array(items) if step.each => {
            if items.len() > MAX_ITEMS {
                return Err(DefaultsError::TooMany { at });
            }
            let mut items = items.iter_mut().enumerate();
            items.try_for_each(|(n, item)| at_each(item, &format!("{at}[{n}]"), rest, give))
        }
        Value::Object(_) => at_each(part, &at, rest, give),
        Value::Null if !step.each => {
            *part = Value::Object(Map::new());
            at_each(part, &at, rest, give)
        }
        _ if step.each => Err(DefaultsError::NotThere { at, wanted: "a list of objects" }),
        _ => Err(DefaultsError::NotThere { at, wanted: "an object" }),
    }
}

fn shown(at: &str) -> String {
    if at.is_empty() { "arguments".to_owned() } else { at.to_owned() }
}

/// Takes away what is called as `key` but for the case of its letters.
fn remove_variants(object: &mut Map<String, Value>, key: &str) {
    let folded = folded(key);
    object.retain(|name, _| name == key || self::folded(name) != folded);
}

/// A name without the case of its letters. Both ways, since some letters have one case only in one
/// direction: `ſ` is an `s`, and the Kelvin sign is a `k`.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

impl Setting {
    fn parse(path: &str, field: &str, implied: &[&str]) -> Result<Self, String> {
        if path.len() > MAX_PATH {
            return Err(format!("must have at most {MAX_PATH} bytes"));
        }
        let mut steps: Vec<Step> = Vec::new();
        for text in path.split('.') {
            let (key, each) = match text.strip_suffix("[]") {
                Some(key) => (key, true),
                None => (text, false),
            };
            if key.is_empty() || key.contains(['[', ']', '\0']) {
                return Err("must be names separated by single dots, each of which may be \
                            followed by `[]`, for example `body[].requesterId`"
                    .into());
            }
            steps.push(Step { key: key.to_owned(), each });
        }
        if steps.len() > MAX_STEPS {
            return Err(format!("must have at most {MAX_STEPS} steps"));
        }
        if steps.len() > 1 && implied.contains(&steps[0].key.as_str()) {
            steps.remove(0);
        }
        match steps.pop() {
            Some(Step { key, each: false }) => {
                Ok(Self { path: path.to_owned(), steps, key, field: field.to_owned() })
            }
            _ => Err("must end with the name of what is set, not with `[]`".into()),
        }
    }

    /// Whether setting one undoes the other: the same place, a place within it, or names that
    /// differ in case only.
    fn disagrees_with(&self, other: &Self) -> bool {
        let mut a = self.all_steps();
        let mut b = other.all_steps();
        loop {
            match (a.next(), b.next()) {
                (Some((a, a_each)), Some((b, b_each))) => {
                    if folded(a) != folded(b) {
                        return false;
                    }
                    if a != b || a_each != b_each {
                        return true;
                    }
                }
                _ => return true,
            }
        }
    }

    fn all_steps(&self) -> impl Iterator<Item = (&str, Option<bool>)> {
        let steps = self.steps.iter().map(|step| (step.key.as_str(), Some(step.each)));
        steps.chain([(self.key.as_str(), None)])
    }

    fn hide_in(&self, schema: &mut Value) {
        let mut at = schema;
        for step in &self.steps {
            let Some(part) = at.pointer_mut("/properties").and_then(|p| p.get_mut(&step.key))
            else {
                return;
            };
            let is_list = step.each && part.get("items").is_some();
            at = if is_list { &mut part["items"] } else { part };
        }
        if let Some(Value::Object(properties)) = at.get_mut("properties") {
            properties.retain(|name, _| folded(name) != folded(&self.key));
        }
        if let Some(Value::Array(required)) = at.get_mut("required") {
            required.retain(|name| name.as_str() != Some(&self.key));
        }
    }
}

#[cfg(test)]
mod tests;
