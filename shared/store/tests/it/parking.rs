//! Giving a lane back while an execution waits, and everything that may end the wait meanwhile.

use recado_store::control::{self, Decision, Ruling, SessionChange, Verdict};
use recado_store::executions::SessionStatus;
use recado_store::lanes::{self, Held, LaneKind};
use recado_types::ToolCallId;

use crate::control::{LEASE, ask, claim, claim_soon, delegate, expire_leases, run};
use crate::fixture::{Fixture, TENANT, now};

const APPROVE: Decision<'_> = Decision { verdict: Verdict::Approve, memo: None, by: "ana" };

async fn approve(
    fixture: &Fixture,
    execution: recado_types::ExecutionId,
    call: ToolCallId,
) -> Ruling {
    control::decide(&fixture.store, TENANT, execution, call, &APPROVE, now()).await.unwrap()
}

/// How many lanes are parked until then.
async fn parked_until(fixture: &Fixture, when: &str) -> i64 {
    let query = format!(
        "SELECT count(*) FROM lanes WHERE kind = 'execution' AND lease_token IS NULL
            AND next_run_at = {when}"
    );
    fixture.count(&query).await
}

#[tokio::test]
async fn who_waits_for_approvals_wakes_when_the_first_one_expires() {
    let fixture = Fixture::new().await;
    let claimed = run(&fixture, 1).await;
    ask(&fixture, &claimed, 0, "waiting_for_approval", "'2100-01-02'").await;
    ask(&fixture, &claimed, 1, "waiting_for_approval", "'2100-01-01'").await;
    ask(&fixture, &claimed, 2, "denied", "'2000-01-01'").await;
    ask(&fixture, &claimed, 3, "success", "NULL").await;
    let held =
        control::park(&fixture.store, &claimed.lease, claimed.execution_id, true).await.unwrap();
    assert_eq!(held, Held::Yes);
    assert_eq!(parked_until(&fixture, "'2100-01-01'").await, 1);
    let waiting = "SELECT count(*) FROM executions WHERE status = 'waiting' AND attempt_count = 0 \
                   AND paused_at IS NOT NULL";
    assert_eq!(fixture.count(waiting).await, 1);
    assert!(claim(&fixture).await.is_none());
    // The slot is free for others.
    assert_eq!(fixture.count("SELECT count(*) FROM lanes WHERE lease_token IS NOT NULL").await, 0);
}

#[tokio::test]
async fn who_waits_for_a_sub_agent_waits_for_ever_and_on_its_own_time() {
    let fixture = Fixture::new().await;
    let claimed = run(&fixture, 1).await;
    ask(&fixture, &claimed, 0, "delegated", "NULL").await;
    let held =
        control::park(&fixture.store, &claimed.lease, claimed.execution_id, true).await.unwrap();
    assert_eq!(held, Held::Yes);
    assert_eq!(parked_until(&fixture, "'infinity'").await, 1);
    let waiting = "SELECT count(*) FROM executions WHERE status = 'waiting' AND paused_at IS NULL";
    assert_eq!(fixture.count(waiting).await, 1);
}

#[tokio::test]
async fn waiting_for_both_stops_the_clock_and_ends_with_the_approval() {
    let fixture = Fixture::new().await;
    let claimed = run(&fixture, 1).await;
    ask(&fixture, &claimed, 0, "delegated", "NULL").await;
    ask(&fixture, &claimed, 1, "waiting_for_approval", "'2100-01-01'").await;
    let held =
        control::park(&fixture.store, &claimed.lease, claimed.execution_id, true).await.unwrap();
    assert_eq!(held, Held::Yes);
    assert_eq!(parked_until(&fixture, "'2100-01-01'").await, 1);
    let paused = "SELECT count(*) FROM executions WHERE paused_at IS NOT NULL";
    assert_eq!(fixture.count(paused).await, 1);
}

#[tokio::test]
async fn an_approved_call_is_work_even_while_another_waits() {
    let fixture = Fixture::new().await;
    let claimed = run(&fixture, 1).await;
    let call = ask(&fixture, &claimed, 0, "waiting_for_approval", "'2100-01-01'").await;
    ask(&fixture, &claimed, 1, "waiting_for_approval", "'2100-01-01'").await;
    // Between the runner's last look and its parking.
    assert_eq!(approve(&fixture, claimed.execution_id, call).await, Ruling::Decided);
    let held =
        control::park(&fixture.store, &claimed.lease, claimed.execution_id, true).await.unwrap();
    assert_eq!(held, Held::Yes);
    assert_eq!(claim(&fixture).await.unwrap().execution_id, claimed.execution_id);
}

