//! The tools of one execution: what they are, what a request for one comes to, and the call.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use recado_trace::spans;
use recado_types::{ToolCallId, ToolId};
use serde_json::{Map, Value};
use tokio::time::Instant;
use tracing::Instrument;

use super::offer::{Ended, Failure, Offer, Surroundings};
use super::opening::{Away, Opened};
use super::refusal::{Refusal, shortened};
use super::scrub::Scrubber;
use super::{Call, CallOutcome, Named, Prepared, arguments, cut, metrics};
use crate::{ToolDefinition, ToolRequest};

/// The most names that a model is told when it asks for a tool that is not there.
const MAX_NAMED: usize = 32;
/// The most bytes that are kept of arguments that cannot be read.
const MAX_UNREADABLE: usize = 4 * 1024;
/// The most bytes that are told of why a call failed, besides what the tool answered.
const MAX_FAILURE: usize = 1024;

/// The tools of one execution.
pub struct Toolbox {
    definitions: Vec<ToolDefinition>,
    offers: HashMap<String, Offer>,
    away: Vec<Away>,
    surroundings: Surroundings,
    scrubber: Scrubber,
    max_output_bytes: usize,
}

impl Toolbox {
    /// The offers of `opened` have names of their own, each another one.
    pub(super) fn new(
        opened: Opened,
        surroundings: Surroundings,
        scrubber: Scrubber,
        max_output_bytes: u32,
    ) -> Self {
        let max_output_bytes = max_output_bytes as usize;
        let Opened { offers, away } = opened;
        let definitions = offers.iter().map(|offer| offer.told(&scrubber)).collect();
        let named = |offer: Offer| (offer.definition.name.clone(), offer);
        let offers = offers.into_iter().map(named).collect();
        Self { definitions, offers, away, surroundings, scrubber, max_output_bytes }
    }

    /// What a model is told of them, in the order of the agent's list.
    pub fn definitions(&self) -> &[ToolDefinition] {
        &self.definitions
    }

