//! URLs with placeholders, whose values stay in their places.
//!
//! A template is taken apart before anything is put in, so a value cannot become another part of the
//! URL: in the path it is percent-encoded as one segment, in the query as one name or value. Only in
//! front of the path is a value more than that; it may then be a host or a whole base URL, and where
//! the request goes is for a [`crate::hosts::HostAllowList`] to allow.

use std::fmt::{self, Write};
use std::str::FromStr;

use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::template::{
    self, Hole, Part, RenderError, ToolTemplateError, arguments_of, fill, holes, one_line,
};

/// The longest filled URL, in bytes: many servers refuse longer ones.
const MAX_URL: usize = 8_192;

/// A URL with `${context.field}` and `{{argument}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlTemplate {
    text: String,
    /// Scheme, host and port; a placeholder at the beginning may be a base URL.
    origin: Vec<Part>,
    /// What is between two slashes, of each.
    segments: Vec<Vec<Part>>,
    /// What is between two ampersands, of each; `None` without a `?`.
    query: Option<Vec<Vec<Part>>>,
}

/// Why a URL is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlTemplateError {
    /// Not a template.
    #[error(transparent)]
    Template(#[from] ToolTemplateError),
    /// With every placeholder filled, it is no URL.
    #[error("is no URL: {0}")]
    NoUrl(#[source] url::ParseError),
    /// Another scheme.
    #[error("must begin with https:// or http://, or with a placeholder that does")]
    Scheme,
    /// A user name or a password.
    #[error("must not hold a user name or password; use `auth`")]
    UserInfo,
    /// `#`, white space or `\`, all of which mean something else than they seem to.
    #[error("must not contain `#`, `\\` or white space")]
    Mark,
    /// `.` or `..` between two slashes.
    #[error("must not have `.` or `..` in its path")]
    Dots,
    /// `{{argument}}` where the model has no say.
    #[error("`{{{{{0}}}}}` cannot stand here: only `${{context.<field>}}` can")]
    NoArguments(String),
}

impl FromStr for UrlTemplate {
    type Err = UrlTemplateError;

    fn from_str(text: &str) -> Result<Self, UrlTemplateError> {
        let parts = template::parts_of(text)?;
        let literals = parts.iter().filter_map(|part| match part {
            Part::Text(literal) => Some(literal.as_str()),
            Part::Hole(_) => None,
        });
        let is_mark = |c: char| c == '#' || c == '\\' || c.is_whitespace();
        if literals.into_iter().any(|literal| literal.contains(is_mark)) {
            return Err(UrlTemplateError::Mark);
        }
        let (before_query, query) = split_once(parts, '?');
        let (origin, path) = split_origin(before_query);
        let template = Self {
            text: text.to_owned(),
            origin,
            segments: path.map(|path| split(path, '/')).unwrap_or_default(),
            query: query.map(|query| split(query, '&')),
        };
        template.judge()?;
        Ok(template)
    }
}

impl UrlTemplate {
    /// Whether a placeholder stands in scheme, host or port: then where the request goes is up to a
    /// payload or a model, and must be allowed.
    pub fn host_is_dynamic(&self) -> bool {
        holes(&self.origin).next().is_some()
    }

    /// The names of the arguments it uses.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        let segments = self.segments.iter().map(Vec::as_slice);
        let query = self.query.iter().flatten().map(Vec::as_slice);
        let all = [self.origin.as_slice()].into_iter().chain(segments).chain(query);
        all.flat_map(arguments_of)
    }

    /// Refuses `{{argument}}`: for URLs in which the model has no say.
    pub(super) fn without_arguments(self) -> Result<Self, UrlTemplateError> {
        let argument = self.arguments().next().map(str::to_owned);
        argument.map_or(Ok(self), |name| Err(UrlTemplateError::NoArguments(name)))
    }

    /// The URL that a request goes to, at most 8,192 bytes: `http` or `https`, without user name
    /// and fragment. An argument that is missing is an error in the path; in the query, the
    /// parameter is left out.
    pub fn render(
        &self,
        context: &Map<String, Value>,
        arguments: &Map<String, Value>,
    ) -> Result<Url, RenderError> {
        let mut text = fill(&self.origin, context, arguments, |hole, value| {
            let is_base = self.origin.first() == Some(&Part::Hole(hole.clone()));
            origin_part(hole, value, is_base)
        })?;
        if self.host_is_dynamic() {
            // A base URL may or may not end with the slash that the template's path begins with.
            text.truncate(text.trim_end_matches('/').len());
        }
        if !names_a_host(&text) {
            return Err(RenderError::NotPlain);
        }
        for segment in &self.segments {
            text.push('/');
            text.push_str(&fill_segment(segment, context, arguments)?);
        }
        if let Some(query) = &self.query {
            fill_query(query, context, arguments, &mut text)?;
        }
        if text.len() > MAX_URL {
            return Err(RenderError::TooLong(MAX_URL));
        }
        let url = Url::parse(&text).map_err(RenderError::Malformed)?;
        if is_plain(&url) { Ok(url) } else { Err(RenderError::NotPlain) }
    }

    /// With every placeholder filled by something harmless, it must be a URL.
    fn judge(&self) -> Result<(), UrlTemplateError> {
        let begins_with_scheme = match self.origin.first() {
            Some(Part::Text(literal)) => after_scheme(literal).is_some(),
            first => first.is_some(),
        };
        if !begins_with_scheme {
            return Err(UrlTemplateError::Scheme);
        }
        let mut text = String::new();
        for (index, part) in self.origin.iter().enumerate() {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Hole(_) if index == 0 => text.push_str(base_like(self.origin.get(1))),
                Part::Hole(_) if text.ends_with(':') => text.push_str("80"),
                Part::Hole(_) => text.push('x'),
            }
        }
        if !names_a_host(&text) {
            return Err(UrlTemplateError::NoUrl(url::ParseError::EmptyHost));
        }
        for segment in &self.segments {
            if segment.iter().all(|part| matches!(part, Part::Text(_)))
                && is_dots(&literal(segment))
            {
                return Err(UrlTemplateError::Dots);
            }
            let _ = write!(text, "/{}", literal(segment));
        }
        let url = Url::parse(&text).map_err(UrlTemplateError::NoUrl)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlTemplateError::UserInfo);
        }
        Ok(())
    }
}