#[tokio::test]
async fn who_has_nothing_left_to_wait_for_is_due_at_once() {
    let fixture = Fixture::new().await;
    let claimed = run(&fixture, 1).await;
    let call = ask(&fixture, &claimed, 0, "waiting_for_approval", "'2100-01-01'").await;
    assert_eq!(approve(&fixture, claimed.execution_id, call).await, Ruling::Decided);
    // The lane is leased: whoever decides leaves it alone.
    let leased = "SELECT count(*) FROM lanes WHERE lease_token IS NOT NULL AND next_run_at > now()";
    assert_eq!(fixture.count(leased).await, 1);
    let held =
        control::park(&fixture.store, &claimed.lease, claimed.execution_id, true).await.unwrap();
    assert_eq!(held, Held::Yes);
    let again = claim(&fixture).await.unwrap();
    assert_eq!((again.execution_id, again.attempt), (claimed.execution_id, 1));
    assert_eq!(fixture.count("SELECT sum(paused_ms)::bigint FROM executions").await, 0);
}

#[tokio::test]
async fn a_decision_wakes_who_is_parked_and_the_time_does_not_count() {
    let fixture = Fixture::new().await;
    let claimed = run(&fixture, 1).await;
    let call = ask(&fixture, &claimed, 0, "waiting_for_approval", "'2100-01-01'").await;
    let held =
        control::park(&fixture.store, &claimed.lease, claimed.execution_id, true).await.unwrap();
    assert_eq!(held, Held::Yes);
    let an_hour_ago = "UPDATE executions SET started_at = now() - interval '61 minutes',
                              paused_at = now() - interval '60 minutes'";
    recado_testkit::sql::execute(fixture.database.url(), an_hour_ago).await.unwrap();
    assert_eq!(approve(&fixture, claimed.execution_id, call).await, Ruling::Decided);
    let again = claim(&fixture).await.unwrap();
    assert_eq!(again.attempt, 1, "waiting is no attempt");
    assert!((60..120).contains(&again.running_for.as_secs()), "{:?}", again.running_for);
}

#[tokio::test]
async fn an_attempt_of_which_not_all_was_told_is_known_by_that() {
    let fixture = Fixture::new().await;
    let claimed = run(&fixture, 1).await;
    ask(&fixture, &claimed, 0, "delegated", "NULL").await;
    let held = control::park(&fixture.store, &claimed.lease, claimed.execution_id, false).await;
    assert_eq!(held.unwrap(), Held::Yes);
    expire_leases(&fixture).await;
    let again = claim(&fixture).await.unwrap();
    assert_eq!((again.attempt, again.is_untold), (1, true), "a broker that is away ends nothing");
    let held = control::park(&fixture.store, &again.lease, again.execution_id, true).await;
    assert_eq!(held.unwrap(), Held::Yes);
    expire_leases(&fixture).await;
    assert!(!claim(&fixture).await.unwrap().is_untold);
}

#[tokio::test]
async fn a_suspended_session_waits_for_ever_and_its_clock_stands() {
    let fixture = Fixture::new().await;
    let claimed = run(&fixture, 1).await;
    let (store, session) = (&fixture.store, claimed.session_id);
    let change = control::suspend(store, TENANT, session, Some("holidays")).await.unwrap();
    assert_eq!(change, SessionChange::Changed);
    let held = control::park(store, &claimed.lease, claimed.execution_id, true).await.unwrap();
    assert_eq!(held, Held::Yes);
    assert_eq!(parked_until(&fixture, "'infinity'").await, 1);
    let paused = "SELECT count(*) FROM executions WHERE status = 'waiting' \
                  AND paused_at IS NOT NULL AND attempt_count = 0";
    assert_eq!(fixture.count(paused).await, 1);
    // What comes meanwhile waits with it.
    crate::control::admit(&fixture, 1, 2).await;
    assert!(claim(&fixture).await.is_none());
    assert_eq!(
        control::resume(store, TENANT, session, None).await.unwrap(),
        SessionChange::Changed
    );
    assert_eq!(claim(&fixture).await.unwrap().execution_id, claimed.execution_id);
}

#[tokio::test]
async fn what_is_parked_ends_when_its_session_is_handed_off_or_it_is_cancelled() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let claimed = run(&fixture, 1).await;
    ask(&fixture, &claimed, 0, "waiting_for_approval", "'2100-01-01'").await;
    assert_eq!(
        control::park(store, &claimed.lease, claimed.execution_id, true).await.unwrap(),
        Held::Yes
    );
    control::hand_off(store, TENANT, claimed.session_id, None).await.unwrap();
    let again = claim(&fixture).await.unwrap();
    // And if it came between the last look and parking:
    assert_eq!(
        control::park(store, &again.lease, again.execution_id, true).await.unwrap(),
        Held::Yes
    );
    assert_eq!(claim(&fixture).await.unwrap().execution_id, claimed.execution_id);

    let claimed = run(&fixture, 2).await;
    ask(&fixture, &claimed, 0, "delegated", "NULL").await;
    control::request_cancel(store, TENANT, claimed.execution_id, now()).await.unwrap();
    assert_eq!(
        control::park(store, &claimed.lease, claimed.execution_id, true).await.unwrap(),
        Held::Yes
    );
    assert!(claim(&fixture).await.unwrap().cancel_requested);
}

