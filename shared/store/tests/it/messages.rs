//! Windows as PostgreSQL keeps them.

use recado_store::{executions, messages};
use recado_types::{MessageId, SessionId};

use crate::fixture::{Fixture, message, now, request, session};

fn ids(messages: &[recado_messages::Inbound]) -> Vec<MessageId> {
    messages.iter().map(|message| message.id).collect()
}

#[tokio::test]
async fn a_repeated_message_is_open_until_it_is_in_an_execution() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (a, b) = (message(1, 1), message(1, 2));
    let mut open = messages::record(store, &[a.clone(), b.clone(), a.clone()]).await.unwrap();
    open.sort();
    open.dedup();
    assert_eq!(open, ids(&[a.clone(), b.clone()]));
    assert_eq!(messages::record(store, std::slice::from_ref(&a)).await.unwrap(), ids(&[a.clone()]));

    executions::admit(store, &[&request(std::slice::from_ref(&a))], now()).await.unwrap();
    assert!(messages::record(store, std::slice::from_ref(&a)).await.unwrap().is_empty());
    let open = messages::open_by_id(store, &ids(&[a, b.clone()])).await.unwrap();
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
    messages::record(store, &recorded).await.unwrap();
    let open = messages::open_of_sessions(store, &[session(1)]).await.unwrap();
    let open: Vec<_> = open.into_iter().map(|open| open.message).collect();
    assert_eq!(open, recorded);
}

#[tokio::test]
async fn a_walk_over_the_windows_meets_each_once() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    for s in 0..25 {
        let recorded: Vec<_> = (1..=2).map(|n| message(s, n)).collect();
        messages::record(store, &recorded).await.unwrap();
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
