//! The loop against lanes in memory, in paused time.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use recado_types::SessionId;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::*;

const LEASE: Duration = Duration::from_secs(30);
const SLOTS: usize = 4;

/// What the head of a lane does.
#[derive(Clone, Copy)]
enum Job {
    Take(Duration),
    Panic,
    UntilLost,
}

#[derive(Default)]
struct Lanes {
    ready: Mutex<VecDeque<(Uuid, Job)>>,
    stolen: Mutex<Vec<Uuid>>,
    away: AtomicBool,
    claims: AtomicUsize,
    renewals: AtomicUsize,
    running: AtomicUsize,
    most_running: AtomicUsize,
    finished: Mutex<HashMap<Uuid, Duration>>,
    lost_after: Mutex<Vec<Duration>>,
    begun: Mutex<Option<Instant>>,
}

struct Claimed {
    lease: Lease,
    job: Job,
}

#[derive(Debug, thiserror::Error)]
#[error("the database is away")]
struct Away;

impl LaneWork for Lanes {
    type Lease = Lease;
    type Claimed = Claimed;
    type Error = Away;

    async fn claim(&self, limit: usize) -> Result<Vec<Claimed>, Away> {
        self.claims.fetch_add(1, Ordering::SeqCst);
        self.reach()?;
        let mut ready = self.ready.lock().unwrap();
        let n_claimed = limit.min(ready.len());
        let claimed = ready.drain(..n_claimed).map(|(lane, job)| {
            let token = Uuid::from_u128(lane.as_u128() + (1 << 64));
            Claimed { lease: Lease { session_id: SessionId(lane), token }, job }
        });
        Ok(claimed.collect())
    }

    fn lease_of(claimed: &Claimed) -> Lease {
        claimed.lease
    }

    async fn renew(&self, held: &[Lease]) -> Result<Vec<Lease>, Away> {
        self.renewals.fetch_add(1, Ordering::SeqCst);
        self.reach()?;
        let stolen = self.stolen.lock().unwrap();
        Ok(held.iter().filter(|lease| stolen.contains(&lease.session_id.0)).copied().collect())
    }

    async fn work(&self, claimed: Claimed, lost: CancellationToken) {
        let begun = Instant::now();
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        match claimed.job {
            Job::Take(time) => sleep(time).await,
            Job::Panic => {
                self.running.fetch_sub(1, Ordering::SeqCst);
                panic!("a bug in the work")
            }
            Job::UntilLost => {
                lost.cancelled().await;
                self.lost_after.lock().unwrap().push(begun.elapsed());
            }
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        let since = self.begun.lock().unwrap().unwrap().elapsed();
        self.finished.lock().unwrap().insert(claimed.lease.session_id.0, since);
    }
}

impl Lanes {
    fn reach(&self) -> Result<(), Away> {
        if self.away.load(Ordering::SeqCst) { Err(Away) } else { Ok(()) }
    }

    fn enqueue(&self, jobs: impl IntoIterator<Item = Job>) {
        let mut ready = self.ready.lock().unwrap();
        for job in jobs {
            let lane = Uuid::from_u128(ready.len() as u128 + self.finished() as u128);
            ready.push_back((lane, job));
        }
    }

