//! Cancelling, deciding, suspending, and what a runner is told of it.

use std::time::Duration;

use recado_store::control::{
    self, Cancellation, Decision, Ruling, SessionChange, Stop, StopReason, Verdict, Watched,
};
use recado_store::executions::{self, Claimed, Delegation, History};
use recado_store::lanes::Held;
use recado_types::{ExecutionId, SessionId, TenantId, ToolCallId};
use uuid::Uuid;

use crate::fixture::{AGENT, Fixture, TENANT, message, now, request, session};

pub(crate) const LEASE: Duration = Duration::from_secs(30);
const HISTORY: History = History { turns: 1, bytes: 1_000 };
const STRANGER: TenantId = TenantId(Uuid::from_u128(99));

/// Message `n` of session `s` makes an execution.
pub(crate) async fn admit(fixture: &Fixture, s: u128, n: u128) -> ExecutionId {
    let message = message(s, n);
    let id = ExecutionId::of_first(message.id);
    executions::admit(&fixture.store, &[&request(&[message])], now()).await.unwrap();
    id
}

pub(crate) async fn claim(fixture: &Fixture) -> Option<Claimed> {
    executions::claim(&fixture.store, 1, LEASE, 1_000, HISTORY).await.unwrap().pop()
}

pub(crate) async fn claim_soon(fixture: &Fixture) -> Claimed {
    claim(fixture).await.expect("a lane is due")
}

/// The execution of a new session, running.
pub(crate) async fn run(fixture: &Fixture, s: u128) -> Claimed {
    let id = admit(fixture, s, 1).await;
    let claimed = claim_soon(fixture).await;
    assert_eq!(claimed.execution_id, id);
    claimed
}

pub(crate) async fn expire_leases(fixture: &Fixture) {
    execute(fixture, "UPDATE lanes SET next_run_at = now() - interval '1 second'").await;
}

async fn execute(fixture: &Fixture, statements: &str) {
    recado_testkit::sql::execute(fixture.database.url(), statements).await.unwrap();
}

/// The `index`-th tool call of an execution's first turn.
pub(crate) async fn ask(
    fixture: &Fixture,
    claimed: &Claimed,
    index: u32,
    status: &str,
    expires_at: &str,
) -> ToolCallId {
    let execution = claimed.execution_id;
    let call = recado_types::LlmCallId::derived(execution, 1);
    let id = ToolCallId::derived(call, index);
    let statement = format!(
        "INSERT INTO tool_calls (id, tenant_id, execution_id, iteration, call_index,
                                 provider_call_id, tool_name, input, status, approval_expires_at,
                                 created_at)
         VALUES ('{id}', '{TENANT}', '{execution}', 1, {index}, 'call', 'tool', '{{}}', '{status}',
                 {expires_at}, now())"
    );
    execute(fixture, &statement).await;
    id
}

/// Has a sub-agent answer a call.
pub(crate) async fn delegate(fixture: &Fixture, claimed: &Claimed, index: u32) -> ExecutionId {
    let call = ask(fixture, claimed, index, "requested", "NULL").await;
    let delegation = Delegation {
        tool_call_id: call,
        execution_id: call.sub_execution(),
        session_id: call.sub_session(),
        agent_id: AGENT,
        input: "Count.".into(),
        timeout_ms: 60_000,
        created_at: now(),
    };
    let held = executions::delegate(&fixture.store, claimed, &[delegation]).await.unwrap();
    assert_eq!(held, Held::Yes);
    call.sub_execution()
}

async fn cancel(fixture: &Fixture, execution: ExecutionId) -> Cancellation {
    control::request_cancel(&fixture.store, TENANT, execution, now()).await.unwrap()
}

fn requested(status: &str) -> Cancellation {
    Cancellation::Requested { status: status.into() }
}

/// How many executions were asked to end.
async fn n_cancelled(fixture: &Fixture) -> i64 {
    let query = "SELECT count(*) FROM executions WHERE cancel_requested_at IS NOT NULL";
    fixture.count(query).await
}

