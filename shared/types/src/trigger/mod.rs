//! The configuration of a trigger (seed 000): typed, validated, ready to use.
//!
//! [`TriggerConfig::parse`] is the only way in, for saving and for loading alike, so what a
//! service runs is what the API accepted. Every problem is named by its path.

pub mod callback;
pub mod channel;
pub mod db_event;
pub mod email;
pub mod execution;
pub mod generic;
pub mod inbound;
pub mod schedule;
mod schema;
pub mod sender;
mod source;

use serde_json::Value;

pub use callback::{
    Callback, CallbackAuth, CallbackBody, HmacFormat, Method, RetryPolicy, StatusSet, Transform,
};
pub use channel::{Channel, ChannelKind};
pub use db_event::DbEvent;
pub use email::Email;
pub use execution::{AckResponse, ChunkStrategy, Execution, MessageBuffer, Mode, SplitConfig};
pub use generic::Generic;
pub use inbound::{
    Algorithm, ContextField, Idempotency, InboundAuth, OnNewMessage, QueryExtraction,
    SessionPolicy, SessionStrategy, shown_body,
};
pub use schedule::Schedule;
pub use schema::{config_schema, config_schema_of, generic_channel_schema};
pub use sender::{MatchColumn, RateLimit, SenderAccess, SenderRule};
pub use source::{Source, TriggerType};

use crate::shape::{FieldProblem, ObjectReader, Problems};

/// The longest that a sender waits for an answer (seed 000, "Webhook Config Reference").
const MAX_WAIT_MS: u32 = 300_000;

/// What a channel expects to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFormat {
    /// `[{"message": …, "type": "text"}, …]`.
    Ebarn,
    /// Slack's message JSON.
    Slack,
    /// Teams' message JSON.
    Teams,
    /// Twilio's XML.
    Twiml,
    /// Recado's own JSON.
    Raw,
}

/// How the answer is shaped for the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseAdapter {
    /// The format.
    pub format: ResponseFormat,
    /// Whether formats that are lists get one entry a paragraph.
    pub split_messages: bool,
    /// The most entries of such a list, 1 to 50.
    pub max_messages: u32,
}

/// A validated configuration.
#[derive(Clone, Debug)]
pub struct TriggerConfig {
    /// Where its messages come from.
    pub source: Source,
    /// The kind of outside system, where one was named.
    pub channel: Option<Channel>,
    /// How a request proves where it comes from.
    pub auth: InboundAuth,
    /// Where the agent's question is found.
    pub query_extraction: QueryExtraction,
    /// What is taken from the payload into the context.
    pub context_mapping: Vec<ContextField>,
    /// Which conversation a message belongs to.
    pub session_strategy: SessionStrategy,
    /// What a conversation does with messages that come while the agent is at work.
    pub session: SessionPolicy,
    /// How the answer is shaped.
    pub response_adapter: ResponseAdapter,
    /// Where a provider's own message id is found, beyond what the channel knows.
    pub idempotency: Idempotency,
    /// Who may write.
    pub sender_access: SenderAccess,
    /// How much.
    pub rate_limit: RateLimit,
    /// How long a sender waits for the answer in mode `sync`, 1,000 to 300,000 ms.
    pub wait_ms: u32,
    /// How the agent runs and how its answer travels.
    pub execution: Execution,
}

impl TriggerConfig {
    /// Parses a `trigger_config` that was saved, or one of which only itself says what type its
    /// trigger is of, collecting every problem under the path `trigger_config`.
    pub fn parse(value: &Value) -> Result<Self, Vec<FieldProblem>> {
        Self::parse_as(TriggerType::of(value), value)
    }

    /// Parses the `trigger_config` of a trigger of this type.
    pub fn parse_as(trigger_type: TriggerType, value: &Value) -> Result<Self, Vec<FieldProblem>> {
        let problems = Problems::default();
        let config =
            ObjectReader::new(value, "trigger_config", &problems).and_then(|mut reader| {
                let config = match trigger_type {
                    TriggerType::Webhook => Self::read_webhook(&mut reader),
                    _ => Self::read_source(&mut reader, trigger_type),
                };
                reader.done();
                config
            });
        // A part that could not be read has left its reason behind.
        match problems.finish(config)? {
            Some(config) => Ok(config),
            None => Err(vec![FieldProblem {
                path: "trigger_config".into(),
                reason: "is incomplete".into(),
            }]),
        }
    }