    fn finished(&self) -> usize {
        self.finished.lock().unwrap().len()
    }
}

/// A loop at work.
struct Running {
    lanes: Arc<Lanes>,
    wake: Wake,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Running {
    fn start(kind: &'static str, jobs: impl IntoIterator<Item = Job>) -> Self {
        let lanes = Arc::new(Lanes::default());
        *lanes.begun.lock().unwrap() = Some(Instant::now());
        lanes.enqueue(jobs);
        let (wake, tasks) = (Wake::default(), TaskTracker::new());
        let shutdown = CancellationToken::new();
        let settings = LaneLoop { kind, slots: SLOTS, poll: POLL, lease: LEASE };
        let run = settings.run(Arc::clone(&lanes), wake.clone(), tasks.clone(), shutdown.clone());
        tasks.spawn(run);
        Self { lanes, wake, tasks, shutdown }
    }

    async fn finished(&self, count: usize) {
        let reached = async {
            while self.lanes.finished() < count {
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(10), reached).await.expect("not all finished");
    }

    async fn stop(self) -> Arc<Lanes> {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.lanes
    }
}

#[tokio::test(start_paused = true)]
async fn every_lane_is_worked_and_no_more_at_a_time_than_there_are_slots() {
    let running = Running::start("slots", vec![Job::Take(Duration::from_secs(1)); 10]);
    running.finished(10).await;
    let lanes = running.stop().await;
    assert_eq!(lanes.most_running.load(Ordering::SeqCst), SLOTS);
    let last = lanes.finished.lock().unwrap().values().max().copied().unwrap();
    assert!(last < Duration::from_millis(3_100), "full slots are refilled at once: {last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_is_heeded_at_once_and_a_lost_one_after_the_poll_interval() {
    let running = Running::start("wake", []);
    sleep(Duration::from_millis(10)).await;
    running.lanes.enqueue([Job::Take(Duration::ZERO)]);
    running.wake.wake();
    running.finished(1).await;
    let woken_after = running.lanes.finished.lock().unwrap().values().max().copied().unwrap();
    assert!(woken_after < Duration::from_millis(15), "{woken_after:?}");

    running.lanes.enqueue([Job::Take(Duration::ZERO)]);
    running.finished(2).await;
    let polled_after = running.lanes.finished.lock().unwrap().values().max().copied().unwrap();
    assert!(polled_after < Duration::from_millis(15) + POLL * 2, "{polled_after:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_was_parked_is_worked_in_time() {
    let running = Running::start("parked", []);
    sleep(Duration::from_millis(10)).await;
    let mut worst = Duration::ZERO;
    for n in 1..=40_u32 {
        // Anywhere between two polls.
        let pause = Duration::from_millis(u64::from(37 * n % 240));
        running.wake.wake_at(Instant::now() + pause);
        sleep(pause).await;
        let due = Instant::now();
        running.lanes.enqueue([Job::Take(Duration::ZERO)]);
        running.finished(n as usize).await;
        worst = worst.max(due.elapsed());
    }
    assert!(worst < Duration::from_millis(30), "{worst:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn wake_ups_are_coalesced() {
    let running = Running::start("coalesce", []);
    sleep(Duration::from_millis(1)).await;
    let before = running.lanes.claims.load(Ordering::SeqCst);
    for _ in 0..1_000 {
        running.wake.wake();
    }
    sleep(Duration::from_millis(10)).await;
    let lanes = running.stop().await;
    assert!(lanes.claims.load(Ordering::SeqCst) - before <= 2);
}

#[tokio::test(start_paused = true)]
async fn long_work_keeps_its_lease() {
    let running = Running::start("renew", [Job::Take(LEASE * 5)]);
    running.finished(1).await;
    let lanes = running.stop().await;
    assert!(lanes.renewals.load(Ordering::SeqCst) >= 14);
    assert!(lanes.lost_after.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn work_is_told_when_its_lane_was_taken_over() {
    let running = Running::start("stolen", [Job::UntilLost, Job::Take(LEASE * 2)]);
    running.lanes.stolen.lock().unwrap().push(Uuid::from_u128(0));
    running.finished(2).await;
    let lanes = running.stop().await;
    assert_eq!(*lanes.lost_after.lock().unwrap(), [LEASE]);
}

/// The statement that ends a lane's work gives the lane away, and a renewal may see that before
/// the work knows that its statement was successful.
#[tokio::test(start_paused = true)]
async fn work_that_has_ended_its_lane_may_return_in_peace() {
    let running = Running::start("ended", [Job::Take(LEASE / 2)]);
    running.lanes.stolen.lock().unwrap().push(Uuid::from_u128(0));
    running.finished(1).await;
    let lanes = running.stop().await;
    assert!(lanes.renewals.load(Ordering::SeqCst) >= 1, "it was told that the lane is gone");
    assert_eq!(Metrics::of("ended").lost.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn work_is_told_when_its_lease_ran_out_while_the_database_was_away() {
    let running = Running::start("away", [Job::UntilLost]);
    sleep(Duration::from_secs(1)).await;
    running.lanes.away.store(true, Ordering::SeqCst);
    running.finished(1).await;
    assert_eq!(*running.lanes.lost_after.lock().unwrap(), [LEASE]);

    running.lanes.away.store(false, Ordering::SeqCst);
    running.lanes.enqueue([Job::Take(Duration::ZERO)]);
    running.finished(2).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_shorter_than_the_lease_goes_unnoticed_by_the_work() {
    let running = Running::start("short", [Job::Take(LEASE * 3)]);
    sleep(Duration::from_secs(1)).await;
    running.lanes.away.store(true, Ordering::SeqCst);
    sleep(LEASE * 5 / 6).await;
    running.lanes.away.store(false, Ordering::SeqCst);
    running.finished(1).await;
    let lanes = running.stop().await;
    assert!(lanes.lost_after.lock().unwrap().is_empty());
    let took = lanes.finished.lock().unwrap().values().max().copied().unwrap();
    assert!(took < LEASE * 3 + Duration::from_millis(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_is_asked_with_pauses() {
    let running = Running::start("pauses", []);
    running.lanes.away.store(true, Ordering::SeqCst);
    sleep(Duration::from_mins(1)).await;
    let lanes = running.stop().await;
    let asked = lanes.claims.load(Ordering::SeqCst);
    assert!((30..80).contains(&asked), "asked {asked} times in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_contained_and_frees_its_slot() {
    let jobs = vec![Job::Panic; SLOTS].into_iter().chain([Job::Take(Duration::ZERO)]);
    let running = Running::start("panic", jobs);
    running.finished(1).await;
    running.stop().await;
    assert_eq!(Metrics::of("panic").panicked.get(), SLOTS as u64);
    assert_eq!(Metrics::of("panic").running.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn shutdown_claims_no_more_and_waits_for_what_runs_keeping_its_lease() {
    let running = Running::start("drain", vec![Job::Take(LEASE * 2); SLOTS + 1]);
    sleep(Duration::from_secs(1)).await;
    let begun = running.lanes.begun.lock().unwrap().unwrap();
    let lanes = running.stop().await;
    assert_eq!(begun.elapsed(), LEASE * 2);
    assert_eq!(lanes.finished(), SLOTS);
    assert_eq!(lanes.ready.lock().unwrap().len(), 1);
    assert!(lanes.renewals.load(Ordering::SeqCst) >= 5);
}
