//! The servers behind ingress die, hang and refuse: no false 2xx, a bounded wait, and recovery
//! without a restart.

mod redis;

use std::cell::Cell;
use std::time::{Duration, Instant};

use recado_testkit::scratch::ScratchDir;
use recado_testkit::servers::{Postgres, RabbitMq, Redis};
use recado_testkit::wait_for;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::requests::{Answered, Sender, erp_message, named, named_message, open};
use crate::running::{Running, SOON, ServerUrls};

/// What a sender has to wait at most, with what a busy machine adds.
const BOUND: Duration = Duration::from_millis(2_500);

/// How long recovery may take: the broker takes most of it to come up.
const RECOVERY: Duration = Duration::from_mins(1);

struct Private {
    running: Running,
    // Dropped before the directory they write to.
    postgres: Postgres,
    rabbitmq: RabbitMq,
    _redis: Redis,
    _scratch: ScratchDir,
}

impl Private {
    async fn start() -> Self {
        let scratch = ScratchDir::new().unwrap();
        let (postgres, rabbitmq, redis) = tokio::join!(
            Postgres::start(scratch.path().join("postgres")),
            RabbitMq::start(scratch.path().join("rabbitmq")),
            Redis::start(scratch.path().join("redis")),
        );
        let (postgres, rabbitmq, redis) = (postgres.unwrap(), rabbitmq.unwrap(), redis.unwrap());
        recado_store::migrate(&postgres.url()).await.unwrap();
        let servers =
            ServerUrls { database: postgres.url(), amqp: rabbitmq.url(), redis: redis.url() };
        let running = Running::start_on(servers, |_| {}).await;
        running.ready().await;
        Self { running, postgres, rabbitmq, _redis: redis, _scratch: scratch }
    }
}

async fn post(sender: &Sender, n: usize) -> (Answered, Duration) {
    let begun = Instant::now();
    let answer = sender.post("application/json", json!({"n": n}).to_string()).await;
    (answer, begun.elapsed())
}

/// Posts until nothing is accepted any more, then that all are refused as they should be.
async fn assert_refused(sender: &Sender) {
    let refused = async || (post(sender, 0).await.0.status == 503).then_some(());
    wait_for("a refusal", SOON, refused).await.unwrap();
    let posts = (0..20).map(|n| post(sender, n));
    for (answer, took) in futures_util::future::join_all(posts).await {
        assert_eq!((answer.status, answer.error().as_str()), (503, "unavailable"));
        let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&after));
        assert!(took < BOUND, "{took:?}");
    }
}

