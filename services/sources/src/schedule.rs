//! Schedules: claims those that are due, publishes their ticks, and says when they are due next.
//!
//! Which ticks there are follows from the configuration ([`recado_types::trigger::schedule`]), and a
//! message's id from trigger and tick. So it does not matter who publishes a tick, or how often: if
//! an instance dies between the confirm and the position, another one publishes the same messages.

use std::error::Error;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_clock::Clock;
use recado_intake::CompiledTrigger;
use recado_intake::channel::Incoming;
use recado_store::sources::{self, ClaimedSource, LeftOut, Outcome, SourceFailure, SourceKind};
use recado_store::{Store, StoreError};
use recado_types::trigger::Source;
use recado_types::trigger::schedule::{Due, Schedule, rfc3339};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::held::SourceError;
use crate::metrics::{FAILED, LATE_SECONDS};
use crate::outlet::{FLIGHT, Outgoing, Outlet};
use crate::trigger::{compiled, try_again_at, within_quota};

/// How many schedules are claimed at a time, and how many ticks of one are done before the others have
/// their turn.
const CLAIM: usize = 500;
const TICKS: usize = 20;
/// How much text is made before it is published.
const PART_BYTES: usize = 8 << 20;
/// How long schedules are claimed for, whatever sources are: longer than publishing a part takes, and
/// not so long that those of an instance that died are missed.
pub(crate) const LEASES: RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_mins(1);
/// How often to look for schedules that were saved meanwhile.
const POLL: Duration = Duration::from_millis(500);
/// How long to wait for a database that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

const KIND: SourceKind = SourceKind::Schedule;

/// Fires schedules.
pub(crate) struct Schedules {
    pub(crate) store: Store,
    pub(crate) outlet: Outlet,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long schedules are claimed for. If their instance dies they wait for so long; if it takes
    /// longer, their ticks are published again, under the same ids.
    pub(crate) lease: Duration,
}

/// A schedule of which it is known what it has to do.
struct Planned {
    claimed: ClaimedSource,
    trigger: CompiledTrigger,
    due: Due,
}

/// How much of what a schedule had to do was done.
#[derive(Default)]
struct Fired {
    /// Up to this tick.
    done_until: Option<DateTime<Utc>>,
    /// Whether a message came of it.
    something: bool,
    left_out: LeftOut,
}

/// Ticks that are published together: not more than the broker is given at a time, and not more than
/// there should be in memory, whatever their payloads are.
#[derive(Default)]
struct Part {
    ticks: Vec<Ticked>,
    outgoing: Vec<Outgoing>,
    bytes: usize,
}

/// A tick, and whether a message came of it.
struct Ticked {
    tick: Tick,
    is_message: bool,
}

impl Part {
    fn add(&mut self, tick: Tick, message: Option<Outgoing>) {
        self.ticks.push(Ticked { tick, is_message: message.is_some() });
        self.bytes += message.as_ref().map_or(0, |message| message.message.text.len());
        self.outgoing.extend(message);
    }

    fn is_full(&self) -> bool {
        self.outgoing.len() >= FLIGHT || self.bytes >= PART_BYTES
    }
}

/// A tick on its way.
struct Tick {
    /// Whose, by its place among the planned.
    planned: usize,
    at: DateTime<Utc>,
    fires_at: DateTime<Utc>,
}

