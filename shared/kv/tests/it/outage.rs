//! Redis that is killed, stopped or full.

use std::time::{Duration, Instant};

use recado_kv::KvError;

use crate::{Fixture, LEASE, TIMEOUT, id, patient, push};

/// From the moment Redis works again to the moment we notice; generous, for a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_secs(20);

async fn until_available(fixture: &Fixture) {
    recado_testkit::wait_for("Redis to be used again", NOTICED_WITHIN, async || {
        fixture.kv.is_available().then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_killed_redis_comes_back_with_its_windows() {
    let mut fixture = Fixture::new().await;
    fixture.kv.push(&[push(1, 1, patient(1))]).await.unwrap();
    fixture.redis.kill().unwrap();
    assert!(fixture.kv.push(&[push(1, 2, patient(1))]).await.is_err());
    assert!(!fixture.kv.is_available());
    fixture.redis.restart().await.unwrap();
    until_available(&fixture).await;
    // Also: the script is gone with the process, and is loaded again by itself.
    let claims = fixture.kv.claim(10, LEASE).await.unwrap();
    assert_eq!(claims.windows[0].message_ids, [id(1)]);
}

#[tokio::test]
async fn a_hanging_redis_costs_its_timeout_once() {
    let fixture = Fixture::new().await;
    fixture.kv.push(&[push(1, 1, patient(5))]).await.unwrap();
    fixture.redis.stop().unwrap();
    let started = Instant::now();
    assert!(matches!(
        fixture.kv.push(&[push(1, 2, patient(5))]).await,
        Err(KvError::Failed { .. })
    ));
    // With room for a connection that is tried again, and for a busy machine.
    assert!(started.elapsed() < TIMEOUT * 8, "{:?}", started.elapsed());
    for _ in 0..1_000 {
        let pushed = fixture.kv.push(&[push(1, 3, patient(5))]).await;
        assert!(matches!(pushed, Err(KvError::Unavailable)));
    }
    fixture.redis.cont().unwrap();
    until_available(&fixture).await;
    fixture.kv.push(&[push(1, 4, patient(5))]).await.unwrap();
}

#[tokio::test]
async fn a_full_redis_counts_as_unavailable() {
    let fixture = Fixture::new().await;
    fixture.kv.push(&[push(1, 1, patient(5))]).await.unwrap();
    fixture.redis.command("CONFIG SET maxmemory 1").await.unwrap();
    assert!(fixture.kv.push(&[push(1, 2, patient(5))]).await.is_err());
    assert!(!fixture.kv.is_available());
    fixture.redis.command("CONFIG SET maxmemory 0").await.unwrap();
    until_available(&fixture).await;
    fixture.kv.push(&[push(1, 2, patient(5))]).await.unwrap();
}