async fn decide(
    fixture: &Fixture,
    execution: ExecutionId,
    call: ToolCallId,
    verdict: Verdict,
    memo: Option<&str>,
) -> Ruling {
    let decision = Decision { verdict, memo, by: "ana" };
    control::decide(&fixture.store, TENANT, execution, call, &decision, now()).await.unwrap()
}

#[tokio::test]
async fn a_cancellation_reaches_what_is_queued_running_or_parked() {
    let fixture = Fixture::new().await;
    let queued = admit(&fixture, 1, 1).await;
    assert_eq!(cancel(&fixture, queued).await, requested("queued"));
    let claimed = claim_soon(&fixture).await;
    assert!(claimed.cancel_requested);
    assert_eq!(cancel(&fixture, queued).await, requested("running"), "twice is fine");
    let held = "SELECT count(*) FROM lanes WHERE lease_token IS NOT NULL AND next_run_at > now()";
    assert_eq!(fixture.count(held).await, 1, "who works there keeps the lane");

    let claimed = run(&fixture, 2).await;
    ask(&fixture, &claimed, 0, "waiting_for_approval", "'2100-01-01'").await;
    let held =
        control::park(&fixture.store, &claimed.lease, claimed.execution_id, true).await.unwrap();
    assert_eq!(held, Held::Yes);
    assert_eq!(cancel(&fixture, claimed.execution_id).await, requested("waiting"));
    let again = claim_soon(&fixture).await;
    assert_eq!((again.execution_id, again.cancel_requested), (claimed.execution_id, true));
}

#[tokio::test]
async fn a_cancellation_reaches_every_sub_agent_and_nobody_else() {
    let fixture = Fixture::new().await;
    let parent = run(&fixture, 1).await;
    delegate(&fixture, &parent, 0).await;
    let child = claim_soon(&fixture).await;
    delegate(&fixture, &child, 0).await;
    let grandchild = claim_soon(&fixture).await;
    ask(&fixture, &grandchild, 0, "waiting_for_approval", "'2100-01-01'").await;
    for run in [&parent, &child, &grandchild] {
        let held = control::park(&fixture.store, &run.lease, run.execution_id, true).await.unwrap();
        assert_eq!(held, Held::Yes);
    }
    let neighbour = run(&fixture, 2).await;
    let next = admit(&fixture, 1, 2).await;
    assert_eq!(cancel(&fixture, parent.execution_id).await, requested("waiting"));
    assert_eq!(n_cancelled(&fixture).await, 3);
    for _ in 0..3 {
        let woken = claim_soon(&fixture).await;
        assert!(woken.cancel_requested);
        assert!(![neighbour.execution_id, next].contains(&woken.execution_id));
    }
    assert!(claim(&fixture).await.is_none());
}

#[tokio::test]
async fn what_has_ended_is_not_cancelled_but_what_it_left_behind_is() {
    let fixture = Fixture::new().await;
    let parent = run(&fixture, 1).await;
    delegate(&fixture, &parent, 0).await;
    execute(
        &fixture,
        "UPDATE executions SET status = 'timeout', finished_at = now()
          WHERE parent_execution_id IS NULL",
    )
    .await;
    let ended = Cancellation::AlreadyEnded { status: "timeout".into() };
    assert_eq!(cancel(&fixture, parent.execution_id).await, ended);
    let marked = "SELECT count(*) FROM executions WHERE cancel_requested_at IS NOT NULL \
                  AND parent_execution_id IS NOT NULL";
    assert_eq!((n_cancelled(&fixture).await, fixture.count(marked).await), (1, 1));
}

