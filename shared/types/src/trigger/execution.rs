//! How the agent runs and how its answer travels: mode, limits, acknowledgement, buffer, split.

use serde_json::Value;

use super::callback::{Callback, Transform};
use super::{ContextField, ResponseFormat};
use crate::buffer::BufferPolicy;
use crate::shape::{ObjectReader, Problems};

/// The largest acknowledgement body, in bytes.
const MAX_ACK_BODY: usize = 16_384;

/// How the answer gets back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As the answer to the webhook, which waits for it.
    Sync,
    /// By a callback, or through the API; the webhook is only acknowledged.
    Async,
}

/// `trigger_config.execution`.
#[derive(Clone, Debug)]
pub struct Execution {
    /// How the answer gets back; `sync` unless it says otherwise (seed 000).
    pub mode: Mode,
    /// How long one run may take, 1,000 to 600,000 ms on the wall clock.
    pub timeout_ms: u32,
    /// What the webhook answers at once; `None` leaves it to the channel.
    pub ack_response: Option<AckResponse>,
    /// Where the answer goes; without one it is read through the API.
    pub callback: Option<Callback>,
    /// How a long answer is cut; `None` sends it whole.
    pub split: Option<SplitConfig>,
    /// How a burst is gathered; `None` runs every message at once.
    pub buffer: Option<MessageBuffer>,
}

/// `execution.ack_response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckResponse {
    /// The body: a text as it is, anything else as JSON.
    pub body: String,
    /// Its media type. Twilio refuses an answer without one (error 11200).
    pub content_type: String,
}

/// How the response is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkStrategy {
    /// At blank lines.
    Paragraph,
    /// After sentences.
    Sentence,
    /// At the limit.
    Length,
}

/// `execution.split_config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitConfig {
    /// The most UTF-16 code units of a chunk, its number included, 100 to 50,000.
    pub max_chunk_size: u32,
    /// The most chunks, 1 to 50; what is over is cut from the last one.
    pub max_chunks: u32,
    /// Where to cut.
    pub strategy: ChunkStrategy,
    /// Whether each chunk begins with `(i/N)` on a line of its own.
    pub numbering: bool,
    /// The pause between chunks, 0 to 10,000 ms.
    pub inter_chunk_delay_ms: u32,
}

/// `execution.message_buffer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageBuffer {
    /// When to flush.
    pub policy: BufferPolicy,
    /// What to put between the texts.
    pub separator: String,
}

impl Execution {
    /// The default of `timeout_ms`.
    const DEFAULT_TIMEOUT_MS: u32 = 30_000;

    pub(super) fn read(
        reader: &mut ObjectReader<'_>,
        top_level_timeout_ms: Option<u32>,
        format: ResponseFormat,
        context: &[ContextField],
    ) -> Self {
        let default_timeout_ms = top_level_timeout_ms.unwrap_or(Self::DEFAULT_TIMEOUT_MS);
        let Some(mut fields) = reader.object("execution") else {
            // Anything but an object has been refused.
            return Self::within(Mode::Sync, default_timeout_ms);
        };
        let modes = [("sync", Mode::Sync), ("async", Mode::Async)];
        let mode = fields.choice("mode", &modes).unwrap_or(Mode::Sync);
        let ack_response = AckResponse::read(&mut fields);
        let execution = Self::read_rest(fields, mode, default_timeout_ms, format, context);
        if mode == Mode::Sync {
            let only_async = [
                ("ack_response", ack_response.is_some()),
                ("callback", execution.callback.is_some()),
                ("message_buffer", execution.buffer.is_some()),
            ];
            for (key, _) in only_async.into_iter().filter(|(_, is_there)| *is_there) {
                reader.refuse(
                    &format!("execution.{key}"),
                    "needs `mode: \"async\"`: in `sync` the webhook's answer is the agent's",
                );
            }
        }
        Self { ack_response, ..execution }
    }

    /// Of a trigger whose senders are not there to wait for an answer, or to be told something.
    pub(super) fn read_async(reader: &mut ObjectReader<'_>, context: &[ContextField]) -> Self {
        let Some(mut fields) = reader.object("execution") else {
            return Self::within(Mode::Async, Self::DEFAULT_TIMEOUT_MS);
        };
        fields.choice("mode", &[("async", ())]);
        let (timeout_ms, format) = (Self::DEFAULT_TIMEOUT_MS, ResponseFormat::Raw);
        Self::read_rest(fields, Mode::Async, timeout_ms, format, context)
    }

