//! Events, from the broker to endpoints that take them or not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use recado_broker::Publisher;
use recado_messages::ObjectiveEvent;
use recado_store::event_endpoints::{self, EventEndpointDraft, Saved};
use recado_store::tenants::{self, EnsureTenant};
use recado_testkit::callback::Sink;
use recado_testkit::stub::{Fault, Received, Reply};
use recado_testkit::{sql, wait_for};
use recado_types::{
    AgentId, EventEndpointId, EventId, ExecutionId, ProjectId, SessionId, TenantId,
};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use standardwebhooks::Webhook;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::running::{AGENT, SOON, System, TENANT, wait_for_count};

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const STRANGER: TenantId = TenantId(Uuid::from_u128(90));

/// A system whose agents' events are sent somewhere.
struct Eventful {
    system: System,
    publisher: Publisher,
    next_event: AtomicU64,
    _until: DropGuard,
}

impl Eventful {
    async fn new() -> Self {
        let system = System::new().await;
        let until = CancellationToken::new();
        let config = recado_broker::Config::new(&system.amqp_url, "test");
        let publisher = Publisher::start(config, &TaskTracker::new(), until.clone());
        Self { system, publisher, next_event: AtomicU64::new(1), _until: until.drop_guard() }
    }

    async fn endpoint(&self, name: &str, url: &str) -> EventEndpointId {
        self.endpoint_for(TENANT, name, url, &[]).await
    }

    async fn endpoint_for(
        &self,
        tenant: TenantId,
        name: &str,
        url: &str,
        event_types: &[&str],
    ) -> EventEndpointId {
        let id = EventEndpointId(Uuid::new_v4());
        let draft = EventEndpointDraft {
            agent_id: None,
            name: name.into(),
            url: url.into(),
            event_types: event_types.iter().map(|&it| it.to_owned()).collect(),
            enabled: None,
        };
        let now = self.system.now();
        let saved =
            event_endpoints::create(&self.system.store, tenant, id, &draft, SECRET, now).await;
        assert!(matches!(saved, Ok(Saved::Saved(_))), "{saved:?}");
        id
    }

    /// The next event, of execution `e`.
    fn event(&self, e: u128, event_type: &str) -> ObjectiveEvent {
        let n = self.next_event.fetch_add(1, Ordering::Relaxed);
        ObjectiveEvent {
            event_id: EventId(Uuid::from_u128(n.into())),
            tenant_id: TENANT,
            session_id: SessionId(Uuid::from_u128(e)),
            execution_id: ExecutionId(Uuid::from_u128(e)),
            agent_id: AGENT,
            event_type: event_type.into(),
            occurred_at: self.system.now(),
            endpoint: true,
            payload: json!({"type": format!("objective_event.{event_type}"), "data": {"n": n, "é": "\u{0}"}}),
        }
    }

    async fn tell(&self, events: &[ObjectiveEvent]) {
        let told = async || {
            let outcomes = self.publisher.publish_all(events).await;
            outcomes.into_iter().collect::<Result<Vec<()>, _>>().ok()
        };
        wait_for("the broker to take events", SOON, told).await.unwrap();
    }

    /// Waits until `n` event deliveries are like this.
    async fn come_to(&self, n: i64, condition: &str) {
        let query = format!("SELECT count(*) FROM event_deliveries WHERE {condition}");
        let what = format!("{n} event deliveries with {condition}");
        let reached = async || (self.system.count(&query).await == n).then_some(());
        wait_for(&what, SOON, reached).await.unwrap();
    }

    async fn execute(&self, statement: &str) {
        sql::execute(&self.system.database_url, statement).await.unwrap();
    }
}

/// Whether the official library takes a request for one that was signed with `secret`.
fn is_signed_with(secret: &str, received: &Received) -> bool {
    let headers: HeaderMap = received
        .headers
        .iter()
        .map(|(name, value)| {
            (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap())
        })
        .collect();
    Webhook::new(secret).unwrap().verify(&received.body, &headers).is_ok()
}

