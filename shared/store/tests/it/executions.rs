//! Admission, claims and results.

use std::time::Duration;

use recado_store::executions::{self, Admitted, Claimed, Finish, Finished, LlmCall, Outcome};
use recado_store::{deliveries, lanes};
use recado_types::LlmCallId;
use uuid::Uuid;

use crate::fixture::{Fixture, TRIGGER, message, now, request, session};

const LEASE: Duration = Duration::from_secs(30);

async fn claim(fixture: &Fixture, limit: usize) -> Vec<Claimed> {
    executions::claim(&fixture.store, limit, LEASE, Uuid::new_v4(), 10).await.unwrap()
}

fn success(claimed: &Claimed, response: &str) -> Finish {
    let call = LlmCall {
        id: LlmCallId::derived(claimed.execution_id, 1),
        iteration: 1,
        provider: "openai".into(),
        model: "gpt".into(),
        input_tokens: Some(10),
        output_tokens: Some(5),
        cached_input_tokens: None,
        cost_usd: Some(0.5),
        response_time_ms: 7,
        finish_reason: Some("stop".into()),
        created_at: now(),
    };
    Finish {
        outcome: Outcome::Success { response: response.into(), deliver: true },
        llm_calls: vec![call],
        finished_at: now(),
    }
}

#[tokio::test]
async fn a_message_is_in_one_execution_however_often_it_is_requested() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (a, b, c) = (message(1, 1), message(1, 2), message(1, 3));
    let first = request(&[a.clone(), b.clone()]);
    let admitted = executions::admit(store, &[&first], now()).await.unwrap();
    assert_eq!(admitted, Admitted { n_messages: 2, n_executions: 1 });

    // The same again, overlapping with a later one, in one batch.
    let overlapping = request(&[a, b, c]);
    let admitted = executions::admit(store, &[&first, &overlapping], now()).await.unwrap();
    assert_eq!(admitted, Admitted { n_messages: 1, n_executions: 1 });
    let admitted = executions::admit(store, &[&first, &overlapping], now()).await.unwrap();
    assert_eq!(admitted, Admitted::default());

    let first = claim(&fixture, 10).await.remove(0);
    assert_eq!((first.input.as_str(), first.n_messages), ("s1-m1+s1-m2", 2));
    assert_eq!(first.context["n"], "2", "the context is the last message's");
    assert_eq!(fixture.count("SELECT queued::bigint FROM lanes").await, 2);
}

#[tokio::test]
async fn a_session_runs_one_execution_at_a_time_in_order() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let requests: Vec<_> = (1..=3).map(|n| request(&[message(1, n)])).collect();
    let other = request(&[message(2, 1)]);
    let batch: Vec<_> = requests.iter().chain([&other]).collect();
    executions::admit(store, &batch, now()).await.unwrap();

    let mut claimed = claim(&fixture, 10).await;
    claimed.sort_by(|a, b| a.input.cmp(&b.input));
    let inputs: Vec<&str> = claimed.iter().map(|c| c.input.as_str()).collect();
    assert_eq!(inputs, ["s1-m1", "s2-m1"], "one of each session");
    assert!(claim(&fixture, 10).await.is_empty());

    let done = executions::finish(store, &claimed[0], &success(&claimed[0], "one")).await.unwrap();
    assert_eq!(done, Finished::Done { more: true });
    let next = claim(&fixture, 10).await.remove(0);
    assert_eq!(next.input, "s1-m2");
    let history: Vec<(&str, &str)> =
        next.history.iter().map(|turn| (turn.query.as_str(), turn.response.as_str())).collect();
    assert_eq!(history, [("s1-m1", "one")]);
}

#[tokio::test]
async fn who_lost_the_lease_writes_nothing() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    executions::admit(store, &[&request(&[message(1, 1)])], now()).await.unwrap();
    let token = Uuid::new_v4();
    let brief = Duration::from_millis(1);
    let late = executions::claim(store, 1, brief, token, 10).await.unwrap().remove(0);
    let successor = recado_testkit::wait_for("the lease to run out", LEASE, async || {
        claim(&fixture, 1).await.pop()
    })
    .await
    .unwrap();
    assert_eq!(successor.attempt, 2);

    let finish = success(&late, "late");
    assert_eq!(executions::finish(store, &late, &finish).await.unwrap(), Finished::Lost);
    assert_eq!(fixture.count("SELECT count(*) FROM llm_calls").await, 0);
    let finish = success(&successor, "in time");
    let done = executions::finish(store, &successor, &finish).await.unwrap();
    assert_eq!(done, Finished::Done { more: false });
    let query = "SELECT count(*) FROM executions WHERE agent_response = 'in time' \
                 AND tokens_used = 15 AND cost_usd = 0.5 AND status = 'success'";
    assert_eq!(fixture.count(query).await, 1);
    assert_eq!(fixture.count("SELECT count(*) FROM llm_calls").await, 1);
    assert_eq!(fixture.count("SELECT count(*) FROM lanes WHERE queued > 0").await, 1);
}

