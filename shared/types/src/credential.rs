//! The credential that requests to a tenant's own systems carry: callbacks and tools have the same.
//!
//! A secret is named here, never written down: `secret_ref` is the name of one of the tenant's
//! secrets, and its value is looked up when a request is made.

use crate::header_name;
use crate::shape::ObjectReader;

/// Where an API key stands, unless the configuration names a header or parameter.
const DEFAULT_KEY_NAME: &str = "X-Api-Key";

/// The credential that a request carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credential {
    /// None.
    #[default]
    None,
    /// Basic; the secret holds `user:password`.
    Basic {
        /// The secret's name.
        secret_ref: String,
    },
    /// Bearer; the secret is the token.
    Bearer {
        /// The secret's name.
        secret_ref: String,
    },
    /// A key in a header or in the query.
    ApiKey {
        /// The secret's name.
        secret_ref: String,
        /// The name of the header or query parameter.
        name: String,
        /// Which of the two.
        place: KeyPlace,
    },
}

/// Where an API key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// A header.
    Header,
    /// A query parameter.
    Query,
}

/// The kinds of credentials, by what `type` calls them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CredentialKind {
    None,
    Basic,
    Bearer,
    ApiKey,
}

impl CredentialKind {
    pub(crate) const BY_NAME: [(&str, Self); 4] = [
        ("none", Self::None),
        ("basic", Self::Basic),
        ("bearer", Self::Bearer),
        ("api_key", Self::ApiKey),
    ];
}

impl Credential {
    /// The name of the secret it needs.
    pub fn secret_ref(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Basic { secret_ref }
            | Self::Bearer { secret_ref }
            | Self::ApiKey { secret_ref, .. } => Some(secret_ref),
        }
    }

    /// The same, with the path of where it is named.
    pub(crate) fn secret_ref_at(&self, path: &str) -> Option<(String, &str)> {
        Some((format!("{path}.secret_ref"), self.secret_ref()?))
    }

    /// Reads `auth`; without one there is no credential.
    pub(crate) fn read(reader: &mut ObjectReader<'_>) -> Option<Self> {
        let Some(mut fields) = reader.object("auth") else { return Some(Self::None) };
        fields.required("type");
        let kind = fields.choice("type", &CredentialKind::BY_NAME);
        let credential = kind.and_then(|kind| Self::read_fields(kind, &mut fields));
        fields.done();
        credential
    }

    /// Reads what stands beside the `type`.
    pub(crate) fn read_fields(kind: CredentialKind, fields: &mut ObjectReader<'_>) -> Option<Self> {
        match kind {
            CredentialKind::None => Some(Self::None),
            CredentialKind::Basic => Some(Self::Basic { secret_ref: read_secret_ref(fields)? }),
            CredentialKind::Bearer => Some(Self::Bearer { secret_ref: read_secret_ref(fields)? }),
            CredentialKind::ApiKey => Self::read_api_key(fields),
        }
    }

    fn read_api_key(fields: &mut ObjectReader<'_>) -> Option<Self> {
        let secret_ref = read_secret_ref(fields);
        let name = fields.string("name", 1..=128).unwrap_or(DEFAULT_KEY_NAME).to_owned();
        if !header_name::is_token(&name) {
            fields.refuse("name", "must be the name of a header or query parameter");
        }
        let places = [("header", KeyPlace::Header), ("query", KeyPlace::Query)];
        let place = fields.choice("in", &places).unwrap_or(KeyPlace::Header);
        if place == KeyPlace::Header && header_name::is_reserved(&name) {
            fields.refuse("name", "is set by Recado and cannot be configured");
        }
        Some(Self::ApiKey { secret_ref: secret_ref?, name, place })
    }
}

/// The name of a secret, which must be there.
pub(crate) fn read_secret_ref(fields: &mut ObjectReader<'_>) -> Option<String> {
    fields.required_string("secret_ref", 1..=128).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::shape::{FieldProblem, Problems};

    fn read(auth: &Value) -> Result<Option<Credential>, Vec<FieldProblem>> {
        let (problems, value) = (Problems::default(), json!({"auth": auth}));
        let mut reader = ObjectReader::new(&value, "tool", &problems).unwrap();
        let credential = Credential::read(&mut reader);
        reader.done();
        problems.finish(credential)
    }

    #[test]
    fn every_kind_is_read_with_its_secret() {
        let secret_ref = || "S".to_owned();
        let key = |name: &str, place| Credential::ApiKey {
            secret_ref: secret_ref(),
            name: name.to_owned(),
            place,
        };
        for (auth, expected) in [
            (Value::Null, Credential::None),
            (json!({"type": "none"}), Credential::None),
            (
                json!({"type": "basic", "secret_ref": "S"}),
                Credential::Basic { secret_ref: secret_ref() },
            ),
            (
                json!({"type": "bearer", "secret_ref": "S"}),
                Credential::Bearer { secret_ref: secret_ref() },
            ),
            (json!({"type": "api_key", "secret_ref": "S"}), key("X-Api-Key", KeyPlace::Header)),
            (
                json!({"type": "api_key", "secret_ref": "S", "name": "key", "in": "query"}),
                key("key", KeyPlace::Query),
            ),
        ] {
            assert_eq!(read(&auth), Ok(Some(expected)), "{auth}");
        }
    }

    #[test]
    fn mistakes_are_named_by_their_path() {
        for (auth, path) in [
            (json!({}), "tool.auth.type"),
            (json!({"type": "digest"}), "tool.auth.type"),
            (json!({"type": "basic"}), "tool.auth.secret_ref"),
            (json!({"type": "none", "secret_ref": "S"}), "tool.auth.secret_ref"),
            (json!({"type": "api_key", "secret_ref": "S", "name": "a b"}), "tool.auth.name"),
            (json!({"type": "api_key", "secret_ref": "S", "name": "Host"}), "tool.auth.name"),
            (json!({"type": "api_key", "secret_ref": "S", "in": "body"}), "tool.auth.in"),
        ] {
            let problems = read(&auth).unwrap_err();
            assert_eq!(problems[0].path, path, "{auth}");
        }
    }
}