#[tokio::test]
async fn an_event_is_signed_so_that_the_official_library_takes_it() {
    let system = Eventful::new().await;
    let sink = Sink::start();
    system.endpoint("one", &format!("{}/in?a=b", sink.url())).await;
    let instance = system.system.start();
    let event = system.event(1, "tool_called");
    system.tell(std::slice::from_ref(&event)).await;
    system.come_to(1, "status = 'delivered' AND attempt_count = 1").await;

    let received = sink.received().remove(0);
    assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/in"));
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert_eq!(received.json().unwrap(), event.payload);
    let id = event.event_id.prefixed().to_string();
    assert_eq!(received.header("webhook-id"), Some(id.as_str()));
    assert!(id.starts_with("objevt_"));
    assert!(is_signed_with(SECRET, &received));
    assert!(!is_signed_with("whsec_HxodHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=", &received));
    instance.stop().await;
}

#[tokio::test]
async fn after_a_rotation_either_secret_verifies_until_the_old_one_ends() {
    let system = Eventful::new().await;
    let sink = Sink::start();
    let id = system.endpoint("one", &sink.url()).await;
    let newer = event_endpoints::generate_secret();
    let now = system.system.now();
    let until = Some(now + chrono::TimeDelta::hours(1));
    let store = &system.system.store;
    let rotated = event_endpoints::rotate_secret(store, TENANT, id, None, &newer, until, now).await;
    rotated.unwrap().unwrap();
    let instance = system.system.start();
    system.tell(&[system.event(1, "error")]).await;
    wait_for_count("the first event", 1, || sink.count()).await;
    system.execute("UPDATE event_endpoints SET previous_secret_expires_at = now()").await;
    system.tell(&[system.event(2, "error")]).await;
    wait_for_count("the second event", 2, || sink.count()).await;
    let received = sink.received();
    assert!(is_signed_with(SECRET, &received[0]) && is_signed_with(&newer, &received[0]));
    assert!(!is_signed_with(SECRET, &received[1]) && is_signed_with(&newer, &received[1]));
    instance.stop().await;
}

