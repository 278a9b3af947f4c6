//! Admission, claims and results.

use std::sync::Arc;
use std::time::Duration;

use recado_store::executions::{
    self, Admitted, Claimed, Conclusion, Finish, Finished, History, LlmCall, Outcome, Purpose,
    Totals,
};
use recado_store::{Failure, deliveries, lanes};
use recado_types::LlmCallId;
use uuid::Uuid;

use crate::fixture::{Fixture, PLENTY, TENANT, TRIGGER, message, now, refs, request, session};

const LEASE: Duration = Duration::from_secs(30);
const TENANT_SLOTS: usize = 1_000;
const HISTORY: History = History { turns: 10, bytes: 1_000 };

async fn claim(fixture: &Fixture, limit: usize) -> Vec<Claimed> {
    executions::claim(&fixture.store, limit, LEASE, TENANT_SLOTS, HISTORY).await.unwrap()
}

/// So many messages were attached to so many new executions, and nobody is to be told anything.
fn made(n_messages: u64, n_executions: u64) -> Admitted {
    Admitted { n_messages, n_executions, ..Admitted::default() }
}

/// It is ended, and nobody waited for it.
fn ended(more: bool) -> Finished {
    Finished::Done { more, reply_to: Vec::new() }
}

pub(crate) fn success(claimed: &Claimed, response: &str) -> Finish {
    let call = LlmCall {
        id: LlmCallId::derived(claimed.execution_id, 1),
        number: 1,
        purpose: Purpose::Turn,
        iteration: 1,
        window_sequence: 1,
        provider: "openai".into(),
        model: "gpt".into(),
        response: serde_json::json!({"text": response}),
        input_tokens: Some(10),
        output_tokens: Some(5),
        cached_input_tokens: None,
        cost_usd: Some(0.5),
        response_time_ms: 7,
        finish_reason: Some("stop".into()),
        created_at: now(),
    };
    let outcome = Outcome::Success { response: response.into(), deliver: true };
    Finish {
        llm_calls: vec![call],
        totals: Totals { tokens: Some(15), cost_usd: Some(0.5) },
        ..Finish::new(outcome, &claimed.input, now())
    }
}

#[tokio::test]
async fn a_message_is_in_one_execution_however_often_it_is_requested() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (a, b, c) = (message(1, 1), message(1, 2), message(1, 3));
    let first = request(&[a.clone(), b.clone()]);
    let admitted = executions::admit(store, &[&first], now()).await.unwrap();
    assert_eq!(admitted, made(2, 1));

    // The same again, overlapping with a later one, in one batch.
    let overlapping = request(&[a, b, c]);
    let admitted = executions::admit(store, &[&first, &overlapping], now()).await.unwrap();
    assert_eq!(admitted, made(1, 1));
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
    assert_eq!(done, ended(true));
    let next = claim(&fixture, 10).await.remove(0);
    assert_eq!(next.input, "s1-m2");
    let history: Vec<(&str, &str)> = next
        .history
        .iter()
        .map(|turn| (turn.query.as_str(), turn.response.as_deref().unwrap()))
        .collect();
    assert_eq!(history, [("s1-m1", "one")]);
}

#[tokio::test]
async fn results_that_are_written_together_are_each_their_own() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let requests: Vec<_> = (1..=4).map(|session| request(&[message(session, 1)])).collect();
    let newer = request(&[message(3, 2)]);
    let batch: Vec<_> = requests.iter().chain([&newer]).collect();
    executions::admit(store, &batch, now()).await.unwrap();
    let mut claimed = claim(&fixture, 10).await;
    claimed.sort_by(|a, b| a.input.cmp(&b.input));
    let mut batch: Vec<Conclusion> = claimed
        .iter()
        .map(|claimed| Conclusion::of(claimed, Arc::new(success(claimed, &claimed.input))))
        .collect();
    // The second lost its lease; the third gives way to what came after it.
    batch[1].lease.token = Uuid::nil();
    batch[2].finish = Arc::new(Finish { gives_way: true, ..Finish::clone(&batch[2].finish) });
    let finished = executions::finish_all(store, &batch).await.unwrap();
    assert_eq!(finished, [ended(false), Finished::Not, Finished::Not, ended(false)]);
    let written = "SELECT count(*) FROM executions
                    WHERE status = 'success' AND agent_response IN ('s1-m1', 's4-m1')";
    assert_eq!(fixture.count(written).await, 2);
    assert_eq!(fixture.count("SELECT count(*) FROM deliveries").await, 2);
    assert_eq!(fixture.count("SELECT count(*) FROM llm_calls").await, 2);

    // The answer to that was lost: what was written then is known, and nothing else passes for it.
    let again = executions::finish_all(store, &batch).await.unwrap();
    assert_eq!(again, [Finished::Not, Finished::Not, Finished::Not, Finished::Not]);
    let known = executions::finished_before(store, &batch, again.clone()).await.unwrap();
    assert_eq!(known, finished);
    for conclusion in &mut batch {
        let later = conclusion.finish.finished_at + Duration::from_millis(1);
        conclusion.finish =
            Arc::new(Finish { finished_at: later, ..Finish::clone(&conclusion.finish) });
    }
    assert_eq!(executions::finished_before(store, &batch, again.clone()).await.unwrap(), again);
}

