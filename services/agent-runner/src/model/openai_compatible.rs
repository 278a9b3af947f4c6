//! Chat completions, as `OpenAI` and everything compatible with it speak them.

use std::time::Duration;

use recado_http::guard::{Answer, GuardedClient, InvalidOutbound, Outbound, SendError};
use recado_types::LlmCallId;
use reqwest::Method;
use reqwest::header::RETRY_AFTER;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use url::Url;

use super::{ModelError, Reply};
use crate::metrics::MODEL_SECONDS;
use crate::prompt::ChatMessage;

/// How often a failing provider is asked.
const MAX_ATTEMPTS: u32 = 4;
/// The first pause between attempts; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause that a provider may ask for.
const MAX_PAUSE: Duration = Duration::from_mins(1);
/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// One call of a model.
pub(super) struct Call<'a> {
    pub(super) client: &'a GuardedClient,
    pub(super) base_url: &'a str,
    pub(super) key: Option<&'a str>,
    pub(super) model: &'a str,
    pub(super) conversation: &'a [ChatMessage],
    pub(super) id: LlmCallId,
    pub(super) patience: Duration,
}

/// What one request led to.
enum Exchange {
    Reply(Reply),
    /// It may go better later, at the earliest after the given pause.
    Retry {
        last: String,
        asked_pause: Option<Duration>,
    },
    Failed(ModelError),
}

impl Call<'_> {
    pub(super) async fn send(&self) -> Result<Reply, ModelError> {
        let request = self.request()?;
        let mut n_attempts = 1;
        loop {
            match self.exchange(request.clone()).await {
                Exchange::Reply(reply) => return Ok(reply),
                Exchange::Failed(error) => return Err(error),
                Exchange::Retry { last, .. } if n_attempts == MAX_ATTEMPTS => {
                    return Err(ModelError::Failing { n_attempts, last });
                }
                Exchange::Retry { asked_pause, .. } => {
                    let pause = backoff(n_attempts).max(asked_pause.unwrap_or_default());
                    tokio::time::sleep(pause.min(MAX_PAUSE)).await;
                    n_attempts += 1;
                }
            }
        }
    }

    fn request(&self) -> Result<Outbound, ModelError> {
        let address = format!("{}/chat/completions", self.base_url.trim_end_matches('/'));
        let url = Url::parse(&address).map_err(|_not_shown| ModelError::Misconfigured)?;
        let body = json!({"model": self.model, "messages": self.conversation});
        let unusable = |_not_shown: InvalidOutbound| ModelError::Misconfigured;
        let mut request = Outbound::new(Method::POST, url).json(&body).map_err(unusable)?;
        // Not every provider knows it; to those that do, a repeated request is the same call.
        request = request.header("Idempotency-Key", &self.id.to_string()).map_err(unusable)?;
        if let Some(key) = self.key {
            request = request.bearer(key).map_err(unusable)?;
        }
        request.timeout = self.patience;
        request.max_body_bytes = MAX_ANSWER_BYTES;
        Ok(request)
    }

    async fn exchange(&self, request: Outbound) -> Exchange {
        let started = Instant::now();
        let exchange = match self.client.send(request).await {
            Ok(answer) => judge(&answer),
            Err(SendError::Forbidden(_)) => Exchange::Failed(ModelError::Forbidden),
            Err(error) if error.is_retryable() => {
                Exchange::Retry { last: error.code().to_owned(), asked_pause: None }
            }
            Err(error) => {
                let last = error.code().to_owned();
                Exchange::Failed(ModelError::Failing { n_attempts: 1, last })
            }
        };
        let outcome = match &exchange {
            Exchange::Reply(_) => "success",
            Exchange::Retry { .. } => "retry",
            Exchange::Failed(_) => "failed",
        };
        MODEL_SECONDS.with_label_values(&[outcome]).observe(started.elapsed().as_secs_f64());
        exchange
    }
}

fn judge(answer: &Answer) -> Exchange {
    let status = answer.status.as_u16();
    match status {
        200..=299 if answer.truncated => Exchange::Failed(ModelError::Malformed),
        200..=299 => match serde_json::from_slice::<Completion>(&answer.body) {
            Ok(completion) => {
                completion.reply().map_or(Exchange::Failed(ModelError::Malformed), Exchange::Reply)
            }
            Err(_not_shown) => Exchange::Failed(ModelError::Malformed),
        },
        408 | 409 | 429 | 500..=599 => {
            let asked = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let asked_pause = asked.and_then(|text| text.trim().parse().ok());
            Exchange::Retry {
                last: format!("status {status}"),
                asked_pause: asked_pause.map(Duration::from_secs),
            }
        }
        _ => Exchange::Failed(ModelError::Refused(status)),
    }
}

/// Exponential, with full jitter on the upper half.
fn backoff(n_attempts: u32) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << (n_attempts - 1).min(8));
    whole.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

/// The parts of a chat completion that are used. Others vary from vendor to vendor.
#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: AssistantMessage,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct AssistantMessage {
    content: Option<String>,
}

#[derive(Default, Deserialize)]
struct Usage {
    prompt_tokens: Option<i64>,
    completion_tokens: Option<i64>,
    prompt_tokens_details: Option<PromptTokensDetails>,
}

#[derive(Default, Deserialize)]
struct PromptTokensDetails {
    cached_tokens: Option<i64>,
}

impl Completion {
    fn reply(self) -> Option<Reply> {
        let choice = self.choices.into_iter().next()?;
        let usage = self.usage.unwrap_or_default();
        Some(Reply {
            text: storable(&choice.message.content?),
            input_tokens: usage.prompt_tokens,
            output_tokens: usage.completion_tokens,
            cached_input_tokens: usage.prompt_tokens_details.unwrap_or_default().cached_tokens,
            cost_usd: None,
            finish_reason: choice.finish_reason.as_deref().map(storable),
        })
    }
}

/// PostgreSQL keeps no U+0000, and no channel shows one.
fn storable(text: &str) -> String {
    text.replace('\0', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_is_read_with_its_usage() {
        let completion: Completion = serde_json::from_str(
            r#"{"id": "x", "choices": [{"index": 0, "finish_reason": "eos",
                "message": {"role": "assistant", "content": "Hi\u0000!"}}],
                "usage": {"prompt_tokens": 12, "completion_tokens": 3,
                          "prompt_tokens_details": {"cached_tokens": 8}}}"#,
        )
        .unwrap();
        let reply = completion.reply().unwrap();
        assert_eq!((reply.text.as_str(), reply.input_tokens), ("Hi!", Some(12)));
        assert_eq!(reply.cached_input_tokens, Some(8));
        assert_eq!(reply.finish_reason.as_deref(), Some("eos"));
    }

    #[test]
    fn an_answer_without_text_is_malformed() {
        for body in [r#"{"choices": []}"#, r#"{"choices": [{"message": {}}]}"#] {
            let completion: Completion = serde_json::from_str(body).unwrap();
            assert!(completion.reply().is_none(), "{body}");
        }
    }

    #[test]
    fn pauses_grow_and_stay_bounded() {
        for n_attempts in 1..20 {
            let pause = backoff(n_attempts);
            let whole = FIRST_PAUSE * (1 << (n_attempts - 1).min(8));
            assert!(pause >= whole / 2 && pause <= whole, "{n_attempts}: {pause:?}");
        }
    }
}