#[tokio::test]
async fn racing_claimers_never_get_the_same_session() {
    let fixture = Fixture::new().await;
    let requests: Vec<_> = (0..40).map(|s| request(&[message(s, 1), message(s, 2)])).collect();
    let batch: Vec<_> = requests.iter().collect();
    executions::admit(&fixture.store, &batch, now()).await.unwrap();
    let claims = (0..12).map(|_| async {
        executions::claim(&fixture.store, 7, LEASE, Uuid::new_v4(), 10).await.unwrap()
    });
    let claimed = futures_util::future::join_all(claims).await.concat();
    let mut sessions: Vec<_> = claimed.iter().map(|c| c.session_id).collect();
    sessions.sort();
    let n_claimed = sessions.len();
    sessions.dedup();
    assert_eq!(sessions.len(), n_claimed, "a session was claimed twice");
    let rest = claim(&fixture, 100).await.len();
    assert_eq!(n_claimed + rest, 40);
}

#[tokio::test]
async fn admitting_and_finishing_at_once_loses_no_wake_up() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    for n in 1..=60 {
        let request = request(&[message(1, n)]);
        let batch = [&request];
        let admit = executions::admit(store, &batch, now());
        let finish = async {
            if let Some(claimed) = claim(&fixture, 1).await.pop() {
                let finish = success(&claimed, "ok");
                let done = executions::finish(store, &claimed, &finish).await.unwrap();
                assert!(matches!(done, Finished::Done { .. }));
            }
        };
        let (admitted, ()) = tokio::join!(admit, finish);
        admitted.unwrap();
    }
    while let Some(claimed) = claim(&fixture, 1).await.pop() {
        let finish = success(&claimed, "ok");
        assert!(matches!(
            executions::finish(store, &claimed, &finish).await.unwrap(),
            Finished::Done { .. }
        ));
    }
    assert_eq!(fixture.count("SELECT count(*) FROM executions WHERE status = 'success'").await, 60);
    let left = "SELECT count(*) FROM lanes WHERE kind = 'execution' \
                AND (queued <> 0 OR next_run_at IS NOT NULL)";
    assert_eq!(fixture.count(left).await, 0);
}

#[tokio::test]
async fn an_open_window_is_not_overtaken() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let window = [message(1, 1), message(1, 2)];
    recado_store::messages::record(store, &window).await.unwrap();
    recado_store::messages::record(store, &[message(2, 1)]).await.unwrap();
    // The buffer was switched off: this one came straight from ingress.
    let direct = request(&[message(1, 3)]);
    let admitted = executions::admit(store, &[&direct], now()).await.unwrap();
    assert_eq!(admitted, Admitted { n_messages: 3, n_executions: 2 });
    let first = claim(&fixture, 10).await.remove(0);
    assert_eq!(first.n_messages, 2);
    // The flush that comes late finds nothing to do, and the part of a window that comes early
    // takes nothing with it.
    let late = request(&window);
    assert_eq!(executions::admit(store, &[&late], now()).await.unwrap(), Admitted::default());
    let three: Vec<_> = (2..=4).map(|n| message(2, n)).collect();
    recado_store::messages::record(store, &three).await.unwrap();
    let full = request(&[message(2, 1), message(2, 2)]);
    let admitted = executions::admit(store, &[&full], now()).await.unwrap();
    assert_eq!(admitted, Admitted { n_messages: 2, n_executions: 1 });
}

#[tokio::test]
async fn a_poisonous_message_is_refused_alone() {
    let fixture = Fixture::new().await;
    let mut foreign = message(1, 1);
    foreign.trigger_id = recado_types::TriggerId(Uuid::from_u128(999));
    let mut nul = message(2, 1);
    nul.text = "a\0b".into();
    for poison in [foreign, nul] {
        let request = request(&[poison]);
        let error = executions::admit(&fixture.store, &[&request], now()).await.unwrap_err();
        assert_eq!(error.failure(), recado_store::Failure::Rejected);
    }
    assert_eq!(fixture.count("SELECT count(*) FROM messages").await, 0);
    let request = request(&[message(3, 1)]);
    executions::admit(&fixture.store, &[&request], now()).await.unwrap();
    assert_eq!(claim(&fixture, 10).await.len(), 1);
}

#[tokio::test]
async fn a_success_queues_its_delivery() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    executions::admit(store, &[&request(&[message(1, 1)])], now()).await.unwrap();
    let claimed = claim(&fixture, 1).await.remove(0);
    let finish = success(&claimed, "Olá");
    assert!(matches!(
        executions::finish(store, &claimed, &finish).await.unwrap(),
        Finished::Done { more: false }
    ));
    let delivery = deliveries::claim(store, 10, LEASE, Uuid::new_v4()).await.unwrap().remove(0);
    assert_eq!(delivery.response, "Olá");
    assert_eq!(delivery.trigger_id, TRIGGER);
    assert_eq!(delivery.context["n"], "1");
    assert_eq!(delivery.lease.session_id, session(1));
    assert_eq!((delivery.chunk_count, delivery.chunks.len()), (None, 0));
    let lost = lanes::renew(store, lanes::LaneKind::Delivery, &[delivery.lease], LEASE).await;
    assert!(lost.unwrap().is_empty());
}
