//! The way in: channel, authentication, extraction, context, session, idempotency.

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde_json::Value;

use crate::field_path::FieldPath;
use crate::shape::ObjectReader;

/// The most context fields, and the most values one of them collects.
const MAX_CONTEXT_FIELDS: usize = 64;
const MAX_MATCHES: usize = 100;
/// The longest JSONPath, in bytes; the parser itself stops at 128 levels.
const MAX_JSON_PATH: usize = 512;

/// The kind of outside system a trigger talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// `WhatsApp` through Twilio.
    TwilioWhatsapp,
    /// SMS through Twilio.
    TwilioSms,
}

/// A channel and the secret it signs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Which.
    pub kind: ChannelKind,
    /// The name of a secret; for Twilio it holds `<AccountSID>:<AuthToken>`.
    pub secret_ref: Option<String>,
}

impl Channel {
    pub(super) fn read(reader: &mut ObjectReader<'_>) -> Option<Self> {
        let mut fields = reader.object("channel")?;
        let kinds = [
            ("twilio_whatsapp", ChannelKind::TwilioWhatsapp),
            ("twilio_sms", ChannelKind::TwilioSms),
        ];
        if fields.any("type").is_none() {
            fields.refuse("type", "is required");
        }
        let kind = fields.choice("type", &kinds);
        let secret_ref = fields.object("auth").and_then(|mut auth| {
            auth.choice("type", &[("basic", ())]);
            let name = auth.required_string("secret_ref", 1..=128).map(str::to_owned);
            auth.done();
            name
        });
        fields.done();
        Some(Self { kind: kind?, secret_ref })
    }
}

/// A hash for HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA512.
    Sha512,
}

/// How a request proves where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboundAuth {
    /// `X-Webhook-Signature: sha256=<hex>` (or `sha512=`) over the raw body with `webhook_secret`;
    /// an `algorithm` accepts that one only.
    Signature {
        /// The only algorithm accepted, if one was chosen.
        algorithm: Option<Algorithm>,
    },
    /// `X-Api-Key` with a key of the tenant.
    ApiKey,
    /// `X-Twilio-Signature` with the auth token of the channel's secret.
    Twilio,
    /// Nothing is checked.
    None,
}

#[derive(Clone, Copy)]
enum AuthType {
    Signature,
    ApiKey,
    None,
}

impl InboundAuth {
    /// Without `auth`, a channel with a secret checks its own signature and everything else the
    /// native one: leaving it out never opens the door.
    pub(super) fn read(reader: &mut ObjectReader<'_>, channel: Option<&Channel>) -> Option<Self> {
        let Some(mut fields) = reader.object("auth") else {
            return match channel {
                None => Some(Self::Signature { algorithm: None }),
                Some(Channel { secret_ref: Some(_), .. }) => Some(Self::Twilio),
                Some(_) => {
                    reader.refuse(
                        "channel.auth",
                        "is required to check the channel's signature; \
                         or choose another check in `trigger_config.auth`",
                    );
                    None
                }
            };
        };
        let types = [
            ("signature", AuthType::Signature),
            ("api_key", AuthType::ApiKey),
            ("none", AuthType::None),
        ];
        if fields.any("type").is_none() {
            fields.refuse("type", "is required");
        }
        let auth = match fields.choice("type", &types) {
            Some(AuthType::Signature) => {
                let algorithms = [("sha256", Algorithm::Sha256), ("sha512", Algorithm::Sha512)];
                let algorithm = fields.choice("algorithm", &algorithms);
                // A Twilio channel asked for a signature sends Twilio's.
                match channel {
                    Some(Channel { secret_ref: Some(_), .. }) => Some(Self::Twilio),
                    _ => Some(Self::Signature { algorithm }),
                }
            }
            Some(AuthType::ApiKey) => Some(Self::ApiKey),
            Some(AuthType::None) => Some(Self::None),
            None => None,
        };
        fields.done();
        auth
    }
}

/// Where the agent's question is found in the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryExtraction {
    /// The text of one field.
    Field(FieldPath),
    /// The whole body: a text as it is, anything else as JSON.
    FullBody,
}

#[derive(Clone, Copy)]
enum ExtractionMode {
    Field,
    FullBody,
}

impl QueryExtraction {
    pub(super) fn read(reader: &mut ObjectReader<'_>, channel: Option<&Channel>) -> Option<Self> {
        let Some(mut fields) = reader.object("query_extraction") else {
            // Twilio's messages carry their text in `Body`.
            return Some(match channel {
                Some(_) => Self::Field("Body".parse().expect("a plain name is a path")),
                None => Self::FullBody,
            });
        };
        let modes = [("field", ExtractionMode::Field), ("full_body", ExtractionMode::FullBody)];
        if fields.any("mode").is_none() {
            fields.refuse("mode", "is required");
        }
        let extraction = match fields.choice("mode", &modes) {
            Some(ExtractionMode::Field) => {
                if fields.any("field").is_none() {
                    fields.refuse("field", "is required with mode `field`");
                }
                fields.parsed("field").map(Self::Field)
            }
            Some(ExtractionMode::FullBody) => Some(Self::FullBody),
            None => None,
        };
        fields.done();
        extraction
    }
}

