//! Redis hangs, dies, fills up and comes back: webhooks are accepted all the time.

use std::cell::Cell;
use std::time::{Duration, Instant};

use recado_testkit::wait_for;
use serde_json::json;

use super::BOUND;
use crate::requests::{Answered, Sender, named, named_message};
use crate::running::{Running, SOON};

/// The timeout of Redis in these tests is 250 ms: fifty requests that each had to wait for it
/// would take more than twice as long as this.
const FIFTY_WITHIN: Duration = Duration::from_secs(6);

/// A trigger whose messages have something to pay: a limit and an id.
async fn trigger(running: &Running) -> Sender {
    let mut config = named();
    config["rate_limit"] = json!({"per_minute": 1_000_000});
    running.sender(running.trigger(config).await)
}

async fn post(sender: &Sender, id: &str, text: &str) -> Answered {
    sender.post("application/json", named_message(id, text)).await
}

async fn assert_accepts_fifty(sender: &Sender, prefix: &str) {
    let begun = Instant::now();
    for n in 0..50 {
        let one = Instant::now();
        assert_eq!(post(sender, &format!("{prefix}-{n}"), "Olá").await.status, 202);
        assert!(one.elapsed() < BOUND, "{:?}", one.elapsed());
    }
    assert!(begun.elapsed() < FIFTY_WITHIN, "{:?}", begun.elapsed());
}

/// Waits until contents are compared again, which only Redis can do here.
async fn assert_recovers(sender: &Sender, prefix: &str) {
    let n = Cell::new(0);
    let compares = async || {
        n.set(n.get() + 1);
        let id = format!("{prefix}-again-{}", n.get());
        assert_eq!(post(sender, &id, "one").await.status, 202);
        (post(sender, &id, "two").await.status == 409).then_some(())
    };
    wait_for("a Redis that compares again", SOON, compares).await.unwrap();
}

#[tokio::test]
async fn a_redis_that_hangs_costs_its_timeout_once() {
    let mut running = Running::start().await;
    let sender = trigger(&running).await;
    assert_eq!(post(&sender, "before", "Olá").await.status, 202);
    running.redis().stop().unwrap();
    assert_accepts_fifty(&sender, "hanging").await;
    assert!(running.is_ready(), "only the broker has to be there");
    running.redis().cont().unwrap();
    assert_recovers(&sender, "hanging").await;
    running.stop().await;
}

#[tokio::test]
async fn a_redis_that_is_full_is_gone_round() {
    let mut running = Running::start().await;
    let sender = trigger(&running).await;
    running.redis().command("CONFIG SET maxmemory 1").await.unwrap();
    assert_accepts_fifty(&sender, "full").await;
    running.redis().command("CONFIG SET maxmemory 0").await.unwrap();
    assert_recovers(&sender, "full").await;
    running.stop().await;
}

#[tokio::test]
async fn a_redis_that_crashes_refuses_nobody() {
    let mut running = Running::start().await;
    let sender = trigger(&running).await;
    let (n_accepted, is_over) = (Cell::new(0_usize), Cell::new(false));
    let load = async {
        while !is_over.get() {
            let n = n_accepted.get();
            let answer = post(&sender, &format!("m{n}"), "Olá").await;
            assert_eq!(answer.status, 202, "{}", answer.body);
            n_accepted.set(n + 1);
        }
    };
    let at_least_more = async |more: usize| {
        let least = n_accepted.get() + more;
        let level = async || (least <= n_accepted.get()).then_some(());
        wait_for("answers", SOON, level).await.unwrap();
    };
    let crash = async {
        at_least_more(50).await;
        running.redis().kill().unwrap();
        at_least_more(50).await;
        running.redis().restart().await.unwrap();
        at_least_more(50).await;
        running.redis().wipe().await.unwrap();
        at_least_more(50).await;
        is_over.set(true);
    };
    tokio::join!(load, crash);
    assert_recovers(&sender, "crashed").await;
    // Every 202 is a publication.
    let queue = running.requested();
    queue.wait_for(n_accepted.get()).await;
    running.stop().await;
}
