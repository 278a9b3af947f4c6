//! Instances die, the database goes away: what was sent is not sent again, what was not is.

use std::time::Duration;

use recado_testkit::callback::Sink;
use recado_testkit::scratch::ScratchDir;
use recado_testkit::servers::Postgres;
use recado_testkit::stub::Fault;
use recado_testkit::vhost;
use serde_json::{Value, json};

use crate::running::{LEASE, Setup, System, wait_for_count};

fn in_four(delay_ms: u32) -> (String, Value) {
    let split = json!({
        "enabled": true, "max_chunk_size": 100, "chunk_strategy": "length", "numbering": false,
        "inter_chunk_delay_ms": delay_ms,
    });
    (["a", "b", "c", "d"].map(|letter| letter.repeat(100)).concat(), split)
}

/// The first letters of the chunks that a sink was sent, in order.
fn letters(sink: &Sink) -> String {
    let letter = |json: Value| json["agent_response"].as_str().and_then(|text| text.chars().next());
    sink.received().iter().filter_map(|received| letter(received.json()?)).collect()
}

#[tokio::test]
async fn after_a_kill_only_the_chunk_in_doubt_repeats_under_the_same_key() {
    let system = System::new().await;
    let sink = Sink::start();
    sink.fail_at(2, Fault::Hang);
    let (response, split) = in_four(0);
    let trigger = system.trigger(&json!({"url": sink.url()}), &split).await;
    let delivery = system.answer(trigger, 1, &response).await;
    let killed = system.start();
    wait_for_count("the second chunk", 2, || sink.count()).await;
    killed.kill().await;

    let successor = system.start();
    system.wait_until("delivered", delivery).await;
    assert_eq!(letters(&sink), "abbcd");
    let received = sink.received();
    let key = |n: usize| received[n].header("idempotency-key").unwrap().to_owned();
    assert_eq!(key(1), key(2));
    assert_eq!(system.chunks(delivery).await, "sent sent sent sent");
    successor.stop().await;
}

#[tokio::test]
async fn an_instance_that_stops_hands_its_delivery_on_between_two_chunks() {
    let system = System::new().await;
    let sink = Sink::start();
    let (response, split) = in_four(1_000);
    let trigger = system.trigger(&json!({"url": sink.url()}), &split).await;
    let delivery = system.answer(trigger, 1, &response).await;
    let stopped = system.start_with(&Setup { lease: Duration::from_mins(5), ..Setup::default() });
    wait_for_count("the first chunk", 1, || sink.count()).await;
    stopped.stop().await;
    assert!(sink.count() < 4, "it did not send them all first");

    // The lease it had would outlast this test.
    let successor = system.start();
    system.wait_until("delivered", delivery).await;
    assert_eq!(letters(&sink), "abcd");
    successor.stop().await;
}

#[tokio::test]
async fn a_result_is_held_while_the_database_is_away() {
    let scratch = ScratchDir::new().unwrap();
    // One that keeps what it committed: losing the claim would be losing the lease.
    let postgres = Postgres::start(scratch.path().join("postgres")).await;
    let (mut postgres, vhost) = (postgres.unwrap(), vhost().await);
    recado_store::migrate(&postgres.url()).await.unwrap();
    let system = System::on(&postgres.url(), vhost.url()).await;
    let sink = Sink::start();
    sink.fail_at(1, Fault::Delay(Duration::from_secs(3)));
    let (response, split) = in_four(0);
    let trigger = system.trigger(&json!({"url": sink.url()}), &split).await;
    let delivery = system.answer(trigger, 1, &response).await;
    let instance = system.start_with(&Setup { lease: Duration::from_mins(2), ..Setup::default() });
    wait_for_count("the first request", 1, || sink.count()).await;
    postgres.kill().unwrap();
    let answered = || sink.received().iter().filter(|received| received.succeeded()).count();
    wait_for_count("its answer", 1, answered).await;
    postgres.restart().await.unwrap();

    system.wait_until("delivered", delivery).await;
    assert_eq!(letters(&sink), "abcd");
    assert_eq!(system.count("SELECT count(*) FROM attempts").await, 4);
    instance.stop().await;
}

#[tokio::test]
async fn a_result_is_held_and_its_lane_left_alone_when_the_database_is_away_beyond_the_lease() {
    let scratch = ScratchDir::new().unwrap();
    let postgres = Postgres::start(scratch.path().join("postgres")).await;
    let (mut postgres, vhost) = (postgres.unwrap(), vhost().await);
    recado_store::migrate(&postgres.url()).await.unwrap();
    let system = System::on(&postgres.url(), vhost.url()).await;
    let (early, late) = (Sink::start(), Sink::start());
    // One answers while the database is away, the other one only after it has come back.
    early.fail_at(1, Fault::Delay(LEASE / 2));
    late.fail_at(1, Fault::Delay(LEASE * 6));
    let (response, split) = in_four(0);
    let mut deliveries = Vec::new();
    for (sink, session) in [(&early, 1), (&late, 2)] {
        let trigger = system.trigger(&json!({"url": sink.url()}), &split).await;
        deliveries.push(system.answer(trigger, session, &response).await);
    }
    let instance = system.start_with(&Setup { lease: LEASE, ..Setup::default() });
    wait_for_count("both requests", 2, || early.count() + late.count()).await;
    postgres.kill().unwrap();
    // No condition to wait for: the outage itself has to last longer than the lease.
    tokio::time::sleep(LEASE * 2).await;
    assert_eq!((early.count(), late.count()), (1, 1));
    postgres.restart().await.unwrap();

    // It claims again, though not what it is still working.
    let other = Sink::start();
    let trigger = system.trigger(&json!({"url": other.url()}), &split).await;
    let unrelated = system.answer(trigger, 3, &response).await;
    system.wait_until("delivered", unrelated).await;
    system.wait_until("delivered", deliveries[0]).await;
    assert_eq!(late.count(), 1);
    system.wait_until("delivered", deliveries[1]).await;
    assert_eq!((letters(&early), letters(&late)), ("abcd".to_owned(), "abcd".to_owned()));
    assert_eq!(system.count("SELECT count(*) FROM attempts").await, 12);
    instance.stop().await;
}