impl fmt::Display for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What follows `http://` or `https://`.
fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let is_known = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    is_known.then_some(rest)
}

/// Whether a host follows the scheme: slashes too many or too few are overlooked by parsers, which
/// then take the path for a host.
fn names_a_host(origin: &str) -> bool {
    after_scheme(origin).is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':']))
}

/// What the placeholder at the beginning of a URL might be: a scheme if `://` follows it, a base URL
/// otherwise.
fn base_like(next: Option<&Part>) -> &'static str {
    match next {
        Some(Part::Text(text)) if text.starts_with("://") => "https",
        _ => "https://x",
    }
}

/// The literal text, with a letter for each placeholder.
fn literal(parts: &[Part]) -> String {
    let pieces = parts.iter().map(|part| match part {
        Part::Text(literal) => literal.as_str(),
        Part::Hole(_) => "x",
    });
    pieces.collect()
}

/// A value in front of the path: a host, a port or a part of one, or a base URL at the beginning.
/// Nothing in it may end the host early or make a user name of it; what a base URL has for a path
/// is plain.
fn origin_part(hole: &Hole, value: String, is_base: bool) -> Result<String, RenderError> {
    let refuse = || RenderError::Host(hole.name().to_owned());
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let fits = |c: char| plain(c) || (is_base && matches!(c, '/' | '~'));
    let has_dots = || value.split('/').skip(1).any(is_dots);
    if value.is_empty() || !value.chars().all(fits) || (is_base && has_dots()) {
        return Err(refuse());
    }
    Ok(value)
}