    /// Who answers to a name that a model uses; `None` if nobody does.
    pub fn named(&self, name: &str) -> Option<Named<'_>> {
        self.offers.get(name).map(Offer::named)
    }

    /// What the request comes to, before anything is done. The same request comes to the same as
    /// long as the tools do not change.
    pub fn prepare(&self, request: &ToolRequest) -> Prepared {
        let Some(offer) = self.offers.get(&request.name) else { return self.unknown(request) };
        let refused = |shown, refusal: &Refusal| {
            if !refusal.is_the_models() {
                let error = refusal as &dyn Error;
                tracing::warn!(tool.id = %offer.tool_id, error, "a tool call cannot be made");
            }
            let message = self.fit(&refusal.told());
            Prepared::Refused { tool_id: Some(offer.tool_id), shown, message, unreachable: false }
        };
        let written = match arguments::read(&request.arguments) {
            Ok(written) => written,
            Err(error) => {
                let shown = self.unreadable(&request.arguments);
                return refused(shown, &Refusal::Unreadable(error));
            }
        };
        let shown = self.shown(offer, &written);
        match self.call_of(offer, &request.name, written, &shown) {
            Ok(call) => Prepared::Ready(call),
            Err(refusal) => refused(shown, &refusal),
        }
    }

    /// What a request for `offer` comes to. `shown` is what may be seen of it.
    ///
    /// # Errors
    /// Why there is no call.
    pub(super) fn call_of(
        &self,
        offer: &Offer,
        name: &str,
        written: Map<String, Value>,
        shown: &Value,
    ) -> Result<Call, Refusal> {
        let arguments = offer.with_defaults(written, &self.surroundings.context);
        let arguments = arguments.map_err(Refusal::Defaults)?;
        offer.checker.check(&arguments).map_err(Refusal::NoFit)?;
        let needs_approval = offer.approval.asks_for(&arguments);
        let (sending, delegate) = offer.sending(arguments, &self.surroundings)?;
        let (tool_id, shown, name) = (offer.tool_id, shown.clone(), name.to_owned());
        let tool_updated_at = offer.tool_updated_at;
        let sending = Box::new(sending);
        Ok(Call { tool_id, tool_updated_at, shown, needs_approval, delegate, name, sending })
    }

    /// The arguments as they may be seen: what a default puts in is put in here too, except that a
    /// hidden value, however short, is not shown.
    fn shown(&self, offer: &Offer, written: &Map<String, Value>) -> Value {
        let shown = offer.with_defaults(written.clone(), &self.surroundings.visible);
        self.scrubber.json(&shown.unwrap_or_else(|_refused_later| Value::Object(written.clone())))
    }

    fn unreadable(&self, written: &str) -> Value {
        let mut shown = self.scrubber.text(written).into_owned();
        cut::cut(&mut shown, MAX_UNREADABLE);
        Value::String(shown)
    }

    fn unknown(&self, request: &ToolRequest) -> Prepared {
        let asked = shortened(&request.name);
        let shown = match arguments::read(&request.arguments) {
            Ok(written) => self.scrubber.json(&Value::Object(written)),
            Err(_told_otherwise) => self.unreadable(&request.arguments),
        };
        if let Some(tool_id) = self.away_with(&request.name) {
            let message = self.fit(&format!("the tool `{asked}` cannot be reached at present"));
            return Prepared::Refused { tool_id: Some(tool_id), shown, message, unreachable: true };
        }
        let names: Vec<&str> =
            self.definitions.iter().take(MAX_NAMED).map(|tool| tool.name.as_str()).collect();
        let message = if names.is_empty() {
            format!("there is no tool `{asked}`; there are no tools at all")
        } else {
            format!("there is no tool `{asked}`; there are: {}", names.join(", "))
        };
        Prepared::Refused { tool_id: None, shown, message: self.fit(&message), unreachable: false }
    }

    /// The server that may have a tool of that name, if it is away.
    fn away_with(&self, name: &str) -> Option<ToolId> {
        let may_have = self.away.iter().filter(|away| name.starts_with(&away.prefix));
        may_have.max_by_key(|away| away.prefix.len()).map(|away| away.tool_id)
    }

    /// A message for the model, scrubbed and no longer than a call's output may be.
    fn fit(&self, message: &str) -> String {
        let mut message = self.scrubber.text(message).into_owned();
        cut::cut(&mut message, self.max_output_bytes);
        message
    }

    /// Makes a call, once. Takes no longer than `patience`, nor than the tool may. `key` is what the
    /// tool can tell a repeated call by.
    pub async fn call(&self, call: &Call, key: ToolCallId, patience: Duration) -> CallOutcome {
        let span = spans::execute_tool(&call.name, key);
        let started = Instant::now();
        let margin = self.scrubber.margin();
        let sending = call.sending.send(&self.surroundings.client, key, patience, margin);
        let ended = Box::pin(sending.instrument(span.clone())).await;
        let duration = started.elapsed();
        let outcome = ended.failure.as_ref().map_or("success", |failure| failure.code);
        metrics::count(call.sending.kind(), outcome, duration);
        if let Some(failure) = &ended.failure {
            recado_trace::fail(&span, failure.code);
        }
        self.outcome(&ended, call.sending.max_response_bytes(), duration)
    }

    fn outcome(&self, ended: &Ended, max_response_bytes: usize, duration: Duration) -> CallOutcome {
        let (text, mut truncated) =
            self.scrubber.foreign(&ended.text, ended.was_cut, max_response_bytes);
        let failure = ended.failure.as_ref();
        let told = |failure: &Failure| {
            self.scrubber.foreign(&failure.told, failure.was_cut, MAX_FAILURE).0
        };
        let error = failure.map(told);
        let mut output = match &error {
            None => text,
            Some(told) if text.is_empty() => told.clone(),
            Some(told) => format!("{told}:\n{text}"),
        };
        truncated |= cut::cut(&mut output, self.max_output_bytes);
        let error_code = failure.map(|failure| failure.code);
        CallOutcome { output, error, error_code, truncated, duration }
    }

    /// What a call that was not made comes to: `told` is for a model, `detail` for whoever can mend
    /// the tool.
    pub(super) fn not_called(&self, code: &'static str, told: &str, detail: &str) -> CallOutcome {
        CallOutcome {
            output: self.fit(told),
            error: Some(self.fit(detail)),
            error_code: Some(code),
            truncated: false,
            duration: Duration::ZERO,
        }
    }

    /// `text` without secrets, hidden context values and U+0000: fit for the model and the journal.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.scrubber.text(text)
    }
}

impl std::fmt::Debug for Toolbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Toolbox").field("tools", &self.offers.keys()).finish_non_exhaustive()
    }
}
