//! One attempt to send an event: sign, send, write down.

use std::sync::Arc;
use std::time::Duration;

use recado_callback::sign;
use recado_clock::Clock;
use recado_http::guard::{GuardedClient, Outbound};
use recado_store::event_deliveries::{AfterAttempt, Claimed, EventAttempt};
use recado_trace::spans;
use recado_types::AttemptId;
use recado_types::hosts::DestinationHosts;
use reqwest::Method;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{Instrument, Span};
use url::Url;

use super::answer::{self, MAX_KEPT_BODY, Report};
use super::book::Book;
use super::metrics::{ATTEMPT_SECONDS, ATTEMPTS};
use super::schedule;

/// How long a whole exchange may take: the least that Standard Webhooks recommends. Whoever needs
/// longer has to answer first and work then.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);

/// Makes attempts.
pub(super) struct Attempts {
    pub(super) client: GuardedClient,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) book: Book,
    /// Notified when one is over: what was waiting for it may be sent now.
    pub(super) wake: Arc<Notify>,
}

/// Why a request cannot be made.
#[derive(Clone, Copy, Debug)]
enum Unsendable {
    /// The endpoint's address or secret is not what the API takes.
    Malformed,
    /// The tenant's requests may not go there.
    NotAllowed,
    /// The endpoint's secret does not open.
    SecretUnreadable,
}

impl Unsendable {
    fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_request",
            Self::NotAllowed => "destination_not_allowed",
            Self::SecretUnreadable => "secret_unreadable",
        }
    }
}

impl Attempts {
    /// Sends an event once, and returns when it is written down what came of it.
    pub(super) async fn make(&self, claimed: Claimed) {
        let Claimed { id, event_id, execution_id, tenant_id, .. } = claimed;
        let cause = claimed.trace.as_ref();
        let span = spans::send_event(id, event_id, execution_id, tenant_id, cause);
        self.make_in_span(claimed).instrument(span).await;
    }

    async fn make_in_span(&self, mut claimed: Claimed) {
        let id = AttemptId(self.clock.fresh_id());
        let (started_at, started) = (self.clock.now(), Instant::now());
        let report = match self.request(&mut claimed) {
            Ok(request) => {
                let result = self.client.send(request).await;
                answer::read(result, self.clock.now())
            }
            Err(unsendable) => Report::unsent(unsendable.code()),
        };
        let duration = started.elapsed();
        let number = claimed.attempt_count + 1;
        let attempt = EventAttempt {
            id,
            number,
            started_at,
            duration_ms: i64::try_from(duration.as_millis()).unwrap_or(i64::MAX),
            status_code: report.status_code,
            error_code: report.error_code,
            response_headers: report.headers,
            response_body: report.body,
            ended_at: self.clock.now(),
            after: schedule::after(number, report.fared, rand::random_range(0.0..=1.0)),
        };
        if let Some(code) = &attempt.error_code {
            recado_trace::fail(&Span::current(), code.clone());
        }
        ATTEMPT_SECONDS.observe(duration.as_secs_f64());
        tell(&claimed, &attempt);
        self.book.enter(claimed, attempt).await;
        self.wake.notify_one();
    }

    /// The request, signed with all of the endpoint's secrets. Takes the payload, which is not
    /// needed any more.
    fn request(&self, claimed: &mut Claimed) -> Result<Outbound, Unsendable> {
        let url = Url::parse(&claimed.url).map_err(|_not_shown| Unsendable::Malformed)?;
        DestinationHosts::of(&claimed.destination_hosts)
            .check(&url)
            .map_err(|_not_shown| Unsendable::NotAllowed)?;
        if claimed.secrets.is_empty() {
            return Err(Unsendable::SecretUnreadable);
        }
        let body = std::mem::take(&mut claimed.payload).into_bytes();
        let (id, timestamp) =
            (claimed.event_id.prefixed().to_string(), self.clock.now().timestamp());
        let signature = signature(&id, timestamp, &body, &claimed.secrets)?;
        let request = Outbound::new(Method::POST, url)
            .timeout(TIMEOUT)
            .max_body_bytes(MAX_KEPT_BODY)
            .propagating()
            .body("application/json", body);
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signature),
        ];
        headers.iter().try_fold(request, |request, (name, value)| {
            request.header(name, value).map_err(|_not_shown| Unsendable::Malformed)
        })
    }
}

fn signature(
    id: &str,
    timestamp: i64,
    body: &[u8],
    secrets: &[String],
) -> Result<String, Unsendable> {
    let keys = secrets
        .iter()
        .map(|secret| sign::secret_bytes(secret))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_not_shown| Unsendable::Malformed)?;
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    Ok(sign::standard_webhooks(id, timestamp, body, &keys))
}

/// The one line of an attempt.
fn tell(claimed: &Claimed, attempt: &EventAttempt) {
    let (outcome, retry_in_ms) = match attempt.after {
        AfterAttempt::Delivered => ("delivered", None),
        AfterAttempt::Retry { pause } => ("retry", u64::try_from(pause.as_millis()).ok()),
        AfterAttempt::Failed => ("failed", None),
        AfterAttempt::Gone => ("gone", None),
    };
    ATTEMPTS.with_label_values(&[outcome]).inc();
    tracing::info!(
        event.name = "event_delivery.attempted",
        event_delivery.id = %claimed.id,
        event.id = %claimed.event_id,
        event.type = claimed.event_type,
        endpoint.id = %claimed.endpoint_id,
        execution.id = %claimed.execution_id,
        tenant.id = %claimed.tenant_id,
        attempt.id = %attempt.id,
        attempt.round = claimed.round,
        attempt.number = attempt.number,
        attempt.outcome = outcome,
        attempt.retry_in_ms = retry_in_ms,
        http.status_code = attempt.status_code,
        error.code = attempt.error_code,
        duration_ms = attempt.duration_ms,
        "event {} for endpoint {}: {outcome}",
        claimed.event_id,
        claimed.endpoint_id
    );
}
