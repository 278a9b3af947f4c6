//! The load: 64 kept connections that post signed messages, as fast as they are answered or at a
//! steady pace.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use recado_testkit::baseline::Pace;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::http1::Wire;
use super::ledger::Ledger;
use super::message::Target;

/// How many posts may wait for their answer, and how many publishes of the baseline for theirs.
pub(super) const IN_FLIGHT: usize = 64;

/// How many senders there are: enough that sessions seldom wait for themselves.
const SESSIONS: usize = 1_000;

/// The most messages of one phase: what it leaves queued has to be worked off before the next.
const MAX_PER_PHASE: usize = 20_000;

/// The longest wait for an answer; ingress promises one much earlier.
const PATIENCE: Duration = Duration::from_secs(10);

/// When what is posted.
pub(super) enum Plan {
    /// Each connection posts as soon as it was answered.
    Saturate { until: Instant, last: usize },
    /// Each turn is one message.
    Keep(Pace),
    /// Each turn is a session of its own that sends so many messages, one after the other.
    Bursts { pace: Pace, size: usize },
}

/// Messages of one session, to be posted in order.
struct Task {
    numbers: Range<usize>,
    session: usize,
    /// What the first one's latency counts from.
    began: Instant,
}

impl Plan {
    pub(super) fn saturate(ledger: &Ledger, duration: Duration) -> Self {
        Self::Saturate { until: Instant::now() + duration, last: ledger.position() + MAX_PER_PHASE }
    }

    /// `n` messages, each of a session of its own, so many per second.
    pub(super) fn sessions(n: u32, per_second: f64) -> Self {
        // Half a turn more, so that the last one is due before the end.
        let duration = Duration::from_secs_f64((f64::from(n) + 0.5) / per_second);
        Self::Bursts { pace: Pace::start(per_second, duration), size: 1 }
    }

    async fn next(&self, ledger: &Ledger) -> Option<Task> {
        match self {
            Self::Saturate { until, last } => {
                let began = Instant::now();
                if began >= *until || ledger.position() >= *last {
                    return None;
                }
                let numbers = ledger.take(1)?;
                let session = numbers.start % SESSIONS;
                Some(Task { numbers, session, began })
            }
            Self::Keep(pace) => {
                let began = pace.turn().await?.began;
                let numbers = ledger.take(1)?;
                let session = numbers.start % SESSIONS;
                Some(Task { numbers, session, began })
            }
            Self::Bursts { pace, size } => {
                let began = pace.turn().await?.began;
                let numbers = ledger.take(*size)?;
                let session = numbers.start;
                Some(Task { numbers, session, began })
            }
        }
    }
}

/// How a phase was answered.
#[derive(Default)]
pub(super) struct Answers {
    /// The numbers that were posted.
    pub(super) numbers: Range<usize>,
    /// From the first post to the last answer.
    pub(super) took: Duration,
    /// Of those that were accepted.
    pub(super) latencies: Vec<Duration>,
    pub(super) n_errors: usize,
    /// What the first error was.
    pub(super) error: Option<String>,
}

impl Answers {
    pub(super) fn per_second(&self) -> f64 {
        super::ratio(super::count(self.latencies.len()), self.took.as_secs_f64())
    }

    fn fail(&mut self, error: String) {
        self.n_errors += 1;
        self.error.get_or_insert(error);
    }
}

/// Posts what `plan` says; returns when everything was answered.
pub(super) async fn run(
    plan: Plan,
    target: &Arc<Target>,
    ledger: &Arc<Ledger>,
) -> anyhow::Result<Answers> {
    let (plan, started, first) = (Arc::new(plan), Instant::now(), ledger.position());
    let mut connections = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (plan, target, ledger) = (Arc::clone(&plan), Arc::clone(target), Arc::clone(ledger));
        connections.spawn(async move { post_all(&plan, &target, &ledger).await });
    }
    let mut all = Answers::default();
    while let Some(answers) = connections.join_next().await {
        let answers = answers.context("a connection of the load generator panicked")?;
        all.latencies.extend(answers.latencies);
        all.n_errors += answers.n_errors;
        all.error = all.error.or(answers.error);
    }
    all.took = started.elapsed();
    all.numbers = first..ledger.position();
    Ok(all)
}

/// What one connection does; a broken one is replaced for the next message.
async fn post_all(plan: &Plan, target: &Target, ledger: &Ledger) -> Answers {
    let mut answers = Answers::default();
    let mut wire = None;
    while let Some(task) = plan.next(ledger).await {
        let mut began = task.began;
        for number in task.numbers {
            let request = target.request(number, task.session);
            ledger.posted(number, began);
            match timeout(PATIENCE, post(&mut wire, target, &request)).await {
                Ok(Ok(status)) if (200..300).contains(&status) => {
                    answers.latencies.push(began.elapsed());
                    ledger.acknowledged(number);
                }
                Ok(Ok(status)) => answers.fail(format!("a post was answered {status}")),
                Ok(Err(error)) => {
                    wire = None;
                    answers.fail(format!("a post failed: {error}"));
                }
                Err(_elapsed) => {
                    wire = None;
                    answers.fail(format!("a post was not answered within {PATIENCE:?}"));
                }
            }
            began = Instant::now();
        }
    }
    answers
}

/// Posts one request over a connection, which is made if there is none; gives the status.
pub(super) async fn post(
    wire: &mut Option<Wire>,
    target: &Target,
    request: &[u8],
) -> io::Result<u16> {
    let wire = match wire {
        Some(wire) => wire,
        none => none.insert(Wire::new(TcpStream::connect(target.address).await?)?),
    };
    wire.write(request).await?;
    let answer = wire.read().await?.and_then(|answer| answer.status());
    answer.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no HTTP answer"))
}
