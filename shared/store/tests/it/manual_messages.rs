//! What people say in an agent's place, as those get it who send it and who answer after it.

use std::time::Duration;

use recado_store::executions::{self, Claimed, Finished, History};
use recado_store::manual_messages::{self, ManualMessage, Saying};
use recado_store::{Config, Keyring, Role, Store, deliveries, lanes};
use recado_types::{DeliveryId, ExecutionId, TenantId};
use serde_json::json;
use uuid::Uuid;

use crate::executions::success;
use crate::fixture::{Fixture, KEYS, PLENTY, TENANT, message, now, request, session};

const LEASE: Duration = Duration::from_secs(30);
const HISTORY: History = History { turns: 10, bytes: 1_000 };

async fn admit_and_claim(fixture: &Fixture, n: u128) -> Claimed {
    let request = request(&[message(1, n)]);
    executions::admit(&fixture.store, &[&request], now()).await.unwrap();
    let claimed = executions::claim(&fixture.store, 1, LEASE, 10, HISTORY).await.unwrap();
    claimed.into_iter().next().unwrap()
}

/// As management, which answers people.
async fn say(fixture: &Fixture, tenant: TenantId, text: &str) -> Saying {
    let mut config = Config::new(fixture.database.url(), 1, "test");
    config.role = Role::Management;
    let store = Store::new(&config, Keyring::parse(KEYS).unwrap()).unwrap();
    let message = ManualMessage { id: ExecutionId(Uuid::new_v4()), text, author: "ana" };
    let store = store.for_tenant(tenant);
    manual_messages::say(&store, tenant, session(1), &message, now()).await.unwrap()
}

/// The next delivery, which then fails.
async fn deliver_one(fixture: &Fixture) -> deliveries::Claimed {
    let claimed = fixture.claim_deliveries(10, &PLENTY).await;
    let [claimed] = <[_; 1]>::try_from(claimed).unwrap();
    let (lease, id) = (&claimed.lease, claimed.delivery_id);
    let failed = deliveries::fail(&fixture.store, lease, id, now(), "http_500", "it broke").await;
    assert_eq!(failed.unwrap(), lanes::Held::Yes);
    claimed
}

#[tokio::test]
async fn it_is_not_interrupted_by_an_answer_and_remembered() {
    let fixture = Fixture::new().await;
    assert_eq!(say(&fixture, TENANT, "Nobody wrote yet.").await, Saying::NotFound);
    let first = admit_and_claim(&fixture, 1).await;
    // While the agent is at work.
    let said = say(&fixture, TENANT, "Hold on.").await;
    let [half] = <[_; 1]>::try_from(fixture.claim_deliveries(10, &PLENTY).await).unwrap();
    let chunks = ["Hold", "on."].map(String::from);
    let (lease, id) = (&half.lease, half.delivery_id);
    let planned = deliveries::plan(&fixture.store, lease, id, &chunks, false).await.unwrap();
    assert_eq!(planned, lanes::Held::Yes);
    // The first was sent, the second has to be tried again.
    let parked = "UPDATE chunks SET status = 'sent' WHERE chunk_index = 0;
                  UPDATE lanes SET lease_token = NULL, next_run_at = now() WHERE kind = 'delivery'";
    fixture.execute(parked).await;
    let ended = executions::finish(&fixture.store, &first, &success(&first, "It is here.")).await;
    assert!(matches!(ended.unwrap(), Finished::Done { more: false, .. }));

    let manual = deliver_one(&fixture).await;
    assert_eq!(manual.response, "Hold on.", "what has begun goes on");
    assert_eq!((manual.chunk_count, manual.chunks.len()), (Some(2), 2));
    let answer = deliver_one(&fixture).await;
    assert_eq!(answer.response, "It is here.");
    assert_eq!(json!(manual.context), json!({"n": "1"}), "where the user wrote last");
    assert_eq!(said, Saying::Queued { delivery_id: manual.delivery_id });
    assert_eq!(manual.delivery_id, DeliveryId::of(manual.execution_id));
    assert!(fixture.claim_deliveries(10, &PLENTY).await.is_empty());

    let second = admit_and_claim(&fixture, 2).await;
    let history: Vec<(&str, Option<&str>)> =
        second.history.iter().map(|turn| (turn.query.as_str(), turn.response.as_deref())).collect();
    assert_eq!(history, [("s1-m1", Some("It is here.")), ("", Some("Hold on."))]);
    assert_eq!(second.input, "s1-m2");

    // By nobody who cannot know where to.
    fixture.execute("DELETE FROM messages").await;
    assert_eq!(say(&fixture, TENANT, "Hello.").await, Saying::Removed);
    assert_eq!(fixture.count("SELECT count(*) FROM deliveries").await, 2);
    let waiting = "SELECT count(*) FROM lanes WHERE kind = 'delivery' AND queued > 0";
    assert_eq!(fixture.count(waiting).await, 0);
}

#[tokio::test]
async fn it_is_said_in_ones_own_sessions_with_a_callback_only() {
    let fixture = Fixture::new().await;
    admit_and_claim(&fixture, 1).await;
    let them = TenantId(Uuid::from_u128(77));
    assert_eq!(say(&fixture, them, "Hello.").await, Saying::NotFound);
    for (callback, refusal) in [
        ("trigger_config #- '{execution,callback}'", Saying::NoCallback),
        ("jsonb_set(trigger_config, '{execution,callback}', 'null')", Saying::NoCallback),
        ("'{\"execution\": {\"callback\": {}}}', deleted_at = now()", Saying::TriggerDeleted),
    ] {
        fixture.execute(&format!("UPDATE triggers SET trigger_config = {callback}")).await;
        assert_eq!(say(&fixture, TENANT, "Hello.").await, refusal);
    }
    assert_eq!(fixture.count("SELECT count(*) FROM deliveries").await, 0);
    assert_eq!(fixture.count("SELECT count(*) FROM lanes WHERE kind = 'delivery'").await, 0);
    let by_mail = "'{\"email\": {\"smtp\": {}}}', deleted_at = NULL";
    fixture.execute(&format!("UPDATE triggers SET trigger_config = {by_mail}")).await;
    assert!(matches!(say(&fixture, TENANT, "Hello.").await, Saying::Queued { .. }));
}
