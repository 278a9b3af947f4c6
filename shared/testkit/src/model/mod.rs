//! A model behind an API like `OpenAI`'s, `POST /v1/chat/completions`, and behind one like
//! Anthropic's, `POST /v1/messages`, at the same time.
//!
//! It repeats the last message of the user unless a test tells it what to say, whole or as a
//! stream, as it is asked to.

mod chat;
mod completions;
mod messages;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use chat::{Chat, Message, ToolCall, Turn, Usage};

use crate::stub::{Received, Reply, Request, Stub};

/// A model with a history; faults are planned through [`Stub`].
#[derive(Debug)]
pub struct Model {
    stub: Stub,
    script: Arc<Script>,
}

/// What a model was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// 1 for the first request.
    pub seq: u64,
    /// When it was read, since the stub was started.
    pub at: Duration,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `x-api-key` header.
    pub api_key: Option<String>,
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// What was asked.
    pub chat: Chat,
    /// Whether the model answered it with a 2xx.
    pub succeeded: bool,
}

type Respond = dyn Fn(&Chat) -> Turn + Send + Sync;

struct Script {
    respond: Mutex<Box<Respond>>,
    usage: Mutex<Usage>,
}

/// Which API a request is for.
#[derive(Clone, Copy)]
enum Api {
    Completions,
    Messages,
}

impl Model {
    /// Starts a model that repeats what the user said.
    pub fn start() -> Self {
        let script = Arc::new(Script {
            respond: Mutex::new(Box::new(|chat| Turn::say(chat.input()))),
            usage: Mutex::new(Usage { prompt_tokens: 12, completion_tokens: 34 }),
        });
        let read = Arc::clone(&script);
        Self { stub: Stub::start(move |request| read.reply(request)), script }
    }

    /// What a provider's `base_url` is to be, of either kind.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.stub.url())
    }

    /// From now on the model says and calls what this function returns.
    pub fn respond_with(&self, respond: impl Fn(&Chat) -> Turn + Send + Sync + 'static) {
        *self.script.respond.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(respond);
    }

    /// From now on the model says what this function says.
    pub fn answer_with(&self, answer: impl Fn(&Chat) -> String + Send + Sync + 'static) {
        self.respond_with(move |chat| Turn::say(answer(chat)));
    }

    /// From now on the model says this.
    pub fn answer(&self, answer: &str) {
        let answer = answer.to_owned();
        self.answer_with(move |_| answer.clone());
    }

    /// From now on the model claims this usage.
    pub fn claim_usage(&self, usage: Usage) {
        *self.script.usage.lock().unwrap_or_else(PoisonError::into_inner) = usage;
    }

    /// Everything the model was asked, in order; requests that were no chat are left out.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked_after(0)
    }

    /// What the model was asked after the request numbered `seq`.
    pub fn asked_after(&self, seq: u64) -> Vec<Asked> {
        self.stub.received_after(seq).iter().filter_map(Asked::of).collect()
    }
}

impl Asked {
    fn of(received: &Received) -> Option<Self> {
        let chat = Api::of(received)?.chat(received)?;
        let header = |name| received.header(name).map(str::to_owned);
        Some(Self {
            seq: received.seq,
            at: received.at,
            authorization: header("authorization"),
            api_key: header("x-api-key"),
            idempotency_key: header("idempotency-key"),
            chat,
            succeeded: received.succeeded(),
        })
    }
}

impl Script {
    fn reply(&self, request: &Request) -> Reply {
        let Some(api) = Api::of(request) else {
            return Reply::json(404, &chat::error("not_found_error", "Unknown request URL"));
        };
        let Some(chat) = api.chat(request) else {
            let message = "We could not parse the JSON body of your request";
            return Reply::json(400, &chat::error("invalid_request_error", message));
        };
        let turn = self.respond.lock().unwrap_or_else(PoisonError::into_inner)(&chat);
        let usage = *self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        api.reply(&chat, &turn.with_ids(&chat), usage)
    }
}

impl Api {
    fn of(request: &Request) -> Option<Self> {
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/v1/chat/completions") => Some(Self::Completions),
            ("POST", "/v1/messages") => Some(Self::Messages),
            _ => None,
        }
    }

    fn chat(self, request: &Request) -> Option<Chat> {
        match self {
            Self::Completions => serde_json::from_slice(&request.body).ok(),
            Self::Messages => messages::chat(&request.json()?),
        }
    }

    fn reply(self, chat: &Chat, turn: &Turn, usage: Usage) -> Reply {
        match self {
            Self::Completions => completions::reply(chat, turn, usage),
            Self::Messages => messages::reply(chat, turn, usage),
        }
    }
}

impl Deref for Model {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.stub
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("usage", &self.usage).finish_non_exhaustive()
    }
}
