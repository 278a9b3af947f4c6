//! One message on its way to ingress, and how it was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use recado_testkit::app::NewTrigger;
use serde_json::json;
use sha2::Sha256;

/// How long a sender waits for an answer; ingress promises one much earlier.
const PATIENCE: Duration = Duration::from_secs(8);

/// The longest that a refusal may take: 1.9 s by design, and what a busy machine adds.
const REFUSED_WITHIN: Duration = Duration::from_secs(6);

/// A message, as it is posted each time that it is.
pub(super) struct Letter {
    token: String,
    pub(super) session: String,
    pub(super) text: String,
    path: String,
    body: String,
    signature: String,
}

/// What came of one request.
pub(super) enum Sent {
    Acknowledged,
    /// 503, and when to come back.
    Refused,
    Unanswered,
    /// The connection was refused: it was not sent.
    NobodyThere,
    /// What no sender should see.
    Mistaken(String),
}

impl Letter {
    /// What `session` says to a trigger: something with `token` in it, which is its id as well.
    pub(super) fn new(trigger: &NewTrigger, session: &str, token: String) -> Self {
        let text = format!("{token} is what I have to say to you this time, and no more than that");
        let body = json!({"id": token, "userId": session, "text": text}).to_string();
        let mac = Hmac::<Sha256>::new_from_slice(trigger.webhook_secret.as_bytes())
            .expect("HMAC takes keys of any length");
        let signature = hex::encode(mac.chain_update(&body).finalize().into_bytes());
        Self {
            token,
            session: session.to_owned(),
            text,
            path: format!("/api/triggers/webhook/{}", trigger.id),
            body,
            signature: format!("sha256={signature}"),
        }
    }

    /// The provider's id: the same whenever it is posted.
    pub(super) fn id(&self) -> &str {
        &self.token
    }
}

/// Posts to several instances of ingress. Clones share its connections.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    urls: Vec<String>,
    strict: bool,
    /// Who gets no new connections, as it is being restarted: the number of the instance, and one
    /// more; 0 for nobody.
    left_out: Arc<AtomicUsize>,
}

impl Client {
    #[expect(clippy::disallowed_methods, reason = "the guarded client refuses loopback")]
    pub(super) fn new(urls: Vec<String>, strict: bool) -> anyhow::Result<Self> {
        let builder = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
        // Whoever balances connections gives each its own request: one that is kept may be closed
        // at the moment in which it is used again.
        let builder = if strict { builder.pool_max_idle_per_host(0) } else { builder };
        let http = builder.build().context("there is no HTTP client")?;
        Ok(Self { http, urls, strict, left_out: Arc::default() })
    }

    /// Whether anything is a mistake but a 2xx, and a connection that is refused by an instance which
    /// is being restarted.
    pub(super) fn is_strict(&self) -> bool {
        self.strict
    }

    /// From now on nothing new is posted to this instance, or to all again.
    pub(super) fn leave_out(&self, ingress: Option<usize>) {
        self.left_out.store(ingress.map_or(0, |index| index + 1), Ordering::Relaxed);
    }

    fn is_left_out(&self, index: usize) -> bool {
        index + 1 == self.left_out.load(Ordering::Relaxed)
    }

    /// Which instance is meant by any number.
    fn instance(&self, ingress: usize) -> usize {
        let index = ingress % self.urls.len();
        if self.is_left_out(index) { (index + 1) % self.urls.len() } else { index }
    }

    /// Posts to one of the instances; any number is one of them.
    pub(super) async fn post(&self, ingress: usize, letter: &Letter) -> Sent {
        let begun = Instant::now();
        let instance = self.instance(ingress);
        let url = format!("{}{}", self.urls[instance].trim_end_matches('/'), letter.path);
        let request = self.http.post(url).body(letter.body.clone());
        let request = request.header("Content-Type", "application/json");
        let sent = request.header("X-Webhook-Signature", &letter.signature).send().await;
        let response = match sent {
            Ok(response) => response,
            // It was chosen before it was left out.
            Err(error) if error.is_connect() && (!self.strict || self.is_left_out(instance)) => {
                return Sent::NobodyThere;
            }
            Err(error) if self.strict => {
                return Sent::Mistaken(format!("a request failed: {}", root(&error)));
            }
            Err(_) => return Sent::Unanswered,
        };
        let (status, took) = (response.status().as_u16(), begun.elapsed());
        let comes_back = response.headers().contains_key("retry-after");
        let body = response.text().await.unwrap_or_default();
        match status {
            200..300 => Sent::Acknowledged,
            503 if comes_back && took <= REFUSED_WITHIN && !self.strict => Sent::Refused,
            _ => Sent::Mistaken(format!("{status} after {took:?}: {body}")),
        }
    }
}

/// What is behind an error of a client.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
