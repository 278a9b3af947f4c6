//! What all surfaces share: from a request to an authentic payload.
//!
//! A surface (`surface/`) is a route: which trigger it means, how it is guarded beyond the
//! trigger's own checks, and in which form it answers. Everything between is here and, from the
//! payload on, in `take.rs`.

use std::ops::Deref;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use actix_web::web::{self, Bytes, Payload};
use recado_clock::Clock;
use recado_intake::auth::Received;
use recado_intake::channel::Arrival;
use recado_intake::{CompiledTrigger, PublicUrl};
use recado_types::TriggerId;
use recado_types::trigger::{InboundAuth, Source};
use serde_json::Value;

use crate::auth::{self, ApiKeys};
use crate::body;
use crate::config::Limits;
use crate::mails::{self, MailPlace, MailPlaces};
use crate::metrics::BODY_BYTES;
use crate::novelty::Novelty;
use crate::outbox::Outbox;
use crate::place::Places;
use crate::refusal::Refusal;
use crate::sender::Senders;
use crate::sync::Answers;
use crate::toll::Toll;
use crate::trigger::{KnownTrigger, Triggers};

/// How much longer than another body a mail may take to arrive.
const MAIL_PATIENCE: u32 = 6;

/// Everything a request needs. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Ingress {
    pub(crate) limits: Limits,
    pub(crate) public_url: PublicUrl,
    pub(crate) triggers: Arc<Triggers>,
    pub(crate) places: Arc<Places>,
    pub(crate) api_keys: Arc<ApiKeys>,
    pub(crate) senders: Arc<Senders>,
    pub(crate) toll: Toll,
    /// Places for large mails while they are read.
    pub(crate) mails: Arc<MailPlaces>,
    pub(crate) outbox: Outbox,
    pub(crate) answers: Answers,
    pub(crate) novelty: Novelty,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Ingress {
    /// The trigger `id`, whether it takes messages or not.
    pub(crate) async fn trigger(&self, id: TriggerId) -> Result<Arc<KnownTrigger>, Refusal> {
        let trigger = self.triggers.get(id).await.map_err(Refusal::Lookup)?;
        trigger.ok_or(Refusal::TriggerNotFound)
    }

    /// The body of a request to `trigger`, within the limits. Mails may be large, for what is
    /// attached; few such are held at a time, and what remains of them is small.
    pub(crate) async fn body(
        &self,
        trigger: &CompiledTrigger,
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<Body, Refusal> {
        let Limits { max_headers, max_body, max_mail, body_timeout, .. } = self.limits;
        let is_mail = matches!(trigger.config.source, Source::Email(_));
        let max_body = if is_mail { max_mail } else { max_body };
        if size_of(request.headers()) > max_headers {
            return Err(Refusal::HeadersTooLarge { max_headers });
        }
        let mut within = body_timeout;
        let mut place = None;
        if is_mail {
            if trigger.config.auth == InboundAuth::ApiKey {
                // Strangers get no place.
                self.authenticate(trigger, &self.received(request, b"")).await?;
            }
            within = body_timeout * MAIL_PATIENCE;
        }
        let admit = |length: usize| {
            if is_mail && length > mails::LARGE && place.is_none() {
                place = Some(Arc::new(self.mails.take(trigger.tenant_id)?));
            }
            Ok(())
        };
        let bytes = body::read(request, payload, max_body, within, admit).await?;
        BODY_BYTES.observe(f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX)));
        Ok(Body { bytes, place })
    }

    /// A request as it was received, at this moment.
    pub(crate) fn received<'r>(&'r self, request: &'r HttpRequest, body: &'r [u8]) -> Received<'r> {
        Received {
            public_url: &self.public_url,
            path_and_query: request.uri().path_and_query().map_or("", |target| target.as_str()),
            headers: request.headers(),
            body,
            at: self.clock.now(),
            limits: self.limits.payload,
        }
    }

    /// What the request holds, as its channel understands it. A large mail takes too long for those
    /// who share this thread.
    pub(crate) async fn interpret(
        &self,
        trigger: &CompiledTrigger,
        request: &Received<'_>,
        body: &Body,
        payload: Value,
    ) -> Result<Arrival, Refusal> {
        let Some(place) = body.place.clone() else {
            return Ok(trigger.channel.interpret(request, payload)?);
        };
        let (channel, body) = (Arc::clone(&trigger.channel), body.bytes.clone());
        let (public_url, headers) = (request.public_url.clone(), request.headers.clone());
        let path_and_query = request.path_and_query.to_owned();
        let Received { at, limits, .. } = *request;
        let interpreted = web::block(move || {
            // Whether or not its sender still waits.
            let _place = place;
            let request = Received {
                public_url: &public_url,
                path_and_query: &path_and_query,
                headers: &headers,
                body: &body,
                at,
                limits,
            };
            channel.interpret(&request, payload)
        });
        Ok(interpreted.await.expect("it does not panic, and nobody cancels it")?)
    }

    /// Does the request pass the trigger's own checks?
    pub(crate) async fn authenticate(
        &self,
        trigger: &CompiledTrigger,
        request: &Received<'_>,
    ) -> Result<(), Refusal> {
        auth::authenticate(trigger, request, &self.api_keys).await
    }
}

/// A body, with its place among the mails if it is a large one.
pub(crate) struct Body {
    bytes: Bytes,
    place: Option<Arc<MailPlace>>,
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The bytes of all names and values.
fn size_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}
