//! Windows as PostgreSQL keeps them.

use recado_store::messages::Recorded;
use recado_store::{executions, messages};
use recado_types::{Fingerprint, MessageId, SessionId};

use crate::fixture::{Fixture, message, now, refs, request, session};

fn ids(messages: &[recado_messages::Inbound]) -> Vec<MessageId> {
    messages.iter().map(|message| message.id).collect()
}

#[tokio::test]
async fn a_repeated_message_is_open_until_it_is_in_an_execution() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (a, b) = (message(1, 1), message(1, 2));
    let mut open = messages::record(store, &[&a, &b, &a]).await.unwrap().open;
    open.sort();
    open.dedup();
    assert_eq!(open, ids(&[a.clone(), b.clone()]));
    let open = messages::record(store, &[&a]).await.unwrap().open;
    assert_eq!(open, ids(std::slice::from_ref(&a)));

    executions::admit(store, &[&request(std::slice::from_ref(&a))], now()).await.unwrap();
    assert!(messages::record(store, &[&a]).await.unwrap().open.is_empty());
    let open = messages::open(store, &[session(1)], 10).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].message, b);
    assert_eq!(open[0].message_buffer.as_ref().unwrap().policy.max_messages, 3);
}

#[tokio::test]
async fn open_messages_come_in_the_order_they_were_recorded() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    // Ids that sort the other way round.
    let recorded: Vec<_> = (1..=5).rev().map(|n| message(1, n)).collect();
    messages::record(store, &refs(&recorded)).await.unwrap();
    let open = messages::open(store, &[session(1)], 3).await.unwrap();
    let open: Vec<_> = open.into_iter().map(|open| open.message).collect();
    assert_eq!(open, recorded[..3]);
}

#[tokio::test]
async fn a_walk_over_the_windows_meets_each_once() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    for s in 0..25 {
        let recorded: Vec<_> = (1..=2).map(|n| message(s, n)).collect();
        messages::record(store, &refs(&recorded)).await.unwrap();
    }
    let mut met = Vec::new();
    let mut after = SessionId::first();
    loop {
        let page = messages::open_windows(store, after, 10).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.session_id;
        for window in page {
            assert_eq!(window.message_ids.len(), 2);
            assert!(window.oldest_ms >= window.newest_ms && window.newest_ms >= 0);
            met.push(window.session_id);
        }
    }
    let sessions: Vec<_> = (0..25).map(session).collect();
    assert_eq!(met, sessions);
}

#[tokio::test]
async fn what_is_requested_is_left_alone_until_it_counts_as_lost() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let a = message(1, 1);
    messages::record(store, &[&a]).await.unwrap();
    messages::mark_requested(store, &ids(std::slice::from_ref(&a))).await.unwrap();
    let visible = async || {
        let repeated = messages::record(store, &[&a]).await.unwrap().open.len();
        let open = messages::open(store, &[session(1)], 10).await.unwrap().len();
        let windows = messages::open_windows(store, SessionId::first(), 10).await.unwrap().len();
        [repeated, open, windows]
    };
    assert_eq!(visible().await, [0, 0, 0]);
    let ago = "UPDATE messages SET requested_at = now() - interval '61 seconds'";
    recado_testkit::sql::execute(fixture.database.url(), ago).await.unwrap();
    assert_eq!(visible().await, [1, 1, 1]);
}

#[tokio::test]
async fn a_fingerprint_stays_with_its_message() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (mut buffered, mut direct, plain) = (message(1, 1), message(2, 1), message(3, 1));
    buffered.fingerprint = Some(Fingerprint::of(b"buffered"));
    direct.fingerprint = Some(Fingerprint::of(b"direct"));
    assert_eq!(messages::fingerprint(store, buffered.id).await.unwrap(), None);

    messages::record(store, &[&buffered]).await.unwrap();
    let open = messages::open(store, &[session(1)], 10).await.unwrap().remove(0).message;
    assert_eq!(open, buffered, "it comes back out of the window");
    // The same id with something else to say changes nothing.
    let mut other = buffered.clone();
    other.fingerprint = Some(Fingerprint::of(b"something else"));
    messages::record(store, &[&other]).await.unwrap();
    let requests = [other, direct.clone(), plain.clone()].map(|message| request(&[message]));
    let requests: Vec<_> = requests.iter().collect();
    executions::admit(store, &requests, now()).await.unwrap();
    for message in [buffered, direct, plain] {
        let recorded = messages::fingerprint(store, message.id).await.unwrap();
        assert_eq!(recorded, Some(Recorded { fingerprint: message.fingerprint }));
    }
}

#[tokio::test]
async fn a_window_that_would_be_overtaken_keeps_its_fingerprints() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let mut early = message(1, 1);
    early.fingerprint = Some(Fingerprint::of(b"early"));
    messages::record(store, &[&early]).await.unwrap();
    let mut late = message(1, 2);
    late.accepted_at += std::time::Duration::from_secs(1);
    executions::admit(store, &[&request(&[late])], now()).await.unwrap();
    let recorded = messages::fingerprint(store, early.id).await.unwrap();
    assert_eq!(recorded, Some(Recorded { fingerprint: early.fingerprint }));
}