fn fill_segment(
    segment: &[Part],
    context: &Map<String, Value>,
    arguments: &Map<String, Value>,
) -> Result<String, RenderError> {
    let filled = fill(segment, context, arguments, |hole, value| {
        one_line(hole, value).map(|value| percent_encoded(&value))
    })?;
    match holes(segment).next() {
        Some(hole) if filled.is_empty() || is_dots(&filled) => {
            Err(RenderError::Segment(hole.name().to_owned()))
        }
        _ => Ok(filled),
    }
}

/// Appends those parameters whose arguments are there.
fn fill_query(
    query: &[Vec<Part>],
    context: &Map<String, Value>,
    arguments: &Map<String, Value>,
    text: &mut String,
) -> Result<(), RenderError> {
    let mut mark = '?';
    for parameter in query {
        let encoded = |_: &Hole, value: String| Ok(form_encoded(&value));
        match fill(parameter, context, arguments, encoded) {
            Ok(parameter) => {
                text.push(mark);
                text.push_str(&parameter);
                mark = '&';
            }
            Err(RenderError::MissingArgument(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether a segment leads elsewhere: `.` and `..`, of which a dot may be written `%2e`.
fn is_dots(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    matches!(plain.as_str(), "." | "..")
}

fn is_plain(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
}

/// Everything but the unreserved characters of RFC 3986.
fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn form_encoded(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

/// Splits at the first slash that begins the path: not at those of `://`.
fn split_origin(parts: Vec<Part>) -> (Vec<Part>, Option<Vec<Part>>) {
    let (mut origin, path) = split_once(parts, '/');
    let Some(path) = path else { return (origin, None) };
    let is_scheme = matches!(origin.last(), Some(Part::Text(text)) if text.ends_with(':'));
    let Some(Part::Text(rest)) = path.first().filter(|_| is_scheme) else {
        return (origin, Some(path));
    };
    let Some(rest) = rest.strip_prefix('/').map(str::to_owned) else { return (origin, Some(path)) };
    // `https:` was followed by `//`: go on behind them.
    let behind = [Part::Text(rest)].into_iter().filter(|part| *part != Part::Text(String::new()));
    let (host, path) = split_once(behind.chain(path.into_iter().skip(1)).collect(), '/');
    push_text(&mut origin, "//");
    for part in host {
        match part {
            Part::Text(text) => push_text(&mut origin, &text),
            hole @ Part::Hole(_) => origin.push(hole),
        }
    }
    (origin, path)
}

fn push_text(parts: &mut Vec<Part>, more: &str) {
    match parts.last_mut() {
        Some(Part::Text(text)) => text.push_str(more),
        _ => parts.push(Part::Text(more.to_owned())),
    }
}

/// Splits at the first `mark` in a literal text.
fn split_once(parts: Vec<Part>, mark: char) -> (Vec<Part>, Option<Vec<Part>>) {
    let mut before = Vec::new();
    let mut rest = parts.into_iter();
    while let Some(part) = rest.next() {
        let Part::Text(text) = &part else {
            before.push(part);
            continue;
        };
        let Some((left, right)) = text.split_once(mark) else {
            before.push(part);
            continue;
        };
        if !left.is_empty() {
            before.push(Part::Text(left.to_owned()));
        }
        let right = (!right.is_empty()).then(|| Part::Text(right.to_owned()));
        return (before, Some(right.into_iter().chain(rest).collect()));
    }
    (before, None)
}

/// Splits at every `mark` in a literal text.
fn split(parts: Vec<Part>, mark: char) -> Vec<Vec<Part>> {
    let mut pieces = Vec::new();
    let mut rest = Some(parts);
    while let Some(parts) = rest {
        let (piece, after) = split_once(parts, mark);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

#[cfg(test)]
mod tests;
