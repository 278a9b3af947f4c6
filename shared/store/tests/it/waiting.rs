//! Who waits for an execution, and what they find when it has ended.

use std::time::Duration;

use recado_messages::ExecutionRequested;
use recado_store::executions::{
    self, Admitted, Claimed, EndedExecution, Finish, Finished, History, Outcome, Waiting,
};
use recado_store::sessions;
use recado_types::{ExecutionId, SessionId, TenantId};
use uuid::Uuid;

use crate::fixture::{AGENT, Fixture, TENANT, message, now, request, session, sync_request};

const LEASE: Duration = Duration::from_secs(30);
const HISTORY: History = History { turns: 0, bytes: 0 };

async fn admit(fixture: &Fixture, requests: &[ExecutionRequested]) -> Admitted {
    let requests: Vec<_> = requests.iter().collect();
    executions::admit(&fixture.store, &requests, now()).await.unwrap()
}

async fn claim(fixture: &Fixture) -> Claimed {
    executions::claim(&fixture.store, 1, LEASE, 1_000, HISTORY).await.unwrap().remove(0)
}

/// Ends an execution, and answers who is to be told.
async fn finish(fixture: &Fixture, claimed: &Claimed, outcome: Outcome) -> Vec<String> {
    let finish = Finish::new(outcome, &claimed.input, now());
    match executions::finish(&fixture.store, claimed, &finish).await.unwrap() {
        Finished::Done { reply_to, .. } => reply_to,
        Finished::Not => panic!("the lease was lost"),
    }
}

fn success() -> Outcome {
    Outcome::Success { response: "Olá".into(), deliver: false }
}

/// Somebody who waits at `queue` for the execution of message `n` of session `s`.
fn waiting(s: u128, n: u128, queue: &str) -> Waiting {
    Waiting {
        reply_to: queue.into(),
        session_id: session(s),
        execution_id: ExecutionId::of_first(message(s, n).id),
    }
}

#[tokio::test]
async fn who_asked_for_an_execution_is_told_of_its_end() {
    let fixture = Fixture::new().await;
    let batch = [sync_request(1, 1, "a"), request(&[message(2, 1)]), sync_request(3, 1, "b")];
    let admitted = admit(&fixture, &batch).await;
    assert_eq!(admitted, Admitted { n_messages: 3, n_executions: 3, ..Admitted::default() });
    let mut told = Vec::new();
    for _ in &batch {
        let claimed = claim(&fixture).await;
        told.push((claimed.session_id, finish(&fixture, &claimed, success()).await));
    }
    told.sort();
    let expected = [(1, vec!["a"]), (2, vec![]), (3, vec!["b"])]
        .map(|(s, queues)| (session(s), queues.into_iter().map(str::to_owned).collect::<Vec<_>>()));
    assert_eq!(told, expected);
}

#[tokio::test]
async fn who_asks_again_waits_too_and_nobody_twice() {
    let fixture = Fixture::new().await;
    admit(&fixture, &[sync_request(1, 1, "a")]).await;
    let claimed = claim(&fixture).await;
    let again = [sync_request(1, 1, "b"), sync_request(1, 1, "a"), sync_request(1, 1, "b")];
    for _ in 0..2 {
        assert_eq!(admit(&fixture, &again).await, Admitted::default());
    }
    let mut told = finish(&fixture, &claimed, Outcome::Timeout).await;
    told.sort();
    assert_eq!(told, ["a", "b"]);
}

#[tokio::test]
async fn who_asks_twice_in_one_batch_waits_in_both_places() {
    let fixture = Fixture::new().await;
    let batch = [request(&[message(1, 1)]), sync_request(1, 1, "a"), sync_request(1, 1, "b")];
    let admitted = admit(&fixture, &batch).await;
    assert_eq!((admitted.n_executions, admitted.finished), (1, Vec::new()));
    let claimed = claim(&fixture).await;
    let mut told = finish(&fixture, &claimed, success()).await;
    told.sort();
    assert_eq!(told, ["a", "b"]);
}

