//! What the script decides.

use std::time::Duration;

use recado_kv::Claims;
use recado_types::buffer::{BufferPolicy, Verdict, Window};
use recado_types::{MessageId, SessionId};

use crate::{Fixture, LEASE, Random, id, patient, push, session};

async fn claim(fixture: &Fixture) -> Claims {
    fixture.kv.claim(100, LEASE).await.unwrap()
}

async fn windows(fixture: &Fixture) -> Vec<(SessionId, Vec<MessageId>)> {
    ids_in(&claim(fixture).await)
}

fn ids_in(claims: &Claims) -> Vec<(SessionId, Vec<MessageId>)> {
    let windows = claims.windows.iter();
    windows.map(|window| (window.session_id, window.message_ids.clone())).collect()
}

#[tokio::test]
async fn a_full_window_takes_its_messages_and_leaves_the_rest() {
    let fixture = Fixture::new().await;
    let pushes: Vec<_> = (1..=12).map(|n| push(1, n, patient(8))).collect();
    fixture.kv.push(&pushes).await.unwrap();

    let first: Vec<MessageId> = (1..=8).map(id).collect();
    let claims = claim(&fixture).await;
    assert_eq!(ids_in(&claims), [(session(1), first)]);
    assert!(windows(&fixture).await.is_empty(), "a claim is had once");
    fixture.kv.commit(&claims.windows).await.unwrap();
    assert!(windows(&fixture).await.is_empty(), "four messages wait for more");

    let pushes: Vec<_> = (13..=16).map(|n| push(1, n, patient(8))).collect();
    fixture.kv.push(&pushes).await.unwrap();
    let second: Vec<MessageId> = (9..=16).map(id).collect();
    assert_eq!(windows(&fixture).await, [(session(1), second)]);
}

#[tokio::test]
async fn a_message_between_claim_and_commit_goes_into_the_next_window() {
    let fixture = Fixture::new().await;
    fixture.kv.push(&[push(1, 1, patient(2)), push(1, 2, patient(2))]).await.unwrap();
    let claims = claim(&fixture).await;
    // Enough for a full window, while the one before is being flushed.
    fixture.kv.push(&[push(1, 3, patient(2)), push(1, 4, patient(2))]).await.unwrap();
    assert!(windows(&fixture).await.is_empty(), "not before the first one is committed");
    fixture.kv.commit(&claims.windows).await.unwrap();
    assert_eq!(windows(&fixture).await, [(session(1), vec![id(3), id(4)])]);
}

#[tokio::test]
async fn an_expired_claim_is_claimed_again_as_it_was() {
    let fixture = Fixture::new().await;
    fixture.kv.push(&[push(1, 1, patient(1))]).await.unwrap();
    let brief = Duration::from_millis(1);
    let first = fixture.kv.claim(10, brief).await.unwrap();
    fixture.kv.push(&[push(1, 2, patient(1))]).await.unwrap();
    let again = recado_testkit::wait_for("the lease to run out", LEASE, async || {
        let claims = claim(&fixture).await;
        (!claims.windows.is_empty()).then_some(claims)
    })
    .await
    .unwrap();
    assert_eq!(ids_in(&again), ids_in(&first));
    fixture.kv.commit(&again.windows).await.unwrap();
    let next = claim(&fixture).await;
    assert_eq!(next.windows[0].message_ids, [id(2)]);
    // Who comes back late does not end somebody else's claim.
    fixture.kv.commit(&first.windows).await.unwrap();
    fixture.kv.push(&[push(1, 3, patient(1))]).await.unwrap();
    assert!(windows(&fixture).await.is_empty());
}

#[tokio::test]
async fn a_repeated_message_neither_extends_nor_fills_a_window() {
    let fixture = Fixture::new().await;
    let policy = BufferPolicy { window_ms: 60_000, max_messages: 3, max_wait_ms: 600_000 };
    fixture.kv.push(&[push(1, 1, policy)]).await.unwrap();
    let due = claim(&fixture).await.next_due_in.unwrap();
    for _ in 0..5 {
        fixture.kv.push(&[push(1, 1, policy)]).await.unwrap();
    }
    let claims = claim(&fixture).await;
    assert!(claims.windows.is_empty());
    assert!(claims.next_due_in.unwrap() <= due, "the window was extended");
    // Nor does a repeated message of a claim come back behind it.
    fixture.kv.push(&[push(1, 2, policy), push(1, 3, policy)]).await.unwrap();
    let claims = claim(&fixture).await;
    fixture.kv.push(&[push(1, 2, policy)]).await.unwrap();
    fixture.kv.commit(&claims.windows).await.unwrap();
    assert_eq!(claim(&fixture).await.next_due_in, None);
}

#[tokio::test]
async fn the_script_decides_as_the_pure_rule_does() {
    let fixture = Fixture::new().await;
    let mut random = Random(7);
    for n in 0..300 {
        let policy = BufferPolicy {
            window_ms: 100 + random.below(59_900),
            max_messages: 1 + random.below(6),
            max_wait_ms: 100 + random.below(599_900),
        };
        let n_messages = 1 + random.below(6);
        let pushes: Vec<_> =
            (0..n_messages).map(|m| push(n, n * 100 + u128::from(m), policy)).collect();
        fixture.kv.push(&pushes).await.unwrap();
        let claims = claim(&fixture).await;

        // All messages came within one call, so the window is as old as the call is long.
        let window = Window { first_at_ms: 0, last_at_ms: 0, n_messages };
        match window.verdict(0, &policy) {
            Verdict::Flush => {
                let taken = n_messages.min(policy.max_messages);
                assert_eq!(claims.windows.len(), 1, "{policy:?} {n_messages}");
                assert_eq!(claims.windows[0].message_ids.len(), usize::try_from(taken).unwrap());
            }
            Verdict::HoldUntil(deadline) => {
                assert!(claims.windows.is_empty(), "{policy:?} {n_messages}");
                let due = i64::try_from(claims.next_due_in.unwrap().as_millis()).unwrap();
                assert!((deadline - 1_000..=deadline).contains(&due), "{policy:?}: {due}");
            }
        }
        fixture.redis.command("FLUSHALL").await.unwrap();
    }
}

#[tokio::test]
async fn a_wipe_is_noticed_until_the_windows_are_back() {
    let fixture = Fixture::new().await;
    assert!(!claim(&fixture).await.intact, "nobody has looked after a new Redis");
    fixture.kv.mark_intact().await.unwrap();
    assert!(claim(&fixture).await.intact);
    fixture.redis.command("FLUSHALL").await.unwrap();
    assert!(!fixture.kv.push(&[push(1, 1, patient(5))]).await.unwrap());
    assert!(!claim(&fixture).await.intact);
}
