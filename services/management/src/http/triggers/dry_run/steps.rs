//! The steps, and what came of each.

use actix_web::ResponseError as _;
use actix_web::body::MessageBody as _;
use recado_http::ApiError;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// What is looked at, in this order. Up to `session` it is that of ingress.
const ORDER: [&str; 13] = [
    "trigger",
    "auth",
    "parsing",
    "channel",
    "context",
    "sender_access",
    "extraction",
    "idempotency",
    "session",
    "buffer",
    "acknowledgement",
    "prompt",
    "callback",
];

/// A step, with what there is to show of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TriggerTestStep")]
pub(in crate::http) struct Step {
    #[serde(rename = "step")]
    name: &'static str,
    status: Status,
    /// A step that failed has `error` and `message`, as the sender would be told, one that was
    /// skipped a `reason`.
    #[serde(flatten)]
    shown: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "TriggerTestStatus")]
#[serde(rename_all = "lowercase")]
enum Status {
    Passed,
    Failed,
    Skipped,
}

/// Why no further step is made.
#[derive(Debug)]
pub(super) enum Stop {
    /// A webhook would end here.
    Here,
    /// It cannot be told.
    Broken(ApiError),
}

/// The steps so far.
#[derive(Debug, Default)]
pub(super) struct Steps(Vec<Step>);

impl Steps {
    /// A step that went well; `shown` is an object.
    pub(super) fn pass(&mut self, step: &'static str, shown: Value) {
        self.add(step, Status::Passed, shown);
    }

    /// A step that is not made.
    pub(super) fn skip(&mut self, step: &'static str, reason: &str) {
        self.add(step, Status::Skipped, serde_json::json!({ "reason": reason }));
    }

    /// A step that fails, and what the sender would be told.
    pub(super) fn fail(&mut self, step: &'static str, error: impl Into<ApiError>) {
        self.fail_with(step, error, Map::new());
    }

    /// Like [`Self::fail`], with more to show.
    pub(super) fn fail_with(
        &mut self,
        step: &'static str,
        error: impl Into<ApiError>,
        mut shown: Map<String, Value>,
    ) {
        let told = error.into().error_response().into_body().try_into_bytes();
        let told = told.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut told: Map<String, Value> = told.unwrap_or_default();
        for name in ["error", "message", "details"] {
            if let Some(value) = told.remove(name) {
                shown.insert(name.to_owned(), value);
            }
        }
        self.add(step, Status::Failed, Value::Object(shown));
    }

    /// A step that fails where there is no sender to be told.
    pub(super) fn fail_as(&mut self, step: &'static str, code: &str, message: &str) {
        let shown = serde_json::json!({ "error": code, "message": message });
        self.add(step, Status::Failed, shown);
    }

    /// What was judged, or the end.
    pub(super) fn judged<T>(
        &mut self,
        step: &'static str,
        judged: Result<T, impl Into<ApiError>>,
    ) -> Result<T, Stop> {
        judged.map_err(|error| {
            self.fail(step, error);
            Stop::Here
        })
    }

    /// All of them; those that nobody came to are skipped.
    pub(super) fn all(mut self) -> Vec<Step> {
        let n_made = self.0.len();
        debug_assert!(self.0.iter().zip(ORDER).all(|(made, name)| made.name == name));
        for step in ORDER.into_iter().skip(n_made) {
            self.skip(step, "a step before it ends the webhook");
        }
        self.0
    }

    fn add(&mut self, step: &'static str, status: Status, shown: Value) {
        let shown = match shown {
            Value::Object(shown) => shown,
            _ => Map::new(),
        };
        self.0.push(Step { name: step, status, shown });
    }
}

#[cfg(test)]
mod tests {
    use recado_intake::Refusal;
    use recado_intake::auth::Proof;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_step_is_told_and_a_failure_as_the_sender_would_be() {
        let mut steps = Steps::default();
        steps.pass("trigger", json!({"enabled": true}));
        let judged: Result<(), _> = Err(Refusal::InvalidSignature(Proof::HeaderSecret));
        assert!(matches!(steps.judged("auth", judged), Err(Stop::Here)));
        let all = serde_json::to_value(steps.all()).unwrap();
        assert_eq!(all.as_array().unwrap().len(), ORDER.len());
        assert_eq!(all[0], json!({"step": "trigger", "status": "passed", "enabled": true}));
        assert_eq!(
            all[1],
            json!({"step": "auth", "status": "failed", "error": "invalid_signature",
                   "message": "the secret in a header is missing or wrong"})
        );
        assert_eq!(all[12]["status"], "skipped");
    }
}
