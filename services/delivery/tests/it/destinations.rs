//! Destinations that are slow or dead, and those beside them.

use std::time::Duration;

use recado_testkit::callback::Sink;
use recado_testkit::stub::{Fault, Reply};
use recado_testkit::wait_for;
use recado_types::{DeliveryId, TriggerId};
use serde_json::{Value, json};

use crate::running::{SOON, System};

impl System {
    async fn answers(
        &self,
        trigger: TriggerId,
        sessions: std::ops::Range<u128>,
    ) -> Vec<DeliveryId> {
        let mut deliveries = Vec::new();
        for session in sessions {
            deliveries.push(self.answer(trigger, session, "Olá").await);
        }
        deliveries
    }

    async fn wait_until_all(&self, status: &str, deliveries: &[DeliveryId]) {
        for delivery in deliveries {
            self.wait_until(status, *delivery).await;
        }
    }

    /// Opens a destination, to be probed in an hour.
    async fn open(&self, trigger: TriggerId) {
        let trigger = trigger.0;
        self.execute(&format!(
            "INSERT INTO destinations (trigger_id, tenant_id, failure_count, error_code,
                                       error_message, probe_at, opened_at, updated_at)
             SELECT id, tenant_id, 5, 'timeout', '', now() + interval '1 hour', now(), now()
               FROM triggers WHERE id = '{trigger}'"
        ))
        .await;
    }

    async fn probe_now(&self) {
        self.execute("UPDATE destinations SET probe_at = now()").await;
    }

    async fn wait_until_open(&self, n_open: i64) {
        let reached = async || {
            let open = self.count("SELECT count(*) FROM destinations").await;
            (open == n_open).then_some(())
        };
        wait_for(&format!("{n_open} open destinations"), SOON, reached).await.unwrap();
    }
}

fn patient(sink: &Sink) -> Value {
    json!({"url": sink.url(), "timeout_ms": 60_000})
}

#[tokio::test]
async fn a_tenants_other_destination_is_not_delayed_by_one_that_hangs() {
    let system = System::new().await;
    let (dead, alive) = (Sink::start(), Sink::start());
    dead.fail_always(Fault::Hang);
    let to_dead = system.trigger(&patient(&dead), &Value::Null).await;
    let to_alive = system.trigger(&json!({"url": alive.url()}), &Value::Null).await;
    system.answers(to_dead, 100..140).await;
    let instance = system.start();
    wait_for("the dead one's share to be taken", SOON, async || (dead.count() >= 4).then_some(()))
        .await
        .unwrap();
    let deliveries = system.answers(to_alive, 1..30).await;
    system.wait_until_all("delivered", &deliveries).await;
    assert_eq!(dead.count(), 4, "a quarter of 16 slots");
    drop(instance);
}

#[tokio::test]
async fn a_fast_tenant_is_not_delayed_by_the_dead_destinations_of_another() {
    let system = System::new().await;
    let (dead, alive) = (Sink::start(), Sink::start());
    dead.fail_always(Fault::Hang);
    for n in 0..4 {
        let trigger = system.trigger(&patient(&dead), &Value::Null).await;
        system.answers(trigger, n * 100 + 1_000..n * 100 + 1_010).await;
    }
    let trigger = system.trigger(&json!({"url": alive.url()}), &Value::Null).await;
    let deliveries = system.answers(trigger, 1..20).await;
    let other = "00000000-0000-0000-0000-0000000000ff";
    system
        .execute(&format!(
            "INSERT INTO tenants (id, name, created_at, updated_at)
             VALUES ('{other}', 'other', now(), now());
             UPDATE deliveries SET tenant_id = '{other}' WHERE trigger_id = '{trigger}';
             UPDATE lanes SET tenant_id = '{other}' WHERE trigger_id = '{trigger}'",
            trigger = trigger.0
        ))
        .await;
    let instance = system.start();
    system.wait_until_all("delivered", &deliveries).await;
    assert!(dead.count() <= 8, "half of 16 slots, but {}", dead.count());
    drop(instance);
}