#[tokio::test]
async fn one_result_that_cannot_be_stored_has_none_of_its_batch_stored() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let requests: Vec<_> = (1..=2).map(|session| request(&[message(session, 1)])).collect();
    executions::admit(store, &requests.iter().collect::<Vec<_>>(), now()).await.unwrap();
    let claimed = claim(&fixture, 10).await;
    let conclude = |claimed: &Claimed, response: &str| {
        Conclusion::of(claimed, Arc::new(success(claimed, response)))
    };
    let batch = [conclude(&claimed[0], "kept"), conclude(&claimed[1], "cut\0short")];
    let error = executions::finish_all(store, &batch).await.unwrap_err();
    assert_eq!((error.failure(), error.is_timeout()), (Failure::Rejected, false));
    let unfinished = "SELECT count(*) FROM executions WHERE finished_at IS NULL";
    assert_eq!(fixture.count(unfinished).await, 2);
    // Alone, it costs only itself.
    let finished = executions::finish_all(store, &batch[..1]).await.unwrap();
    assert_eq!(finished, [ended(false)]);
}

#[tokio::test]
async fn who_lost_the_lease_writes_nothing() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    executions::admit(store, &[&request(&[message(1, 1)])], now()).await.unwrap();
    let brief = Duration::from_millis(1);
    let late = executions::claim(store, 1, brief, TENANT_SLOTS, HISTORY).await.unwrap().remove(0);
    let successor = recado_testkit::wait_for("the lease to run out", LEASE, async || {
        claim(&fixture, 1).await.pop()
    })
    .await
    .unwrap();
    assert_eq!(successor.attempt, 2);

    let finish = success(&late, "late");
    assert_eq!(executions::finish(store, &late, &finish).await.unwrap(), Finished::Not);
    assert_eq!(fixture.count("SELECT count(*) FROM llm_calls").await, 0);
    let finish = success(&successor, "in time");
    let done = executions::finish(store, &successor, &finish).await.unwrap();
    assert_eq!(done, ended(false));
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
        executions::claim(&fixture.store, 7, LEASE, TENANT_SLOTS, HISTORY).await.unwrap()
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
    recado_store::messages::record(store, &refs(&window)).await.unwrap();
    recado_store::messages::record(store, &[&message(2, 1)]).await.unwrap();
    // The buffer was switched off: this one came straight from ingress.
    let mut after = message(1, 3);
    after.accepted_at += Duration::from_secs(1);
    let direct = request(&[after]);
    let admitted = executions::admit(store, &[&direct], now()).await.unwrap();
    assert_eq!(admitted, made(3, 2));
    let first = claim(&fixture, 10).await.remove(0);
    assert_eq!(first.n_messages, 2);
    // The flush that comes late finds nothing to do, and the part of a window that comes early
    // takes nothing with it.
    let late = request(&window);
    assert_eq!(executions::admit(store, &[&late], now()).await.unwrap(), Admitted::default());
    let three: Vec<_> = (2..=4).map(|n| message(2, n)).collect();
    recado_store::messages::record(store, &refs(&three)).await.unwrap();
    let full = request(&[message(2, 1), message(2, 2)]);
    let admitted = executions::admit(store, &[&full], now()).await.unwrap();
    assert_eq!(admitted, made(2, 1));
}

#[tokio::test]
async fn a_poisonous_message_is_refused_alone() {
    let fixture = Fixture::new().await;
    let mut foreign = message(1, 1);
    foreign.trigger_id = recado_types::TriggerId(Uuid::from_u128(999));
    let mut of_another_tenant = message(1, 2);
    of_another_tenant.tenant_id = recado_types::TenantId(Uuid::from_u128(999));
    let mut nul = message(2, 1);
    nul.text = "a\0b".into();
    for poison in [foreign, of_another_tenant, nul] {
        let request = request(&[poison]);
        let error = executions::admit(&fixture.store, &[&request], now()).await.unwrap_err();
        assert_eq!(error.failure(), Failure::Rejected);
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
    assert_eq!(executions::finish(store, &claimed, &finish).await.unwrap(), ended(false));
    let delivery = deliveries::claim(store, 10, LEASE, &PLENTY).await.unwrap().remove(0);
    assert_eq!(delivery.response, "Olá");
    assert_eq!(delivery.trigger_id, TRIGGER);
    assert_eq!(delivery.context["n"], "1");
    assert_eq!(delivery.lease.session_id, session(1));
    assert_eq!((delivery.chunk_count, delivery.chunks.len()), (None, 0));
    let lost = lanes::renew(store, lanes::LaneKind::Delivery, &[delivery.lease], LEASE).await;
    assert!(lost.unwrap().is_empty());
}

#[tokio::test]
async fn the_agent_is_the_triggers_at_admission() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let window = [message(1, 1), message(1, 2)];
    recado_store::messages::record(store, &refs(&window)).await.unwrap();
    let other = "INSERT INTO agents SELECT gen_random_uuid(), tenant_id, project_id, 'Other', NULL, \
                 labels, version, spec, providers, tool_ids, created_at, updated_at, \
                 NULL FROM agents; \
                 INSERT INTO agent_versions SELECT tenant_id, id, version, name, spec, created_at \
                 FROM agents WHERE name = 'Other'; \
                 UPDATE triggers SET agent_id = (SELECT id FROM agents WHERE name = 'Other')";
    recado_testkit::sql::execute(fixture.database.url(), other).await.unwrap();
    executions::admit(store, &[&request(&window)], now()).await.unwrap();
    let claimed = claim(&fixture, 1).await.remove(0);
    assert_eq!((claimed.agent.name.as_str(), claimed.tenant_id), ("Other", TENANT));
}

