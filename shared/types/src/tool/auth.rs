//! The credential that a tool's requests carry.

use crate::shape::ObjectReader;
use crate::trigger::{KeyPlace, is_reserved_header};

/// The credential that a tool's requests carry; its secret is named, never written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolAuth {
    /// None.
    #[default]
    None,
    /// Basic; the secret holds `user:password`.
    Basic {
        /// The secret's name.
        secret_ref: String,
    },
    /// Bearer.
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

#[derive(Clone, Copy)]
enum AuthType {
    None,
    Basic,
    Bearer,
    ApiKey,
}

impl ToolAuth {
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
    pub(super) fn secret_ref_at(&self, path: &str) -> Option<(String, &str)> {
        Some((format!("{path}.secret_ref"), self.secret_ref()?))
    }

    pub(super) fn read(fields: &mut ObjectReader<'_>) -> Option<Self> {
        let Some(mut fields) = fields.object("auth") else { return Some(Self::None) };
        let types = [
            ("none", AuthType::None),
            ("basic", AuthType::Basic),
            ("bearer", AuthType::Bearer),
            ("api_key", AuthType::ApiKey),
        ];
        fields.required("type");
        let chosen = fields.choice("type", &types);
        let mut secret = || fields.required_string("secret_ref", 1..=128).map(str::to_owned);
        let auth = match chosen {
            None => None,
            Some(AuthType::None) => Some(Self::None),
            Some(AuthType::Basic) => secret().map(|secret_ref| Self::Basic { secret_ref }),
            Some(AuthType::Bearer) => secret().map(|secret_ref| Self::Bearer { secret_ref }),
            Some(AuthType::ApiKey) => {
                let secret_ref = secret();
                let name = fields.string("name", 1..=128).unwrap_or("X-Api-Key").to_owned();
                if !is_token(&name) {
                    fields.refuse("name", "must be the name of a header or query parameter");
                }
                let places = [("header", KeyPlace::Header), ("query", KeyPlace::Query)];
                let place = fields.choice("in", &places).unwrap_or(KeyPlace::Header);
                if place == KeyPlace::Header && is_reserved_header(&name) {
                    fields.refuse("name", "is set by Recado and cannot be configured");
                }
                secret_ref.map(|secret_ref| Self::ApiKey { secret_ref, name, place })
            }
        };
        fields.done();
        auth
    }
}

/// The `token` of RFC 9110: what may name a header.
pub(super) fn is_token(name: &str) -> bool {
    let mark = |c: char| "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || mark(c))
}
