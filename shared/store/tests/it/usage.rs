//! What is counted, and what follows from it.

use chrono::{DateTime, TimeDelta, Utc};
use recado_store::tenants::{self, Change, OperatorChanges, OverQuota, Quota};
use recado_store::usage::{self, Counted, UsageDay};
use recado_store::{Store, webhooks};
use uuid::Uuid;

use crate::fixture::{Fixture, TENANT, TRIGGER, now};

/// Compares everything, as many rounds of housekeeping do.
async fn count_all(store: &Store, now: DateTime<Utc>) -> usize {
    let mut ranges = usage::past(now);
    ranges.push(usage::present(now));
    match usage::count(store, TENANT, &ranges, now).await.unwrap() {
        Counted::Spans(n_spans) => n_spans,
        Counted::InHand => 0,
    }
}

async fn days(store: &Store) -> Vec<UsageDay> {
    let (from, to) = (now() - TimeDelta::days(9), now() + TimeDelta::days(9));
    usage::days(store, TENANT, from.date_naive(), to.date_naive()).await.unwrap()
}

fn used(n: i64) -> UsageDay {
    UsageDay {
        day: now().date_naive(),
        executions: n,
        failed_executions: 0,
        messages: n,
        input_tokens: 10 * n,
        output_tokens: 3 * n,
        tokens: 13 * n,
        #[expect(clippy::cast_precision_loss, reason = "few")]
        cost_usd: 0.5 * n as f64,
        deliveries: n,
        failed_deliveries: 0,
    }
}

#[tokio::test]
async fn everything_is_counted_once_whoever_counts_and_however_late_it_ends() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    fixture.has_ended(TENANT, 10, 3, 40, now()).await;
    assert_eq!(count_all(store, now()).await, 1);
    assert_eq!(days(store).await, [used(40)]);
    // Nothing has changed.
    assert_eq!(count_all(store, now()).await, 0);

    // These ended hours ago, as their runners say, and are written down only now: on that day, on
    // the one before, and on the one before that, which is too long ago.
    let ended = |hours| now() - TimeDelta::hours(hours);
    fixture.has_ended(TENANT, 1_000, 3, 30, ended(2)).await;
    fixture.has_ended(TENANT, 2_000, 3, 20, ended(12)).await;
    fixture.has_ended(TENANT, 3_000, 3, 10, ended(40)).await;
    tokio::join!(count_all(store, now()), count_all(store, now()), count_all(store, now()));
    count_all(store, now()).await;
    let yesterday = UsageDay { day: ended(12).date_naive(), ..used(20) };
    assert_eq!(days(store).await, [yesterday.clone(), used(70)]);

    // A sub-agent's execution is none of the tenant's, but what it costs is; and what a person said
    // is none.
    let said = Uuid::from_u128((10 << 32) + 3);
    let (child, bad) = (Uuid::from_u128((10 << 32) + 1), Uuid::from_u128((10 << 32) + 2));
    fixture
        .execute(&format!(
            "UPDATE executions SET parent_execution_id = id, message_ids = '{{}}', status = 'failed'
              WHERE id = '{child}';
             UPDATE executions SET status = 'failed' WHERE id = '{bad}';
             UPDATE executions SET author = 'ana', message_ids = '{{}}' WHERE id = '{said}';
             UPDATE deliveries SET status = 'failed' WHERE id IN ('{child}', '{bad}')"
        ))
        .await;
    count_all(store, now()).await;
    let today = UsageDay {
        executions: 68,
        messages: 68,
        failed_executions: 1,
        failed_deliveries: 2,
        ..used(70)
    };
    assert_eq!(days(store).await, [yesterday.clone(), today.clone()]);

    // What is removed, and what is forgotten of it, stays counted.
    fixture.execute("DELETE FROM llm_calls; DELETE FROM executions; DELETE FROM deliveries").await;
    count_all(store, now() + TimeDelta::days(5)).await;
    assert_eq!(fixture.count("SELECT count(*) FROM usage_spans").await, 0);
    assert_eq!(days(store).await, [yesterday, today]);
}

#[tokio::test]
async fn a_tenant_is_over_its_quota_until_it_is_raised_or_the_month_ends() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    fixture.has_ended(TENANT, 10, 3, 40, now()).await;
    let grant = async |executions, tokens| {
        let changes = OperatorChanges {
            executions_per_month: Change::To(executions),
            tokens_per_month: Change::To(tokens),
            ..OperatorChanges::default()
        };
        let granted = tenants::update_by_operator(store, TENANT, None, &changes, now()).await;
        let version = granted.unwrap().unwrap().updated_at;
        count_all(store, now()).await;
        let tenant = tenants::find(store, TENANT).await.unwrap().unwrap();
        assert_eq!(tenant.updated_at, version, "it is nobody's change");
        let trigger = webhooks::trigger(store, TRIGGER).await.unwrap().unwrap();
        assert_eq!(trigger.over_quota, tenant.over_quota);
        tenant.over_quota
    };
    let until = "2027-02-01T00:00:00Z".parse().unwrap();
    let over = |quota| Some(OverQuota { quota, until });
    assert_eq!(grant(None, None).await, None);
    assert_eq!(grant(Some(41), Some(521)).await, None);
    assert_eq!(grant(Some(40), Some(521)).await, over(Quota::Executions));
    assert_eq!(grant(Some(41), Some(520)).await, over(Quota::Tokens));
    assert_eq!(grant(Some(41), None).await, None);
    assert_eq!(grant(Some(1), None).await, over(Quota::Executions));

    count_all(store, until).await;
    let tenant = tenants::find(store, TENANT).await.unwrap().unwrap();
    assert_eq!(tenant.over_quota, None);
}
