//! Runs that give way to newer messages.

use recado_store::executions::{self, Finish, Finished, Superseded};
use recado_store::views;
use recado_types::MessageId;
use uuid::Uuid;

use crate::control::{admit, claim, claim_soon, expire_leases};
use crate::executions::success;
use crate::fixture::{Fixture, TENANT, message, now, request, session, sync_request};

/// What has to be written down of a run that had its answer already.
fn in_vain(claimed: &executions::Claimed) -> Finish {
    Finish { gives_way: true, events_due: true, ..success(claimed, "too late") }
}

#[tokio::test]
async fn a_run_that_has_its_answer_gives_way_and_is_paid_for() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let first = sync_request(1, 1, "queue-of-the-first");
    executions::admit(store, &[&first], now()).await.unwrap();
    let claimed = claim_soon(&fixture).await;
    let second = sync_request(1, 2, "queue-of-the-second");
    executions::admit(store, &[&second], now()).await.unwrap();

    let finish = in_vain(&claimed);
    assert_eq!(executions::finish(store, &claimed, &finish).await.unwrap(), Finished::Not);
    let Superseded::By { newer, reply_to } =
        executions::supersede(store, &claimed, &finish).await.unwrap()
    else {
        panic!("there is a newer one");
    };
    assert_eq!(reply_to, ["queue-of-the-first"]);
    let ended = "SELECT count(*) FROM executions
                  WHERE status = 'cancelled' AND error_code = 'superseded' AND tokens_used = 15
                    AND cost_usd = 0.5 AND events_due AND message_ids = '{}'
                    AND agent_response IS NULL";
    assert_eq!(fixture.count(ended).await, 1);
    assert_eq!(fixture.count("SELECT count(*) FROM llm_calls").await, 1);
    let told = views::resolve_execution(store, TENANT, claimed.execution_id).await.unwrap();
    assert_eq!(told.unwrap().execution, Some(newer), "what its sender was told leads on");

    let next = claim_soon(&fixture).await;
    assert_eq!((next.execution_id, next.supersede_count, next.n_messages), (newer, 1, 2));
    assert_eq!(next.input, "s1-m1+s1-m2");
    assert_eq!(next.history, [], "what had no answer is no exchange");
    let finish = in_vain(&next);
    let Finished::Done { more: false, mut reply_to } =
        executions::finish(store, &next, &finish).await.unwrap()
    else {
        panic!("nobody interrupts it");
    };
    reply_to.sort();
    assert_eq!(reply_to, ["queue-of-the-first", "queue-of-the-second"]);
}

#[tokio::test]
async fn nobody_gives_way_for_nothing_or_without_the_lease() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    admit(&fixture, 1, 1).await;
    let late = claim_soon(&fixture).await;
    let superseded = executions::supersede(store, &late, &in_vain(&late)).await.unwrap();
    assert_eq!(superseded, Superseded::No, "nobody interrupts");
    admit(&fixture, 1, 2).await;
    expire_leases(&fixture).await;
    let successor = claim(&fixture).await.unwrap();
    let superseded = executions::supersede(store, &late, &in_vain(&late)).await.unwrap();
    assert_eq!(superseded, Superseded::No, "the lease is somebody else's");
    assert_eq!(fixture.count("SELECT count(*) FROM llm_calls").await, 0);
    let superseded = executions::supersede(store, &successor, &in_vain(&successor)).await.unwrap();
    assert!(matches!(superseded, Superseded::By { .. }));
}

#[tokio::test]
async fn the_next_of_several_takes_the_messages_over() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    for n in 1..=3 {
        admit(&fixture, 1, n).await;
    }
    // Two messages in one execution of another session: nobody mixes them up.
    executions::admit(store, &[&request(&[message(2, 1), message(2, 2)])], now()).await.unwrap();
    let claimed = claim_soon(&fixture).await;
    assert_eq!(claimed.session_id, session(1));
    let superseded = executions::supersede(store, &claimed, &in_vain(&claimed)).await.unwrap();
    assert!(matches!(superseded, Superseded::By { .. }));
    let each = "SELECT count(*) FROM messages m JOIN executions e ON e.id = m.execution_id
                 WHERE m.id = ANY (e.message_ids)";
    assert_eq!(fixture.count(each).await, 5);
    let taken = MessageId(Uuid::from_u128(1_000_001));
    let order = format!(
        "SELECT count(*) FROM executions WHERE message_ids[1] = '{}' AND cardinality(message_ids) = 2",
        taken.0
    );
    assert_eq!(fixture.count(&order).await, 1);
}

#[tokio::test]
async fn nobody_gives_way_to_what_is_cancelled_or_older() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    admit(&fixture, 1, 1).await;
    let claimed = claim_soon(&fixture).await;
    admit(&fixture, 1, 2).await;
    let cancelled = "UPDATE executions SET cancel_requested_at = now() WHERE status = 'queued'";
    recado_testkit::sql::execute(fixture.database.url(), cancelled).await.unwrap();
    let finish = in_vain(&claimed);
    let superseded = executions::supersede(store, &claimed, &finish).await.unwrap();
    assert_eq!(superseded, Superseded::No);
    // Its place in the session is before the one that runs: it was recorded late.
    let older =
        "UPDATE executions SET cancel_requested_at = NULL, seq = -1 WHERE status = 'queued'";
    recado_testkit::sql::execute(fixture.database.url(), older).await.unwrap();
    let superseded = executions::supersede(store, &claimed, &finish).await.unwrap();
    assert_eq!(superseded, Superseded::No);
    assert_eq!(fixture.count("SELECT queued::bigint FROM lanes").await, 2, "nothing is lost");
    let finished = executions::finish(store, &claimed, &finish).await.unwrap();
    assert!(matches!(finished, Finished::Done { more: true, .. }), "{finished:?}");
}
