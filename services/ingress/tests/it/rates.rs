//! How much is let in: at the edge of each limit and over it, by whichever instance.

use recado_testkit::wait_for;
use serde_json::{Value, json};

use crate::requests::{Answered, Sender, named, named_message, open};
use crate::running::{Running, SOON};

const JSON: &str = "application/json";

/// An open trigger with this `rate_limit`, whose senders are in `from`.
fn limited(rate_limit: &Value) -> Value {
    let mut config = open();
    config["rate_limit"] = rate_limit.clone();
    config["sender_access"] = json!({"mode": "any", "identity_field": "from"});
    config
}

async fn post_from(sender: &Sender, from: &str) -> Answered {
    sender.post(JSON, json!({"from": from, "text": "Olá"}).to_string()).await
}

/// What an answer says of the limit: how much it is and what is left of it.
fn told(answer: &Answered) -> (Option<&str>, Option<&str>) {
    (answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining"))
}

/// A 429 that says when to come back; `limit` is the one that is used up.
fn assert_limited(running: &Running, answer: &Answered, limit: &str) {
    let essence = (answer.status, answer.error());
    assert_eq!(essence, (429, "rate_limited".to_owned()), "{}", answer.body);
    assert_eq!(told(answer), (Some(limit), Some("0")));
    let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    let now = running.now().timestamp();
    let reset: i64 = answer.header("x-ratelimit-reset").unwrap().parse().unwrap();
    assert!((now..=now + 61).contains(&reset), "{reset} at {now}");
}

#[tokio::test]
async fn a_trigger_takes_as_many_as_its_limit_over_all_instances() {
    let running = Running::start().await;
    let other = running.another_instance().await;
    let trigger = running.trigger(limited(&json!({"per_minute": 3}))).await;
    let senders = [running.sender(trigger), other.sender(trigger)];
    let queue = running.requested();
    for (n, left) in ["2", "1", "0"].into_iter().enumerate() {
        let answer = post_from(&senders[n % 2], &format!("sender {n}")).await;
        assert_eq!(answer.status, 202);
        assert_eq!(told(&answer), (Some("3"), Some(left)));
        let reset: i64 = answer.header("x-ratelimit-reset").unwrap().parse().unwrap();
        assert!(reset >= running.now().timestamp());
        assert_eq!(answer.header("retry-after"), None);
    }
    for sender in senders.iter().chain(&senders) {
        assert_limited(&running, &post_from(sender, "another").await, "3");
    }
    // Another trigger has its own.
    let unlimited = running.sender(running.trigger(open()).await);
    let answer = post_from(&unlimited, "another").await;
    assert_eq!((answer.status, told(&answer)), (202, (None, None)));
    queue.wait_for(4).await;
    other.stop().await;
    running.stop().await;
    assert_eq!(queue.all().len(), 4, "nothing that was refused is published");
}

#[tokio::test]
async fn a_sender_over_the_limit_hinders_no_other_however_it_spells_itself() {
    let running = Running::start().await;
    let other = running.another_instance().await;
    let limit = json!({"per_sender_per_minute": 2, "per_minute": 100});
    let trigger = running.trigger(limited(&limit)).await;
    let senders = [running.sender(trigger), other.sender(trigger)];
    for (sender, from) in senders.iter().zip(["whatsapp:+55 (11) 99999-0000", "551199990000"]) {
        assert_eq!(post_from(sender, from).await.status, 202, "{from}");
    }
    for sender in &senders {
        for _ in 0..20 {
            assert_limited(&running, &post_from(sender, "+5511999990000").await, "2");
        }
    }
    // The fifty refusals cost the trigger's own limit nothing either.
    for (n, sender) in senders.iter().enumerate() {
        let answer = post_from(sender, "+5511999991111").await;
        assert_eq!((answer.status, told(&answer).0), (202, Some("2")), "{n}");
        assert_eq!(post_from(sender, &format!("{n}@recado.test")).await.status, 202);
    }
    // Who says nothing of who it is counts for the trigger only.
    let anonymous = senders[0].post(JSON, "{}").await;
    assert_eq!((anonymous.status, told(&anonymous)), (202, (Some("100"), Some("93"))));
    other.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn a_tenant_over_its_limit_hinders_no_other() {
    let running = Running::start_with(|limits| limits.tenant_per_minute = Some(3)).await;
    let other = running.another_instance().await;
    let triggers = [running.trigger(open()).await, running.trigger(open()).await];
    let senders = [running.sender(triggers[0]), other.sender(triggers[1])];
    for (n, left) in ["2", "1", "0"].into_iter().enumerate() {
        let answer = post_from(&senders[n % 2], "Ana").await;
        assert_eq!((answer.status, told(&answer)), (202, (Some("3"), Some(left))));
    }
    for sender in &senders {
        assert_limited(&running, &post_from(sender, "Ana").await, "3");
    }
    let (tenant, agent) = running.another_tenant().await;
    let foreign = running.trigger_of(tenant, agent, open()).await;
    let answer = post_from(&running.sender(foreign), "Ana").await;
    assert_eq!((answer.status, told(&answer)), (202, (Some("3"), Some("2"))));
    other.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn the_limit_with_the_least_left_is_told() {
    let running = Running::start().await;
    let limit = json!({"per_sender_per_minute": 5, "per_minute": 6});
    let sender = running.sender(running.trigger(limited(&limit)).await);
    let of = async |from: &str| {
        let answer = post_from(&sender, from).await;
        let (limit, left) = told(&answer);
        (answer.status, limit.unwrap().to_owned(), left.unwrap().to_owned())
    };
    let expected = |limit: &str, left: &str| (202, limit.to_owned(), left.to_owned());
    assert_eq!(of("Ana").await, expected("5", "4"));
    assert_eq!(of("Ana").await, expected("5", "3"));
    assert_eq!(of("Bia").await, expected("6", "3"));
    running.stop().await;
}

/// A recorded request that is sent again and again must not be free.
#[tokio::test]
async fn a_repeated_message_counts_like_a_new_one_and_a_conflict_costs_nothing() {
    let running = Running::start().await;
    let mut config = named();
    config["rate_limit"] = json!({"per_minute": 3});
    let sender = running.sender(running.trigger(config).await);
    let post = async |id: &str, text: &str| sender.post(JSON, named_message(id, text)).await;
    let first = post("m1", "one").await;
    assert_eq!((first.status, told(&first)), (202, (Some("3"), Some("2"))));
    for _ in 0..5 {
        assert_eq!(post("m1", "another").await.status, 409);
    }
    let again = post("m1", "one").await;
    assert_eq!((again.essence(), told(&again)), (first.essence(), (Some("3"), Some("1"))));
    let second = post("m2", "two").await;
    assert_eq!((second.status, told(&second)), (202, (Some("3"), Some("0"))));
    for id in ["m1", "m3"] {
        assert_limited(&running, &post(id, "one").await, "3");
    }
    running.stop().await;
}

#[tokio::test]
async fn what_is_refused_for_another_reason_costs_nothing() {
    let running = Running::start().await;
    let mut config = named();
    config["rate_limit"] = json!({"per_minute": 1});
    let sender = running.sender(running.trigger(config).await);
    assert_eq!(sender.post(JSON, "{").await.status, 400);
    assert_eq!(sender.post(JSON, r#"{"text": " "}"#).await.status, 400);
    assert_eq!(sender.post("image/png", "x").await.status, 415);
    assert_eq!(sender.post(JSON, named_message("m1", "one")).await.status, 202);
    running.stop().await;
}

#[tokio::test]
async fn without_redis_each_instance_keeps_the_limits_by_itself() {
    let mut running = Running::start().await;
    let other = running.another_instance().await;
    let trigger = running.trigger(limited(&json!({"per_minute": 2}))).await;
    let senders = [running.sender(trigger), other.sender(trigger)];
    running.redis().kill().unwrap();
    for sender in &senders {
        for left in ["1", "0"] {
            let answer = post_from(sender, "Ana").await;
            assert_eq!((answer.status, told(&answer)), (202, (Some("2"), Some(left))));
        }
        assert_limited(&running, &post_from(sender, "Ana").await, "2");
    }

    running.redis().restart().await.unwrap();
    let together = async || {
        // A trigger of its own, so that nothing but the two messages counts.
        let trigger = running.trigger(limited(&json!({"per_minute": 1}))).await;
        assert_eq!(post_from(&running.sender(trigger), "Ana").await.status, 202);
        (post_from(&other.sender(trigger), "Ana").await.status == 429).then_some(())
    };
    wait_for("a limit over both instances", SOON, together).await.unwrap();
    other.stop().await;
    running.stop().await;
}
