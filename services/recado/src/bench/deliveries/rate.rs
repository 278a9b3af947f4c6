//! Callbacks per second over connections that are kept, beside a bare client that makes the same
//! requests: the requests alone, and from the queue to the record.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use recado_clock::{Clock as _, SystemClock};
use recado_delivery::callback::render::Chunk;
use recado_delivery::callback::retry::Outcome;
use recado_delivery::callback::sent::SentSecret;
use recado_delivery::callback::{answer, render};
use recado_http::guard::{Guard, GuardedClient};
use recado_testkit::app::Role;
use recado_testkit::{http_client, wait_for};
use recado_types::trigger::{Callback, TriggerConfig};
use recado_types::{DeliveryId, ExecutionId, SessionId, TriggerId};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::super::report::{Figure, Goal};
use super::super::{count, cpu, fixtures, progress, ratio};
use super::receiver::{Manner, Receiver};
use super::{Bench, PATIENCE};

const DELIVERIES: usize = 20_000;
/// What one of them says, after its number.
const RESPONSE: &str = "# There is a table for two on Friday at eight, by the window.";

/// How long each client works that records nothing.
const UNRECORDED: Duration = Duration::from_secs(3);
/// How many requests they have in flight when they have several.
const IN_FLIGHT: usize = 64;

const LEAST_RATIO: f64 = 0.5;

impl Bench {
    pub(super) async fn rate(&mut self) -> anyhow::Result<()> {
        let receiver = Receiver::start(DELIVERIES, Manner::Friendly).await;
        let receiver = receiver.context("there is no place to call back")?;
        let configuration = fixtures::answered(receiver.address);
        progress("calling back with a bare client");
        let bare_one = rate_of(1, &Bare::to(&receiver)?).await?;
        let bare_many = rate_of(IN_FLIGHT, &Bare::to(&receiver)?).await?;
        progress("calling back as delivery does, and recording nothing");
        let ours_one = rate_of(1, &Unrecorded::of(&configuration)?).await?;
        let ours_many = rate_of(IN_FLIGHT, &Unrecorded::of(&configuration)?).await?;

        progress("delivering one response after the other");
        self.leave(DELIVERIES, RESPONSE, &configuration, Duration::ZERO).await?;
        let before = cpu::read(&self.system.groups).context("/proc cannot be read")?;
        self.system.begin(Role::Delivery).await?;
        wait_for("all callbacks", PATIENCE, async || {
            (receiver.n_arrived() >= DELIVERIES).then_some(())
        })
        .await?;
        self.until_delivered().await?;
        let after = cpu::read(&self.system.groups).context("/proc cannot be read")?;
        self.check(&receiver, DELIVERIES, 1);

        let arrivals = receiver.arrivals().concat();
        let first = arrivals.iter().min().context("nothing was delivered")?;
        let last = arrivals.iter().max().context("nothing was delivered")?;
        let recorded = ratio(count(arrivals.len()), (*last - *first).as_secs_f64());
        let goal = Goal::RatioAtLeast(LEAST_RATIO);
        self.findings.figures.extend([
            Figure::new("requests as delivery makes them: one at a time", ours_one, "/s")
                .against(bare_one)
                .goal(goal),
            Figure::new("  64 in flight", ours_many, "/s").against(bare_many).goal(goal),
            Figure::new("callbacks from the queue, each recorded", recorded, "/s")
                .against(bare_one)
                .goal(goal),
        ]);
        let used = after.since(&before);
        for (group, name) in [
            ("delivery", "  CPU time per callback, delivery"),
            ("PostgreSQL", "  CPU time per callback, PostgreSQL"),
        ] {
            let at = self.system.groups.iter().position(|known| known.name == group);
            let micros = at.and_then(|at| used.get(at)).map(|used| used.as_secs_f64() * 1e6);
            let each = micros.map(|micros| ratio(micros, count(DELIVERIES)));
            self.findings.figures.push(Figure::new(name, each, "µs"));
        }
        Ok(())
    }
}

/// A way to make one request after the other.
trait Calls: Clone + Send + Sync + 'static {
    fn call(&self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// How many requests per second come of it, `n_in_flight` at a time.
async fn rate_of(n_in_flight: usize, calls: &impl Calls) -> anyhow::Result<f64> {
    let n_answered = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    let began = Instant::now();
    for _ in 0..n_in_flight {
        let (calls, n_answered) = (calls.clone(), Arc::clone(&n_answered));
        callers.spawn(async move {
            while began.elapsed() < UNRECORDED {
                calls.call().await?;
                n_answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    callers.join_all().await.into_iter().collect::<anyhow::Result<()>>()?;
    Ok(ratio(count(n_answered.load(Ordering::Relaxed)), began.elapsed().as_secs_f64()))
}

/// The HTTP client by itself.
#[derive(Clone)]
struct Bare {
    client: reqwest::Client,
    url: String,
    body: Vec<u8>,
}

impl Bare {
    fn to(receiver: &Receiver) -> anyhow::Result<Self> {
        let url = format!("http://{}/callback", receiver.address);
        let body = serde_json::to_vec(&json!({"text": RESPONSE}))?;
        Ok(Self { client: http_client(), url, body })
    }
}

impl Calls for Bare {
    async fn call(&self) -> anyhow::Result<()> {
        let request = self.client.post(&self.url).header("content-type", "application/json");
        let answer = request.body(self.body.clone()).send().await?.error_for_status()?;
        answer.bytes().await?;
        Ok(())
    }
}

/// All that delivery does about one request: written from the trigger's template, sent through the
/// guard, its answer understood.
#[derive(Clone)]
struct Unrecorded {
    client: GuardedClient,
    clock: Arc<SystemClock>,
    callback: Arc<Callback>,
}

impl Unrecorded {
    fn of(configuration: &Value) -> anyhow::Result<Self> {
        let guard = Guard::new(vec!["127.0.0.0/8".parse()?]);
        let Ok(config) = TriggerConfig::parse(configuration) else {
            bail!("the trigger is configured wrongly");
        };
        let callback = config.execution.callback.context("the trigger has a callback")?;
        let (client, clock) = (GuardedClient::new(guard)?, Arc::new(SystemClock::default()));
        Ok(Self { client, clock, callback: Arc::new(callback) })
    }
}

impl Calls for Unrecorded {
    async fn call(&self) -> anyhow::Result<()> {
        let id = Uuid::from_u128(1);
        let chunk = Chunk {
            context: &Map::new(),
            text: RESPONSE,
            number: 1,
            count: 1,
            execution_id: ExecutionId(id),
            delivery_id: DeliveryId(id),
            whole_round: 1,
            session_id: SessionId(id),
            trigger_id: TriggerId(id),
        };
        let request = render::render(&self.callback, &chunk, None, self.clock.now())?;
        let result = self.client.send(request).await;
        let sent = SentSecret::default();
        let report = answer::read(result, &self.callback.success, &sent, self.clock.now());
        match report.outcome {
            Outcome::Accepted => Ok(()),
            other => bail!("a callback was not taken: {other:?}"),
        }
    }
}
