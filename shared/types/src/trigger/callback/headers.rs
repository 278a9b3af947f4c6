//! `callback.headers`.

use super::CallbackAuth;
use crate::header_name;
use crate::shape::ObjectReader;
use crate::template::Template;

/// The most headers of a callback.
const MAX_HEADERS: usize = 32;
/// The longest name and the longest value of one, in bytes.
const MAX_NAME: usize = 128;
const MAX_VALUE: usize = 4_096;

pub(super) fn read(fields: &mut ObjectReader<'_>) -> Vec<(String, Template)> {
    let mut headers: Vec<(String, Template)> = Vec::new();
    for (name, value) in fields.entries("headers", MAX_HEADERS) {
        let at = path_of(name);
        if !header_name::is_token(name) || name.len() > MAX_NAME {
            fields.refuse(&at, "is not the name of an HTTP header");
            continue;
        }
        if header_name::is_reserved(name) {
            fields.refuse(&at, "is set by Recado and cannot be configured");
            continue;
        }
        // A map of JSON has them apart, a request would carry one of them.
        if headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            fields.refuse(&at, "is there already: the case of a header's name does not matter");
            continue;
        }
        let Some(text) = value.as_str().filter(|text| text.len() <= MAX_VALUE) else {
            fields.refuse(&at, format!("must be a string of at most {MAX_VALUE} bytes"));
            continue;
        };
        if text.chars().any(char::is_control) {
            fields.refuse(&at, "must not contain control characters");
            continue;
        }
        if let Some(template) = fields.accept(&at, Template::parse(text)) {
            headers.push((name.clone(), template));
        }
    }
    headers
}

/// A receiver could not trust a signature whose headers somebody else fills in, and of two
/// credentials only one would be sent.
pub(super) fn refuse_those_of_auth(
    fields: &ObjectReader<'_>,
    headers: &[(String, Template)],
    auth: &CallbackAuth,
) {
    let of_auth = auth.headers();
    for (name, _) in headers {
        if of_auth.iter().any(|header| header.eq_ignore_ascii_case(name)) {
            fields.refuse(&path_of(name), "is set by `auth`");
        }
    }
}

fn path_of(name: &str) -> String {
    format!("headers.{}", name.chars().take(64).collect::<String>())
}