/// One entry of `context_mapping`.
#[derive(Clone, Debug)]
pub struct ContextField {
    /// Its name in the context.
    pub name: String,
    path: JpQuery,
}

impl ContextField {
    /// What its JSONPath (RFC 9535) finds: the value of one match, a list of several (at most
    /// 100), `None` of none.
    pub fn find(&self, payload: &Value) -> Option<Value> {
        let found = js_path_process(&self.path, payload).ok()?;
        let mut values = found.into_iter().take(MAX_MATCHES).map(|found| found.val().clone());
        let first = values.next()?;
        let rest: Vec<Value> = values.collect();
        if rest.is_empty() {
            return Some(first);
        }
        Some(Value::Array(std::iter::once(first).chain(rest).collect()))
    }

    /// Whether a model may see it: names with a leading `_`, and `token`, `host` and `userName`,
    /// never reach a prompt (seed 000, "Auto-excluded Fields").
    pub fn is_visible(name: &str) -> bool {
        !name.starts_with('_') && !matches!(name, "token" | "host" | "userName")
    }
}

pub(super) fn read_context_mapping(reader: &mut ObjectReader<'_>) -> Vec<ContextField> {
    let mut mapping = Vec::new();
    for (name, path) in reader.entries("context_mapping", MAX_CONTEXT_FIELDS) {
        let at = format!("context_mapping.{}", name.chars().take(64).collect::<String>());
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            reader.refuse(&at, "a name has 1 to 64 letters, digits, `_`, `-` and `.`");
            continue;
        }
        let Some(text) = path.as_str().filter(|text| text.len() <= MAX_JSON_PATH) else {
            let most = MAX_JSON_PATH;
            reader.refuse(&at, format!("must be a JSONPath of at most {most} bytes"));
            continue;
        };
        match parse_json_path(text) {
            Ok(path) => mapping.push(ContextField { name: name.clone(), path }),
            Err(_reason) => {
                reader.refuse(&at, "is not a JSONPath (RFC 9535), for example `$.user.id`");
            }
        }
    }
    mapping
}

/// Which conversation a message belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionStrategy {
    /// The one of these values, looked up in the context first and in the payload second.
    Derive(Vec<FieldPath>),
    /// A new one for each message.
    Ephemeral,
}

#[derive(Clone, Copy)]
enum StrategyMode {
    Derive,
    Ephemeral,
}

impl SessionStrategy {
    pub(super) fn read(reader: &mut ObjectReader<'_>) -> Option<Self> {
        let Some(mut fields) = reader.object("session_strategy") else {
            return Some(Self::Ephemeral);
        };
        let modes = [("derive", StrategyMode::Derive), ("ephemeral", StrategyMode::Ephemeral)];
        if fields.any("mode").is_none() {
            fields.refuse("mode", "is required");
        }
        let strategy = match fields.choice("mode", &modes) {
            Some(StrategyMode::Derive) => {
                if fields.any("fields").is_none() {
                    fields.refuse("fields", "is required with mode `derive`");
                }
                let names = fields.strings("fields", 1..=16, 512).unwrap_or_default();
                let paths: Vec<FieldPath> =
                    names.iter().filter_map(|name| fields.accept("fields", name.parse())).collect();
                (!paths.is_empty()).then_some(Self::Derive(paths))
            }
            Some(StrategyMode::Ephemeral) => Some(Self::Ephemeral),
            None => None,
        };
        fields.done();
        strategy
    }
}

/// Where a provider's own message id is found, beyond what the channel knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Idempotency {
    /// A request header, in lower case.
    pub header: Option<String>,
    /// A field of the payload.
    pub path: Option<FieldPath>,
}

impl Idempotency {
    pub(super) fn read(reader: &mut ObjectReader<'_>) -> Self {
        let Some(mut fields) = reader.object("idempotency") else { return Self::default() };
        let header = fields.string("header", 1..=128).map(str::to_ascii_lowercase);
        let token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if header.as_ref().is_some_and(|name| !name.chars().all(token)) {
            fields.refuse("header", "must be the name of an HTTP header");
        }
        let path = fields.parsed("path");
        fields.done();
        Self { header, path }
    }
}

/// Only `any` exists so far; what it would let through must not be accepted as if it were checked.
pub(super) fn read_sender_access(reader: &mut ObjectReader<'_>) {
    let Some(mut fields) = reader.object("sender_access") else { return };
    fields.choice("mode", &[("any", ())]);
    fields.done();
}
