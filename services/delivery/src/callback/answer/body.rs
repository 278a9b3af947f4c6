//! What the body of an answer says, beyond the status.
//!
//! The channels are told by the forms of their bodies, wherever they come from: a gateway may stand
//! in front of them. A form counts only where it is unmistakable.

use recado_http::guard::Answer;
use serde::Deserialize;
use serde_json::Value;

use super::failure::Failure;
use super::{MAX_KEPT_BODY, meta, slack, teams, twilio};

/// The longest id of a provider that is kept, in bytes.
const MAX_PROVIDER_ID: usize = 256;

/// What a body says.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What the channel calls the message, word for word.
    pub(super) message_id: Option<String>,
    /// What it says is wrong.
    pub(super) failure: Option<Failure>,
    /// Whether it says so although the status says 200.
    pub(super) is_failure_in_disguise: bool,
}

impl Said {
    /// Reads the body of an answer, if it was small enough to be read whole.
    pub(super) fn in_body_of(answer: &Answer) -> Self {
        if answer.truncated || answer.body.len() > MAX_KEPT_BODY {
            return Self::default();
        }
        let status = answer.status.as_u16();
        match serde_json::from_slice::<Body>(&answer.body) {
            Ok(body) => Self::in_json(&body, status),
            Err(_other_than_an_object) => Self::in_text(&answer.body, status),
        }
    }

    fn in_json(body: &Body, status: u16) -> Self {
        if let Some(error) = body.slack_error() {
            return Self::in_slacks_word(error, status);
        }
        let of_twilio = || twilio::failure(body.code.as_u64()?);
        let of_meta = || meta::failure(body.meta_error()?);
        Self {
            message_id: body.message_id(),
            failure: of_twilio().or_else(of_meta),
            is_failure_in_disguise: false,
        }
    }

    /// Slack's web API says its errors with a 200. Anybody may say `{"ok": false}` with another.
    fn in_slacks_word(error: &str, status: u16) -> Self {
        if status == 200 {
            let failure = Some(slack::failure_not_ok(error));
            return Self { failure, is_failure_in_disguise: true, message_id: None };
        }
        Self { failure: slack::failure_with(status, error), ..Self::default() }
    }

    fn in_text(body: &[u8], status: u16) -> Self {
        let text = String::from_utf8_lossy(body);
        if let Some(failure) = teams::failure(&text) {
            return Self { failure: Some(failure), is_failure_in_disguise: true, message_id: None };
        }
        // An incoming webhook of Slack says its error with a status that is one too.
        Self { failure: slack::failure_with(status, text.trim()), ..Self::default() }
    }
}

/// The parts of the channels' bodies that matter here, of whatever type they are.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    /// Twilio's error.
    code: Value,
    /// Twilio's name for the message.
    sid: Value,
    /// Meta's names for the messages: one, since we send one.
    messages: Value,
    /// Meta's error, an object, or Slack's, a word.
    error: Value,
    /// Whether Slack took it.
    ok: Value,
    /// Slack's name for the message, once it took it.
    ts: Value,
}

impl Body {
    fn slack_error(&self) -> Option<&str> {
        let is_refused = self.ok == Value::Bool(false);
        self.error.as_str().filter(|error| is_refused && slack::is_word(error))
    }

    /// The error's code; other APIs have an `error` too, but not with both a `type` and a number.
    fn meta_error(&self) -> Option<u64> {
        self.error.get("type")?.as_str()?;
        self.error.get("code")?.as_u64()
    }

    fn message_id(&self) -> Option<String> {
        let twilios = || self.sid.as_str();
        let metas = || self.messages.get(0)?.get("id")?.as_str();
        let slacks = || self.ts.as_str().filter(|_| self.ok == Value::Bool(true));
        let id = twilios().or_else(metas).or_else(slacks)?;
        (id.len() <= MAX_PROVIDER_ID).then(|| id.to_owned())
    }
}