    fn read_rest(
        mut fields: ObjectReader<'_>,
        mode: Mode,
        default_timeout_ms: u32,
        format: ResponseFormat,
        context: &[ContextField],
    ) -> Self {
        let timeout_ms =
            fields.integer("timeout_ms", 1_000..=600_000).unwrap_or(default_timeout_ms);
        let callback = Callback::read(&mut fields, Transform::derived_from(format), context);
        let split = SplitConfig::read(&mut fields);
        let buffer = MessageBuffer::read(&mut fields);
        fields.done();
        Self { mode, timeout_ms, ack_response: None, callback, split, buffer }
    }

    fn within(mode: Mode, timeout_ms: u32) -> Self {
        Self { mode, timeout_ms, ack_response: None, callback: None, split: None, buffer: None }
    }
}

impl AckResponse {
    fn read(reader: &mut ObjectReader<'_>) -> Option<Self> {
        let mut fields = reader.object("ack_response")?;
        let body = fields.any("body");
        let is_text = body.is_none_or(Value::is_string);
        let body = match body {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(json) => json.to_string(),
        };
        if body.len() > MAX_ACK_BODY {
            fields.refuse("body", format!("must have at most {MAX_ACK_BODY} bytes"));
        }
        let default = if is_text { "text/plain; charset=utf-8" } else { "application/json" };
        let content_type = fields.string("content_type", 3..=128).unwrap_or(default).to_owned();
        if !content_type.contains('/') || !content_type.chars().all(|c| matches!(c, ' '..='~')) {
            fields.refuse("content_type", "must be a media type, for example `text/xml`");
        }
        fields.done();
        Some(Self { body, content_type })
    }
}

impl SplitConfig {
    fn read(reader: &mut ObjectReader<'_>) -> Option<Self> {
        let mut fields = reader.object("split_config")?;
        let enabled = fields.boolean("enabled").unwrap_or(false);
        let strategies = [
            ("paragraph", ChunkStrategy::Paragraph),
            ("sentence", ChunkStrategy::Sentence),
            ("length", ChunkStrategy::Length),
        ];
        let split = Self {
            max_chunk_size: fields.integer("max_chunk_size", 100..=50_000).unwrap_or(1_500),
            max_chunks: fields.integer("max_chunks", 1..=50).unwrap_or(10),
            strategy: fields
                .choice("chunk_strategy", &strategies)
                .unwrap_or(ChunkStrategy::Paragraph),
            numbering: fields.boolean("numbering").unwrap_or(true),
            inter_chunk_delay_ms: fields.integer("inter_chunk_delay_ms", 0..=10_000).unwrap_or(500),
        };
        fields.done();
        enabled.then_some(split)
    }
}

impl MessageBuffer {
    /// Reads a `message_buffer` that was accepted when its trigger was saved; `None` if it is not
    /// enabled.
    pub fn from_saved(value: &Value) -> Option<Self> {
        Self::read_fields(ObjectReader::new(value, "message_buffer", &Problems::default())?)
    }

    fn read(reader: &mut ObjectReader<'_>) -> Option<Self> {
        Self::read_fields(reader.object("message_buffer")?)
    }

    fn read_fields(mut fields: ObjectReader<'_>) -> Option<Self> {
        let enabled = fields.boolean("enabled").unwrap_or(false);
        let window_ms = fields.integer("window_ms", 100..=60_000).unwrap_or(5_000);
        let max_messages = fields.integer("max_messages", 1..=100).unwrap_or(10);
        let max_wait_ms = fields.integer("max_wait_ms", 100..=BufferPolicy::MAX_WAIT_MS);
        if max_wait_ms.is_some_and(|wait| wait < window_ms) {
            fields.refuse("max_wait_ms", "must not be shorter than `window_ms`");
        }
        let separator = fields.string("concat_separator", 0..=64).unwrap_or("\n").to_owned();
        fields.done();
        let policy = BufferPolicy::new(window_ms, max_messages, max_wait_ms);
        enabled.then_some(Self { policy, separator })
    }
}
