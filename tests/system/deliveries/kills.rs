//! The process that sends is killed at random moments.
//!
//! Whatever the moment, receivers see the chunks of an answer from the first to the last; what is
//! repeated is the one chunk that was in doubt, once, under the key and with the body that it had.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use recado_testkit::app::Role;
use recado_testkit::callback::Sink;
use recado_testkit::stub::{Fault, Received};
use serde_json::json;
use tokio::time::sleep;

use super::{Line, four_paragraphs, in_four, statuses};
use crate::support::{Story, system};

/// Another one gives other moments.
const SEED: u64 = 20_261_123;
const ROUNDS: usize = 8;
/// How many answers are on their way when the process is killed.
const AT_ONCE: usize = 3;
/// Short, so that what a dead process held is taken over soon.
const LEASE_MS: &str = "500";
/// How long the receiver takes, so that something is in doubt at most moments.
const IN_DOUBT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_delivery_that_is_killed_at_any_moment_repeats_only_the_chunk_in_doubt() -> Story {
    let mut app = system().env("RECADO_LEASE_MS", LEASE_MS).start().await?;
    let sink = Sink::start();
    sink.fail_always(Fault::Delay(IN_DOUBT));
    let callback = json!({"url": sink.url(), "timeout_ms": 15_000});
    let line = Line::open_for(app.management(), &callback, &in_four()).await?;
    let answer = four_paragraphs().join("\n\n");

    // The first one takes longer: nobody knows anybody yet.
    let mut whole = Duration::ZERO;
    for who in ["the first", "nobody dies"] {
        let started = Instant::now();
        line.outcome(&line.say(&app, who, &answer).await?).await?;
        whole = started.elapsed();
    }
    eprintln!("killed within {whole:?} of the message, by the seed {SEED}");

    let mut random = StdRng::seed_from_u64(SEED);
    let mut n_repeated = 0;
    for round in 0..ROUNDS {
        let mut executions = Vec::new();
        for n in 0..AT_ONCE {
            executions.push(line.say(&app, &format!("{round} {n}"), &answer).await?);
        }
        sleep(whole.mul_f64(random.random_range(0.0..1.0))).await;
        app.kill(Role::Delivery, 0)?;
        app.restart(Role::Delivery, 0).await?;
        for execution in executions {
            let outcome = line.outcome(&execution).await?;
            assert_eq!(statuses(&outcome), ["sent"; 4], "round {round}: {outcome}");
            let delivery = outcome["id"].as_str().context("it has an id")?;
            n_repeated += n_repeated_chunks(&sink.received(), delivery);
        }
    }
    eprintln!("{ROUNDS} kills under {AT_ONCE} answers: {n_repeated} chunks were in doubt");
    Ok(app.finish().await?)
}

/// How many chunks of a delivery came twice. Panics if it is more than the one in doubt, or if what
/// came is not the answer from its first chunk to its last.
fn n_repeated_chunks(received: &[Received], delivery: &str) -> usize {
    let mut came = Vec::new();
    let mut bodies: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for request in received {
        let key = request.header("idempotency-key").unwrap_or_default();
        let Some(number) = key.strip_prefix(delivery).and_then(|rest| rest.strip_prefix('-'))
        else {
            continue;
        };
        let number = number.parse().expect("the key of a first round ends with the chunk's number");
        came.push(number);
        bodies.entry(number).or_default().push(request.text());
    }
    assert!(came.is_sorted(), "{delivery} went back: {came:?}");
    assert_eq!(bodies.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4], "{delivery}: {came:?}");
    for (number, bodies) in &bodies {
        let text = &four_paragraphs()[number - 1];
        assert!(bodies.iter().all(|body| body.contains(text.as_str())), "{number}: {bodies:?}");
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{number} changed: {bodies:?}");
    }
    let n_repeated = came.len() - bodies.len();
    assert!(n_repeated <= 1, "{delivery} repeated more than what was in doubt: {came:?}");
    n_repeated
}