    fn read_webhook(reader: &mut ObjectReader<'_>) -> Option<Self> {
        let channel = Channel::read(reader);
        let auth = InboundAuth::read(reader, channel.as_ref());
        let query_extraction = QueryExtraction::read(reader, channel.is_some());
        let context_mapping = inbound::read_context_mapping(reader);
        let session_strategy = SessionStrategy::read(reader);
        let session = SessionPolicy::read(reader);
        let response_adapter = read_response_adapter(reader, channel.as_ref());
        let idempotency = Idempotency::read(reader);
        let channel_knows_senders = match &channel {
            Some(channel) => channel.kind.knows_senders(),
            // One that could not be read might; its own mistake is enough.
            None => reader.any("channel").is_some(),
        };
        let sender_access = SenderAccess::read(reader, channel_knows_senders);
        let knows_senders = channel_knows_senders || sender_access.identity_field.is_some();
        let rate_limit = RateLimit::read(reader, knows_senders);
        let timeout_ms = reader.integer("timeout_ms", 1_000..=MAX_WAIT_MS);
        let execution =
            Execution::read(reader, timeout_ms, response_adapter.format, &context_mapping);
        let waits = execution.mode == Mode::Sync;
        if waits && channel.as_ref().is_some_and(|channel| channel.kind.ignores_answers()) {
            reader.refuse(
                "execution.mode",
                "must be `async`: this provider does nothing with an answer",
            );
        }
        let wait_ms = timeout_ms.unwrap_or(execution.timeout_ms.min(MAX_WAIT_MS));
        Some(Self {
            source: Source::Webhook,
            channel,
            auth: auth?,
            query_extraction: query_extraction?,
            context_mapping,
            session_strategy: session_strategy?,
            session,
            response_adapter,
            idempotency,
            sender_access,
            rate_limit,
            wait_ms,
            execution,
        })
    }

    /// Of a trigger whose messages are not requests, or not requests alone. Nobody waits for their
    /// answers.
    fn read_source(reader: &mut ObjectReader<'_>, trigger_type: TriggerType) -> Option<Self> {
        let source = Source::read(reader, trigger_type);
        let is_email = trigger_type == TriggerType::Email;
        let comes_by_http = matches!(&source, Some(Source::Email(email)) if email.http.is_some());
        let auth = if is_email { InboundAuth::read(reader, None) } else { Some(InboundAuth::None) };
        let query_extraction = QueryExtraction::read(reader, is_email);
        let context_mapping = inbound::read_context_mapping(reader);
        let session_strategy = SessionStrategy::read_or(reader, || match trigger_type {
            TriggerType::Email => SessionStrategy::of_mails(),
            _ => SessionStrategy::Ephemeral,
        });
        let session = SessionPolicy::read(reader);
        let (mut sender_access, mut rate_limit) = (SenderAccess::default(), RateLimit::default());
        if is_email {
            sender_access = SenderAccess::read(reader, true);
            rate_limit = RateLimit::read(reader, true);
            if !comes_by_http && rate_limit != RateLimit::default() {
                reader.refuse("rate_limit", "is for mails that come by HTTP");
            }
        }
        let execution = Execution::read_async(reader, &context_mapping);
        let answers_by_mail = matches!(&source, Some(Source::Email(email)) if email.smtp.is_some());
        if answers_by_mail && execution.callback.is_some() {
            reader.refuse("execution.callback", "must not be there beside `email.smtp`");
        }
        Some(Self {
            source: source?,
            channel: None,
            auth: auth?,
            query_extraction: query_extraction?,
            context_mapping,
            session_strategy: session_strategy?,
            session,
            response_adapter: ResponseAdapter::RAW,
            idempotency: Idempotency::default(),
            sender_access,
            rate_limit,
            wait_ms: execution.timeout_ms.min(MAX_WAIT_MS),
            execution,
        })
    }

    /// Whether its answers are sent somewhere: by a callback or by mail.
    pub fn sends_answers(&self) -> bool {
        let by_mail = matches!(&self.source, Source::Email(email) if email.smtp.is_some());
        by_mail || self.execution.callback.is_some()
    }

    /// The names of all secrets it refers to, each with the path of where it does so.
    pub fn secret_refs(&self) -> Vec<(String, &str)> {
        let source = self.source.secret_refs().into_iter();
        let channel = self.channel.iter().flat_map(Channel::secret_refs);
        let callback = self.execution.callback.iter().filter_map(|callback| {
            Some(("execution.callback.auth.secret_ref".to_owned(), callback.auth.secret_ref()?))
        });
        let in_config = |(path, name)| (format!("trigger_config.{path}"), name);
        source.chain(channel).chain(callback).map(in_config).collect()
    }
}

impl ResponseAdapter {
    /// Recado's own form.
    const RAW: Self = Self { format: ResponseFormat::Raw, split_messages: false, max_messages: 10 };
}

fn read_response_adapter(
    reader: &mut ObjectReader<'_>,
    channel: Option<&Channel>,
) -> ResponseAdapter {
    let by_channel = match channel.map(|channel| channel.kind) {
        Some(ChannelKind::TwilioWhatsapp | ChannelKind::TwilioSms) => ResponseFormat::Twiml,
        Some(ChannelKind::Slack) => ResponseFormat::Slack,
        Some(ChannelKind::Teams) => ResponseFormat::Teams,
        _ => ResponseFormat::Raw,
    };
    let mut adapter = ResponseAdapter { format: by_channel, ..ResponseAdapter::RAW };
    if let Some(mut fields) = reader.object("response_adapter") {
        let formats = [
            ("ebarn", ResponseFormat::Ebarn),
            ("slack", ResponseFormat::Slack),
            ("teams", ResponseFormat::Teams),
            ("twiml", ResponseFormat::Twiml),
            ("raw", ResponseFormat::Raw),
        ];
        adapter.format = fields.choice("format", &formats).unwrap_or(by_channel);
        adapter.split_messages = fields.boolean("split_messages").unwrap_or(false);
        adapter.max_messages = fields.integer("max_messages", 1..=50).unwrap_or(10);
        fields.done();
    }
    adapter
}

#[cfg(test)]
mod tests;
