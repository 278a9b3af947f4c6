//! Puts a tenant's credential into a request, where the configuration says it belongs.
//!
//! A secret is a text that somebody has saved once, for many uses. Whether it suits this one is
//! judged here, so that whoever has to mend it is told what is wrong with it, and not that a header
//! was malformed. Nothing of its value is ever repeated.

use recado_types::credential::{Credential, KeyPlace};

use crate::guard::Outbound;

/// Why a secret cannot be the credential it is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredential {
    /// There is nothing in it.
    #[error("is empty")]
    Empty,
    /// A character that would end a header, or is none that a secret has on purpose.
    #[error("holds a line break or another control character")]
    Control,
    /// For Basic there have to be two parts.
    #[error("must have the form `user:password`")]
    NoPassword,
    /// Header values do not take it.
    #[error("cannot stand in a header")]
    NoHeader,
}

/// Adds `credential` to the request; `secret` is the value of the secret it names. Without a
/// credential the request stays as it is.
///
/// A key in the query is appended to it; in a header it replaces what stood there.
///
/// # Errors
/// When the secret cannot be used like this.
pub fn authorise(
    mut request: Outbound,
    credential: &Credential,
    secret: &str,
) -> Result<Outbound, InvalidCredential> {
    if *credential == Credential::None {
        return Ok(request);
    }
    check(secret)?;
    let header = |written: Result<Outbound, _>| {
        written.map_err(|_the_cause_shows_no_more| InvalidCredential::NoHeader)
    };
    match credential {
        Credential::None => Ok(request),
        Credential::Basic { .. } => {
            let (user, password) = secret.split_once(':').ok_or(InvalidCredential::NoPassword)?;
            Ok(request.basic(user, password))
        }
        Credential::Bearer { .. } => header(request.bearer(secret)),
        Credential::ApiKey { name, place: KeyPlace::Header, .. } => {
            header(request.secret_header(name, secret))
        }
        Credential::ApiKey { name, place: KeyPlace::Query, .. } => {
            request.url.query_pairs_mut().append_pair(name, secret);
            Ok(request)
        }
    }
}

/// What every secret has to be, whatever it is used for: keys of signatures too.
///
/// # Errors
/// When it is empty or holds a control character.
pub fn check(secret: &str) -> Result<(), InvalidCredential> {
    if secret.is_empty() {
        return Err(InvalidCredential::Empty);
    }
    if secret.chars().any(char::is_control) {
        return Err(InvalidCredential::Control);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use reqwest::Method;

    use super::*;

    fn request() -> Outbound {
        Outbound::new(Method::POST, "https://x.y/?a=1".parse().unwrap())
    }

    fn secret_ref() -> String {
        "S".to_owned()
    }

    fn key(place: KeyPlace) -> Credential {
        Credential::ApiKey { secret_ref: secret_ref(), name: "X-Key".into(), place }
    }

    #[test]
    fn each_credential_stands_in_its_place() {
        let basic = Credential::Basic { secret_ref: secret_ref() };
        let bearer = Credential::Bearer { secret_ref: secret_ref() };
        for (credential, header, expected) in [
            (basic, "authorization", "Basic dTpwOnc="),
            (bearer, "authorization", "Bearer u:p:w"),
            (key(KeyPlace::Header), "x-key", "u:p:w"),
        ] {
            let request = authorise(request(), &credential, "u:p:w").unwrap();
            assert_eq!(request.headers[header], expected);
            assert!(request.headers[header].is_sensitive());
            assert_eq!(request.url.query(), Some("a=1"));
        }
        let request = authorise(request(), &key(KeyPlace::Query), "k&=é").unwrap();
        assert_eq!(request.url.query(), Some("a=1&X-Key=k%26%3D%C3%A9"));
        assert!(request.headers.is_empty());
    }

    #[test]
    fn without_a_credential_nothing_is_added() {
        let request = authorise(request(), &Credential::None, "\n").unwrap();
        assert!(request.headers.is_empty());
    }

    #[test]
    fn secrets_that_cannot_be_used_are_told_without_their_value() {
        let bearer = Credential::Bearer { secret_ref: secret_ref() };
        let basic = Credential::Basic { secret_ref: secret_ref() };
        for (credential, secret, expected) in [
            (&bearer, "", InvalidCredential::Empty),
            (&bearer, "token\n", InvalidCredential::Control),
            (&bearer, "a\r\nX-Evil: 1", InvalidCredential::Control),
            (&key(KeyPlace::Query), "a\0", InvalidCredential::Control),
            (&basic, "token", InvalidCredential::NoPassword),
        ] {
            let error = authorise(request(), credential, secret).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains("token"));
        }
    }
}