#[tokio::test]
async fn the_history_is_bounded_in_bytes_newest_first() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    for n in 1..=5 {
        executions::admit(store, &[&request(&[message(1, n)])], now()).await.unwrap();
        let claimed = claim(&fixture, 1).await.remove(0);
        let finish = success(&claimed, &"x".repeat(300));
        let done = executions::finish(store, &claimed, &finish).await.unwrap();
        assert_eq!(done, ended(false));
    }
    executions::admit(store, &[&request(&[message(1, 6)])], now()).await.unwrap();
    let history = claim(&fixture, 1).await.remove(0).history;
    let queries: Vec<&str> = history.iter().map(|turn| turn.query.as_str()).collect();
    assert_eq!(queries, ["s1-m3", "s1-m4", "s1-m5"]);
}

#[tokio::test]
async fn what_is_given_back_does_not_count_as_an_attempt() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    executions::admit(store, &[&request(&[message(1, 1)])], now()).await.unwrap();
    for _ in 0..7 {
        let claimed = claim(&fixture, 1).await.remove(0);
        assert_eq!(claimed.attempt, 1);
        executions::give_back(store, &claimed, Duration::ZERO, true).await.unwrap();
    }
}

#[tokio::test]
async fn every_lane_of_a_claim_has_a_lease_of_its_own() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let requests: Vec<_> = (0..40).map(|s| request(&[message(s, 1)])).collect();
    let batch: Vec<_> = requests.iter().collect();
    executions::admit(store, &batch, now()).await.unwrap();
    let claimed = claim(&fixture, 100).await;
    assert_eq!(claimed.len(), 40);
    let leases: Vec<_> = claimed.iter().map(|claimed| claimed.lease).collect();
    let tokens: std::collections::HashSet<Uuid> = leases.iter().map(|lease| lease.token).collect();
    assert_eq!(tokens.len(), 40);
    let kind = lanes::LaneKind::Execution;
    assert!(lanes::renew(store, kind, &leases, LEASE).await.unwrap().is_empty());
    lanes::release(store, kind, &leases[..1], LEASE).await.unwrap();
    assert_eq!(lanes::renew(store, kind, &leases, LEASE).await.unwrap(), leases[..1]);
}

#[tokio::test]
async fn admission_does_not_slow_down_with_the_backlog() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    // Windows with far more open messages than are asked for, as after an outage.
    for s in 0..20 {
        let open: Vec<_> = (0..100).map(|n| message(s, n)).collect();
        recado_store::messages::record(store, &refs(&open)).await.unwrap();
    }
    // More often than it takes until the statement gets a plan for all parameters.
    for round in 0..10 {
        let requests: Vec<_> = (0..20)
            .map(|s| request(&(0..5).map(|n| message(s, round * 5 + n)).collect::<Vec<_>>()))
            .collect();
        let batch: Vec<_> = requests.iter().collect();
        let admitted = executions::admit(store, &batch, now()).await.unwrap();
        assert_eq!(admitted, made(100, 20));
    }
}

#[tokio::test]
async fn an_execution_that_cannot_be_read_keeps_nobody_waiting() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let requests: Vec<_> = (1..=3).map(|s| request(&[message(s, 1)])).collect();
    let batch: Vec<_> = requests.iter().collect();
    executions::admit(store, &batch, now()).await.unwrap();
    // No such time can be subtracted.
    let poison = "UPDATE executions SET started_at = '-infinity' \
                  WHERE session_id = (SELECT min(session_id::text)::uuid FROM executions)";
    recado_testkit::sql::execute(fixture.database.url(), poison).await.unwrap();
    let mut inputs: Vec<String> = Vec::new();
    inputs.extend(claim(&fixture, 10).await.into_iter().map(|claimed| claimed.input));
    inputs.sort();
    assert_eq!(inputs, ["s2-m1", "s3-m1"]);
    assert!(claim(&fixture, 10).await.is_empty(), "the third one rests");
    let resting = "SELECT count(*) FROM lanes WHERE lease_token IS NULL AND next_run_at > now()";
    assert_eq!(fixture.count(resting).await, 1);
}
