//! The routes: one trigger, seen in three ways.

pub(crate) mod apps;
pub(crate) mod native;
pub(crate) mod run;

use std::sync::{LazyLock, Mutex};
use std::time::Instant;

use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use recado_http::{ApiError, Problem};
use recado_types::TriggerId;
use serde_json::Value;
use uuid::Uuid;

use crate::metrics::{REQUEST_SECONDS, REQUESTS};
use crate::refusal::Refusal;
use crate::toll::RateState;

/// How many refusals are written to the log in a second; all are counted in the metrics. Who has no
/// credential can be refused as often as they like.
const LOGGED_IN_A_SECOND: u32 = 20;

static LOG_ALLOWANCE: LazyLock<LogAllowance> = LazyLock::new(LogAllowance::new);

/// How a UUID is written in a path; the other forms that its parser knows are nobody's links.
const HYPHENATED: usize = 36;

/// An id in the path, if it is one.
fn id_in_path(request: &HttpRequest, name: &str) -> Option<Uuid> {
    let text = request.match_info().get(name)?;
    Uuid::try_parse(text).ok().filter(|_| text.len() == HYPHENATED)
}

/// Counts a request and, if the sender has to change something, says so in the log. What is our
/// own fault is logged, with its causes, by the middleware.
fn note<T>(
    surface: &'static str,
    trigger: Option<TriggerId>,
    begun: Instant,
    outcome: &Result<(T, &'static str), Refusal>,
) {
    let label = match outcome {
        Ok((_, label)) => label,
        Err(refusal) => refusal.code(),
    };
    REQUESTS.with_label_values(&[surface, label]).inc();
    let seconds = begun.elapsed().as_secs_f64();
    REQUEST_SECONDS.with_label_values(&[surface, label]).observe(seconds);
    let trigger_id = trigger.map(tracing::field::display);
    match outcome {
        // Anybody can guess at links: that is counted, and not written down.
        Ok(_) | Err(Refusal::TriggerNotFound | Refusal::AppNotFound) => {}
        Err(refusal) if refusal.is_the_senders() => {
            if LOG_ALLOWANCE.take() {
                tracing::info!(trigger.id = trigger_id, refusal.code = label, "webhook refused");
            }
        }
        Err(_logged_with_its_causes) => {}
    }
}

/// 202, and how much the sender may still send.
fn acknowledged(body: Value, rate: Option<RateState>) -> HttpResponse {
    let mut response = HttpResponse::Accepted().json(body);
    if let Some(rate) = rate {
        rate.write_headers(response.headers_mut());
    }
    response
}

/// The error for any other method where there is only POST.
fn only_post() -> ApiError {
    ApiError::from(Problem::MethodNotAllowed).with_header(ALLOW, HeaderValue::from_static("POST"))
}

/// So many lines in a second, and no more.
struct LogAllowance {
    begun: Instant,
    /// The second that is counted, and how many lines it has had.
    second: Mutex<(u64, u32)>,
}

impl LogAllowance {
    fn new() -> Self {
        Self { begun: Instant::now(), second: Mutex::default() }
    }

    /// Whether there is a line left.
    fn take(&self) -> bool {
        let now = self.begun.elapsed().as_secs();
        let mut second = self.second.lock().expect("no holder of this lock panics");
        if second.0 != now {
            *second = (now, 0);
        }
        second.1 += 1;
        second.1 <= LOGGED_IN_A_SECOND
    }
}
