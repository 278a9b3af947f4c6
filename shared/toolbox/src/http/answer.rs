//! What a server answered, as a model can read it.
//!
//! Text is shown, whatever its charset says (ISO 8859-1 is converted, everything else is taken for
//! UTF-8 with mistakes). Anything that is not text is described.

use recado_http::guard::Answer;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};

/// The most of a content type that is shown.
const MAX_TYPE: usize = 100;

/// Types beside `text/*`, `…+json` and `…+xml` that people can read.
const READABLE: [&str; 11] = [
    "application/json",
    "application/jsonl",
    "application/x-ndjson",
    "application/xml",
    "application/xhtml+xml",
    "application/yaml",
    "application/x-yaml",
    "application/toml",
    "application/javascript",
    "application/graphql",
    "application/x-www-form-urlencoded",
];

/// The body as text.
pub(super) fn text_of(answer: &Answer) -> String {
    let content_type = header(answer, &CONTENT_TYPE).to_ascii_lowercase();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if answer.body.is_empty() {
        return format!("[no content; status {}]", answer.status.as_u16());
    }
    let encoding = header(answer, &CONTENT_ENCODING).to_ascii_lowercase();
    if !matches!(encoding.trim(), "" | "identity") {
        return described("compressed", &encoding, answer);
    }
    if kind.is_empty() {
        return match complete_utf8(answer) {
            Some(text) => text.to_owned(),
            None => described("binary", "unknown type", answer),
        };
    }
    if !is_readable(kind) {
        return described("binary", kind, answer);
    }
    if content_type.contains("iso-8859-1") || content_type.contains("latin1") {
        return answer.body.iter().map(|&byte| char::from(byte)).collect();
    }
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn header<'a>(answer: &'a Answer, name: &HeaderName) -> &'a str {
    answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn is_readable(kind: &str) -> bool {
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || READABLE.contains(&kind)
}

/// The body, if it is UTF-8 but for a character that the limit may have cut.
fn complete_utf8(answer: &Answer) -> Option<&str> {
    match std::str::from_utf8(&answer.body) {
        Ok(text) => Some(text),
        Err(error) if answer.truncated && error.error_len().is_none() => {
            std::str::from_utf8(&answer.body[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

fn described(what: &str, kind: &str, answer: &Answer) -> String {
    let letter = |c: &char| c.is_ascii_alphanumeric() || "/+-._ ".contains(*c);
    let kind: String = kind.chars().filter(letter).take(MAX_TYPE).collect();
    let more = if answer.truncated { "more than " } else { "" };
    format!("[{what} content, not shown: {kind}, {more}{} bytes]", answer.body.len())
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::*;

    fn answer(content_type: &str, body: &[u8]) -> Answer {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        }
        let body = body.to_vec().into();
        Answer { status: StatusCode::OK, headers, body, truncated: false }
    }

    #[test]
    fn text_is_shown() {
        for kind in
            ["text/plain", "Application/JSON; charset=utf-8", "application/problem+json", ""]
        {
            assert_eq!(text_of(&answer(kind, "olá".as_bytes())), "olá", "{kind}");
        }
        let latin = text_of(&answer("text/plain; charset=ISO-8859-1", b"ol\xe1"));
        assert_eq!(latin, "olá");
        assert_eq!(text_of(&answer("text/plain", b"ol\xe1")), "ol\u{fffd}");
    }

    #[test]
    fn what_is_no_text_is_described() {
        let png = text_of(&answer("image/png; x=\"<b>\"", b"\x89PNG"));
        assert_eq!(png, "[binary content, not shown: image/png, 4 bytes]");
        let unknown = text_of(&answer("", b"\xff\xfe"));
        assert_eq!(unknown, "[binary content, not shown: unknown type, 2 bytes]");
        let mut zipped = answer("text/plain", b"\x1f\x8b");
        zipped.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(text_of(&zipped), "[compressed content, not shown: gzip, 2 bytes]");
        assert_eq!(text_of(&answer("text/plain", b"")), "[no content; status 200]");
    }

    #[test]
    fn a_character_that_the_limit_cut_makes_no_binary() {
        let mut cut = answer("", &"olá".as_bytes()[..3]);
        assert_eq!(text_of(&cut), "[binary content, not shown: unknown type, 3 bytes]");
        cut.truncated = true;
        assert_eq!(text_of(&cut), "ol");
    }
}
