//! What listeners are told, when they want no more, and when their secret changes.

use anyhow::Context;
use chrono::TimeDelta;
use recado_clock::{Clock, SystemClock};
use recado_testkit::stub::Fault;
use recado_testkit::wait_for;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Office, Told, WHOLE, by_execution, change, is_genuine, kinds};
use crate::support::{SOON, Story, system};

#[tokio::test]
async fn all_that_happens_is_told_in_order_and_signed() -> Story {
    let office = Office::open(system()).await?;
    let told = office.told_of("orders").await?;
    assert_eq!(kinds(&told), WHOLE);
    for (told, received) in told.iter().zip(office.listener.sink.received()) {
        assert!(is_genuine(&received, &office.listener.secret)?, "{received:?}");
        assert!(!is_genuine(&received, "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCBpdCBpcw==")?);
        assert_eq!(received.header("content-type"), Some("application/json"));
        let body = received.json().context("it is JSON")?;
        assert_eq!(body["data"]["objectiveEvent"]["metadata"]["id"], told.id.as_str());
        for part in ["agent", "agentVariation", "objective", "objectiveEvent"] {
            assert!(body["data"][part].is_object(), "no {part}: {body}");
        }
    }

    let management = office.desk.app.management();
    let endpoint = office.listener.endpoint.as_str();
    let delivered = async || {
        let listed = management.event_deliveries(endpoint).await.ok()?;
        listed.iter().all(|listed| listed["status"] == "delivered").then_some(listed)
    };
    let listed = wait_for("all to be written down", SOON, delivered).await?;
    let ids: Vec<_> = listed.iter().rev().map(|listed| listed["event_id"].as_str()).collect();
    assert_eq!(ids, told.iter().map(|told| Some(told.id.as_str())).collect::<Vec<_>>());
    for delivery in &listed {
        assert_eq!((&delivery["attempt_count"], &delivery["round"]), (&json!(1), &json!(1)));
        let path = format!("/api/event-deliveries/{}", delivery["id"].as_str().unwrap_or_default());
        let detail = management.get(&path).await?["data"].take();
        let attempt = &detail["attempts"][0];
        assert_eq!(attempt["status_code"], 200, "{detail}");
        assert!(attempt["duration_ms"].as_i64().is_some_and(|took| took >= 0), "{detail}");
        assert!(attempt["response_headers"].to_string().contains("application/json"), "{detail}");
    }
    Ok(office.desk.app.finish().await?)
}

#[tokio::test]
async fn an_event_comes_again_under_its_id_if_it_failed_or_somebody_asks() -> Story {
    let office = Office::open(system()).await?;
    office.listener.sink.fail_at(1, Fault::status(500));
    let execution = office.begin("orders").await?;
    office.desk.end_of(&office.trigger, &execution).await?;
    // What has to be repeated comes later, and holds up nothing; the first repetition is due in
    // five seconds.
    office.listener.until_told_of(1).await?;
    let told = office.listener.heard();
    assert_eq!(kinds(&told)[..4], WHOLE[1..]);
    let received = office.listener.sink.received();
    let first = Told::of(&received[0]);
    let again = told.iter().find(|told| told.id == first.id).context("it came again")?;
    assert_eq!(again.body, first.body, "byte for byte");

    let management = office.desk.app.management();
    let listed = management.event_deliveries(&office.listener.endpoint).await?;
    let id = listed[0]["id"].as_str().context("it has an id")?;
    let path = format!("/api/event-deliveries/{id}/send-again");
    let n_told = office.listener.heard().len();
    let send_again = async || change(management, Method::POST, &path, &json!({})).await.ok();
    wait_for("it to be written down", SOON, send_again).await?;
    office.listener.until_told(n_told + 1).await?;
    assert_eq!(
        office.listener.heard()[n_told].id,
        listed[0]["event_id"].as_str().unwrap_or_default()
    );
    Ok(office.desk.app.finish().await?)
}

#[tokio::test]
async fn who_answers_410_is_told_no_more_until_somebody_enables_and_recovers_it() -> Story {
    let office = Office::open(system()).await?;
    let since = SystemClock::default().now() - TimeDelta::minutes(1);
    office.listener.sink.fail_next(1, &Fault::status(410));
    let first = office.begin("the last straw").await?;
    office.desk.end_of(&office.trigger, &first).await?;
    let (management, path) = (office.desk.app.management(), office.listener.path());
    let disabled = wait_for("the endpoint to be disabled", SOON, async || {
        let endpoint = management.get(&path).await.ok()?["data"].take();
        (endpoint["enabled"] == false).then_some(endpoint)
    })
    .await?;
    assert_eq!(disabled["disabled_code"], "gone", "{disabled}");
    assert!(disabled["disabled_message"].as_str().is_some_and(|it| it.contains("410")));

    let n_asked = office.listener.sink.count();
    let second = office.begin("missed").await?;
    office.desk.end_of(&office.trigger, &second).await?;
    let recorded = async || {
        let listed = management.event_deliveries(&office.listener.endpoint).await.ok()?;
        (listed.len() == 2 * WHOLE.len()).then_some(listed)
    };
    let recorded = wait_for("what was missed to be recorded", SOON, recorded).await?;
    for missed in &recorded[..WHOLE.len()] {
        assert_eq!(missed["error_code"], "endpoint_disabled", "{missed}");
    }
    assert_eq!(office.listener.sink.count(), n_asked, "nothing more is sent there");

    let enabled = change(management, Method::PATCH, &path, &json!({"enabled": true})).await?;
    assert_eq!((&enabled["enabled"], &enabled["disabled_code"]), (&json!(true), &Value::Null));
    let since = json!({"since": since.to_rfc3339()});
    let recover = format!("{path}/recover");
    let recovered = change(management, Method::POST, &recover, &since).await?;
    assert!(recovered["recovered"].as_u64() >= Some(WHOLE.len() as u64), "{recovered}");
    office.listener.until_told_of(2).await?;
    for told in by_execution(&office.listener.heard()).values() {
        let mut kinds = kinds(told);
        kinds.sort_unstable();
        let mut whole = WHOLE;
        whole.sort_unstable();
        assert_eq!(kinds, whole);
    }
    Ok(office.desk.app.finish().await?)
}

#[tokio::test]
async fn after_a_rotation_both_secrets_sign_until_the_old_one_expires() -> Story {
    let office = Office::open(system()).await?;
    let (management, path) = (office.desk.app.management(), office.listener.path());
    let rotate = async |expires_in_s: u32| -> anyhow::Result<String> {
        let (path, wish) = (format!("{path}/rotate-secret"), json!({"expires_in_s": expires_in_s}));
        let rotated = change(management, Method::POST, &path, &wish).await?;
        Ok(rotated["secret"].as_str().context("a rotation shows the secret")?.to_owned())
    };
    let first = office.listener.secret.clone();
    let second = rotate(3_600).await?;
    office.told_of("with two").await?;
    let n_told = office.listener.sink.count();
    for received in office.listener.sink.received() {
        assert!(is_genuine(&received, &first)? && is_genuine(&received, &second)?);
    }
    let third = rotate(0).await?;
    office.told_of("with one").await?;
    for received in &office.listener.sink.received()[n_told..] {
        assert!(is_genuine(received, &third)?);
        assert!(!is_genuine(received, &first)? && !is_genuine(received, &second)?);
    }
    Ok(office.desk.app.finish().await?)
}
