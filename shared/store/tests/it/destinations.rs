//! Destinations that do not answer, as all instances see them.

use std::time::Duration;

use recado_store::deliveries::Room;
use recado_store::destinations::{self, Fault};
use recado_store::lanes::{self, BacklogOf};
use recado_testkit::wait_for;

use crate::deliveries::trigger;
use crate::fixture::{Fixture, PLENTY, TENANT, now};

const AT_ONCE: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_hours(1);

fn fault(pause: Duration) -> Fault {
    Fault {
        trigger_id: trigger(1),
        tenant_id: TENANT,
        failure_count: 5,
        error_code: "timeout".into(),
        error_message: "no answer".into(),
        pause,
    }
}

impl Fixture {
    async fn open(&self, pause: Duration) -> bool {
        destinations::open(&self.store, &fault(pause), now()).await.unwrap()
    }

    /// In how many seconds the destination may be probed.
    async fn probed_in(&self) -> i64 {
        self.count(
            "SELECT extract(epoch FROM probe_at - clock_timestamp())::bigint FROM destinations",
        )
        .await
    }
}

#[tokio::test]
async fn an_open_destination_is_passed_over_until_its_time_has_come() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 10).await;
    fixture.waits_for_sending(TENANT, 2, 3).await;
    assert!(fixture.open(LATER).await);
    let claimed = fixture.claim_deliveries(10, &PLENTY).await;
    assert!(claimed.iter().all(|claimed| claimed.trigger_id == trigger(2)));
    assert_eq!(claimed.len(), 3);

    destinations::probe_again(&fixture.store, trigger(1)).await.unwrap();
    let claimed = fixture.claim_deliveries(10, &PLENTY).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.probe).collect::<Vec<_>>(), [Some(0)]);
    assert!(fixture.claim_deliveries(10, &PLENTY).await.is_empty(), "one probe at a time");
}

#[tokio::test]
async fn of_many_who_claim_at_once_one_gets_the_probe() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 50).await;
    for _ in 0..5 {
        fixture.open(AT_ONCE).await;
        destinations::probe_again(&fixture.store, trigger(1)).await.unwrap();
        let claim = || fixture.claim_deliveries(10, &PLENTY);
        let (a, b, c, d) = tokio::join!(claim(), claim(), claim(), claim());
        assert_eq!(a.len() + b.len() + c.len() + d.len(), 1);
    }
}

#[tokio::test]
async fn a_probe_of_which_nothing_comes_is_made_again_in_its_time() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 5).await;
    fixture.open(AT_ONCE).await;
    let brief = Room { probe: Duration::from_millis(1), ..PLENTY };
    assert_eq!(fixture.claim_deliveries(10, &brief).await.len(), 1);
    let again = async || (fixture.claim_deliveries(10, &brief).await.len() == 1).then_some(());
    wait_for("the next probe", Duration::from_secs(10), again).await.unwrap();
}

#[tokio::test]
async fn a_failed_probe_counts_and_puts_the_next_one_off() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 5).await;
    fixture.open(AT_ONCE).await;
    assert_eq!(fixture.claim_deliveries(10, &PLENTY).await[0].probe, Some(0));
    let failed = Fault { failure_count: 6, ..fault(AT_ONCE) };
    destinations::probe_failed(&fixture.store, &failed, now()).await.unwrap();
    assert_eq!(fixture.claim_deliveries(10, &PLENTY).await[0].probe, Some(1));
    destinations::probe_failed(&fixture.store, &fault(LATER), now()).await.unwrap();
    assert!(fixture.claim_deliveries(10, &PLENTY).await.is_empty());
}

#[tokio::test]
async fn whoever_opens_what_is_open_only_puts_the_probe_off() {
    let fixture = Fixture::new().await;
    assert!(fixture.open(LATER).await);
    let again = destinations::open(&fixture.store, &fault(AT_ONCE), now() + LATER).await;
    assert!(!again.unwrap(), "it was open before");
    assert!(fixture.probed_in().await > 3_000);
    let much_later = destinations::open(&fixture.store, &fault(LATER * 2), now() + LATER).await;
    assert!(!much_later.unwrap());
    assert!(fixture.probed_in().await > 7_000);
    assert_eq!(destinations::count(&fixture.store).await.unwrap().n_open, 1);
}

#[tokio::test]
async fn what_has_answered_is_not_opened_by_the_failure_of_a_probe() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 5).await;
    fixture.open(LATER).await;
    assert!(destinations::close(&fixture.store, trigger(1)).await.unwrap());
    assert!(!destinations::close(&fixture.store, trigger(1)).await.unwrap());
    destinations::probe_failed(&fixture.store, &fault(LATER), now()).await.unwrap();
    assert_eq!(fixture.claim_deliveries(10, &PLENTY).await.len(), 5);
}

#[tokio::test]
async fn what_waits_for_one_that_is_open_is_no_backlog() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 5).await;
    let n_due = async || {
        let backlog = lanes::backlog(&fixture.store, BacklogOf::Deliveries).await.unwrap();
        (backlog.n_lanes, backlog.oldest_s > 0.0)
    };
    assert_eq!(n_due().await, (5, true));
    fixture.open(LATER).await;
    assert_eq!(n_due().await, (0, false));
    assert!(destinations::close(&fixture.store, trigger(1)).await.unwrap());
    assert_eq!(n_due().await, (5, true));
    // Once it is to be tried, there is something to do, and whoever does it has done all of it.
    fixture.open(AT_ONCE).await;
    assert_eq!(n_due().await, (1, true));
    assert_eq!(fixture.claim_deliveries(10, &PLENTY).await.len(), 1);
    assert_eq!(n_due().await, (0, false));
}