async fn assert_recovers(running: &Running, sender: &Sender) {
    let accepted = async || (post(sender, 1).await.0.status == 202).then_some(());
    wait_for("an acceptance", RECOVERY, accepted).await.unwrap();
    wait_for("readiness", SOON, async || running.is_ready().then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_blocks_hangs_or_dies_is_a_503_and_never_a_2xx() {
    let mut private = Private::start().await;
    let running = &private.running;
    let sender = running.sender(running.trigger(open()).await);
    let queue = running.requested();
    let (answer, _) = post(&sender, 0).await;
    assert_eq!(answer.status, 202);
    queue.wait_for(1).await;

    private.rabbitmq.set_disk_free_limit(u64::MAX >> 1).await.unwrap();
    assert_refused(&sender).await;
    wait_for("unreadiness", SOON, async || (!running.is_ready()).then_some(())).await.unwrap();
    private.rabbitmq.set_disk_free_limit(0).await.unwrap();
    assert_recovers(running, &sender).await;

    private.rabbitmq.stop().unwrap();
    assert_refused(&sender).await;
    private.rabbitmq.cont().unwrap();
    assert_recovers(running, &sender).await;

    private.rabbitmq.kill().unwrap();
    assert_refused(&sender).await;
    private.rabbitmq.restart().await.unwrap();
    assert_recovers(running, &sender).await;
    private.running.stop().await;
}

#[tokio::test]
async fn an_id_whose_message_was_certainly_not_published_is_free_again() {
    let private = Private::start().await;
    let running = &private.running;
    let sender = running.sender(running.trigger(named()).await);
    let other = running.sender(running.trigger(open()).await);
    let post_named =
        async |id: &str, text: &str| sender.post("application/json", named_message(id, text)).await;
    private.rabbitmq.set_disk_free_limit(u64::MAX >> 1).await.unwrap();
    // From then on the broker is known to take nothing, and not only silent.
    wait_for("a blocked broker", SOON, async || {
        assert_ne!(post(&other, 0).await.0.status, 500);
        (!running.is_ready()).then_some(())
    })
    .await
    .unwrap();
    for id in ["m1", "m2"] {
        assert_eq!(post_named(id, "one").await.status, 503);
    }
    private.rabbitmq.set_disk_free_limit(0).await.unwrap();
    assert_recovers(running, &other).await;
    let queue = running.requested();
    assert_eq!(post_named("m1", "one").await.status, 202);
    assert_eq!(post_named("m2", "two").await.status, 202);
    assert_eq!(post_named("m2", "one").await.status, 409, "now it is taken");
    let texts = async || {
        let all = queue.all();
        let of = |it: &recado_messages::ExecutionRequested| it.messages[0].text.clone();
        let texts: Vec<_> =
            all.iter().map(of).filter(|text| text == "one" || text == "two").collect();
        (texts.len() == 2).then_some(texts)
    };
    assert_eq!(wait_for("both messages", SOON, texts).await.unwrap(), ["one", "two"]);
    private.running.stop().await;
}

#[tokio::test]
async fn every_2xx_during_a_crash_of_the_broker_is_on_the_queue() {
    let mut private = Private::start().await;
    let mut config = open();
    config["idempotency"] = json!({"path": "n"});
    let trigger = private.running.trigger(config).await;
    let sender = private.running.sender(trigger);
    let (n_accepted, n_refused) = (Cell::new(0), Cell::new(0));
    let is_over = Cell::new(false);
    let load = async {
        let mut accepted = Vec::new();
        for n in 0.. {
            if is_over.get() {
                break;
            }
            let (answer, took) = post(&sender, n).await;
            assert!(took < BOUND, "{took:?}");
            match answer.status {
                202 => accepted.push(answer.json()["message_id"].clone()),
                status => assert_eq!(status, 503),
            }
            n_accepted.set(accepted.len());
            n_refused.set(n + 1 - accepted.len());
        }
        accepted
    };
    let at_least = async |count: &Cell<usize>, least: usize| {
        let level = async || (least <= count.get()).then_some(());
        wait_for("answers", RECOVERY, level).await.unwrap();
    };
    let crash = async {
        at_least(&n_accepted, 100).await;
        private.rabbitmq.kill().unwrap();
        at_least(&n_refused, 1).await;
        private.rabbitmq.restart().await.unwrap();
        at_least(&n_accepted, n_accepted.get() + 100).await;
        is_over.set(true);
    };
    let (accepted, ()) = tokio::join!(load, crash);
    let queue = private.running.requested();
    let ids = || -> Vec<_> {
        queue.all().iter().map(|requested| json!(requested.messages[0].id)).collect()
    };
    let complete = async || {
        let ids = ids();
        accepted.iter().all(|id| ids.contains(id)).then_some(())
    };
    wait_for("every accepted message", RECOVERY, complete).await.unwrap();
    private.running.stop().await;
}

#[tokio::test]
async fn known_triggers_work_while_the_database_is_away() {
    let mut private = Private::start().await;
    let running = &private.running;
    let known = running.sender(running.trigger(open()).await);
    let unknown = running.sender(running.trigger(open()).await);
    assert_eq!(post(&known, 0).await.0.status, 202);

    private.postgres.kill().unwrap();
    for n in 0..20 {
        let (answer, took) = post(&known, n).await;
        assert_eq!(answer.status, 202);
        assert!(took < BOUND, "{took:?}");
    }
    assert_refused(&unknown).await;
    // Only the broker has to be there for messages to be accepted.
    assert!(running.is_ready());

    private.postgres.restart().await.unwrap();
    assert_recovers(running, &unknown).await;

    private.postgres.stop().unwrap();
    assert_eq!(post(&known, 0).await.0.status, 202);
    private.postgres.cont().unwrap();
    private.running.stop().await;
}

#[tokio::test]
async fn a_request_that_has_begun_at_shutdown_is_finished() {
    let private = Private::start().await;
    let running = &private.running;
    let trigger = running.trigger(open()).await;
    let queue = running.requested();
    let address = running.url.trim_start_matches("http://").to_owned();
    let mut slow = TcpStream::connect(&address).await.unwrap();
    let body = erp_message("late").to_string();
    let head = format!(
        "POST /api/triggers/webhook/{trigger} HTTP/1.1\r\nHost: x\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // On the same connection nothing overtakes; on another one this shows that it was read.
    assert_eq!(post(&running.sender(trigger), 0).await.0.status, 202);
    queue.wait_for(1).await;

    running.shut_down();
    let refused = async || TcpStream::connect(&address).await.is_err().then_some(());
    wait_for("a closed door", SOON, refused).await.unwrap();
    slow.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = slow.read_to_string(&mut answer);
    tokio::time::timeout(SOON, reading).await.expect("an answer in time").unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    private.running.stop().await;
}
