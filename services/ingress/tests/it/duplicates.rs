//! One message is one message, however often and by whichever instance it comes; and an id is
//! never two messages'.

use futures_util::future::join_all;
use recado_store::messages;
use recado_testkit::wait_for;
use recado_types::{ExecutionId, MessageId};
use serde_json::json;

use crate::requests::{Answered, Sender, erp, erp_message, named, named_message};
use crate::running::{Running, SOON};

const JSON: &str = "application/json";

async fn post(sender: &Sender, id: &str, text: &str) -> Answered {
    sender.post(JSON, named_message(id, text)).await
}

fn assert_conflict(answer: &Answered) {
    let essence = (answer.status, answer.error());
    assert_eq!(essence, (409, "idempotency_conflict".to_owned()), "{}", answer.body);
}

#[tokio::test]
async fn a_hundred_duplicates_at_once_over_two_instances_are_one_message() {
    let running = Running::start().await;
    let other = running.another_instance().await;
    let trigger = running.trigger(named()).await;
    let senders = [running.sender(trigger), other.sender(trigger)];
    let queue = running.requested();

    let posts = (0..100).map(|n| post(&senders[n % senders.len()], "m1", "once"));
    let answers = join_all(posts).await;
    let expected = MessageId::derived(trigger, "m1");
    assert_eq!(answers[0].status, 202);
    assert_eq!(answers[0].json()["execution_id"], json!(ExecutionId::of_first(expected)));
    for answer in &answers {
        assert_eq!(answer.essence(), answers[0].essence());
    }
    // Each 202 is a publication of its own; by the id they are one to the database.
    let all = queue.wait_for(100).await;
    let fingerprint = all[0].messages[0].fingerprint;
    assert!(fingerprint.is_some());
    for requested in &all {
        let [message] = requested.messages.as_slice() else { panic!("{requested:?}") };
        assert_eq!((message.id, message.fingerprint), (expected, fingerprint));
    }
    other.stop().await;
    running.stop().await;
    assert_eq!(queue.all().len(), 100);
}

#[tokio::test]
async fn another_content_under_a_known_id_is_refused_by_every_instance() {
    let running = Running::start().await;
    let other = running.another_instance().await;
    let trigger = running.trigger(named()).await;
    let (here, there) = (running.sender(trigger), other.sender(trigger));
    let queue = running.requested();

    let first = post(&here, "m1", "one").await;
    assert_eq!(first.status, 202);
    for sender in [&here, &there] {
        assert_conflict(&post(sender, "m1", "two").await);
        assert_eq!(post(sender, "m1", "one").await.essence(), first.essence());
    }
    // An id belongs to its trigger.
    let elsewhere = running.sender(running.trigger(named()).await);
    assert_eq!(post(&elsewhere, "m1", "two").await.status, 202);
    other.stop().await;
    let published = queue.wait_for(4).await;
    running.stop().await;
    assert_eq!(queue.all().len(), 4);
    let texts: Vec<_> = published.iter().map(|it| it.messages[0].text.as_str()).collect();
    assert_eq!(texts, ["one", "one", "one", "two"]);
}

#[tokio::test]
async fn the_same_content_written_otherwise_is_the_same_message() {
    let running = Running::start().await;
    let sender = running.sender(running.trigger(named()).await);
    let first = sender.post(JSON, r#"{"id": "m1", "text": "one", "n": {"b": 1, "a": [2]}}"#).await;
    assert_eq!(first.status, 202);
    let again = sender.post(JSON, r#"{"n":{"a":[2],"b":1},"text":"\u006fne","id":"m1"}"#).await;
    assert_eq!(again.essence(), first.essence());
    let more = sender.post(JSON, r#"{"n":{"a":[2],"b":2},"text":"one","id":"m1"}"#).await;
    assert_conflict(&more);
    running.stop().await;
}

#[tokio::test]
async fn an_id_in_a_header_is_compared_too() {
    let running = Running::start().await;
    let sender = running.sender(running.trigger(erp()).await);
    let post = async |text: &str| {
        let body = erp_message(text).to_string();
        let signature = crate::requests::signature(body.as_bytes());
        let headers = [("x-event-id", "e1".to_owned()), ("x-webhook-signature", signature)];
        sender.post_json_with(&headers, body).await
    };
    let first = post("one").await;
    assert_eq!(first.status, 202);
    assert_conflict(&post("two").await);
    assert_eq!(post("one").await.essence(), first.essence());
    running.stop().await;
}

#[tokio::test]
async fn a_message_without_an_id_is_a_new_one_each_time() {
    let running = Running::start().await;
    let sender = running.sender(running.trigger(named()).await);
    let queue = running.requested();
    let body = json!({"text": "again"}).to_string();
    for _ in 0..2 {
        assert_eq!(sender.post(JSON, body.clone()).await.status, 202);
    }
    let published = queue.wait_for(2).await;
    let [one, two] = [0, 1].map(|n| &published[n].messages[0]);
    assert_ne!(one.id, two.id);
    assert_eq!((one.fingerprint, two.fingerprint), (None, None));
    running.stop().await;
}

/// The buffer or the agent runner has recorded the first message by then.
#[tokio::test]
async fn without_redis_the_database_knows_what_an_id_stands_for() {
    let mut running = Running::start().await;
    let other = running.another_instance().await;
    let trigger = running.trigger(named()).await;
    let senders = [running.sender(trigger), other.sender(trigger)];
    let queue = running.requested();
    let first = post(&senders[0], "m1", "one").await;
    assert_eq!(first.status, 202);
    let recorded = queue.next().await.messages.remove(0);
    messages::record(&running.store, &[&recorded]).await.unwrap();

    running.redis().kill().unwrap();
    for sender in &senders {
        assert_conflict(&post(sender, "m1", "two").await);
        assert_eq!(post(sender, "m1", "one").await.essence(), first.essence());
        // Nobody has recorded this one: it cannot be told, so it is taken.
        assert_eq!(post(sender, "m2", "one").await.status, 202);
        assert_eq!(post(sender, "m2", "two").await.status, 202);
    }

    running.redis().restart().await.unwrap();
    let compares = async || {
        let id = running.now().to_rfc3339();
        assert_eq!(post(&senders[0], &id, "one").await.status, 202);
        (post(&senders[0], &id, "two").await.status == 409).then_some(())
    };
    wait_for("a Redis that compares again", SOON, compares).await.unwrap();
    other.stop().await;
    running.stop().await;
}
