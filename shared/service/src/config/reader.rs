//! Reads variables one by one, noting mistakes instead of stopping at the first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::{ConfigError, Env, Fallback, Mistake, Names, SecretString, SecretUrl, Variable};

/// Reads from an environment and remembers every mistake until [`Reader::finish`].
///
/// A method that has no default answers `None` after noting a mistake; one that has a default
/// answers the default, since `finish` will not let it be used.
///
/// Errors of `FromStr` are shown to the operator, so they must not repeat the text.
pub struct Reader<'a> {
    env: &'a dyn Env,
    variables: BTreeMap<&'static str, Variable>,
    mistakes: BTreeSet<Mistake>,
}

impl<'a> Reader<'a> {
    /// A reader of `env`.
    pub fn new(env: &'a dyn Env) -> Self {
        Self { env, variables: BTreeMap::new(), mistakes: BTreeSet::new() }
    }

    /// A value that has to be there.
    pub fn required<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        self.required_by(name, parse)
    }

    /// A value that has to be there, parsed by `parse`, whose error is shown to the operator.
    pub fn required_by<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Some(text) = self.text(name, Fallback::Required) else {
            self.mistake(name, "is required");
            return None;
        };
        self.parsed(name, &text, parse)
    }

    /// A value that may be missing.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        self.optional_by(name, parse)
    }

    /// A value that may be missing, parsed by `parse`, whose error is shown to the operator.
    pub fn optional_by<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(name, Fallback::Nothing)?;
        self.parsed(name, &text, parse)
    }

    /// A value, or `default` if it is not set.
    pub fn or<T: FromStr<Err: Display> + Display>(&mut self, name: &'static str, default: T) -> T {
        let Some(text) = self.text(name, Fallback::Value(default.to_string())) else {
            return default;
        };
        self.parsed(name, &text, parse).unwrap_or(default)
    }

    /// A value inside `range`, or `default` if it is not set.
    pub fn within<T>(&mut self, name: &'static str, default: T, range: RangeInclusive<T>) -> T
    where
        T: FromStr<Err: Display> + Display + PartialOrd,
    {
        let Some(text) = self.text(name, Fallback::Value(default.to_string())) else {
            return default;
        };
        let in_range = |text: &str| {
            let expected = format!("must be from {} to {}", range.start(), range.end());
            let value = T::from_str(text).map_err(|error| format!("{expected}: {error}"))?;
            if range.contains(&value) { Ok(value) } else { Err(expected) }
        };
        self.parsed(name, &text, in_range).unwrap_or(default)
    }

    /// A duration in whole milliseconds; the name of such a variable ends in `_MS`.
    pub fn millis_or(
        &mut self,
        name: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Duration {
        debug_assert!(name.ends_with("_MS"), "{name} is in milliseconds and must say so");
        Duration::from_millis(self.within(name, default, range))
    }

    /// A list, its items separated by commas; empty if it is not set.
    pub fn list<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Vec<T> {
        let Some(text) = self.text(name, Fallback::Nothing) else { return Vec::new() };
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let numbered = items.enumerate().filter_map(|(index, item)| {
            let of_item =
                |text: &str| parse(text).map_err(|why| format!("item {} {why}", index + 1));
            self.parsed(name, item, of_item)
        });
        numbered.collect()
    }

    /// A secret that has to be there.
    pub fn secret(&mut self, name: &'static str) -> Option<SecretString> {
        self.required_by(name, |text| Ok(SecretString::new(text.to_owned())))
    }

    /// A secret that may be missing.
    pub fn optional_secret(&mut self, name: &'static str) -> Option<SecretString> {
        self.text(name, Fallback::Nothing).map(SecretString::new)
    }

    /// The address of a server, with one of `schemes`.
    pub fn server_url(&mut self, name: &'static str, schemes: &[&str]) -> Option<SecretUrl> {
        self.required_by(name, |text| {
            let expected =
                || format!("must be an address that begins with {}://", schemes.join(":// or "));
            let url = SecretUrl::from_str(text).map_err(|why| format!("{}: {why}", expected()))?;
            if schemes.contains(&url.expose().scheme()) { Ok(url) } else { Err(expected()) }
        })
    }

    /// Notes a mistake that only the caller can see, for example two values that do not fit.
    pub fn mistake(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        self.mistakes.insert(Mistake { name: name.into(), reason: reason.into() });
    }

    /// Notes every variable of ours that was neither read so far nor is in `known`.
    pub(super) fn refuse_unknown(&mut self, known: &Names) {
        let mut names = known.clone();
        names.extend(self.variables());
        self.mistakes.extend(names.unknown(self.env));
    }

    /// Everything that was asked for.
    pub(super) fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.variables.values()
    }

    /// To be called when everything has been read.
    ///
    /// # Errors
    /// All mistakes, if there are any.
    pub fn finish(self) -> Result<(), ConfigError> {
        if self.mistakes.is_empty() {
            return Ok(());
        }
        Err(ConfigError { mistakes: self.mistakes.into_iter().collect() })
    }

    /// To be called with what [`super::Settings::read`] answered.
    pub(super) fn finish_with<S>(self, settings: Option<S>) -> Result<S, ConfigError> {
        self.finish()?;
        Ok(settings.expect("a Settings::read that answers None has noted why"))
    }

    fn text(&mut self, name: &'static str, default: Fallback) -> Option<String> {
        self.variables.insert(name, Variable { name, default });
        let text = self.env.var(name)?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn parsed<T>(
        &mut self,
        name: &'static str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(text).map_err(|reason| self.mistake(name, reason)).ok()
    }
}

fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    T::from_str(text).map_err(|error| format!("is malformed: {error}"))
}