#[tokio::test]
async fn ten_wait_at_most_and_the_newest_stay() {
    let fixture = Fixture::new().await;
    for n in 0..15 {
        admit(&fixture, &[sync_request(1, 1, &format!("{n:02}"))]).await;
    }
    let claimed = claim(&fixture).await;
    let mut told = finish(&fixture, &claimed, success()).await;
    told.sort();
    let newest: Vec<String> = (5..15).map(|n| format!("{n:02}")).collect();
    assert_eq!(told, newest);
}

#[tokio::test]
async fn who_asks_for_what_has_ended_is_told_at_once() {
    let fixture = Fixture::new().await;
    admit(&fixture, &[sync_request(1, 1, "a")]).await;
    let claimed = claim(&fixture).await;
    finish(&fixture, &claimed, success()).await;
    let batch = [sync_request(1, 1, "b"), request(&[message(1, 1)]), sync_request(2, 1, "c")];
    let mut admitted = admit(&fixture, &batch).await;
    assert_eq!(admitted.n_executions, 1);
    assert_eq!(admitted.finished, [waiting(1, 1, "b")]);
    // After a crash the batch comes again, and one more is new.
    let unfinished = sync_request(2, 1, "d");
    admitted = admit(&fixture, &[&batch[..], &[unfinished]].concat()).await;
    assert_eq!(admitted.finished, [waiting(1, 1, "b")]);
    let claimed = claim(&fixture).await;
    let mut told = finish(&fixture, &claimed, success()).await;
    told.sort();
    assert_eq!(told, ["c", "d"]);
}

#[tokio::test]
async fn asking_while_it_ends_is_answered_in_one_way_or_the_other() {
    let fixture = Fixture::new().await;
    for n in 1..=40 {
        admit(&fixture, &[sync_request(1, n, "first")]).await;
        let claimed = claim(&fixture).await;
        let again = [sync_request(1, n, "second")];
        let (admitted, told) =
            tokio::join!(admit(&fixture, &again), finish(&fixture, &claimed, success()));
        let at_once = admitted.finished == [waiting(1, n, "second")];
        assert_ne!(at_once, told.contains(&"second".to_owned()), "{admitted:?} {told:?}");
        assert!(told.contains(&"first".to_owned()));
    }
}

#[tokio::test]
async fn the_outcome_is_there_when_it_has_ended_and_only_for_its_owner() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    admit(&fixture, &[sync_request(1, 1, "a"), sync_request(1, 2, "a")]).await;
    let claimed = claim(&fixture).await;
    let outcome =
        async |tenant| executions::outcome(store, tenant, claimed.execution_id).await.unwrap();
    assert_eq!(outcome(TENANT).await, None, "it runs");
    finish(&fixture, &claimed, success()).await;
    let ended = outcome(TENANT).await.unwrap();
    let expected = EndedExecution {
        agent_id: AGENT,
        status: "success".into(),
        agent_response: Some("Olá".into()),
        error_code: None,
        error_message: None,
        tokens_used: None,
        created_at: now(),
        finished_at: ended.finished_at,
    };
    assert_eq!(ended, expected);
    assert_eq!(outcome(TenantId(Uuid::from_u128(99))).await, None);

    let next = claim(&fixture).await;
    let failed = Outcome::Failed { code: "model_failed", message: "it said no".into() };
    finish(&fixture, &next, failed).await;
    let ended = executions::outcome(store, TENANT, next.execution_id).await.unwrap().unwrap();
    let reason = (ended.status.as_str(), ended.error_code.as_deref());
    assert_eq!(reason, ("failed", Some("model_failed")));
    assert_eq!(ended.error_message.as_deref(), Some("it said no"));
}

#[tokio::test]
async fn a_session_exists_from_its_first_admission_for_its_owner() {
    let fixture = Fixture::new().await;
    let exists = async |tenant, session: SessionId| {
        sessions::exists(&fixture.store, tenant, session).await.unwrap()
    };
    assert!(!exists(TENANT, session(1)).await);
    admit(&fixture, &[request(&[message(1, 1)])]).await;
    assert!(exists(TENANT, session(1)).await);
    assert!(!exists(TENANT, session(2)).await);
    assert!(!exists(TenantId(Uuid::from_u128(99)), session(1)).await);
}
