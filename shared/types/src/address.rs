//! Addresses that a tenant has requests sent to: of callbacks and of event webhooks.
//!
//! A URL parser mends what it is given: it drops tabs and line breaks, takes `\` for `/`, adds
//! slashes. A request would then go elsewhere than the configuration says, so what would be mended
//! is refused when it is saved.

use url::Url;

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A character that parsers drop or replace.
    #[error("must not hold backslashes, tabs or other control characters")]
    Replaced,
    /// A space that parsers drop.
    #[error("must not begin or end with a space")]
    Surrounded,
    /// A placeholder where none is filled in.
    #[error("must not hold placeholders")]
    Placeholder,
    /// Another scheme, or not two slashes after it.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// Nothing between the slashes.
    #[error("has no host")]
    NoHost,
    /// A host that parsers decode.
    #[error("must not have `%` in its host")]
    EncodedHost,
    /// Credentials, or the place for them.
    #[error("must not hold a user name or password; those are configured apart from it")]
    Credentials,
    /// A part that is never sent.
    #[error("must not have a fragment, which is never sent: `#` is written as %23")]
    Fragment,
    /// Something else.
    #[error("is no URL: {0}")]
    Malformed(#[from] url::ParseError),
}

/// Reads an address whose placeholders, if it may have any, are filled in.
///
/// # Errors
/// If it is no URL of `https` or `http`, or one that means something else than it shows.
pub fn parse(text: &str) -> Result<Url, AddressError> {
    if text.contains(|c: char| c == '\\' || c.is_control()) {
        return Err(AddressError::Replaced);
    }
    if text.trim() != text {
        return Err(AddressError::Surrounded);
    }
    if text.contains("{{") {
        return Err(AddressError::Placeholder);
    }
    if text.contains('#') {
        return Err(AddressError::Fragment);
    }
    let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
    if !["https", "http"].iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
        return Err(AddressError::Scheme);
    }
    match rest.split(['/', '?']).next().unwrap_or_default() {
        "" => Err(AddressError::NoHost),
        authority if authority.contains('@') => Err(AddressError::Credentials),
        authority if authority.contains('%') => Err(AddressError::EncodedHost),
        _ => Ok(Url::parse(text)?),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_taken_as_they_are() {
        for text in [
            "https://x.y",
            "HTTP://X.y:8080/a b?q=%2e",
            "https://[::1]/",
            "https://x.y?u=https://z/@",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_a_parser_would_mend_is_refused() {
        for (text, expected) in [
            ("https://x.y/a\r\nb", AddressError::Replaced),
            ("ht\ttps://x.y", AddressError::Replaced),
            ("https:\\\\x.y", AddressError::Replaced),
            ("https://x.y/\u{7f}", AddressError::Replaced),
            (" https://x.y", AddressError::Surrounded),
            ("https://x.y ", AddressError::Surrounded),
            ("https://x.y/{{v}}", AddressError::Placeholder),
            ("https://x.y/#a", AddressError::Fragment),
            ("https:x.y/z", AddressError::Scheme),
            ("https:/x.y/z", AddressError::Scheme),
            ("//x.y/z", AddressError::Scheme),
            ("ftp://x.y", AddressError::Scheme),
            ("", AddressError::Scheme),
            ("https:///x.y", AddressError::NoHost),
            ("https://?q", AddressError::NoHost),
            ("https://@x.y", AddressError::Credentials),
            ("https://ana:pw@x.y", AddressError::Credentials),
            ("https://x%2ey/", AddressError::EncodedHost),
        ] {
            assert_eq!(parse(text), Err(expected), "{text:?}");
        }
        for text in ["https://:80/", "https://x y/", "https://x.y:99999"] {
            assert!(matches!(parse(text), Err(AddressError::Malformed(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_address_has_the_host_that_it_shows(text in "https?:[/a-z.:@ \\\\\t#?%-]{0,24}") {
            if let Ok(url) = parse(&text) {
                let host = url.host_str().unwrap();
                prop_assert!(text.split_once("://").unwrap().1.starts_with(host), "{}", text);
            }
        }
    }
}
