//! `authentication`: headers that have to hold secrets.

use crate::header_name;
use crate::shape::ObjectReader;

const MAX_HEADERS: usize = 16;

/// A header that has to hold one of the values of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderSecret {
    /// The header's name, in lower case.
    pub name: String,
    /// The secret's name.
    pub secret_ref: String,
}

pub(super) fn read(fields: &mut ObjectReader<'_>) -> Vec<HeaderSecret> {
    let Some(mut authentication) = fields.object("authentication") else { return Vec::new() };
    let headers = read_list(&mut authentication);
    authentication.done();
    headers.unwrap_or_default()
}

fn read_list(authentication: &mut ObjectReader<'_>) -> Option<Vec<HeaderSecret>> {
    const KEY: &str = "headers";
    let listed = authentication.required(KEY)?;
    let items = listed.as_array().filter(|items| (1..=MAX_HEADERS).contains(&items.len()));
    let Some(items) = items else {
        authentication.refuse(KEY, format!("must be a list of 1 to {MAX_HEADERS} headers"));
        return None;
    };
    let mut headers: Vec<HeaderSecret> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{}[{index}]", authentication.path_of(KEY));
        let Some(mut fields) = ObjectReader::new(item, &path, authentication.problems()) else {
            continue;
        };
        if let Some(header) = read_header(&mut fields) {
            if headers.iter().any(|other| other.name == header.name) {
                fields.refuse(
                    "name",
                    "is listed twice; a secret may hold several values, one a line",
                );
            }
            headers.push(header);
        }
        fields.done();
    }
    Some(headers)
}

fn read_header(fields: &mut ObjectReader<'_>) -> Option<HeaderSecret> {
    let name = read_name(fields, "name");
    if fields.any("value").is_some() {
        fields.refuse(
            "value",
            "must not be in a configuration: save it as a secret of the tenant, \
             and name that in `secret_ref`",
        );
    }
    let secret_ref = fields.required_string("secret_ref", 1..=128);
    Some(HeaderSecret { name: name?, secret_ref: secret_ref?.to_owned() })
}

/// The name of a header (a token of RFC 9110), in lower case.
pub(super) fn read_name(fields: &mut ObjectReader<'_>, key: &'static str) -> Option<String> {
    let name = fields.required_string(key, 1..=128)?;
    if header_name::is_token(name) {
        return Some(name.to_ascii_lowercase());
    }
    fields.refuse(key, "must be the name of an HTTP header");
    None
}
