//! A model behind an API like `OpenAI`'s: `POST /v1/chat/completions`.
//!
//! It repeats the last message of the user unless a test tells it what to say.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

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
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// What was asked.
    pub chat: Chat,
    /// Whether the model answered it with a 2xx.
    pub succeeded: bool,
}

/// The part of the request's body that tests look at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Chat {
    /// The model's name.
    pub model: String,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// The tools on offer, as they came.
    #[serde(default)]
    pub tools: Option<Value>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// Its text; an assistant that calls tools may say nothing.
    #[serde(default)]
    pub content: Option<String>,
}

impl Chat {
    /// The last message of the user; empty if there is none.
    pub fn input(&self) -> &str {
        let last = self.messages.iter().rev().find(|message| message.role == "user");
        last.and_then(|message| message.content.as_deref()).unwrap_or_default()
    }

    /// The system prompt; empty if there is none.
    pub fn system(&self) -> &str {
        let first = self.messages.iter().find(|message| message.role == "system");
        first.and_then(|message| message.content.as_deref()).unwrap_or_default()
    }
}

/// How many tokens a model says it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Of the conversation it was given.
    pub prompt_tokens: u64,
    /// Of its answer.
    pub completion_tokens: u64,
}

type Answer = dyn Fn(&Chat) -> String + Send + Sync;

struct Script {
    answer: Mutex<Box<Answer>>,
    usage: Mutex<Usage>,
}

impl Model {
    /// Starts a model that repeats what the user said.
    pub fn start() -> Self {
        let script = Arc::new(Script {
            answer: Mutex::new(Box::new(|chat| chat.input().to_owned())),
            usage: Mutex::new(Usage { prompt_tokens: 12, completion_tokens: 34 }),
        });
        let read = Arc::clone(&script);
        Self { stub: Stub::start(move |request| read.reply(request)), script }
    }

    /// What a provider's `base_url` is to be.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.stub.url())
    }

    /// From now on the model says what this function says.
    pub fn answer_with(&self, answer: impl Fn(&Chat) -> String + Send + Sync + 'static) {
        *self.script.answer.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(answer);
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
        let chat = chat(received)?;
        let header = |name| received.header(name).map(str::to_owned);
        Some(Self {
            seq: received.seq,
            at: received.at,
            authorization: header("authorization"),
            idempotency_key: header("idempotency-key"),
            chat,
            succeeded: received.succeeded(),
        })
    }
}

impl Script {
    fn reply(&self, request: &Request) -> Reply {
        if request.method != "POST" || request.path != "/v1/chat/completions" {
            return refusal(404, "Unknown request URL");
        }
        let Some(chat) = chat(request) else {
            return refusal(400, "We could not parse the JSON body of your request");
        };
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner)(&chat);
        let usage = *self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        Reply::json(200, &completion(&chat, &answer, usage))
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

fn chat(request: &Request) -> Option<Chat> {
    serde_json::from_slice(&request.body).ok()
}

fn completion(chat: &Chat, answer: &str, usage: Usage) -> Value {
    json!({
        "id": format!("chatcmpl-{}", uuid::Uuid::new_v4().simple()),
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": chat.model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": answer, "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    })
}

fn refusal(status: u16, message: &str) -> Reply {
    let error = json!({"message": message, "type": "invalid_request_error", "code": null});
    Reply::json(status, &json!({ "error": error }))
}
