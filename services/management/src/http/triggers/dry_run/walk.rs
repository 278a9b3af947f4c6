//! The way of a webhook, up to the message that it becomes. The order is that of ingress.

use actix_web::http::header::HeaderMap;
use recado_http::ApiError;
use recado_http::auth::ApiKey;
use recado_intake::answer::Accepted;
use recado_intake::auth::{Received, check_signatures, presented_key};
use recado_intake::channel::{Arrival, Incoming};
use recado_intake::payload::{self, PayloadLimits};
use recado_intake::sender::{self, Judged};
use recado_intake::{CompiledTrigger, Refusal, message};
use recado_store::{members, messages, sessions, webhooks};
use recado_types::scope::Scope;
use recado_types::trigger::{ChannelKind, InboundAuth, SenderRule, SessionStrategy, Source};
use recado_types::{MessageId, SessionId};
use serde_json::{Map, Value, json};

use super::mask::Mask;
use super::request::{Sample, What};
use super::steps::{Steps, Stop};
use super::subject::Subject;
use crate::Api;
use crate::access::Caller;
use crate::failure::store_failed;

/// Everything that is needed to go.
pub(super) struct Walk<'a> {
    pub(super) api: &'a Api,
    pub(super) caller: &'a Caller,
    pub(super) subject: &'a Subject,
    pub(super) sample: &'a Sample,
}

/// The message that a webhook becomes.
pub(super) struct Made {
    pub(super) context: Map<String, Value>,
    pub(super) mask: Mask,
    pub(super) ids: Accepted,
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Self::Broken(error)
    }
}