#[tokio::test]
async fn nobody_else_cancels_or_decides_or_suspends() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let claimed = run(&fixture, 1).await;
    let (id, session) = (claimed.execution_id, claimed.session_id);
    let call = ask(&fixture, &claimed, 0, "waiting_for_approval", "'2100-01-01'").await;
    let cancelled = control::request_cancel(store, STRANGER, id, now()).await.unwrap();
    assert_eq!(cancelled, Cancellation::NotFound);
    let decision = Decision { verdict: Verdict::Approve, memo: None, by: "eve" };
    let ruling = control::decide(store, STRANGER, id, call, &decision, now()).await.unwrap();
    assert_eq!(ruling, Ruling::NoExecution);
    for change in [
        control::suspend(store, STRANGER, session, None).await.unwrap(),
        control::resume(store, STRANGER, session, None).await.unwrap(),
        control::hand_off(store, STRANGER, session, None).await.unwrap(),
    ] {
        assert_eq!(change, SessionChange::NotFound);
    }
    let untouched = "SELECT count(*) FROM executions, tool_calls, sessions \
                     WHERE cancel_requested_at IS NULL AND decided_at IS NULL \
                       AND tool_calls.status = 'waiting_for_approval' \
                       AND sessions.status = 'active'";
    assert_eq!(fixture.count(untouched).await, 1);
}

#[tokio::test]
async fn a_decision_is_made_once() {
    let fixture = Fixture::new().await;
    let claimed = run(&fixture, 1).await;
    let id = claimed.execution_id;
    for (index, (first, other)) in
        [(Verdict::Approve, Verdict::Deny), (Verdict::Deny, Verdict::Approve)].iter().enumerate()
    {
        let index = u32::try_from(index).unwrap();
        let call = ask(&fixture, &claimed, index, "waiting_for_approval", "'2100-01-01'").await;
        assert_eq!(decide(&fixture, id, call, *first, Some("why")).await, Ruling::Decided);
        let (status, memo) = (first.as_str().to_owned(), Some("why".to_owned()));
        let again =
            Ruling::AlreadyDecided { status: status.clone(), same: true, memo: memo.clone() };
        assert_eq!(decide(&fixture, id, call, *first, Some("else")).await, again);
        let conflict = Ruling::AlreadyDecided { status, same: false, memo };
        assert_eq!(decide(&fixture, id, call, *other, None).await, conflict);
    }
    let recorded = "SELECT count(*) FROM tool_calls \
                    WHERE decided_by = 'ana' AND memo = 'why' AND decided_at IS NOT NULL";
    assert_eq!(fixture.count(recorded).await, 2);
}

#[tokio::test]
async fn an_approved_call_stays_approved_once_it_is_made() {
    let fixture = Fixture::new().await;
    let claimed = run(&fixture, 1).await;
    let id = claimed.execution_id;
    let call = ask(&fixture, &claimed, 0, "waiting_for_approval", "'2100-01-01'").await;
    assert_eq!(decide(&fixture, id, call, Verdict::Approve, None).await, Ruling::Decided);
    execute(&fixture, "UPDATE tool_calls SET status = 'error'").await;
    let decided = |same| Ruling::AlreadyDecided { status: "error".into(), same, memo: None };
    assert_eq!(decide(&fixture, id, call, Verdict::Approve, None).await, decided(true));
    assert_eq!(decide(&fixture, id, call, Verdict::Deny, None).await, decided(false));
}

#[tokio::test]
async fn of_two_who_disagree_one_decides() {
    let fixture = Fixture::new().await;
    for n in 1..=20 {
        let claimed = run(&fixture, n).await;
        let call = ask(&fixture, &claimed, 0, "waiting_for_approval", "'2100-01-01'").await;
        let (yes, no) = tokio::join!(
            decide(&fixture, claimed.execution_id, call, Verdict::Approve, None),
            decide(&fixture, claimed.execution_id, call, Verdict::Deny, None),
        );
        let lost = |ruling: &Ruling| matches!(ruling, Ruling::AlreadyDecided { same: false, .. });
        let one_won =
            (yes == Ruling::Decided && lost(&no)) || (no == Ruling::Decided && lost(&yes));
        assert!(one_won, "{yes:?} {no:?}");
    }
}

