//! Another content under a known id is never taken for the message that is known.

use recado_messages::Inbound;
use recado_store::executions::{self, Admitted};
use recado_store::messages::{self, Kept};
use recado_testkit::{sql, wait_for};
use recado_types::Fingerprint;

use crate::fixture::{Fixture, message, now, refs, request};

/// Message `n` of session 1, which says `text`.
fn saying(n: u128, text: &str) -> Inbound {
    let fingerprint = Some(Fingerprint::of(text.as_bytes()));
    Inbound { text: text.into(), fingerprint, ..message(1, n) }
}

/// Message `n` of session 1, by somebody who does not say what is in it.
fn unsaid(n: u128) -> Inbound {
    message(1, n)
}

async fn record(fixture: &Fixture, batch: &[Inbound]) -> Kept {
    let mut kept = messages::record(&fixture.store, &refs(batch)).await.unwrap();
    kept.open.sort();
    kept.open.dedup();
    kept
}

/// Each message in a request of its own.
async fn admit(fixture: &Fixture, batch: &[Inbound]) -> Admitted {
    let requests: Vec<_> = batch.iter().map(|one| request(std::slice::from_ref(one))).collect();
    let requests: Vec<_> = requests.iter().collect();
    executions::admit(&fixture.store, &requests, now()).await.unwrap()
}

async fn count_saying(fixture: &Fixture, text: &str) -> i64 {
    fixture.count(&format!("SELECT count(*) FROM messages WHERE text = '{text}'")).await
}

#[tokio::test]
async fn what_is_recorded_with_another_content_is_a_conflict_and_stays_as_it_is() {
    let fixture = Fixture::new().await;
    let (first, neighbour) = (saying(1, "first"), saying(2, "neighbour"));
    assert_eq!(record(&fixture, std::slice::from_ref(&first)).await.conflicts, []);
    assert_eq!(record(&fixture, std::slice::from_ref(&first)).await.conflicts, []);

    let kept = record(&fixture, &[saying(1, "other"), neighbour.clone()]).await;
    assert_eq!(kept, Kept { open: vec![first.id, neighbour.id], conflicts: vec![first.id] });
    assert_eq!(count_saying(&fixture, "first").await, 1);
    assert_eq!(count_saying(&fixture, "neighbour").await, 1);

    // When it is in an execution, too.
    admit(&fixture, std::slice::from_ref(&first)).await;
    let kept = record(&fixture, &[saying(1, "other")]).await;
    assert_eq!(kept, Kept { open: vec![], conflicts: vec![first.id] });
    assert_eq!(record(&fixture, &[first]).await, Kept::default());
}

#[tokio::test]
async fn of_two_contents_in_one_batch_the_first_is_recorded_and_the_other_a_conflict() {
    let fixture = Fixture::new().await;
    let batch = [saying(1, "first"), saying(1, "other"), saying(2, "same"), saying(2, "same")];
    let kept = record(&fixture, &batch).await;
    let open = vec![batch[0].id, batch[2].id];
    assert_eq!(kept, Kept { open, conflicts: vec![batch[0].id] });
    assert_eq!(count_saying(&fixture, "first").await, 1);
    // Alone, each of them turns out to be what it is.
    assert_eq!(record(&fixture, &batch[..1]).await.conflicts, []);
    assert_eq!(record(&fixture, &batch[1..2]).await.conflicts, [batch[0].id]);
}

#[tokio::test]
async fn a_message_without_a_fingerprint_is_in_no_conflict() {
    let fixture = Fixture::new().await;
    for (first, again) in
        [(unsaid(1), saying(1, "a")), (saying(2, "a"), unsaid(2)), (unsaid(3), unsaid(3))]
    {
        let (first, again) = (std::slice::from_ref(&first), std::slice::from_ref(&again));
        assert_eq!(record(&fixture, first).await.conflicts, []);
        assert_eq!(record(&fixture, again).await.conflicts, []);
        let both = [first, again].concat();
        assert_eq!(record(&fixture, &both).await.conflicts, []);
        assert_eq!(admit(&fixture, &both).await.conflicts, []);
        assert_eq!(admit(&fixture, &both).await.conflicts, []);
    }
}

