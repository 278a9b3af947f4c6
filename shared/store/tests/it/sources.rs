//! Sources: what derives from triggers, who may work them, and what is written down.

use std::time::Duration;

use chrono::TimeDelta;
use recado_store::lanes::Held;
use recado_store::secrets;
use recado_store::sources::{
    self, LeftOut, Outcome, SourceFailure, SourceKind, SourceStatus, find, settle,
};
use recado_store::triggers::{self, Saved, TriggerDraft};
use recado_types::{SecretId, TriggerId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixture::{AGENT, Fixture, TENANT, now};

const LEASE: Duration = Duration::from_secs(30);

impl Fixture {
    async fn source(&self, n: u128, config: Value) -> TriggerId {
        let id = TriggerId(Uuid::from_u128(0x5000 + n));
        let draft = TriggerDraft::new(AGENT, "source", config);
        let saved = triggers::create(&self.store, TENANT, id, &draft, "whs_x", now()).await;
        assert!(matches!(saved, Ok(Saved::Saved(_))), "{saved:?}");
        id
    }

    async fn status(&self, trigger: TriggerId) -> Option<SourceStatus> {
        find(&self.store, TENANT, trigger).await.unwrap()
    }

    async fn change(&self, trigger: TriggerId, config: Value) {
        let current = triggers::find(&self.store, TENANT, trigger).await.unwrap().unwrap();
        let draft = TriggerDraft::new(AGENT, "source", config);
        let later = now() + TimeDelta::hours(1);
        let saved =
            triggers::replace(&self.store, TENANT, trigger, current.version, &draft, later).await;
        assert!(matches!(saved, Ok(Saved::Saved(_))), "{saved:?}");
    }

    async fn enable(&self, trigger: TriggerId, enabled: bool) {
        let changed =
            triggers::set_enabled(&self.store, TENANT, trigger, None, enabled, now()).await;
        assert!(changed.unwrap().is_some());
    }

    async fn claim_sources(&self, kind: SourceKind) -> Vec<sources::ClaimedSource> {
        sources::claim(&self.store, kind, now(), 10, LEASE, &[]).await.unwrap()
    }
}

#[tokio::test]
async fn each_type_has_a_source_that_lives_as_long_as_its_trigger() {
    let fixture = Fixture::new().await;
    let configs = [
        ("schedule", json!({"schedule": {"interval_seconds": 60, "cron": null}})),
        (
            "db_event",
            json!({"db_event": {"secret_ref": "S", "listen": {"channel": "c"},
                                         "outbox": null}}),
        ),
        (
            "db_event",
            json!({"db_event": {"secret_ref": "S", "listen": null,
                                         "outbox": {"table": "t"}}}),
        ),
        (
            "imap",
            json!({"email": {"address": "a@b.example", "smtp": null,
                                  "imap": {"host": "h", "secret_ref": "S"}}}),
        ),
    ];
    for (n, (kind, config)) in (0..).zip(configs) {
        let trigger = fixture.source(n, config.clone()).await;
        assert_eq!(fixture.status(trigger).await.unwrap().kind, kind, "{config}");
        fixture.change(trigger, config.clone()).await;
        fixture.enable(trigger, false).await;
        assert!(!fixture.status(trigger).await.unwrap().is_due, "{config}");
        fixture.enable(trigger, true).await;
        assert!(fixture.status(trigger).await.unwrap().is_due, "{config}");
        assert!(triggers::delete(&fixture.store, TENANT, trigger, None, now()).await.unwrap());
        assert_eq!(fixture.status(trigger).await, None, "{config}");
    }
    let posted = json!({"email": {"address": "a@b.example", "imap": null}});
    let mails = fixture.source(10, posted).await;
    assert_eq!(fixture.status(mails).await, None, "mails that are posted are waited for");
    let read = json!({"email": {"address": "a@b.example", "imap": {"host": "h"}}});
    fixture.change(mails, read).await;
    assert_eq!(fixture.status(mails).await.unwrap().kind, "imap");
}

#[tokio::test]
async fn a_source_is_worked_by_one_and_goes_on_where_it_was() {
    let fixture = Fixture::new().await;
    let outbox = |poll_ms: u32| json!({"db_event": {"secret_ref": "S", "outbox": {"table": "t", "poll_ms": poll_ms}}});
    let trigger = fixture.source(0, outbox(100)).await;
    let claimed = fixture.claim_sources(SourceKind::DbEvent).await.remove(0);
    assert_eq!((claimed.lease.trigger_id, claimed.since), (trigger, now()));
    assert!(fixture.claim_sources(SourceKind::DbEvent).await.is_empty(), "it is leased");
    assert!(fixture.claim_sources(SourceKind::Schedule).await.is_empty(), "it is of another kind");
    let position = json!({"cursor": "7"});
    let left_out = LeftOut { count: 2, reason: Some("it was too large".into()) };
    let saved =
        sources::save_position(&fixture.store, claimed.lease, Some(&position), None, &left_out);
    assert_eq!(saved.await.unwrap(), Held::Yes);
    let renewed = sources::renew(&fixture.store, &[claimed.lease], LEASE).await.unwrap();
    assert_eq!(renewed, [claimed.lease]);

    // Another way to look is the same place to look at; another table is not.
    fixture.change(trigger, outbox(200)).await;
    let lost = sources::save_position(&fixture.store, claimed.lease, None, None, &left_out);
    assert_eq!(lost.await.unwrap(), Held::No, "whoever was at it has to read it again");
    assert!(sources::renew(&fixture.store, &[claimed.lease], LEASE).await.unwrap().is_empty());
    assert_eq!(fixture.claim_sources(SourceKind::DbEvent).await[0].position, Some(position));
    let other = json!({"db_event": {"secret_ref": "S", "outbox": {"table": "other"}}});
    fixture.change(trigger, other).await;
    let again = fixture.claim_sources(SourceKind::DbEvent).await.remove(0);
    assert_eq!((again.position, again.since), (None, now() + TimeDelta::hours(1)));
}

#[tokio::test]
async fn failures_are_counted_told_and_forgotten_and_a_secret_has_them_tried_again() {
    let fixture = Fixture::new().await;
    let listen = json!({"db_event": {"secret_ref": "S", "listen": {"channel": "c"}}});
    let trigger = fixture.source(0, listen).await;
    for n in 1..=2 {
        let claimed = fixture.claim_sources(SourceKind::DbEvent).await.remove(0);
        let failure = SourceFailure {
            code: "secret_missing",
            message: "there is no secret `S`".into(),
            at: now() + TimeDelta::minutes(n),
        };
        let later = now() + TimeDelta::hours(1);
        let due_at = if n == 2 { later } else { now() };
        let failed = Outcome::failed(claimed.lease, failure, due_at);
        assert_eq!(settle(&fixture.store, &[failed]).await.unwrap(), 1);
        let status = fixture.status(trigger).await.unwrap();
        assert_eq!(i64::from(status.failure_count), n);
        assert_eq!(status.failing_since, Some(now() + TimeDelta::minutes(1)));
        assert_eq!((status.error_code.as_deref(), status.is_held), (Some("secret_missing"), false));
    }
    assert!(fixture.claim_sources(SourceKind::DbEvent).await.is_empty(), "it waits");
    let id = SecretId(Uuid::from_u128(9));
    secrets::create(&fixture.store, TENANT, id, "S", "x", now()).await.unwrap().unwrap();
    let claimed = fixture.claim_sources(SourceKind::DbEvent).await.remove(0);
    assert_eq!(claimed.failure_count, 2);
    let nothing = LeftOut::default();
    let works = sources::save_position(&fixture.store, claimed.lease, None, None, &nothing).await;
    assert_eq!(works.unwrap(), Held::Yes);
    let status = fixture.status(trigger).await.unwrap();
    assert_eq!((status.failure_count, status.error_code, status.failing_since), (0, None, None));
    // Handed back, it waits behind those that have waited longer.
    sources::hand_back(&fixture.store, claimed.lease, now()).await.unwrap();
    let status = fixture.status(trigger).await.unwrap();
    assert_eq!((status.is_held, status.due_at), (false, Some(now())));
    let next = sources::next_due(&fixture.store, SourceKind::DbEvent, now() - LEASE).await;
    assert_eq!(next.unwrap(), Some(now()));
    assert!(
        sources::claim(&fixture.store, SourceKind::DbEvent, now(), 10, LEASE, &[TENANT])
            .await
            .unwrap()
            .is_empty()
    );
}
