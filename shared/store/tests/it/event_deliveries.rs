//! Events on their way to endpoints: recorded, claimed, tried.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use recado_store::agents::{self, AgentDraft};
use recado_store::event_deliveries::{
    self, AfterAttempt, Caps, Claimed, Disabled, EventAttempt, NewEvent,
};
use recado_store::event_endpoints::{self, EventEndpointDraft};
use recado_store::tenants::{self, EnsureTenant};
use recado_store::{Config, Keyring, Store};
use recado_testkit::sql;
use recado_types::agent::AgentSpec;
use recado_types::{
    AgentId, AttemptId, EventEndpointId, EventId, ExecutionId, ProjectId, SessionId, TenantId,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixture::{AGENT, Fixture, KEYS, TENANT, now};

const STRANGER: TenantId = TenantId(Uuid::from_u128(90));
const STRANGERS_AGENT: AgentId = AgentId(Uuid::from_u128(92));
const OTHER_AGENT: AgentId = AgentId(Uuid::from_u128(93));
const LEASE: Duration = Duration::from_mins(1);
const CAPS: Caps = Caps { per_endpoint: 16, per_tenant: 100 };
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What an endpoint wants: everything of everybody, unless it is changed.
fn draft(name: &str) -> EventEndpointDraft {
    EventEndpointDraft {
        agent_id: None,
        name: name.into(),
        url: format!("https://example.com/{name}"),
        event_types: Vec::new(),
        enabled: None,
    }
}

async fn endpoint_of(
    fixture: &Fixture,
    tenant: TenantId,
    draft: &EventEndpointDraft,
) -> EventEndpointId {
    let id = EventEndpointId(Uuid::new_v4());
    let saved = event_endpoints::create(&fixture.store, tenant, id, draft, SECRET, now()).await;
    assert!(matches!(saved, Ok(event_endpoints::Saved::Saved(_))), "{saved:?}");
    id
}

async fn endpoint(fixture: &Fixture, name: &str) -> EventEndpointId {
    endpoint_of(fixture, TENANT, &draft(name)).await
}

async fn stranger(fixture: &Fixture) {
    let project_id = ProjectId(Uuid::from_u128(91));
    let tenant = EnsureTenant { id: STRANGER, project_id, name: "stranger" };
    tenants::ensure(&fixture.store, &tenant, now()).await.unwrap();
    agent(fixture, STRANGER, project_id, STRANGERS_AGENT).await;
}

async fn agent(fixture: &Fixture, tenant: TenantId, project_id: ProjectId, id: AgentId) {
    let spec = json!({"model": "builtin.echo", "system_prompt": ""});
    let draft = AgentDraft::new(project_id, "Other", AgentSpec::from_saved(&spec).unwrap());
    agents::ensure(&fixture.store, tenant, id, &draft, now()).await.unwrap();
}

/// The `n`-th event of execution `e`.
fn event(e: u128, n: u128) -> NewEvent {
    NewEvent {
        id: EventId(Uuid::from_u128(e * 1_000_000 + n)),
        tenant_id: TENANT,
        agent_id: AGENT,
        session_id: SessionId(Uuid::from_u128(e)),
        execution_id: ExecutionId(Uuid::from_u128(e)),
        event_type: "tool_called".into(),
        occurred_at: now(),
        payload: format!(r#"{{"e":{e},"n":{n}}}"#),
        trace: None,
    }
}

fn events(e: u128, n: u128) -> Vec<NewEvent> {
    (1..=n).map(|n| event(e, n)).collect()
}

async fn record(fixture: &Fixture, events: &[NewEvent]) -> u64 {
    event_deliveries::record(&fixture.store, events, now()).await.unwrap()
}

async fn claim(fixture: &Fixture, limit: usize) -> Vec<Claimed> {
    event_deliveries::claim(&fixture.store, limit, CAPS, LEASE).await.unwrap()
}

/// What came of the next attempt to send `claimed`, at `at`.
fn attempt(claimed: &Claimed, at: DateTime<Utc>, after: AfterAttempt) -> EventAttempt {
    EventAttempt {
        id: AttemptId(Uuid::new_v4()),
        number: claimed.attempt_count + 1,
        started_at: at,
        duration_ms: 12,
        status_code: Some(503),
        error_code: (after != AfterAttempt::Delivered).then(|| "http_503".into()),
        response_headers: Some(vec![("x-a".into(), "\"1\"".into())]),
        response_body: Some("busy".into()),
        ended_at: at,
        after,
    }
}

async fn attempted(
    fixture: &Fixture,
    claimed: &Claimed,
    at: DateTime<Utc>,
    after: AfterAttempt,
) -> Vec<Disabled> {
    let made = [(claimed.clone(), attempt(claimed, at, after))];
    event_deliveries::record_attempts(&fixture.store, &made).await.unwrap()
}

/// Records one more event for the only endpoint, and has its attempt end like this.
async fn one_more(
    fixture: &Fixture,
    n: u128,
    at: DateTime<Utc>,
    after: AfterAttempt,
) -> Vec<Disabled> {
    assert_eq!(record(fixture, &[event(n, 1)]).await, 1);
    let claimed = claim(fixture, 1).await.remove(0);
    attempted(fixture, &claimed, at, after).await
}

fn payloads(claimed: &[Claimed]) -> Vec<&str> {
    claimed.iter().map(|claimed| claimed.payload.as_str()).collect()
}

#[tokio::test]
async fn an_event_is_recorded_once_for_each_endpoint_that_wants_it() {
    let fixture = Fixture::new().await;
    stranger(&fixture).await;
    agent(&fixture, TENANT, ProjectId(Uuid::from_u128(2)), OTHER_AGENT).await;
    let all = endpoint(&fixture, "all").await;
    let ours = EventEndpointDraft { agent_id: Some(AGENT), ..draft("ours") };
    let ours = endpoint_of(&fixture, TENANT, &ours).await;
    let errors = EventEndpointDraft { event_types: vec!["error".into()], ..draft("errors") };
    let errors = endpoint_of(&fixture, TENANT, &errors).await;
    let gone = endpoint(&fixture, "gone").await;
    event_endpoints::delete(&fixture.store, TENANT, gone, None, now()).await.unwrap();
    endpoint_of(&fixture, STRANGER, &draft("theirs")).await;

    let called = event(1, 1);
    let failed = NewEvent { event_type: "error".into(), agent_id: OTHER_AGENT, ..event(2, 1) };
    let told = [called, failed];
    assert_eq!(record(&fixture, &told).await, 4);
    // The broker brings them again, with a new one among them.
    assert_eq!(record(&fixture, &[told[1].clone(), event(3, 1), told[0].clone()]).await, 2);

    let claimed = claim(&fixture, 10).await;
    let mut sent: Vec<(EventEndpointId, u128)> = claimed
        .iter()
        .map(|claimed| (claimed.endpoint_id, claimed.execution_id.0.as_u128()))
        .collect();
    sent.sort_unstable();
    let mut wanted = [(all, 1), (all, 2), (all, 3), (ours, 1), (ours, 3), (errors, 2)];
    wanted.sort_unstable();
    assert_eq!(sent, wanted);
    assert!(claimed.iter().all(|claimed| claimed.tenant_id == TENANT));
    let of_strangers = NewEvent { tenant_id: STRANGER, agent_id: STRANGERS_AGENT, ..event(4, 1) };
    assert_eq!(record(&fixture, &[of_strangers]).await, 1);
    assert_eq!(claim(&fixture, 10).await[0].tenant_id, STRANGER);
}

#[tokio::test]
async fn what_happens_while_an_endpoint_is_disabled_is_kept_as_failed() {
    let fixture = Fixture::new().await;
    let off = EventEndpointDraft { enabled: Some(false), ..draft("off") };
    endpoint_of(&fixture, TENANT, &off).await;
    assert_eq!(record(&fixture, &events(1, 3)).await, 0);
    assert!(claim(&fixture, 10).await.is_empty());
    let kept = "SELECT count(*) FROM event_deliveries WHERE status = 'failed' \
                AND error_code = 'endpoint_disabled' AND finished_at IS NOT NULL";
    assert_eq!(fixture.count(kept).await, 3);
}

#[tokio::test]
async fn what_waits_for_a_disabled_endpoint_goes_on_when_it_is_enabled() {
    let fixture = Fixture::new().await;
    endpoint(&fixture, "one").await;
    record(&fixture, &events(1, 1)).await;
    let database = fixture.database.url();
    sql::execute(database, "UPDATE event_endpoints SET enabled = false").await.unwrap();
    assert!(claim(&fixture, 10).await.is_empty());
    sql::execute(database, "UPDATE event_endpoints SET enabled = true").await.unwrap();
    assert_eq!(claim(&fixture, 10).await.len(), 1);
}

#[tokio::test]
async fn endpoints_get_their_turn_and_no_more_than_their_share() {
    let fixture = Fixture::new().await;
    stranger(&fixture).await;
    let (busy, calm) = (endpoint(&fixture, "busy").await, endpoint(&fixture, "calm").await);
    let theirs = endpoint_of(&fixture, STRANGER, &draft("theirs")).await;
    sql::execute(
        fixture.database.url(),
        &format!("UPDATE event_endpoints SET event_types = '{{error}}' WHERE id = '{calm}'"),
    )
    .await
    .unwrap();
    let executions = |first: u128, n: u128| (first..first + n).map(|e| event(e, 1));
    record(&fixture, &executions(1, 40).collect::<Vec<_>>()).await;
    let error = |event| NewEvent { event_type: "error".into(), ..event };
    record(&fixture, &executions(100, 2).map(error).collect::<Vec<_>>()).await;
    let of_strangers = |event| NewEvent { tenant_id: STRANGER, agent_id: STRANGERS_AGENT, ..event };
    record(&fixture, &executions(200, 3).map(of_strangers).collect::<Vec<_>>()).await;

    let n_of = |claimed: &[Claimed], id| claimed.iter().filter(|it| it.endpoint_id == id).count();
    let first = claim(&fixture, 6).await;
    let shares = [busy, calm, theirs].map(|id| n_of(&first, id));
    assert_eq!(shares, [2, 1, 3], "tenants in turn, and of a tenant its endpoints");
    // Several instances at once, and again and again: they count together.
    let (one, two) = tokio::join!(claim(&fixture, 30), claim(&fixture, 30));
    let mut held = [first, one, two, claim(&fixture, 30).await].concat();
    held.extend(claim(&fixture, 30).await);
    assert_eq!([busy, calm, theirs].map(|id| n_of(&held, id)), [16, 2, 3]);
    assert!(claim(&fixture, 30).await.is_empty());
    let done = held.iter().find(|it| it.endpoint_id == busy).unwrap();
    attempted(&fixture, done, now(), AfterAttempt::Delivered).await;
    assert_eq!(claim(&fixture, 30).await.len(), 1);
}

#[tokio::test]
async fn a_tenant_has_no_more_than_its_share_over_all_its_endpoints() {
    let fixture = Fixture::new().await;
    for name in ["a", "b", "c"] {
        endpoint(&fixture, name).await;
    }
    record(&fixture, &(1..=4).map(|e| event(e, 1)).collect::<Vec<_>>()).await;
    let caps = Caps { per_endpoint: 16, per_tenant: 5 };
    let claim = async |limit| event_deliveries::claim(&fixture.store, limit, caps, LEASE).await;
    assert_eq!(claim(3).await.unwrap().len(), 3);
    assert_eq!(claim(10).await.unwrap().len(), 2);
    assert!(claim(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn events_of_an_execution_are_tried_one_after_the_other() {
    let fixture = Fixture::new().await;
    endpoint(&fixture, "one").await;
    record(&fixture, &events(1, 3)).await;
    record(&fixture, &events(2, 1)).await;
    let first = claim(&fixture, 10).await;
    assert_eq!(payloads(&first), [r#"{"e":1,"n":1}"#, r#"{"e":2,"n":1}"#]);
    assert!(claim(&fixture, 10).await.is_empty(), "the second waits for the first");
    let later = AfterAttempt::Retry { pause: Duration::from_hours(1) };
    attempted(&fixture, &first[0], now(), later).await;
    let second = claim(&fixture, 10).await;
    assert_eq!(payloads(&second), [r#"{"e":1,"n":2}"#], "but not for its retry");
    attempted(&fixture, &second[0], now(), AfterAttempt::Delivered).await;
    assert_eq!(payloads(&claim(&fixture, 10).await), [r#"{"e":1,"n":3}"#]);
}

#[tokio::test]
async fn what_is_repeated_comes_when_its_pause_is_over() {
    let fixture = Fixture::new().await;
    endpoint(&fixture, "one").await;
    record(&fixture, &events(1, 1)).await;
    let claimed = claim(&fixture, 10).await.remove(0);
    assert_eq!((claimed.round, claimed.attempt_count), (1, 0));
    let pause = Duration::from_hours(5);
    attempted(&fixture, &claimed, now(), AfterAttempt::Retry { pause }).await;
    assert!(claim(&fixture, 10).await.is_empty());
    let due_in = "SELECT count(*) FROM event_deliveries WHERE status = 'pending' \
                  AND lease_token IS NULL AND attempt_count = 1 AND error_code = 'http_503' \
                  AND next_attempt_at - now() BETWEEN interval '4 h 59 min' AND interval '5 h'";
    assert_eq!(fixture.count(due_in).await, 1);
    let now_due = "UPDATE event_deliveries SET next_attempt_at = now()";
    sql::execute(fixture.database.url(), now_due).await.unwrap();
    let again = claim(&fixture, 10).await.remove(0);
    assert_eq!((again.id, again.event_id, again.attempt_count), (claimed.id, claimed.event_id, 1));
    attempted(&fixture, &again, now(), AfterAttempt::Delivered).await;
    let told = "SELECT count(*) FROM event_attempts WHERE response_body = 'busy' \
                AND response_headers->0->>1 = '\"1\"' AND round = 1 AND duration_ms = 12";
    assert_eq!(fixture.count(told).await, 2);
    let delivered = "SELECT count(*) FROM event_deliveries WHERE status = 'delivered' \
                     AND error_code IS NULL AND finished_at IS NOT NULL AND attempt_count = 2";
    assert_eq!(fixture.count(delivered).await, 1);
}

#[tokio::test]
async fn whoever_lost_the_lease_is_heard_and_changes_nothing() {
    let fixture = Fixture::new().await;
    endpoint(&fixture, "one").await;
    record(&fixture, &events(1, 1)).await;
    let late = event_deliveries::claim(&fixture.store, 1, CAPS, Duration::ZERO).await;
    let late = late.unwrap().remove(0);
    let new = claim(&fixture, 1).await.remove(0);
    assert_eq!((late.id, late.attempt_count), (new.id, new.attempt_count));
    let made = [(late.clone(), attempt(&late, now(), AfterAttempt::Delivered))];
    for _twice in 0..2 {
        event_deliveries::record_attempts(&fixture.store, &made).await.unwrap();
    }
    assert_eq!(fixture.count("SELECT count(*) FROM event_attempts").await, 1);
    let still = "SELECT count(*) FROM event_deliveries WHERE status = 'pending'";
    assert_eq!(fixture.count(still).await, 1);
    attempted(&fixture, &new, now(), AfterAttempt::Failed).await;
    let failed = "SELECT count(*) FROM event_deliveries WHERE status = 'failed' \
                  AND error_code = 'http_503' AND next_attempt_at IS NULL";
    assert_eq!(fixture.count(failed).await, 1);
}

#[tokio::test]
async fn who_answers_410_is_disabled() {
    let fixture = Fixture::new().await;
    let id = endpoint(&fixture, "one").await;
    let disabled = one_more(&fixture, 1, now(), AfterAttempt::Gone).await;
    assert_eq!(disabled, [Disabled { id, tenant_id: TENANT, code: "gone".into() }]);
    let why = event_endpoints::find(&fixture.store, TENANT, id).await.unwrap().unwrap();
    assert!(!why.enabled && why.disabled_message.unwrap().contains("410"));
    assert_eq!((why.disabled_code.as_deref(), why.disabled_at), (Some("gone"), Some(now())));
    let later = now() + TimeDelta::microseconds(1);
    assert_eq!(why.updated_at, later, "it is another version than that of the same moment");
    let failed = "SELECT count(*) FROM event_deliveries WHERE status = 'failed'";
    assert_eq!(fixture.count(failed).await, 1);
}

#[tokio::test]
async fn a_late_410_of_what_was_changed_meanwhile_disables_nothing() {
    let fixture = Fixture::new().await;
    let id = endpoint(&fixture, "one").await;
    let find = async || event_endpoints::find(&fixture.store, TENANT, id).await.unwrap().unwrap();
    let saved = async |url: &str, enabled, minutes| {
        let draft = EventEndpointDraft { url: url.into(), enabled, ..draft("one") };
        let (read_at, now) = (find().await.updated_at, now() + TimeDelta::minutes(minutes));
        let saved =
            event_endpoints::replace(&fixture.store, TENANT, id, read_at, &draft, now).await;
        assert!(matches!(saved, Ok(event_endpoints::Saved::Saved(_))), "{saved:?}");
    };
    let at = |minutes| now() + TimeDelta::minutes(minutes);
    record(&fixture, &(1..=4).map(|e| event(e, 1)).collect::<Vec<_>>()).await;
    let [first, second, third] = claim(&fixture, 3).await.try_into().unwrap();

    saved("https://example.com/new", None, 10).await;
    // The first began before the change, the second after it with the address that was read before.
    assert!(attempted(&fixture, &first, at(9), AfterAttempt::Gone).await.is_empty());
    assert!(attempted(&fixture, &second, at(11), AfterAttempt::Gone).await.is_empty());
    saved(&third.url, Some(false), 20).await;
    saved(&third.url, Some(true), 21).await;
    assert!(attempted(&fixture, &third, at(19), AfterAttempt::Gone).await.is_empty());
    assert!(find().await.enabled);

    let fourth = claim(&fixture, 1).await.remove(0);
    let disabled = attempted(&fixture, &fourth, at(22), AfterAttempt::Gone).await;
    assert_eq!(disabled, [Disabled { id, tenant_id: TENANT, code: "gone".into() }]);
}

#[tokio::test]
async fn days_without_events_are_no_days_of_failure() {
    let fixture = Fixture::new().await;
    let id = endpoint(&fixture, "one").await;
    let hours = |n| now() + TimeDelta::hours(n);
    let later = AfterAttempt::Retry { pause: Duration::ZERO };
    assert!(one_more(&fixture, 1, hours(0), later).await.is_empty());
    let ignored = "UPDATE event_deliveries SET status = 'delivered', next_attempt_at = NULL";
    fixture.execute(ignored).await;
    // 10 quiet days, then one failure of an event that is tried again.
    assert!(one_more(&fixture, 2, hours(240), later).await.is_empty());
    let endpoint = event_endpoints::find(&fixture.store, TENANT, id).await.unwrap().unwrap();
    assert_eq!((endpoint.enabled, endpoint.failing_since), (true, Some(hours(0))));
    // It fails through all of its attempts.
    let same = claim(&fixture, 1).await.remove(0);
    let disabled = attempted(&fixture, &same, hours(268), AfterAttempt::Failed).await;
    let code = "failing_for_5_days".to_owned();
    assert_eq!(disabled, [Disabled { id, tenant_id: TENANT, code }]);
}

#[tokio::test]
async fn what_a_deletion_left_pending_is_ended_when_it_is_due() {
    let fixture = Fixture::new().await;
    let gone = endpoint(&fixture, "gone").await;
    event_endpoints::delete(&fixture.store, TENANT, gone, None, now()).await.unwrap();
    let calm = endpoint(&fixture, "calm").await;
    record(&fixture, &[event(1, 1), event(2, 1)]).await;
    let left = format!(
        "UPDATE event_deliveries SET endpoint_id = '{gone}' WHERE execution_id = '{}'",
        event(1, 1).execution_id
    );
    fixture.execute(&left).await;
    let claimed = claim(&fixture, 10).await;
    assert_eq!(claimed.iter().map(|it| it.endpoint_id).collect::<Vec<_>>(), [calm]);
    let ended = "SELECT count(*) FROM event_deliveries WHERE status = 'failed' \
                 AND error_code = 'endpoint_deleted' AND finished_at IS NOT NULL \
                 AND next_attempt_at IS NULL";
    assert_eq!(fixture.count(ended).await, 1);

    // Nothing else waits: it is ended all the same.
    attempted(&fixture, &claimed[0], now(), AfterAttempt::Retry { pause: Duration::ZERO }).await;
    let unseen = "UPDATE event_endpoints SET deleted_at = now(), enabled = false";
    fixture.execute(unseen).await;
    assert!(claim(&fixture, 10).await.is_empty());
    assert_eq!(fixture.count(ended).await, 2);
}

#[tokio::test]
async fn what_fails_for_5_days_is_disabled_and_what_fails_now_and_then_is_not() {
    let fixture = Fixture::new().await;
    let id = endpoint(&fixture, "one").await;
    let find = async || event_endpoints::find(&fixture.store, TENANT, id).await.unwrap().unwrap();
    let hours = |n| now() + TimeDelta::hours(n);
    assert!(one_more(&fixture, 1, hours(0), AfterAttempt::Failed).await.is_empty());
    assert_eq!(find().await.failing_since, Some(hours(0)));
    assert_eq!(find().await.updated_at, now(), "nobody has changed it");
    assert!(one_more(&fixture, 2, hours(100), AfterAttempt::Delivered).await.is_empty());
    assert_eq!(find().await.failing_since, None);
    assert!(one_more(&fixture, 3, hours(101), AfterAttempt::Failed).await.is_empty());
    assert!(one_more(&fixture, 4, hours(220), AfterAttempt::Failed).await.is_empty());
    assert_eq!((find().await.failing_since, find().await.enabled), (Some(hours(101)), true));
    let disabled = one_more(&fixture, 5, hours(221), AfterAttempt::Failed).await;
    let code = "failing_for_5_days".to_owned();
    assert_eq!(disabled, [Disabled { id, tenant_id: TENANT, code: code.clone() }]);
    let why = find().await;
    assert_eq!((why.enabled, why.disabled_code), (false, Some(code)));
}

#[tokio::test]
async fn a_replaced_secret_signs_too_while_it_is_good() {
    let fixture = Fixture::new().await;
    let id = endpoint(&fixture, "one").await;
    let newer = "whsec_HxodHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";
    let until = DateTime::from_timestamp(4_000_000_000, 0);
    let store = &fixture.store;
    let rotated =
        event_endpoints::rotate_secret(store, TENANT, id, None, newer, until, now()).await;
    assert!(rotated.unwrap().is_some());
    record(&fixture, &[event(1, 1), event(2, 1)]).await;
    let claimed = claim(&fixture, 1).await;
    assert_eq!(claimed[0].secrets, [newer, SECRET]);
    assert!(!format!("{claimed:?}").contains("whsec_"), "{claimed:?}");
    let over = "UPDATE event_endpoints SET previous_secret_expires_at = now()";
    sql::execute(fixture.database.url(), over).await.unwrap();
    assert_eq!(claim(&fixture, 1).await[0].secrets, [newer]);
}

#[tokio::test]
async fn a_secret_that_does_not_open_is_none_and_keeps_nobody_waiting() {
    let fixture = Fixture::new().await;
    let lost = endpoint(&fixture, "lost").await;
    let fine = endpoint(&fixture, "fine").await;
    let key =
        format!("UPDATE event_endpoints SET secret_key_id = 'taken away' WHERE id = '{lost}'");
    sql::execute(fixture.database.url(), &key).await.unwrap();
    record(&fixture, &events(1, 1)).await;
    let claimed = claim(&fixture, 10).await;
    let n_secrets = |id| claimed.iter().find(|it| it.endpoint_id == id).unwrap().secrets.len();
    assert_eq!((n_secrets(lost), n_secrets(fine)), (0, 1));
}

/// A node of a plan and all below it.
fn nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    std::iter::once(plan).chain(below).collect()
}

/// Explains the very statement that was prepared, as it is run.
async fn explain_lock(store: &Store) -> Value {
    let client = store.client("test").await.unwrap();
    let query = "SELECT name FROM pg_prepared_statements \
                  WHERE statement LIKE '-- event_deliveries.lock_endpoints%'";
    let row = client.query_one(query, &[]).await.unwrap();
    let explain = format!("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE \"{}\"", row.get::<_, &str>(0));
    let plan: Value = client.query_one(&explain, &[]).await.unwrap().get(0);
    plan[0]["Plan"].clone()
}

#[tokio::test]
async fn a_claim_looks_at_those_who_wait_and_not_at_everybody() {
    let fixture = Fixture::new().await;
    for name in ["a", "b", "c"] {
        endpoint(&fixture, name).await;
    }
    let many = (1..=1_000).map(|e| event(e, 1)).collect::<Vec<_>>();
    record(&fixture, &many).await;
    fixture
        .execute(
            "INSERT INTO event_endpoints (id, tenant_id, name, url, secret_key_id, secret_sealed,
                                          created_at, updated_at)
             SELECT gen_random_uuid(), tenant_id, name || ' ' || n, url, secret_key_id, secret_sealed,
                    created_at, updated_at
               FROM event_endpoints, generate_series(1, 2000) n;
             ANALYZE event_endpoints; ANALYZE event_deliveries",
        )
        .await;
    // One connection, so that the statement which is explained is the one which was prepared.
    let config = Config::new(fixture.database.url(), 1, "test");
    let store = Store::new(&config, Keyring::parse(KEYS).unwrap()).unwrap();
    let claimed = event_deliveries::claim(&store, 6, CAPS, LEASE).await.unwrap();
    assert_eq!(claimed.len(), 6);

    let plan = explain_lock(&store).await;
    for node in nodes(&plan).into_iter().filter(|node| node.get("Relation Name").is_some()) {
        let kind = node["Node Type"].as_str().unwrap();
        assert!(kind.contains("Index") || kind == "Bitmap Heap Scan", "{kind}: {plan:#}");
        let n_rows = |name: &str| node[name].as_f64().unwrap_or_default();
        let n_seen = (n_rows("Actual Rows") + n_rows("Rows Removed by Filter"))
            * n_rows("Actual Loops").max(1.0);
        assert!(n_seen <= 10.0, "{kind} sees {n_seen} rows: {plan:#}");
    }
}
