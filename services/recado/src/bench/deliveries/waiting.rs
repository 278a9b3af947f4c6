//! Ten thousand deliveries that wait: for the delay between two chunks, or to be tried again.

use std::time::Duration;

use anyhow::Context as _;
use recado_testkit::app::Role;
use recado_testkit::wait_for;
use serde_json::json;

use super::super::latency::Latencies;
use super::super::report::{Figure, Goal};
use super::super::{count, fixtures, progress};
use super::receiver::{Manner, Receiver};
use super::{Bench, PATIENCE};

const DELIVERIES: usize = 10_000;
/// Two paragraphs of which no more than one fits into a chunk of 100.
const RESPONSE: &str = "# There is a table for two on Friday at eight, by the window, as you wished.\n\n\
                        # Please tell us until noon of that day if you cannot come after all.";

/// Long enough that all of them wait at one time, however slow the machine is.
const DELAY: Duration = Duration::from_secs(10);
/// They begin within this time: about half as many per second as can be delivered here, so that
/// what is late is late because of its timer and not because of those before it.
const SPREAD: Duration = Duration::from_secs(6);
/// One in so many is asked to come again instead, after as long.
const PUT_OFF_EVERY: usize = 20;

const MOST_RESIDENT_MB: f64 = 150.0;
const MOST_LATE_MS: f64 = 100.0;
const BYTES_PER_MIB: f64 = 1_048_576.0;
const BYTES_PER_MB: f64 = 1e6;

impl Bench {
    pub(super) async fn waiting(&mut self) -> anyhow::Result<()> {
        progress("letting 10,000 deliveries wait");
        let manner = Manner::PutsOff { every: PUT_OFF_EVERY };
        let receiver = Receiver::start(DELIVERIES, manner).await;
        let receiver = receiver.context("there is no place to call back")?;
        let mut configuration = fixtures::answered(receiver.address);
        configuration["execution"]["split_config"] = json!({
            "enabled": true, "numbering": false, "max_chunk_size": 100,
            "inter_chunk_delay_ms": DELAY.as_millis(),
        });
        configuration["execution"]["callback"]["retry"] =
            json!({"max_attempts": 3, "initial_delay_ms": 100, "max_delay_ms": 60_000});
        self.leave(DELIVERIES, RESPONSE, &configuration, SPREAD).await?;
        self.system.begin(Role::Delivery).await?;
        let begun = wait_for("the first chunks", PATIENCE, async || {
            (receiver.n_begun() >= DELIVERIES).then_some(())
        });
        begun.await?;
        let n_waiting = DELIVERIES - arrived(&receiver, 2);
        let (resident, _) = self.system.role_mib(Role::Delivery)?;
        self.until_delivered().await?;
        let (_, peak) = self.system.role_mib(Role::Delivery)?;

        // Every number comes twice; those that were put off come once more.
        let expected = DELIVERIES * 2 + DELIVERIES.div_ceil(PUT_OFF_EVERY);
        if receiver.n_arrived() != expected {
            let fault = format!("{} callbacks came, not {expected}", receiver.n_arrived());
            self.findings.faults.push(fault);
        }
        let arrivals = receiver.arrivals();
        let pauses = arrivals.iter().flat_map(|came| came.windows(2).map(|two| two[1] - two[0]));
        let late: Vec<Duration> = pauses.map(|pause| pause.saturating_sub(DELAY)).collect();
        let late = Latencies::from(late);
        self.findings.figures.extend([
            Figure::new("deliveries that wait 10 s: at one time", count(n_waiting), ""),
            Figure::new("  delivery meanwhile: resident", megabytes(resident), "MB"),
            Figure::new("  most until all have ended", megabytes(peak), "MB")
                .goal(Goal::ValueAtMost(MOST_RESIDENT_MB)),
            Figure::new("  later than after 10 s, request to request, p50", late.p50(), "ms"),
            Figure::new("  later than after 10 s, request to request, p99", late.p99(), "ms")
                .goal(Goal::ValueAtMost(MOST_LATE_MS)),
        ]);
        Ok(())
    }
}

/// How many numbers came at least `times`.
fn arrived(receiver: &Receiver, times: usize) -> usize {
    receiver.arrivals().iter().filter(|arrivals| arrivals.len() >= times).count()
}

fn megabytes(mib: f64) -> f64 {
    mib * BYTES_PER_MIB / BYTES_PER_MB
}