#[tokio::test]
async fn parking_while_somebody_decides_never_misses_it() {
    let fixture = Fixture::new().await;
    for n in 1..=40 {
        let claimed = run(&fixture, n).await;
        let call = ask(&fixture, &claimed, 0, "waiting_for_approval", "'2100-01-01'").await;
        let (held, ruling) = tokio::join!(
            control::park(&fixture.store, &claimed.lease, claimed.execution_id, true),
            approve(&fixture, claimed.execution_id, call),
        );
        assert_eq!((held.unwrap(), ruling), (Held::Yes, Ruling::Decided));
        let again = claim(&fixture).await.expect("the decision was missed");
        assert_eq!(again.execution_id, claimed.execution_id);
    }
}

#[tokio::test]
async fn parking_while_a_session_is_resumed_never_misses_it() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    for n in 1..=40 {
        let claimed = run(&fixture, n).await;
        control::suspend(store, TENANT, claimed.session_id, None).await.unwrap();
        let (held, change) = tokio::join!(
            control::park(store, &claimed.lease, claimed.execution_id, true),
            control::resume(store, TENANT, claimed.session_id, None),
        );
        assert_eq!((held.unwrap(), change.unwrap()), (Held::Yes, SessionChange::Changed));
        let again = claim(&fixture).await.expect("the resumption was missed");
        assert_eq!(again.execution_id, claimed.execution_id);
    }
}

#[tokio::test]
async fn parking_while_it_is_cancelled_never_misses_it() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    for n in 1..=40 {
        let claimed = run(&fixture, n).await;
        let child = delegate(&fixture, &claimed, 0).await;
        let child_lease = claim_soon(&fixture).await;
        assert_eq!(child_lease.execution_id, child);
        ask(&fixture, &child_lease, 0, "waiting_for_approval", "'2100-01-01'").await;
        let (parent, child, cancelled) = tokio::join!(
            control::park(store, &claimed.lease, claimed.execution_id, true),
            control::park(store, &child_lease.lease, child_lease.execution_id, true),
            control::request_cancel(store, TENANT, claimed.execution_id, now()),
        );
        assert_eq!((parent.unwrap(), child.unwrap()), (Held::Yes, Held::Yes));
        cancelled.unwrap();
        for _ in 0..2 {
            assert!(claim(&fixture).await.expect("it was missed").cancel_requested);
        }
    }
}

#[tokio::test]
async fn who_lost_the_lease_parks_nothing() {
    let fixture = Fixture::new().await;
    let late = run(&fixture, 1).await;
    ask(&fixture, &late, 0, "waiting_for_approval", "'2100-01-01'").await;
    expire_leases(&fixture).await;
    let successor = claim(&fixture).await.unwrap();
    let held = control::park(&fixture.store, &late.lease, late.execution_id, true).await.unwrap();
    assert_eq!(held, Held::No);
    let lost = lanes::renew(&fixture.store, LaneKind::Execution, &[successor.lease], LEASE).await;
    assert!(lost.unwrap().is_empty());
    let running = "SELECT count(*) FROM executions WHERE status = 'running' AND attempt_count = 2";
    assert_eq!(fixture.count(running).await, 1);
}

/// It may be called for in the moment before the runner sees that the session is suspended.
#[tokio::test]
async fn a_sub_agent_of_a_suspended_session_is_suspended_from_the_beginning() {
    let fixture = Fixture::new().await;
    let claimed = run(&fixture, 1).await;
    let session = claimed.session_id;
    control::suspend(&fixture.store, TENANT, session, None).await.unwrap();
    let child = delegate(&fixture, &claimed, 0).await;
    let begun = claim_soon(&fixture).await;
    assert_eq!((begun.execution_id, begun.session_status), (child, SessionStatus::Suspended));
    let held = control::park(&fixture.store, &begun.lease, child, true).await.unwrap();
    assert_eq!(held, Held::Yes);
    let held =
        control::park(&fixture.store, &claimed.lease, claimed.execution_id, true).await.unwrap();
    assert_eq!(held, Held::Yes);
    assert!(claim(&fixture).await.is_none());
    let resumed = control::resume(&fixture.store, TENANT, session, None).await.unwrap();
    assert_eq!(resumed, SessionChange::Changed);
    for _ in 0..2 {
        assert_eq!(claim_soon(&fixture).await.session_status, SessionStatus::Active);
    }
}