#[tokio::test]
async fn what_was_recorded_at_the_same_moment_is_compared_when_it_is_tried_again() {
    let fixture = Fixture::new().await;
    let mine = saying(1, "mine");
    let theirs = "INSERT INTO messages (id, tenant_id, trigger_id, session_id, fingerprint, text, \
                  context, accepted_at) VALUES ($1, $2, $3, $4, $5, 'theirs', '{}', now())";
    let fingerprint = Fingerprint::of(b"theirs").0;
    let kept = sql::connected(fixture.database.url(), async |client| {
        client.batch_execute("BEGIN").await?;
        let (tenant, trigger, session) = (mine.tenant_id.0, mine.trigger_id.0, mine.session_id.0);
        client.execute(theirs, &[&mine.id.0, &tenant, &trigger, &session, &fingerprint]).await?;
        let commit = async {
            let blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                           AND datname = current_database()";
            let waits = async || (fixture.count(blocked).await == 1).then_some(());
            wait_for("the statement to wait", std::time::Duration::from_secs(30), waits)
                .await
                .unwrap();
            client.batch_execute("COMMIT").await
        };
        let batch = [&mine];
        let (kept, committed) = tokio::join!(messages::record(&fixture.store, &batch), commit);
        committed.map(|()| kept.unwrap())
    });
    let kept = kept.await.unwrap();
    assert_eq!(kept.conflicts, [mine.id], "it cannot be told yet");
    assert_eq!(record(&fixture, &[mine]).await.conflicts, [saying(1, "theirs").id]);
    assert_eq!(record(&fixture, &[saying(1, "theirs")]).await.conflicts, []);
}

#[tokio::test]
async fn what_is_in_an_execution_with_another_content_is_a_conflict_of_its_own() {
    let fixture = Fixture::new().await;
    let first = saying(1, "first");
    admit(&fixture, std::slice::from_ref(&first)).await;
    let admitted = admit(&fixture, &[saying(1, "other"), saying(2, "neighbour")]).await;
    let conflicts = vec![first.id];
    let expected = Admitted { n_messages: 1, n_executions: 1, conflicts, ..Admitted::default() };
    assert_eq!(admitted, expected);
    assert_eq!(admit(&fixture, &[first]).await, Admitted::default());
    assert_eq!(count_saying(&fixture, "other").await, 0);
}

#[tokio::test]
async fn of_two_contents_in_one_batch_the_first_is_admitted_and_the_other_a_conflict() {
    let fixture = Fixture::new().await;
    let batch = [saying(1, "first"), saying(1, "other"), saying(2, "same"), saying(2, "same")];
    let conflicts = vec![batch[0].id];
    let expected = Admitted { n_messages: 2, n_executions: 2, conflicts, ..Admitted::default() };
    assert_eq!(admit(&fixture, &batch).await, expected);
    assert_eq!(count_saying(&fixture, "first").await, 1);
    assert_eq!(count_saying(&fixture, "other").await, 0);
}

#[tokio::test]
async fn what_waits_in_a_window_with_another_content_is_a_conflict_and_a_flush_is_none() {
    let fixture = Fixture::new().await;
    let window = [saying(1, "first"), saying(2, "second")];
    record(&fixture, &window).await;
    let sessions = [window[0].session_id];
    let open = messages::open(&fixture.store, &sessions, 10).await.unwrap();
    let flushed: Vec<_> = open.into_iter().map(|open| open.message).collect();

    let admitted = admit(&fixture, &[saying(2, "other")]).await;
    assert_eq!(admitted.conflicts, [window[1].id]);
    assert_eq!(admitted.n_messages, 2, "what is known is attached, in its order");
    assert_eq!(admit(&fixture, &flushed).await, Admitted::default());
    assert_eq!(count_saying(&fixture, "other").await, 0);
}