impl Schedules {
    /// Fires schedules until `shutdown`; what is claimed by then is finished.
    pub(crate) async fn run(&self, shutdown: &CancellationToken) {
        let mut is_away = false;
        while !shutdown.is_cancelled() {
            let worked = self.work().await;
            let pause = match &worked {
                // There may be more.
                Ok(n_claimed) if *n_claimed > 0 => Duration::ZERO,
                Ok(_) => self.until_next().await,
                Err(error) => {
                    // One line for an outage, not one for each look at it.
                    if !is_away {
                        tracing::warn!(
                            error = error as &dyn Error,
                            "the schedules cannot be read; waiting"
                        );
                    }
                    PAUSE
                }
            };
            is_away = worked.is_err();
            shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// How long nothing is due that is known of.
    async fn until_next(&self) -> Duration {
        let now = self.clock.now();
        match sources::next_due(&self.store, KIND, now).await {
            Ok(Some(due_at)) => (due_at - now).to_std().unwrap_or_default().min(POLL),
            _ => POLL,
        }
    }

    /// Does what is due. Answers how many schedules that was.
    async fn work(&self) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let claimed = sources::claim(&self.store, KIND, now, CLAIM, self.lease, &[]).await?;
        if claimed.is_empty() {
            return Ok(0);
        }
        let n_claimed = claimed.len();
        let mut outcomes = Vec::with_capacity(n_claimed);
        let mut planned = Vec::with_capacity(n_claimed);
        for claimed in claimed {
            match plan(claimed, now) {
                Ok(plan) => planned.push(plan),
                Err(outcome) => outcomes.push(*outcome),
            }
        }
        outcomes.extend(self.fire(planned, now).await);
        self.settle(&outcomes).await;
        Ok(n_claimed)
    }

    /// Publishes what is due, a part at a time. Once one part fails, so does the rest: whoever is not
    /// there for one schedule is not there for the others. When half the lease has passed, the rest is
    /// left for the next time, so that what was published can be written down.
    async fn fire(&self, planned: Vec<Planned>, now: DateTime<Utc>) -> Vec<Outcome> {
        let mut fired = Vec::with_capacity(planned.len());
        let mut part = Part::default();
        let mut broken = None;
        let (time, mut is_late) = (tokio::time::Instant::now() + self.lease / 2, false);
        for (n, Planned { trigger, due, .. }) in planned.iter().enumerate() {
            fired.push(Fired::default());
            for at in &due.ticks {
                if broken.is_some() || is_late {
                    break;
                }
                broken = self.add(&mut part, n, trigger, *at, &mut fired[n].left_out).await.err();
                if part.is_full() {
                    broken = self.publish(&mut part, &mut fired).await.err().or(broken);
                    is_late = tokio::time::Instant::now() >= time;
                }
            }
        }
        if broken.is_none() {
            broken = self.publish(&mut part, &mut fired).await.err();
        }
        let outcome = |(planned, fired)| outcome(planned, fired, broken.as_ref(), now);
        planned.into_iter().zip(fired).map(outcome).collect()
    }

    async fn add(
        &self,
        part: &mut Part,
        planned: usize,
        trigger: &CompiledTrigger,
        at: DateTime<Utc>,
        left_out: &mut LeftOut,
    ) -> Result<(), SourceError> {
        let Source::Schedule(schedule) = &trigger.config.source else { return Ok(()) };
        let happening = happening(trigger, schedule, at);
        let fires_at = schedule.fires_at(trigger.id, at);
        let message = self.outlet.prepare(KIND, trigger, &happening, left_out).await?;
        part.add(Tick { planned, at, fires_at }, message);
        Ok(())
    }

    /// Publishes a part, which is empty afterwards.
    async fn publish(&self, part: &mut Part, fired: &mut [Fired]) -> Result<(), SourceError> {
        let Part { ticks, outgoing, .. } = std::mem::take(part);
        let (n_published, error) = self.outlet.publish(KIND, outgoing).await;
        let (published_at, mut n_left) = (self.clock.now(), n_published);
        for Ticked { tick, is_message } in ticks {
            if is_message {
                let Some(left) = n_left.checked_sub(1) else { break };
                n_left = left;
                observe_late(published_at, tick.fires_at);
                fired[tick.planned].something = true;
            }
            fired[tick.planned].done_until = Some(tick.at);
        }
        error.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Writes down what was done, for as long as it takes: until then there is nothing else that
    /// could be done. If the leases run out meanwhile, the ticks are published again, under the
    /// same ids.
    async fn settle(&self, outcomes: &[Outcome]) {
        for failure in outcomes.iter().filter_map(|outcome| outcome.failure.as_ref()) {
            FAILED.with_label_values(&[KIND.as_str(), failure.code]).inc();
        }
        let deadline = tokio::time::Instant::now() + self.lease;
        while let Err(error) = sources::settle(&self.store, outcomes).await {
            tracing::warn!(
                error = &error as &dyn Error,
                "the ticks that were published are not written down yet"
            );
            if tokio::time::Instant::now() > deadline {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What a claimed schedule has to do; or what comes of it if it cannot.
fn plan(claimed: ClaimedSource, now: DateTime<Utc>) -> Result<Planned, Box<Outcome>> {
    let lease = claimed.lease;
    let failed = |failure: SourceFailure| {
        let again = try_again_at(claimed.failure_count, failure.code, now);
        Box::new(Outcome::failed(lease, failure, again))
    };
    let trigger = compiled(&claimed, now).map_err(&failed)?;
    let Source::Schedule(schedule) = &trigger.config.source else {
        let message = "the trigger's configuration is not that of a schedule".to_owned();
        return Err(failed(SourceFailure { code: "trigger_invalid", message, at: now }));
    };
    let done_until = done_until(&claimed);
    let due = schedule.due(trigger.id, done_until, now, TICKS);
    if !due.ticks.is_empty() {
        within_quota(&claimed, now)
            .map_err(|(failure, at)| Box::new(Outcome::failed(lease, failure, at)))?;
    }
    if due.left_out {
        tracing::warn!(
            trigger.id = %trigger.id,
            tenant.id = %trigger.tenant_id,
            "ticks after {} were missed, and `catch_up` leaves them out",
            rfc3339(&done_until)
        );
    }
    Ok(Planned { claimed, trigger, due })
}

/// What came of a schedule, of which as much was done as `fired` says.
fn outcome(
    planned: Planned,
    fired: Fired,
    broken: Option<&SourceError>,
    now: DateTime<Utc>,
) -> Outcome {
    let Planned { claimed, due, .. } = planned;
    let (lease, Fired { done_until, something, left_out }) = (claimed.lease, fired);
    let fired_at = something.then_some(now);
    let is_done = due.ticks.last() == done_until.as_ref();
    if is_done {
        // What is still to be made up for waits behind what others have to do now.
        let due_at = due.look_at.map(|look_at| look_at.max(now));
        let position = Some(position(due.done_until));
        return Outcome { lease, due_at, position, fired_at, failure: None, left_out };
    }
    let position = done_until.map(position);
    let failure = broken.map(|error| error.failure(now));
    // Without a failure there was no time left, and there is some now.
    let again = |failure: &SourceFailure| try_again_at(claimed.failure_count, failure.code, now);
    let due_at = Some(failure.as_ref().map_or(now, again));
    Outcome { lease, due_at, position, fired_at, failure, left_out }
}

fn happening(trigger: &CompiledTrigger, schedule: &Schedule, tick: DateTime<Utc>) -> Incoming {
    let payload = schedule.payload(trigger.id, tick);
    Incoming { provider_id: Some(rfc3339(&tick)), ..Incoming::of(payload) }
}

fn position(done_until: DateTime<Utc>) -> Value {
    json!({ "done_until": done_until })
}

/// Up to when everything is done.
fn done_until(claimed: &ClaimedSource) -> DateTime<Utc> {
    let saved = claimed.position.as_ref().and_then(|position| position.get("done_until"));
    let saved = saved.and_then(Value::as_str).and_then(|text| text.parse().ok());
    saved.unwrap_or(claimed.since)
}

fn observe_late(published_at: DateTime<Utc>, fires_at: DateTime<Utc>) {
    let late = (published_at - fires_at).to_std().unwrap_or_default();
    LATE_SECONDS.observe(late.as_secs_f64());
}
