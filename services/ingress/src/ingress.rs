//! What all surfaces share: from a request to an authentic payload.
//!
//! A surface (`surface/`) is a route: which trigger it means, how it is guarded beyond the
//! trigger's own checks, and in which form it answers. Everything between is here and, from the
//! payload on, in `take.rs`.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use actix_web::web::{Bytes, Payload};
use recado_clock::Clock;
use recado_intake::auth::Received;
use recado_intake::{CompiledTrigger, PublicUrl};
use recado_types::TriggerId;

use crate::auth::{self, ApiKeys};
use crate::body;
use crate::config::Limits;
use crate::metrics::BODY_BYTES;
use crate::novelty::Novelty;
use crate::outbox::Outbox;
use crate::place::Places;
use crate::refusal::Refusal;
use crate::sender::Senders;
use crate::sync::Answers;
use crate::toll::Toll;
use crate::trigger::{KnownTrigger, Triggers};

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

    /// The body of a request, within the limits.
    pub(crate) async fn body(
        &self,
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<Bytes, Refusal> {
        let Limits { max_headers, max_body, body_timeout, .. } = self.limits;
        if size_of(request.headers()) > max_headers {
            return Err(Refusal::HeadersTooLarge { max_headers });
        }
        let body = body::read(request, payload, max_body, body_timeout).await?;
        BODY_BYTES.observe(f64::from(u32::try_from(body.len()).unwrap_or(u32::MAX)));
        Ok(body)
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

    /// Does the request pass the trigger's own checks?
    pub(crate) async fn authenticate(
        &self,
        trigger: &CompiledTrigger,
        request: &Received<'_>,
    ) -> Result<(), Refusal> {
        auth::authenticate(trigger, request, &self.api_keys).await
    }
}

/// The bytes of all names and values.
fn size_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}