#[tokio::test]
async fn only_what_waits_can_be_decided_and_only_in_time() {
    let fixture = Fixture::new().await;
    let claimed = run(&fixture, 1).await;
    let id = claimed.execution_id;
    let not_waiting = |status: &str| Ruling::NotWaiting { status: status.into() };
    for (index, status) in (0..).zip(["requested", "delegated", "success", "error"]) {
        let call = ask(&fixture, &claimed, index, status, "NULL").await;
        let ruling = decide(&fixture, id, call, Verdict::Approve, None).await;
        assert_eq!(ruling, not_waiting(status));
    }
    let late = ask(&fixture, &claimed, 10, "waiting_for_approval", "now()").await;
    for verdict in [Verdict::Approve, Verdict::Deny] {
        assert_eq!(decide(&fixture, id, late, verdict, None).await, Ruling::Expired);
    }
    let held = executions::expire_approvals(&fixture.store, &claimed, "the approval expired").await;
    assert_eq!(held.unwrap(), Held::Yes);
    for verdict in [Verdict::Approve, Verdict::Deny] {
        assert_eq!(decide(&fixture, id, late, verdict, None).await, Ruling::Expired);
    }

    let other = run(&fixture, 2).await;
    let call = ask(&fixture, &other, 0, "waiting_for_approval", "'2100-01-01'").await;
    assert_eq!(decide(&fixture, id, call, Verdict::Approve, None).await, Ruling::NoCall);
    execute(&fixture, "UPDATE executions SET status = 'cancelled', finished_at = now()").await;
    let ruling = decide(&fixture, other.execution_id, call, Verdict::Approve, None).await;
    assert_eq!(ruling, Ruling::Over);
}

#[tokio::test]
async fn nothing_is_approved_for_what_is_cancelled() {
    let fixture = Fixture::new().await;
    let claimed = run(&fixture, 1).await;
    let call = ask(&fixture, &claimed, 0, "waiting_for_approval", "'2100-01-01'").await;
    let id = claimed.execution_id;
    control::request_cancel(&fixture.store, TENANT, id, now()).await.unwrap();
    assert_eq!(decide(&fixture, id, call, Verdict::Approve, None).await, Ruling::Over);
}

#[tokio::test]
async fn a_session_is_changed_once_and_keeps_the_first_reason() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    admit(&fixture, 1, 1).await;
    let s = session(1);
    let status = async |status: &str, reason: &str| {
        let query = format!(
            "SELECT count(*) FROM sessions
              WHERE status = '{status}' AND coalesce(status_reason, '') = '{reason}'"
        );
        assert_eq!(fixture.count(&query).await, 1, "{status}");
    };
    let suspend = async |reason| control::suspend(store, TENANT, s, reason).await.unwrap();
    assert_eq!(suspend(Some("a")).await, SessionChange::Changed);
    assert_eq!(suspend(Some("b")).await, SessionChange::Unchanged);
    status("suspended", "a").await;
    let handed_off = control::hand_off(store, TENANT, s, Some("c")).await.unwrap();
    assert_eq!(handed_off, SessionChange::Changed);
    status("handed_off", "c").await;
    assert_eq!(control::resume(store, TENANT, s, None).await.unwrap(), SessionChange::Changed);
    status("active", "").await;
    assert_eq!(control::resume(store, TENANT, s, None).await.unwrap(), SessionChange::Unchanged);
    let unknown = SessionId(Uuid::from_u128(7));
    let change = control::suspend(store, TENANT, unknown, None).await.unwrap();
    assert_eq!(change, SessionChange::NotFound);
}

