//! `callback.auth`: how a callback proves who sends it.

use crate::credential::{Credential, CredentialKind, KeyPlace, read_secret_ref};
use crate::header_name;
use crate::shape::ObjectReader;

/// Where a signature stands, unless the configuration names a header: where ours is expected
/// inbound too.
const DEFAULT_SIGNATURE_HEADER: &str = "X-Webhook-Signature";

/// The three headers of Standard Webhooks.
const STANDARD_WEBHOOKS_HEADERS: [&str; 3] =
    ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// How a callback proves who sends it; its secret is named, never written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallbackAuth {
    /// By a credential, or not at all.
    Credential(Credential),
    /// By a signature (HMAC-SHA256) over the body.
    Hmac {
        /// The name of the secret that is the key.
        secret_ref: String,
        /// What exactly is signed, and where the signature stands.
        format: HmacFormat,
    },
}

/// How a signature is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HmacFormat {
    /// Standard Webhooks 1.0: `webhook-signature: v1,<base64>` over id, time and body. The id is
    /// the idempotency key.
    StandardWebhooks,
    /// `sha256=<hex>` over the raw body, the mirror of what Recado takes inbound.
    Sha256 {
        /// The header it stands in.
        header: String,
    },
}

/// What `type` can be.
#[derive(Clone, Copy)]
enum Kind {
    Credential(CredentialKind),
    Hmac,
}

#[derive(Clone, Copy)]
enum FormatKind {
    StandardWebhooks,
    Sha256,
}

impl CallbackAuth {
    /// The name of the secret it needs.
    pub fn secret_ref(&self) -> Option<&str> {
        match self {
            Self::Credential(credential) => credential.secret_ref(),
            Self::Hmac { secret_ref, .. } => Some(secret_ref),
        }
    }

    /// The headers that carry the credential or the signature, if any do.
    pub(super) fn headers(&self) -> Vec<&str> {
        match self {
            Self::Credential(Credential::Basic { .. } | Credential::Bearer { .. }) => {
                vec!["authorization"]
            }
            Self::Credential(Credential::ApiKey { name, place: KeyPlace::Header, .. }) => {
                vec![name]
            }
            Self::Credential(Credential::None | Credential::ApiKey { .. }) => Vec::new(),
            Self::Hmac { format: HmacFormat::StandardWebhooks, .. } => {
                STANDARD_WEBHOOKS_HEADERS.to_vec()
            }
            Self::Hmac { format: HmacFormat::Sha256 { header }, .. } => vec![header],
        }
    }

    /// The parameter of the query that carries the credential, if one does.
    pub(super) fn query_parameter(&self) -> Option<&str> {
        match self {
            Self::Credential(Credential::ApiKey { name, place: KeyPlace::Query, .. }) => Some(name),
            Self::Credential(_) | Self::Hmac { .. } => None,
        }
    }

    pub(super) fn read(reader: &mut ObjectReader<'_>) -> Option<Self> {
        let Some(mut fields) = reader.object("auth") else {
            return Some(Self::Credential(Credential::None));
        };
        let credentials =
            CredentialKind::BY_NAME.map(|(name, kind)| (name, Kind::Credential(kind)));
        let kinds = [&credentials[..], &[("hmac", Kind::Hmac)]].concat();
        fields.required("type");
        let auth = match fields.choice("type", &kinds) {
            None => None,
            Some(Kind::Credential(kind)) => {
                Credential::read_fields(kind, &mut fields).map(Self::Credential)
            }
            Some(Kind::Hmac) => Self::read_hmac(&mut fields),
        };
        fields.done();
        auth
    }

    fn read_hmac(fields: &mut ObjectReader<'_>) -> Option<Self> {
        let secret_ref = read_secret_ref(fields);
        let formats =
            [("standard_webhooks", FormatKind::StandardWebhooks), ("sha256", FormatKind::Sha256)];
        fields.required("format");
        let format = match fields.choice("format", &formats)? {
            FormatKind::StandardWebhooks => HmacFormat::StandardWebhooks,
            FormatKind::Sha256 => HmacFormat::Sha256 { header: read_header(fields) },
        };
        Some(Self::Hmac { secret_ref: secret_ref?, format })
    }
}

fn read_header(fields: &mut ObjectReader<'_>) -> String {
    let header = fields.string("header", 1..=128).unwrap_or(DEFAULT_SIGNATURE_HEADER);
    if !header_name::is_token(header) {
        fields.refuse("header", "is not the name of an HTTP header");
    } else if header_name::is_reserved(header) {
        fields.refuse("header", "is set by Recado and cannot be configured");
    }
    header.to_owned()
}