#[tokio::test]
async fn a_destination_is_left_alone_after_five_failures_and_everything_arrives_once_it_answers() {
    let system = System::new().await;
    let sink = Sink::start();
    sink.fail_always(Fault::status(503));
    let retry = json!({"initial_delay_ms": 100, "max_delay_ms": 200, "max_attempts": 10});
    let trigger = system.trigger(&json!({"url": sink.url(), "retry": retry}), &Value::Null).await;
    let deliveries = system.answers(trigger, 1..13).await;
    let instance = system.start();
    system.wait_until_open(1).await;
    let why = "SELECT error_code || ' ' || (failure_count >= 5) FROM destinations";
    assert_eq!(system.text(why).await, "http_503 true");
    let settled = "SELECT count(*) FROM lanes WHERE lease_token IS NOT NULL";
    wait_for("nothing to be in hand", SOON, async || {
        (system.count(settled).await == 0).then_some(())
    })
    .await
    .unwrap();
    // Four at a time: when the fifth failure comes, three more may be on their way.
    assert!((5..=9).contains(&sink.count()), "{}", sink.count());
    let waiting = "SELECT count(*) FROM deliveries WHERE status = 'pending'";
    assert_eq!(system.count(waiting).await, 12, "nothing fails because of it");

    system.probe_now().await;
    let probed = "SELECT count(*) FROM destinations WHERE probe_count = 1";
    wait_for("a failed probe", SOON, async || (system.count(probed).await == 1).then_some(()))
        .await
        .unwrap();
    sink.heal();
    system.probe_now().await;
    system.wait_until_all("delivered", &deliveries).await;
    system.wait_until_open(0).await;
    instance.stop().await;
}

#[tokio::test]
async fn an_open_destination_opens_again_by_itself() {
    let system = System::new().await;
    let sink = Sink::start();
    sink.fail_next(5, &Fault::Cut);
    let retry = json!({"initial_delay_ms": 100, "max_delay_ms": 100, "max_attempts": 10});
    let trigger = system.trigger(&json!({"url": sink.url(), "retry": retry}), &Value::Null).await;
    let delivery = system.answer(trigger, 1, "x").await;
    let instance = system.start();
    system.wait_until_open(1).await;
    system.wait_until("delivered", delivery).await;
    let received = sink.received();
    let pause = received[5].at.saturating_sub(received[4].at);
    assert!(pause >= Duration::from_millis(3_900), "{pause:?}");
    assert!(pause <= Duration::from_secs(8), "{pause:?}");
    system.wait_until_open(0).await;
    instance.stop().await;
}

#[tokio::test]
async fn what_waits_for_an_open_destination_waits_and_others_pass() {
    let system = System::new().await;
    let (dead, alive) = (Sink::start(), Sink::start());
    let to_dead = system.trigger(&json!({"url": dead.url()}), &Value::Null).await;
    let to_alive = system.trigger(&json!({"url": alive.url()}), &Value::Null).await;
    system.open(to_dead).await;
    let waiting = system.answers(to_dead, 100..110).await;
    let passing = system.answers(to_alive, 1..10).await;
    let (one, another) = (system.start(), system.start());
    system.wait_until_all("delivered", &passing).await;
    assert_eq!(dead.count(), 0);
    system.probe_now().await;
    system.wait_until_all("delivered", &waiting).await;
    assert_eq!(dead.count(), 10);
    one.stop().await;
    another.stop().await;
}

#[tokio::test]
async fn a_refusal_is_an_answer() {
    let system = System::new().await;
    let sink = Sink::start();
    sink.fail_next(1, &Fault::Answer(Reply::text(400, "")));
    let trigger = system.trigger(&json!({"url": sink.url()}), &Value::Null).await;
    system.open(trigger).await;
    let refused = system.answer(trigger, 1, "x").await;
    let instance = system.start();
    system.probe_now().await;
    system.wait_until("failed", refused).await;
    system.wait_until_open(0).await;
    let next = system.answer(trigger, 1, "y").await;
    system.wait_until("delivered", next).await;
    instance.stop().await;
}

#[tokio::test]
async fn a_probe_that_is_no_request_is_passed_on() {
    let system = System::new().await;
    let sink = Sink::start();
    let trigger = system.trigger(&json!({"url": sink.url()}), &Value::Null).await;
    system.open(trigger).await;
    // Its response is empty, so there is nothing to send.
    let empty = system.answer(trigger, 1, " ").await;
    let next = system.answer(trigger, 2, "x").await;
    let instance = system.start();
    system.probe_now().await;
    system.wait_until("failed", empty).await;
    system.wait_until("delivered", next).await;
    instance.stop().await;
}

#[tokio::test]
async fn what_has_waited_for_a_day_is_not_sent_any_more() {
    let system = System::new().await;
    let sink = Sink::start();
    let trigger = system.trigger(&json!({"url": sink.url()}), &Value::Null).await;
    let late = system.answer(trigger, 1, "late").await;
    let late_again = system.answer(trigger, 2, "late").await;
    system.execute("UPDATE deliveries SET requested_at = now() - interval '25 hours'").await;
    let fresh = system.answer(trigger, 1, "fresh").await;
    system.open(trigger).await;
    system.probe_now().await;
    let instance = system.start();
    system.wait_until_all("failed", &[late, late_again]).await;
    assert_eq!(system.error_code(late).await, "expired");
    system.wait_until("delivered", fresh).await;
    assert_eq!(sink.count(), 1);
    instance.stop().await;
}
