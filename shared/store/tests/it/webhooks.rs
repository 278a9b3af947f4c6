//! What ingress is told of a trigger.

use chrono::{DateTime, TimeDelta, Utc};
use recado_store::triggers::{self, Replacement};
use recado_store::webhooks;
use recado_types::TenantId;
use uuid::Uuid;

use crate::fixture::{AGENT, Fixture, TENANT, TRIGGER, now};

fn replacement(
    webhook_secret: &str,
    previous_expires_at: Option<DateTime<Utc>>,
) -> Replacement<'_> {
    Replacement { webhook_secret, previous_expires_at }
}

#[tokio::test]
async fn a_replaced_secret_comes_with_its_end() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let expires_at = now() + TimeDelta::hours(1);
    let elsewhere = TenantId(Uuid::from_u128(9));
    let grace = Some(expires_at);
    let none = triggers::rotate_secret(
        store,
        elsewhere,
        TRIGGER,
        None,
        replacement("whs_z", grace),
        now(),
    )
    .await;
    assert_eq!(none.unwrap(), None);

    let rotated =
        triggers::rotate_secret(store, TENANT, TRIGGER, None, replacement("whs_y", grace), now())
            .await;
    let rotated = rotated.unwrap().unwrap();
    assert_eq!((rotated.trigger.version, rotated.previous_expires_at), (2, grace));
    let found = webhooks::trigger(store, TRIGGER).await.unwrap().unwrap();
    assert_eq!((found.agent_id, found.app), (AGENT, None));
    assert_eq!(found.webhook_secret, "whs_y");
    assert_eq!(found.previous_webhook_secret, Some(("whs_x".into(), expires_at)));
    assert!(!format!("{found:?}").contains("whs_"), "{found:?}");
}

#[tokio::test]
async fn a_replaced_secret_that_does_not_open_is_as_good_as_none() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let grace = Some(now() + TimeDelta::hours(1));
    triggers::rotate_secret(store, TENANT, TRIGGER, None, replacement("whs_y", grace), now())
        .await
        .unwrap();
    let lost = "UPDATE triggers SET previous_webhook_secret_key_id = 'a key that was taken away'";
    recado_testkit::sql::execute(fixture.database.url(), lost).await.unwrap();
    let found = webhooks::trigger(store, TRIGGER).await.unwrap().unwrap();
    assert_eq!(found.webhook_secret, "whs_y");
    assert_eq!(found.previous_webhook_secret, None);
}
