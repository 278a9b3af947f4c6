//! Query strings, read as strictly as bodies: unknown and repeated parameters are mistakes, and
//! all mistakes are told at once.

use std::ops::RangeInclusive;
use std::str::FromStr;

use actix_web::HttpRequest;
use chrono::{DateTime, Utc};
use recado_http::ApiError;
use recado_types::shape::Problems;

use crate::failure::invalid;

/// A query string on its way to becoming values.
pub(crate) struct QueryReader {
    /// Names and values; without a value that is a text.
    parameters: Vec<(String, Option<String>)>,
    known: Vec<&'static str>,
    problems: Problems,
}

impl QueryReader {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let pairs = request.query_string().split('&').filter(|pair| !pair.is_empty());
        let parameters = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = String::from_utf8_lossy(&unescaped(name)).into_owned();
            (name, String::from_utf8(unescaped(value)).ok())
        });
        let parameters = parameters.collect();
        Self { parameters, known: Vec::new(), problems: Problems::default() }
    }

    /// A parameter that may be there once.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<&str> {
        self.known.push(name);
        let mut given = self.parameters.iter().filter(|(key, _)| key == name);
        let first = given.next()?;
        if given.next().is_some() {
            self.problems.add(name, "is given more than once");
        }
        if first.1.is_none() {
            self.problems.add(name, "must be UTF-8, escaped byte by byte");
        }
        first.1.as_deref()
    }

    /// A parameter that parses as `T`, which is `what`: `an id`.
    pub(crate) fn parsed<T: FromStr>(&mut self, name: &'static str, what: &str) -> Option<T> {
        let parsed = self.text(name)?.parse().ok();
        if parsed.is_none() {
            self.refuse(name, format!("must be {what}"));
        }
        parsed
    }

    /// A time.
    pub(crate) fn time(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        let parsed = DateTime::parse_from_rfc3339(self.text(name)?).ok();
        if parsed.is_none() {
            self.refuse(name, "must be an RFC 3339 time (a `+` in it is written %2B)");
        }
        parsed.map(|time| time.to_utc())
    }

    /// A text of so many characters.
    pub(crate) fn words(
        &mut self,
        name: &'static str,
        characters: RangeInclusive<usize>,
    ) -> Option<String> {
        let text = self.text(name)?.to_owned();
        if !characters.contains(&text.chars().count()) || text.contains('\0') {
            let (least, most) = characters.into_inner();
            self.refuse(name, format!("must have {least} to {most} characters, none U+0000"));
        }
        Some(text)
    }

    /// One of a closed set of words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        options: &[T],
        word: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let given = self.text(name)?;
        let chosen = options.iter().copied().find(|option| word(*option) == given);
        if chosen.is_none() {
            let words: Vec<&str> = options.iter().copied().map(word).collect();
            self.refuse(name, format!("must be one of: {}", words.join(", ")));
        }
        chosen
    }

    /// Adds a mistake.
    pub(crate) fn refuse(&self, name: &str, reason: impl Into<String>) {
        self.problems.add(name, reason);
    }

    /// # Errors
    /// 400 naming every mistake, parameters that nobody asked for among them.
    pub(crate) fn done(self) -> Result<(), ApiError> {
        for (name, _) in self.parameters.iter().filter(|(n, _)| !self.known.contains(&n.as_str())) {
            let shown: String = name.chars().take(64).collect();
            self.problems.add(shown, "is not a known parameter");
        }
        self.problems.finish(()).map_err(invalid)
    }
}

/// What an `application/x-www-form-urlencoded` text says, in bytes. A `%` without two digits stands
/// for itself (WHATWG URL, 5.1).
fn unescaped(text: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => digit(high).zip(digit(low)),
            _ => None,
        };
        let escaped = escaped.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn reader(query: &str) -> QueryReader {
        QueryReader::of(&TestRequest::with_uri(&format!("/?{query}")).to_http_request())
    }

    #[test]
    fn unknown_and_repeated_parameters_are_mistakes() {
        let mut query = reader("limit=1&limit=2&page=3");
        assert_eq!(query.text("limit"), Some("1"));
        assert_eq!(query.text("cursor"), None);
        assert_eq!(query.done().unwrap_err().message(), "2 fields are missing or invalid");
    }

    #[test]
    fn words_and_ids_are_judged() {
        let mut query = reader("size=big&other=huge&n=7&m=x");
        let word = |is_big| if is_big { "big" } else { "small" };
        assert_eq!(query.choice("size", &[true, false], word), Some(true));
        assert_eq!(query.choice("absent", &[true, false], word), None);
        assert_eq!(query.parsed::<u8>("n", "a number"), Some(7));
        assert_eq!(query.choice("other", &[true, false], word), None);
        assert_eq!(query.parsed::<u8>("m", "a number"), None);
        assert_eq!(query.done().unwrap_err().message(), "2 fields are missing or invalid");
    }

    #[test]
    fn times_and_texts_are_judged() {
        let mut query =
            reader("at=2026-02-18T14:30:00Z&east=2026-02-18T14:30:00%2B01:00&text=caf%C3%A9");
        assert_eq!(query.time("at").unwrap().timestamp(), 1_771_425_000);
        assert_eq!(query.time("east").unwrap().timestamp(), 1_771_421_400);
        assert_eq!(query.words("text", 1..=4).as_deref(), Some("café"));
        assert!(query.done().is_ok());
        let mut query = reader("at=yesterday&east=2026-02-18T14:30:00+01:00&text=&nul=a%00");
        assert_eq!((query.time("at"), query.time("east")), (None, None));
        query.words("text", 1..=4);
        query.words("nul", 1..=4);
        assert_eq!(query.done().unwrap_err().message(), "4 fields are missing or invalid");
    }

    #[test]
    fn escapes_are_read() {
        let mut query = reader("status=a%20b+%2B%c3%A9&odd=%zz%2&flag&&x=1=2&%78%79=");
        for (name, value) in
            [("status", "a b +é"), ("odd", "%zz%2"), ("flag", ""), ("x", "1=2"), ("xy", "")]
        {
            assert_eq!(query.text(name), Some(value));
        }
        assert!(query.done().is_ok());
    }

    #[test]
    fn what_is_no_utf_8_is_refused_by_its_name() {
        let mut query = reader("name=%ff&text=%C3&fine=%EF%BF%BD&%ff=1");
        assert_eq!(query.text("name"), None);
        assert_eq!(query.text("text"), None);
        assert_eq!(query.text("fine"), Some("\u{fffd}"));
        let error = query.done().unwrap_err();
        let fields = error.details().unwrap()["fields"].as_array().unwrap();
        let paths: Vec<&str> = fields.iter().map(|field| field["path"].as_str().unwrap()).collect();
        assert_eq!(paths, ["name", "text", "\u{fffd}"]);
    }
}
