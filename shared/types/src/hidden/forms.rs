//! The forms that a value has in texts.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::MIN_LENGTH;

/// All forms of `value`, itself among them; some may be the same.
pub(super) fn of(value: &str) -> Vec<String> {
    let json = json_escaped(value);
    let mut forms = vec![
        value.to_owned(),
        // Go escapes what means something in HTML, Python everything but ASCII, and PHP the slash
        // as well, unless it is told not to.
        unicode_escaped(&json, |c| matches!(c, '&' | '<' | '>')),
        unicode_escaped(&json, |c| !c.is_ascii()),
        unicode_escaped(&json, |c| !c.is_ascii()).replace('/', "\\/"),
        json.replace('/', "\\/"),
        // A log or a gateway that quotes JSON as a text in JSON.
        json_escaped(&json),
        json,
        html_escaped(value, "&#39;"),
        html_escaped(value, "&#x27;"),
        value.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")),
        // RFC 3986, JavaScript's encodeURIComponent, forms, and what browsers do to a whole URL.
        percent_encoded(value, |byte| matches!(byte, b'-' | b'.' | b'_' | b'~')),
        percent_encoded(value, |byte| matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/')),
        percent_encoded(value, |byte| b"-._~!'()*".contains(&byte)),
        url::form_urlencoded::byte_serialize(value.as_bytes()).collect(),
        percent_encoded(value, |byte| byte.is_ascii_graphic() && !b"\"#<>?`{}".contains(&byte)),
    ];
    for before in 0..3 {
        forms.extend(base64(value, before));
    }
    forms
}

fn json_escaped(value: &str) -> String {
    let quoted = Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// As error pages have it; they differ in what they make of an apostrophe.
fn html_escaped(value: &str, apostrophe: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str(apostrophe),
            _ => escaped.push(character),
        }
    }
    escaped
}

fn unicode_escaped(json: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if !is_escaped(character) {
            escaped.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

fn percent_encoded(value: &str, is_kept: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || is_kept(byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The characters of Base64 that `value` alone decides, when so many bytes (modulo 3) are before it;
/// in both alphabets.
fn base64(value: &str, before: usize) -> impl Iterator<Item = String> {
    let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(value.bytes()).collect();
    // Six bits a character: the first that is all of the value's, and the end of those.
    let (from, to) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    let alphabets = [STANDARD_NO_PAD, URL_SAFE_NO_PAD];
    let decided = alphabets.map(|alphabet| alphabet.encode(&bytes)[from..to].to_owned());
    decided.into_iter().filter(|text| text.len() >= MIN_LENGTH)
}