#[tokio::test]
async fn what_was_refused_is_sent_again_under_the_same_id() {
    let system = Eventful::new().await;
    let sink = Sink::start();
    let busy = Reply::text(503, "busy").with_header("Set-Cookie", "s3cret").with_header("X-A", "1");
    sink.fail_next(1, &Fault::Answer(busy));
    let id = system.endpoint("one", &sink.url()).await;
    let instance = system.system.start();
    system.tell(&[system.event(1, "tool_called")]).await;
    // 5 s, more or less.
    system.come_to(1, "status = 'delivered' AND attempt_count = 2").await;
    let received = sink.received();
    let header = |n: usize, name| received[n].header(name).unwrap().to_owned();
    assert_eq!(header(0, "webhook-id"), header(1, "webhook-id"));
    assert!(header(0, "webhook-timestamp") < header(1, "webhook-timestamp"));
    assert!(received.iter().all(|received| is_signed_with(SECRET, received)));

    let told = "SELECT string_agg(attempt || ' ' || status_code || coalesce(' ' || error_code, ''), \
                ', ' ORDER BY attempt) FROM event_attempts";
    assert_eq!(system.system.text(told).await, "1 503 http_503, 2 200");
    let kept =
        "SELECT response_body || (response_headers::text) FROM event_attempts WHERE attempt = 1";
    let kept = system.system.text(kept).await;
    assert!(kept.contains("busy") && kept.contains(r#"["x-a","1"]"#), "{kept}");
    assert!(kept.contains("[hidden]") && !kept.contains("s3cret"), "{kept}");
    let endpoint = event_endpoints::find(&system.system.store, TENANT, id).await.unwrap().unwrap();
    assert_eq!((endpoint.enabled, endpoint.failing_since), (true, None), "it works again");
    instance.stop().await;
}

#[tokio::test]
async fn who_answers_410_gets_nothing_more() {
    let system = Eventful::new().await;
    let sink = Sink::start();
    sink.fail_always(Fault::status(410));
    let id = system.endpoint("one", &sink.url()).await;
    let instance = system.system.start();
    system.tell(&[system.event(1, "tool_called")]).await;
    system.come_to(1, "status = 'failed' AND error_code = 'gone' AND attempt_count = 1").await;
    let find = async || {
        let found = event_endpoints::find(&system.system.store, TENANT, id).await.unwrap().unwrap();
        (!found.enabled).then_some(found.disabled_code)
    };
    let code = wait_for("the endpoint to be disabled", SOON, find).await.unwrap();
    assert_eq!(code.as_deref(), Some("gone"));
    system.tell(&[system.event(2, "tool_called")]).await;
    system.come_to(1, "status = 'failed' AND error_code = 'endpoint_disabled'").await;
    assert_eq!(sink.count(), 1);
    instance.stop().await;
}

#[tokio::test]
async fn a_receiver_is_left_alone_for_as_long_as_it_asks() {
    let system = Eventful::new().await;
    let sink = Sink::start();
    sink.fail_always(Fault::retry_after(429, 600));
    system.endpoint("one", &sink.url()).await;
    let instance = system.system.start();
    system.tell(&[system.event(1, "tool_called")]).await;
    let waits = "status = 'pending' AND error_code = 'rate_limited' AND lease_token IS NULL \
                 AND next_attempt_at - now() BETWEEN interval '9 min' AND interval '10 min'";
    system.come_to(1, waits).await;
    instance.stop().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_no_other() {
    let system = Eventful::new().await;
    let (dead, alive) = (Sink::start(), Sink::start());
    dead.fail_always(Fault::Hang);
    system.endpoint_for(TENANT, "dead", &dead.url(), &["tool_error"]).await;
    system.endpoint_for(TENANT, "alive", &alive.url(), &["error"]).await;
    let instance = system.system.start();
    let stuck: Vec<_> = (1..=40).map(|e| system.event(e, "tool_error")).collect();
    system.tell(&stuck).await;
    wait_for_count("as many as one endpoint may have", 16, || dead.count()).await;
    let quick: Vec<_> = (100..=140).map(|e| system.event(e, "error")).collect();
    system.tell(&quick).await;
    system.come_to(41, "status = 'delivered'").await;
    assert_eq!(dead.count(), 16);
    // The time is over after 15 s, and it gets at least a minute.
    let late = "status = 'pending' AND attempt_count = 1 AND error_code = 'timeout' \
                AND next_attempt_at - now() > interval '30 s'";
    system.come_to(16, late).await;
    instance.kill().await;
}

#[tokio::test]
async fn what_the_broker_brings_again_is_sent_once() {
    let system = Eventful::new().await;
    let sink = Sink::start();
    system.endpoint("one", &sink.url()).await;
    let instance = system.system.start();
    let (one, other) = (system.event(1, "tool_called"), system.event(1, "tool_result"));
    system.tell(&[one.clone(), other.clone()]).await;
    system.tell(&[one.clone(), one, other]).await;
    // Whatever was queued before this one has been recorded when this one is sent.
    system.tell(&[system.event(1, "error")]).await;
    system.come_to(3, "status = 'delivered'").await;
    assert_eq!(sink.count(), 3);
    instance.stop().await;
}

#[tokio::test]
async fn the_events_of_an_execution_arrive_in_order() {
    let system = Eventful::new().await;
    let sink = Sink::start();
    system.endpoint("one", &sink.url()).await;
    let instance = system.system.start();
    let told: Vec<ObjectiveEvent> =
        (0..60).map(|n| system.event(1 + n % 2, "tool_called")).collect();
    system.tell(&told).await;
    system.come_to(60, "status = 'delivered'").await;
    let received = sink.received();
    for execution in 1..=2 {
        let of_it = told.iter().filter(|it| it.execution_id.0.as_u128() == execution);
        let in_order: Vec<_> = of_it.map(|event| event.payload.clone()).collect();
        let bodies = received.iter().filter_map(|received| received.json());
        let arrived: Vec<_> = bodies.filter(|body| in_order.contains(body)).collect();
        assert_eq!(arrived, in_order);
    }
    instance.stop().await;
}

#[tokio::test]
async fn nobody_gets_what_they_did_not_ask_for() {
    let system = Eventful::new().await;
    let (errors, theirs) = (Sink::start(), Sink::start());
    let project_id = ProjectId(Uuid::from_u128(91));
    let stranger = EnsureTenant { id: STRANGER, project_id, name: "stranger" };
    tenants::ensure(&system.system.store, &stranger, system.system.now()).await.unwrap();
    system.endpoint_for(TENANT, "errors", &errors.url(), &["error"]).await;
    system.endpoint_for(STRANGER, "theirs", &theirs.url(), &[]).await;
    let instance = system.system.start();
    let of_strangers = ObjectiveEvent {
        tenant_id: STRANGER,
        agent_id: AgentId(Uuid::from_u128(92)),
        ..system.event(2, "tool_called")
    };
    let told = [system.event(1, "tool_called"), of_strangers, system.event(1, "error")];
    system.tell(&told).await;
    system.come_to(2, "status = 'delivered'").await;
    let bodies =
        |sink: &Sink| sink.received().iter().filter_map(|it| it.json()).collect::<Vec<_>>();
    assert_eq!(bodies(&errors), [told[2].payload.clone()]);
    assert_eq!(bodies(&theirs), [told[1].payload.clone()]);
    instance.stop().await;
}

#[tokio::test]
async fn events_go_only_where_the_tenant_lets_its_requests_go() {
    let system = Eventful::new().await;
    let sink = Sink::start();
    system.endpoint("one", &sink.url()).await;
    system.execute("UPDATE tenants SET destination_hosts = '{api.example.com}'").await;
    let instance = system.system.start();
    system.tell(&[system.event(1, "error")]).await;
    system.come_to(1, "status = 'pending' AND error_code = 'destination_not_allowed'").await;
    assert_eq!(sink.count(), 0);
    instance.stop().await;
}

#[tokio::test]
async fn what_the_database_refuses_of_an_answer_is_left_out_and_the_event_goes_on() {
    let system = Eventful::new().await;
    let sink = Sink::start();
    sink.fail_next(1, &Fault::Answer(Reply::text(500, "poison")));
    system.endpoint("one", &sink.url()).await;
    let refuses = "ALTER TABLE event_attempts ADD CHECK (response_body <> 'poison')";
    system.execute(refuses).await;
    let instance = system.system.start();
    system.tell(&[system.event(1, "error"), system.event(1, "tool_called")]).await;
    system.come_to(2, "status = 'delivered'").await;
    let told = "SELECT string_agg(coalesce(a.error_code, 'none') || ' ' || status_code, ', ' \
                ORDER BY event_id, attempt) \
                FROM event_attempts a JOIN event_deliveries d ON d.id = a.event_delivery_id";
    assert_eq!(system.system.text(told).await, "internal_error 500, none 200, none 200");
    instance.stop().await;
}

#[tokio::test]
async fn a_secret_that_does_not_open_counts_as_an_attempt() {
    let system = Eventful::new().await;
    let sink = Sink::start();
    system.endpoint("one", &sink.url()).await;
    system.execute("UPDATE event_endpoints SET secret_key_id = 'taken away'").await;
    let instance = system.system.start();
    system.tell(&[system.event(1, "error"), system.event(1, "tool_called")]).await;
    // The first does not hold up the second.
    system.come_to(2, "error_code = 'secret_unreadable' AND attempt_count > 0").await;
    assert_eq!(sink.count(), 0);
    instance.stop().await;
}

#[tokio::test]
async fn what_an_instance_died_with_is_sent_by_another_under_the_same_id() {
    let system = Eventful::new().await;
    let sink = Sink::start();
    sink.fail_next(1, &Fault::Hang);
    system.endpoint("one", &sink.url()).await;
    let killed = system.system.start();
    system.tell(&[system.event(1, "error"), system.event(1, "tool_called")]).await;
    wait_for_count("the first request", 1, || sink.count()).await;
    system.come_to(2, "status = 'pending'").await;
    killed.kill().await;
    let over = "UPDATE event_deliveries SET next_attempt_at = now() WHERE lease_token IS NOT NULL";
    system.execute(over).await;
    let successor = system.system.start();
    system.come_to(2, "status = 'delivered'").await;
    let received = sink.received();
    let ids: Vec<_> = received.iter().filter_map(|it| it.header("webhook-id")).collect();
    assert!(ids.len() == 3 && ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
    successor.stop().await;
}

#[tokio::test]
async fn an_instance_that_stops_writes_down_what_is_on_its_way() {
    let system = Eventful::new().await;
    let sink = Sink::start();
    sink.fail_next(1, &Fault::Delay(Duration::from_secs(2)));
    system.endpoint("one", &sink.url()).await;
    let instance = system.system.start();
    system.tell(&[system.event(1, "error")]).await;
    wait_for_count("the request", 1, || sink.count()).await;
    instance.stop().await;
    system.come_to(1, "status = 'delivered' AND attempt_count = 1").await;
    assert_eq!(sink.count(), 1);
}
