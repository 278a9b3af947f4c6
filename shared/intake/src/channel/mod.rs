//! Channels: what differs between the outside systems that send webhooks.
//!
//! Each is an adapter in a file of its own, behind [`Channel`]. To add one: write the adapter,
//! give it a [`ChannelKind`] in `recado_types`, and name it in `adapter`.

pub mod email;
mod form_json;
mod generic;
mod github;
pub(crate) mod hmac;
mod meta;
mod plain;
mod signed;
mod slack;
mod standard;
mod stripe;
#[cfg(test)]
mod tampering;
mod teams;
mod twilio;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::Arc;

use actix_web::http::StatusCode;
use recado_types::trigger::{ChannelKind, Source, TriggerConfig};
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::auth::{Keys, Proof, Received};
use crate::refusal::Refusal;

/// A provider's own rules, with the keys of one trigger.
pub trait Channel: Debug + Send + Sync {
    /// Whether the provider made `request`: judged by the raw bytes, in constant time.
    fn is_authentic(&self, request: &Received<'_>) -> bool;

    /// What [`Self::is_authentic`] looks at.
    fn proof(&self) -> Proof {
        Proof::Signature
    }

    /// Whether [`Self::is_authentic`] is asked even if the trigger's `auth` says something else.
    fn always_checks(&self) -> bool {
        false
    }

    /// The answer to a GET, by which some providers check who we are.
    fn challenge(&self, _request: &Received<'_>) -> Challenge {
        Challenge::Unknown
    }

    /// What an authentic request is about.
    fn interpret(&self, request: &Received<'_>, payload: Value) -> Result<Arrival, Refusal>;

    /// Whether a request may hold messages of several senders. Then one that cannot be taken is
    /// left out: the provider would send all of them again for days.
    fn sends_batches(&self) -> bool {
        false
    }

    /// What of a message's payload is the same in all tries of it, and another in every other
    /// message: not what the provider puts around it anew each time.
    fn essence<'p>(&self, payload: &'p Value) -> Cow<'p, Value> {
        Cow::Borrowed(payload)
    }
}

/// What to say to a GET.
#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    /// The channel has no challenges: there is only POST.
    Unknown,
    /// The caller knows the trigger's token.
    Passed(Answer),
    /// It does not.
    Failed,
}

/// What a request is about.
#[derive(Debug)]
pub enum Arrival {
    /// Somebody wrote something; in order, at least one.
    Messages(Vec<Incoming>),
    /// Something that only needs an answer, a delivery report for example.
    Notice(Answer),
}

/// A message, as its channel understands it.
#[derive(Debug, PartialEq)]
pub struct Incoming {
    /// What the trigger's paths look into: of a batch, the part that is about this message, in the
    /// shape of the whole.
    pub payload: Value,
    /// What was sent, where the payload is what the trigger makes of it.
    pub original: Option<Value>,
    /// What the provider calls the message; the same for a retry of it.
    pub provider_id: Option<String>,
    /// What it says, where the trigger does not ask for something else.
    pub says: Says,
    /// What stands in for the text of a message that has none.
    pub description: Option<String>,
    /// Who wrote it, as the channel names people.
    pub sender: Option<String>,
    /// What an answer to it needs, by hidden names: it goes into the context.
    pub hidden: Map<String, Value>,
}

impl Incoming {
    /// A message that is what its payload is.
    pub fn of(payload: Value) -> Self {
        let says = Says::Payload;
        Self {
            payload,
            original: None,
            provider_id: None,
            says,
            description: None,
            sender: None,
            hidden: Map::new(),
        }
    }

    /// The payload as it was sent.
    pub fn as_sent(&self) -> &Value {
        self.original.as_ref().unwrap_or(&self.payload)
    }
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub enum Says {
    /// This.
    Text(String),
    /// All of its payload.
    Payload,
}

/// The values of the secrets that a trigger's channel names, and its own.
#[derive(Default)]
pub(crate) struct Secrets {
    named: HashMap<String, String>,
    /// The trigger's `webhook_secret`, and the one before it.
    own: Keys,
}

impl Debug for Secrets {
    /// How many they are, and nothing of what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.named.len())
    }
}

impl Secrets {
    /// The named ones by their names, and the trigger's own.
    pub(crate) fn new(named: HashMap<String, String>, own: Keys) -> Self {
        Self { named, own }
    }

    /// The value of a secret, if it is named and there is one.
    pub(crate) fn value(&self, name: Option<&str>) -> Option<&str> {
        self.named.get(name?).map(String::as_str)
    }

    /// The keys in a secret, one a line, as `read` understands them. None if there is no secret:
    /// then nothing is authentic.
    pub(crate) fn keys(&self, name: Option<&str>, read: impl Fn(&str) -> Option<Vec<u8>>) -> Keys {
        let Some(secret) = self.value(name) else { return Keys::default() };
        let keys = Keys::lines(secret, read);
        if keys.is_empty() {
            // Only the operator can mend it: the sender is told that its signature is not valid.
            tracing::error!(secret.name = name, "a secret holds no key of its channel's form");
        }
        keys
    }

    /// Like [`Self::keys`], but the trigger's own where no secret is named.
    pub(crate) fn keys_or_own(&self, name: Option<&str>) -> Keys {
        match name {
            None => self.own.clone(),
            Some(_) => self.keys(name, as_it_is),
        }
    }
}

/// A key that is the text itself.
#[expect(clippy::unnecessary_wraps, reason = "one way to read keys of several")]
pub(crate) fn as_it_is(line: &str) -> Option<Vec<u8>> {
    Some(line.as_bytes().to_vec())
}

