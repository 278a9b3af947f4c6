//! The way in: authentication, extraction, context, session, idempotency.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Display;
use std::ptr;
use std::str::FromStr;

use serde_json::Value;

use super::channel::{Channel, ChannelKind};
use crate::field_path::FieldPath;
use crate::hidden;
use crate::jmespath::Expression;
use crate::json_path::{JsonPath, SearchError, Subject};
use crate::shape::{ObjectReader, Problems};
use crate::template::PayloadTemplate;

/// The most context fields.
const MAX_CONTEXT_FIELDS: usize = 64;

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
    /// What the channel's provider signs with.
    Channel,
    /// Nothing is checked, but for what a generic channel describes: that is always checked.
    None,
}

#[derive(Clone, Copy)]
enum AuthType {
    Signature,
    ApiKey,
    None,
}

impl InboundAuth {
    /// Without `auth`, a channel checks its own signature and everything else the native one:
    /// leaving it out never opens the door.
    pub(super) fn read(reader: &mut ObjectReader<'_>, channel: Option<&Channel>) -> Option<Self> {
        let own = channel.filter(|channel| channel.can_authenticate());
        let Some(mut fields) = reader.object("auth") else {
            return match (own, channel) {
                (Some(_), _) => Some(Self::Channel),
                (None, None | Some(Channel { kind: ChannelKind::Generic, .. })) => {
                    Some(Self::Signature { algorithm: None })
                }
                (None, Some(channel)) => {
                    reader.refuse(
                        channel.key_field(),
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
        let algorithms = [("sha256", Algorithm::Sha256), ("sha512", Algorithm::Sha512)];
        let auth = match fields.choice("type", &types) {
            // A channel that is asked for a signature sends its own.
            Some(AuthType::Signature) if own.is_some() => Some(Self::Channel),
            Some(AuthType::Signature) => {
                Some(Self::Signature { algorithm: fields.choice("algorithm", &algorithms) })
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
#[derive(Clone, Debug, PartialEq)]
pub enum QueryExtraction {
    /// What the channel calls the text.
    Channel,
    /// The text of one field.
    Field(FieldPath),
    /// What an expression makes of the body.
    Jmespath(Expression),
    /// A text with values of the body in it.
    Template(PayloadTemplate),
    /// The whole body, as far as a model may see it ([`shown_body`]): a text as it is, anything else
    /// as JSON.
    FullBody,
}

#[derive(Clone, Copy)]
enum ExtractionMode {
    Field,
    Jmespath,
    Template,
    FullBody,
}

impl QueryExtraction {
    /// Where the way in `knows_texts`, nothing has to be said.
    pub(super) fn read(reader: &mut ObjectReader<'_>, knows_texts: bool) -> Option<Self> {
        let Some(mut fields) = reader.object("query_extraction") else {
            return Some(if knows_texts { Self::Channel } else { Self::FullBody });
        };
        let modes = [
            ("field", ExtractionMode::Field),
            ("jmespath", ExtractionMode::Jmespath),
            ("template", ExtractionMode::Template),
            ("full_body", ExtractionMode::FullBody),
        ];
        if fields.any("mode").is_none() {
            fields.refuse("mode", "is required");
        }
        let extraction = match fields.choice("mode", &modes) {
            Some(ExtractionMode::Field) => {
                required_with(&mut fields, "field", "field").map(Self::Field)
            }
            Some(ExtractionMode::Jmespath) => {
                required_with(&mut fields, "expression", "jmespath").map(Self::Jmespath)
            }
            Some(ExtractionMode::Template) => {
                let template = required_with(&mut fields, "template", "template");
                template
                    .filter(|it| shows_nothing_hidden(&fields, "template", it))
                    .map(Self::Template)
            }
            Some(ExtractionMode::FullBody) => Some(Self::FullBody),
            None => None,
        };
        fields.done();
        extraction
    }
}

fn required_with<T: FromStr<Err: Display>>(
    fields: &mut ObjectReader<'_>,
    key: &'static str,
    mode: &str,
) -> Option<T> {
    if fields.any(key).is_none() {
        fields.refuse(key, format!("is required with mode `{mode}`"));
    }
    fields.parsed(key)
}

/// Refuses a template of what an agent is asked that names what no model is shown.
pub(super) fn shows_nothing_hidden(
    fields: &ObjectReader<'_>,
    key: &str,
    template: &PayloadTemplate,
) -> bool {
    let hidden = template.paths().find(|path| !path.names().all(ContextField::is_visible));
    if let Some(path) = hidden {
        let reason =
            "names with a leading `_`, `token`, `host` and `userName` are not shown to models";
        fields.refuse(key, format!("must not use `{{{{{path}}}}}`: {reason}"));
    }
    hidden.is_none()
}

/// The part of a body that a model may see when it is shown the body as a whole: without names that
/// are hidden, at any depth, and without what the hidden fields of `mapping` point at.
///
/// The fields share the steps of one search ([`crate::json_path`]); running out of them is an error,
/// since what is not found would be shown.
pub fn shown_body<'v>(
    mapping: &[ContextField],
    payload: &'v Value,
) -> Result<Cow<'v, Value>, SearchError> {
    let mut pointed_at = HashSet::new();
    let mut subject = Subject::new(payload);
    for field in mapping.iter().filter(|field| !ContextField::is_visible(&field.name)) {
        let found = field.path.locate(&mut subject)?;
        pointed_at.extend(found.into_iter().map(ptr::from_ref));
    }
    Ok(hidden::without(payload, &|value| pointed_at.contains(&ptr::from_ref(value))))
}

/// One entry of `context_mapping`.
#[derive(Clone, Debug)]
pub struct ContextField {
    /// Its name in the context.
    pub name: String,
    path: JsonPath,
}

impl ContextField {
    /// What its JSONPath (RFC 9535) finds: the value of one match, a list of several (at most
    /// 100), `None` of none. The fields of one mapping share the steps of one `subject`.
    pub fn find(&self, subject: &mut Subject<'_>) -> Result<Option<Value>, SearchError> {
        self.path.find(subject)
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
        let Some(text) = path.as_str() else {
            reader.refuse(&at, "must be a JSONPath (RFC 9535), for example `$.user.id`");
            continue;
        };
        if let Some(path) = reader.accept(&at, text.parse()) {
            mapping.push(ContextField { name: name.clone(), path });
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
    /// One for everybody who writes to the trigger.
    Shared,
}

#[derive(Clone, Copy)]
enum StrategyMode {
    Derive,
    Ephemeral,
    Shared,
}

impl SessionStrategy {
    pub(super) fn read(reader: &mut ObjectReader<'_>) -> Option<Self> {
        Self::read_or(reader, || Self::Ephemeral)
    }

    /// One conversation with each sender of mails.
    pub(super) fn of_mails() -> Self {
        Self::Derive(vec!["sender".parse().expect("it is a path")])
    }

    /// Like [`Self::read`], with another strategy where none is given.
    pub(super) fn read_or(
        reader: &mut ObjectReader<'_>,
        usual: impl FnOnce() -> Self,
    ) -> Option<Self> {
        let Some(mut fields) = reader.object("session_strategy") else {
            return Some(usual());
        };
        let modes = [
            ("derive", StrategyMode::Derive),
            ("ephemeral", StrategyMode::Ephemeral),
            ("shared", StrategyMode::Shared),
        ];
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
            Some(StrategyMode::Shared) => Some(Self::Shared),
            None => None,
        };
        fields.done();
        strategy
    }
}

/// `trigger_config.session`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionPolicy {
    /// What becomes of the running execution when a message comes.
    pub on_new_message: OnNewMessage,
}

/// What becomes of the running execution when a message comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnNewMessage {
    /// Nothing: the message waits.
    #[default]
    Queue,
    /// If it has called no tool yet, it ends without an answer, and its messages are answered
    /// together with the new one.
    Supersede,
}

impl SessionPolicy {
    /// Reads a `trigger_config` that was accepted when its trigger was saved.
    pub fn from_saved(trigger_config: &Value) -> Self {
        let read = |mut config| Self::read(&mut config);
        ObjectReader::new(trigger_config, "", &Problems::default()).map(read).unwrap_or_default()
    }

    pub(super) fn read(reader: &mut ObjectReader<'_>) -> Self {
        let Some(mut fields) = reader.object("session") else { return Self::default() };
        let policies = [("queue", OnNewMessage::Queue), ("supersede", OnNewMessage::Supersede)];
        let on_new_message = fields.choice("on_new_message", &policies).unwrap_or_default();
        fields.done();
        Self { on_new_message }
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