impl Walk<'_> {
    /// Goes all the way; whether the agent would run.
    pub(super) async fn go(&self, steps: &mut Steps) -> Result<bool, ApiError> {
        match self.until_the_end(steps).await {
            Ok(would_execute) => Ok(would_execute),
            Err(Stop::Here) => Ok(false),
            Err(Stop::Broken(error)) => Err(error),
        }
    }

    async fn until_the_end(&self, steps: &mut Steps) -> Result<bool, Stop> {
        let trigger = self.trigger();
        // One that is disabled can be tried before it is enabled.
        if trigger.enabled {
            steps.pass("trigger", json!({ "enabled": true }));
        } else {
            steps.fail("trigger", Refusal::TriggerDisabled);
        }
        let source = &trigger.config.source;
        // What is in a mailbox is read as what is posted.
        if !source.is_requested() && !matches!(source, Source::Email(_)) {
            return self.happen(steps).await;
        }
        let path_and_query = self.path_and_query();
        let received = Received {
            public_url: &self.api.public_url,
            path_and_query: &path_and_query,
            headers: &self.sample.headers,
            body: self.body(),
            at: self.api.clock.now(),
            limits: PayloadLimits::default(),
        };
        if source.is_requested() {
            self.authenticate(steps, &received).await?;
        } else {
            steps.skip("auth", "the trigger reads a mailbox: there is no request");
        }
        let payload = self.parse(steps, &received)?;
        let incoming = self.interpret(steps, &received, payload)?;
        let (made, is_new) = Box::pin(self.make(steps, received.headers, &incoming)).await?;
        self.tell(steps, &made).await?;
        Ok(trigger.enabled && is_new)
    }

    /// Of a trigger that nobody sends requests to.
    async fn happen(&self, steps: &mut Steps) -> Result<bool, Stop> {
        let trigger = self.trigger();
        let reason = "the trigger fires by itself: there is no request";
        steps.skip("auth", reason);
        let payload = match &self.sample.what {
            What::Payload(payload) => payload.clone(),
            What::Bytes { .. } | What::NextTick => self.next_tick(),
        };
        let checked = payload::check(&payload, PayloadLimits::default());
        steps.judged("parsing", checked)?;
        steps.pass("parsing", shape_of(&payload));
        steps.skip("channel", reason);
        let incoming = Incoming::of(payload);
        let (made, is_new) = Box::pin(self.make(steps, &HeaderMap::new(), &incoming)).await?;
        self.tell(steps, &made).await?;
        Ok(trigger.enabled && is_new)
    }

    /// What the schedule makes of its next tick, or of this moment if it has none left.
    fn next_tick(&self) -> Value {
        let (trigger, now) = (self.trigger(), self.api.clock.now());
        match &trigger.config.source {
            Source::Schedule(schedule) => {
                schedule.payload(trigger.id, schedule.next_after(now).unwrap_or(now))
            }
            _ => Value::Null,
        }
    }

    pub(super) fn trigger(&self) -> &CompiledTrigger {
        &self.subject.trigger
    }

    fn body(&self) -> &[u8] {
        match &self.sample.what {
            What::Bytes { body, .. } => body.as_bytes(),
            What::Payload(_) | What::NextTick => b"",
        }
    }

    fn path_and_query(&self) -> String {
        let path = format!("/api/triggers/webhook/{}", self.trigger().id);
        match &self.sample.what {
            What::Bytes { query: Some(query), .. } => format!("{path}?{query}"),
            What::Bytes { query: None, .. } | What::Payload(_) | What::NextTick => path,
        }
    }

    async fn authenticate(&self, steps: &mut Steps, request: &Received<'_>) -> Result<(), Stop> {
        if let What::Payload(_) = self.sample.what {
            steps.skip("auth", "there are no original bytes to judge; give `body` and `headers`");
            return Ok(());
        }
        let (trigger, missing) = (self.trigger(), &self.subject.missing_secrets);
        let mut judged = check_signatures(trigger, request);
        if trigger.config.auth == InboundAuth::ApiKey && !self.has_good_key(request).await? {
            judged = Err(Refusal::InvalidApiKey);
        }
        if let Err(refusal) = judged {
            let mut shown = Map::from_iter([("auth".to_owned(), self.auth_type().into())]);
            if !missing.is_empty() {
                shown.insert("missing_secrets".to_owned(), json!(missing));
            }
            steps.fail_with("auth", refusal, shown);
            return Err(Stop::Here);
        }
        steps.pass("auth", json!({ "auth": self.auth_type() }));
        Ok(())
    }

    /// Whether the key would be taken. That it is tried is not written down.
    async fn has_good_key(&self, request: &Received<'_>) -> Result<bool, ApiError> {
        let key = presented_key(request);
        let Some(key) = key.and_then(|key| key.trim().parse::<ApiKey>().ok()) else {
            return Ok(false);
        };
        let found = webhooks::api_key(&self.caller.store, &key.hash()).await;
        let is_good = |key: recado_store::api_keys::ApiKeyAccess| {
            key.tenant_id == self.caller.tenant
                && key.is_good(request.at)
                && key.allows(Scope::SendWebhooks)
        };
        Ok(found.map_err(store_failed)?.is_some_and(is_good))
    }

    fn auth_type(&self) -> &'static str {
        match self.trigger().config.auth {
            InboundAuth::Signature { .. } => "signature",
            InboundAuth::ApiKey => "api_key",
            InboundAuth::Channel => "channel",
            InboundAuth::None => "none",
        }
    }

    fn parse(&self, steps: &mut Steps, request: &Received<'_>) -> Result<Value, Stop> {
        let payload = match &self.sample.what {
            What::Bytes { .. } => payload::of(self.trigger(), request),
            What::Payload(payload) => {
                payload::check(payload, request.limits).map(|()| payload.clone())
            }
            What::NextTick => Ok(Value::Null),
        };
        let payload = steps.judged("parsing", payload)?;
        steps.pass("parsing", shape_of(&payload));
        Ok(payload)
    }

    /// The first message of the request, which most have only one of.
    fn interpret(
        &self,
        steps: &mut Steps,
        request: &Received<'_>,
        payload: Value,
    ) -> Result<Incoming, Stop> {
        let trigger = self.trigger();
        let kind = trigger.config.channel.as_ref().map(|channel| name_of(channel.kind));
        match steps.judged("channel", trigger.channel.interpret(request, payload))? {
            Arrival::Messages(messages) => {
                let n_messages = messages.len();
                steps.pass("channel", json!({ "channel": kind, "messages": n_messages }));
                messages.into_iter().next().ok_or(Stop::Here)
            }
            Arrival::Notice(answer) => {
                let notice = super::told::shown_answer(&answer, &answer.body);
                steps.pass("channel", json!({ "channel": kind, "messages": 0, "notice": notice }));
                Err(Stop::Here)
            }
        }
    }

    /// The message, and whether it is a new one.
    async fn make(
        &self,
        steps: &mut Steps,
        headers: &HeaderMap,
        incoming: &Incoming,
    ) -> Result<(Made, bool), Stop> {
        let trigger = self.trigger();
        let mapping = &trigger.config.context_mapping;
        let mapped = message::context_of(mapping, &incoming.payload);
        let mut context = steps.judged("context", mapped)?;
        let missing: Vec<&str> = mapping
            .iter()
            .map(|field| field.name.as_str())
            .filter(|name| !context.contains_key(*name))
            .collect();
        // Who it is belongs to the context, and is known only after this step.
        let sender = self.admit(incoming, &mut context).await?;
        let mask = Mask::of(&context, &self.subject.secrets, self.api.clock.fresh_id());
        let mut hidden = mask.hidden_names();
        hidden.extend(incoming.hidden.keys().map(String::as_str));
        let shown = json!({ "visible": mask.visible(), "hidden": hidden, "missing": missing });
        steps.pass("context", shown);
        let sender = steps.judged("sender_access", sender)?;
        let sender = sender.map(|sender| mask.text(&sender));
        steps.pass("sender_access", json!({ "mode": self.sender_mode(), "sender": sender }));
        let text = steps.judged("extraction", message::text_of(trigger, incoming))?;
        steps.pass("extraction", json!({ "text": mask.text(&text) }));
        let named = message::named_id(trigger, headers, incoming);
        let named = steps.judged("idempotency", named)?;
        let is_new = self.is_new(steps, named, incoming).await?;
        let message_id = named.unwrap_or_else(|| self.api.clock.fresh_id().into());
        let session = message::session_of(trigger, message_id, &context, incoming);
        let session_id = steps.judged("session", session)?;
        self.show_session(steps, session_id).await?;
        Ok((Made { context, mask, ids: Accepted { message_id, session_id } }, is_new))
    }

    /// Who wrote, or why they may not.
    async fn admit(
        &self,
        incoming: &Incoming,
        context: &mut Map<String, Value>,
    ) -> Result<Result<Option<String>, Refusal>, ApiError> {
        let asked = match sender::judge(self.trigger(), incoming, context) {
            Ok(Judged::Admitted(sender)) => return Ok(Ok(sender)),
            Ok(Judged::Ask(asked)) => asked,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (store, tenant) = (&self.caller.store, self.caller.tenant);
        let member = members::find(store, tenant, asked.column, &asked.key).await;
        let Some(member) = member.map_err(store_failed)? else {
            return Ok(Err(Refusal::SenderDenied));
        };
        Ok(Ok(Some(asked.is(member.id.to_string(), &member.name, context))))
    }

    fn sender_mode(&self) -> &'static str {
        match self.trigger().config.sender_access.rule {
            SenderRule::Any => "any",
            SenderRule::Members { .. } => "members",
            SenderRule::Whitelist(_) => "whitelist",
        }
    }

    /// Shows what the message is called, and whether it came before.
    async fn is_new(
        &self,
        steps: &mut Steps,
        named: Option<MessageId>,
        incoming: &Incoming,
    ) -> Result<bool, Stop> {
        let Some(id) = named else {
            let reason = "nothing in it identifies the message: each request is a new one";
            steps.pass("idempotency", json!({ "message_id": null, "reason": reason }));
            return Ok(true);
        };
        let recorded = messages::fingerprint(&self.caller.store, id).await.map_err(store_failed)?;
        let own = message::fingerprint(self.trigger(), incoming);
        if recorded.as_ref().is_some_and(|recorded| recorded.fingerprint != Some(own)) {
            steps.fail("idempotency", Refusal::IdempotencyConflict);
            return Err(Stop::Here);
        }
        let is_new = recorded.is_none();
        steps.pass("idempotency", json!({ "message_id": id, "duplicate": !is_new }));
        Ok(is_new)
    }

    async fn show_session(&self, steps: &mut Steps, id: SessionId) -> Result<(), Stop> {
        let exists = sessions::exists(&self.caller.store, self.caller.tenant, id).await;
        let exists = exists.map_err(store_failed)?;
        let (strategy, fields) = match &self.trigger().config.session_strategy {
            SessionStrategy::Ephemeral => ("ephemeral", Vec::new()),
            SessionStrategy::Shared => ("shared", Vec::new()),
            SessionStrategy::Derive(fields) => {
                ("derive", fields.iter().map(ToString::to_string).collect())
            }
        };
        let shown = json!({
            "strategy": strategy, "fields": fields, "session_id": id, "exists": exists,
        });
        steps.pass("session", shown);
        Ok(())
    }
}

fn name_of(kind: ChannelKind) -> Option<&'static str> {
    ChannelKind::ALL.iter().find(|(_, it)| *it == kind).map(|(name, _)| *name)
}

fn shape_of(payload: &Value) -> Value {
    let fields = payload.as_object().map(|fields| fields.keys().collect::<Vec<_>>());
    json!({ "type": type_of(payload), "fields": fields })
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}