/// The text at a JSON pointer.
fn text_at<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// The payload without these of its fields.
fn without<'p>(payload: &'p Value, names: &[&str]) -> Cow<'p, Value> {
    let is_one = |name: &str| names.contains(&name);
    match payload {
        Value::Object(fields) if fields.keys().any(|name| is_one(name)) => {
            let others = fields.iter().filter(|(name, _)| !is_one(name));
            Cow::Owned(others.map(|(name, value)| (name.clone(), value.clone())).collect())
        }
        _ => Cow::Borrowed(payload),
    }
}

/// What stands in for something that is no text: `[image/jpeg] holiday.jpg`.
fn described(kind: &str, what: Option<&str>) -> String {
    match what {
        Some(what) => format!("[{kind}] {what}"),
        None => format!("[{kind}]"),
    }
}

/// The answer to a notice of a provider that only looks at the status.
fn success() -> Answer {
    Answer::new(StatusCode::OK, "application/json", r#"{"success":true}"#.to_owned())
}

/// The answer to a provider that wants to see its challenge again; `None` for a text that nobody
/// would take for one. Whatever else we were asked to repeat might mean something to a browser.
fn echo(challenge: &str) -> Option<Answer> {
    const LONGEST: usize = 512;
    let is_harmless =
        challenge.len() <= LONGEST && challenge.bytes().all(|byte| byte.is_ascii_graphic());
    let echoed = || Answer::new(StatusCode::OK, "text/plain", challenge.to_owned());
    (is_harmless && !challenge.is_empty()).then(echoed)
}

/// The adapter of a trigger's channel.
pub(crate) fn adapter(config: &TriggerConfig, secrets: &Secrets) -> Arc<dyn Channel> {
    if let Source::Email(email) = &config.source {
        return Arc::new(email::PostedMails((**email).clone()));
    }
    let Some(channel) = &config.channel else { return Arc::new(plain::Plain) };
    match channel.kind {
        ChannelKind::TwilioWhatsapp | ChannelKind::TwilioSms => {
            Arc::new(twilio::Twilio::new(channel, secrets))
        }
        ChannelKind::MetaWhatsapp => Arc::new(meta::Meta::new(channel, secrets)),
        ChannelKind::Slack => Arc::new(slack::Slack::new(channel, secrets)),
        ChannelKind::Teams => Arc::new(teams::Teams::new(channel, secrets)),
        ChannelKind::Github => Arc::new(github::Github::new(channel, secrets)),
        ChannelKind::Stripe => Arc::new(stripe::Stripe::new(channel, secrets)),
        ChannelKind::StandardWebhooks | ChannelKind::Svix => {
            Arc::new(standard::Standard::new(channel, secrets))
        }
        ChannelKind::Generic => Arc::new(generic::Generic::new(channel, secrets)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    //! Requests for the tests of adapters.

    use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
    use chrono::{DateTime, Utc};
    use serde_json::json;

    use super::*;
    use crate::payload::PayloadLimits;
    use crate::public_url::PublicUrl;

    /// A request under construction: `Request::post(b"…").header("x", "y").at(1_800_000_000)`.
    pub(crate) struct Request {
        public_url: PublicUrl,
        path_and_query: String,
        headers: HeaderMap,
        body: Vec<u8>,
        at: DateTime<Utc>,
        limits: PayloadLimits,
    }

    impl Request {
        pub(crate) fn post(body: impl Into<Vec<u8>>) -> Self {
            Self {
                public_url: "https://recado.example.com".parse().unwrap(),
                path_and_query: "/api/triggers/webhook/1".to_owned(),
                headers: HeaderMap::new(),
                body: body.into(),
                at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
                limits: PayloadLimits::default(),
            }
        }

        pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
            let name: HeaderName = name.to_ascii_lowercase().parse().unwrap();
            self.headers.append(name, HeaderValue::from_str(value).unwrap());
            self
        }

        pub(crate) fn query(mut self, query: &str) -> Self {
            self.path_and_query = format!("/api/triggers/webhook/1?{query}");
            self
        }

        pub(crate) fn at(mut self, unix_seconds: i64) -> Self {
            self.at = DateTime::from_timestamp(unix_seconds, 0).unwrap();
            self
        }

        pub(crate) fn limits(mut self, limits: PayloadLimits) -> Self {
            self.limits = limits;
            self
        }

        pub(crate) fn received(&self) -> Received<'_> {
            Received {
                public_url: &self.public_url,
                path_and_query: &self.path_and_query,
                headers: &self.headers,
                body: &self.body,
                at: self.at,
                limits: self.limits,
            }
        }
    }

    /// The adapter of a channel with this configuration; `secrets` are its named ones, and the
    /// trigger's own is `whs_test`.
    pub(crate) fn adapter_of(channel: &Value, secrets: &[(&str, &str)]) -> Arc<dyn Channel> {
        let config = json!({"channel": channel, "execution": {"mode": "async"}});
        let config = TriggerConfig::parse(&config).expect("the test's channel is valid");
        let named = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let secrets = Secrets::new(named.collect(), Keys::own("whs_test", None));
        adapter(&config, &secrets)
    }

    /// The messages of a request.
    pub(crate) fn messages(channel: &dyn Channel, request: &Request) -> Vec<Incoming> {
        let payload = serde_json::from_slice(&request.body).expect("the test's body is JSON");
        match channel.interpret(&request.received(), payload) {
            Ok(Arrival::Messages(messages)) => messages,
            other => panic!("{other:?}"),
        }
    }

    /// The answer to a request that is no message.
    pub(crate) fn notice(channel: &dyn Channel, request: &Request) -> Answer {
        let payload = serde_json::from_slice(&request.body).expect("the test's body is JSON");
        match channel.interpret(&request.received(), payload) {
            Ok(Arrival::Notice(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }
}