#[tokio::test]
async fn the_sub_agents_of_a_session_are_suspended_and_resumed_with_it() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let parent = run(&fixture, 1).await;
    delegate(&fixture, &parent, 0).await;
    let child = claim_soon(&fixture).await;
    admit(&fixture, 2, 1).await;
    let n_suspended = "SELECT count(*) FROM sessions WHERE status = 'suspended'";
    control::suspend(store, TENANT, parent.session_id, None).await.unwrap();
    assert_eq!(fixture.count(n_suspended).await, 2);
    let stops = control::poll(store, &[watched(&parent, false), watched(&child, false)]).await;
    assert!(stops.unwrap().iter().all(|stop| stop.reason == StopReason::Suspended));
    control::resume(store, TENANT, parent.session_id, None).await.unwrap();
    assert_eq!(fixture.count(n_suspended).await, 0);
}

#[tokio::test]
async fn a_session_without_work_is_not_woken() {
    let fixture = Fixture::new().await;
    let claimed = run(&fixture, 1).await;
    execute(
        &fixture,
        "UPDATE lanes SET queued = 0, next_run_at = NULL, lease_token = NULL;
         UPDATE executions SET status = 'success', finished_at = now()",
    )
    .await;
    control::suspend(&fixture.store, TENANT, claimed.session_id, None).await.unwrap();
    control::resume(&fixture.store, TENANT, claimed.session_id, None).await.unwrap();
    assert_eq!(fixture.count("SELECT count(*) FROM lanes WHERE next_run_at IS NULL").await, 1);
}

fn watched(claimed: &Claimed, yields: bool) -> Watched {
    Watched { execution_id: claimed.execution_id, yields }
}

/// Why this run is to stop.
async fn reason(fixture: &Fixture, claimed: &Claimed, yields: bool) -> Option<StopReason> {
    let stops = control::poll(&fixture.store, &[watched(claimed, yields)]).await.unwrap();
    let stop = stops.first()?;
    assert_eq!(*stop, Stop { execution_id: claimed.execution_id, reason: stop.reason });
    Some(stop.reason)
}

#[tokio::test]
async fn a_runner_is_told_the_gravest_reason_to_stop() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let claimed = run(&fixture, 1).await;
    let s = claimed.session_id;
    assert_eq!(reason(&fixture, &claimed, true).await, None);
    admit(&fixture, 1, 2).await;
    assert_eq!(reason(&fixture, &claimed, false).await, None);
    assert_eq!(reason(&fixture, &claimed, true).await, Some(StopReason::Superseded));
    control::suspend(store, TENANT, s, None).await.unwrap();
    assert_eq!(reason(&fixture, &claimed, true).await, Some(StopReason::Suspended));
    control::hand_off(store, TENANT, s, None).await.unwrap();
    assert_eq!(reason(&fixture, &claimed, true).await, Some(StopReason::HandedOff));
    cancel(&fixture, claimed.execution_id).await;
    assert_eq!(reason(&fixture, &claimed, true).await, Some(StopReason::CancelRequested));
    assert!(control::poll(store, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn messages_are_taken_over_five_times_at_most() {
    let fixture = Fixture::new().await;
    let claimed = run(&fixture, 1).await;
    admit(&fixture, 1, 2).await;
    let superseded = async |n_times: i32| {
        execute(&fixture, &format!("UPDATE executions SET supersede_count = {n_times}")).await;
        reason(&fixture, &claimed, true).await
    };
    assert_eq!(superseded(4).await, Some(StopReason::Superseded));
    assert_eq!(superseded(5).await, None);
}

#[tokio::test]
async fn a_sub_agent_whose_parent_has_ended_is_to_stop() {
    let fixture = Fixture::new().await;
    let parent = run(&fixture, 1).await;
    delegate(&fixture, &parent, 0).await;
    let child = claim_soon(&fixture).await;
    assert_eq!(reason(&fixture, &child, false).await, None);
    execute(
        &fixture,
        "UPDATE executions SET status = 'timeout', finished_at = now()
          WHERE parent_execution_id IS NULL",
    )
    .await;
    assert_eq!(reason(&fixture, &child, false).await, Some(StopReason::CancelRequested));
}
