//! What is written together, and what follows if nobody writes or the database stays away.

use chrono::DateTime;
use recado_store::deliveries::{After, AttemptRecord};
use recado_store::lanes::Lease;
use recado_store::{Config, Keyring};
use recado_types::{AttemptId, DeliveryId, SessionId, TenantId};
use uuid::Uuid;

use super::*;

const LEASE: Duration = Duration::from_secs(15);

/// A recorder whose database is away, and what writes.
fn recorder(shutdown: &CancellationToken) -> (Recorder, impl Future<Output = ()> + Send) {
    // Nobody listens at this port.
    let config = Config::new("postgres://nobody@127.0.0.1:1/nothing", 1, "test");
    let keys = Keyring::parse("k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let store = Store::new(&config, keys).unwrap();
    Recorder::open(store, LEASE, 1, shutdown.clone())
}

fn recording() -> Recording {
    let nil = Uuid::nil();
    let attempt = AttemptRecord {
        id: AttemptId(nil),
        tenant_id: TenantId(nil),
        delivery_id: DeliveryId(nil),
        chunk_index: 0,
        chunk_count: 1,
        chunk_body: None,
        truncated: false,
        round: 1,
        attempt: 1,
        started_at: DateTime::UNIX_EPOCH,
        duration_ms: 0,
        status_code: None,
        error_code: None,
        response_body: None,
        provider_id: None,
        now: DateTime::UNIX_EPOCH,
    };
    let lease = Lease { session_id: SessionId(nil), token: nil };
    Recording { lease, attempt, after: After::Delivered }
}

#[tokio::test]
async fn the_process_stops_if_nobody_writes() {
    let shutdown = CancellationToken::new();
    let (recorder, writing) = recorder(&shutdown);
    drop(writing);
    let written = recorder.record(recording()).await;
    assert!(matches!(written, Err(Unstored::LeaseLost)), "{written:?}");
    assert!(shutdown.is_cancelled());
}

#[tokio::test]
async fn the_process_stops_if_what_writes_ends_with_an_attempt_in_its_hands() {
    let shutdown = CancellationToken::new();
    let (recorder, writing) = recorder(&shutdown);
    let (written, ()) = tokio::join!(recorder.record(recording()), async {
        assert!(tokio::time::timeout(Duration::from_millis(300), writing).await.is_err());
    });
    assert!(matches!(written, Err(Unstored::LeaseLost)), "{written:?}");
    assert!(shutdown.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_held_for_ten_minutes_whatever_its_lease() {
    let shutdown = CancellationToken::new();
    let (recorder, writing) = recorder(&shutdown);
    let began = Instant::now();
    let (written, ()) = tokio::join!(
        async {
            let written = recorder.record(recording()).await;
            drop(recorder);
            written
        },
        writing
    );
    assert!(matches!(written, Err(Unstored::LeaseLost)), "{written:?}");
    let held = began.elapsed();
    assert!(LONGEST_HELD <= held && held < LONGEST_HELD + Duration::from_secs(10), "{held:?}");
    assert!(!shutdown.is_cancelled(), "it goes on with what comes next");
}
