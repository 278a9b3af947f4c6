//! Dead letters are listed, found, redriven and discarded, and none is lost over it.

use std::collections::BTreeSet;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeleteOptions};
use recado_broker::topology::{EXECUTIONS, INBOUND, Queue};
use recado_broker::{
    Chosen, Config, DeadLetter, DeadLetters, DeadLettersError, Outcome, PublishError, Scope,
};
use recado_testkit::scratch::ScratchDir;
use recado_testkit::servers::RabbitMq;
use recado_testkit::{vhost, wait_for};
use recado_types::{DeadLetterId, TenantId};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Amqp, Bench, NOTES, Note, Reaction, Recorder, SOON, is_up, notes};

fn dead_letters(url: &str) -> DeadLetters {
    let mut config = Config::new(url, "test");
    config.publish_timeout = Duration::from_secs(10);
    DeadLetters::new(config)
}

fn of(queue: &Queue) -> Scope<'_> {
    Scope { queues: slice::from_ref(queue), tenant: None }
}

/// Puts `bodies` into the dead-letter queue of `queue`, in order, under ids that count.
#[expect(clippy::disallowed_methods, reason = "to put there what no consumer did")]
async fn bury(amqp: &Amqp, queue: &Queue, bodies: &[Vec<u8>]) -> anyhow::Result<()> {
    let mut confirms = Vec::new();
    for (n, body) in bodies.iter().enumerate() {
        let id = BasicProperties::default().with_message_id(format!("m-{n}").into());
        let key = queue.dead_letter_queue().into();
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        confirms.push(amqp.channel.basic_publish("".into(), key, options, body, id).await?);
    }
    for confirm in confirms {
        confirm.await?;
    }
    Ok(())
}

fn bodies(n: u32) -> Vec<Vec<u8>> {
    notes(n).iter().map(|note| serde_json::to_vec(note).expect("it is plain data")).collect()
}

fn ids(letters: &[DeadLetter]) -> Vec<DeadLetterId> {
    letters.iter().map(|letter| letter.id).collect()
}

/// A vhost with the topology, and a way into it.
async fn topology(url: &str) -> anyhow::Result<(Bench, Amqp)> {
    let bench = Bench::start(url);
    is_up(&bench.publisher.link()).await?;
    Ok((bench, Amqp::connect(url).await?))
}

#[tokio::test]
async fn a_redriven_message_is_handled_as_it_was_published() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let is_mended = Arc::new(AtomicBool::new(false));
    let mended = Arc::clone(&is_mended);
    let recorder =
        Recorder::new(
            move |_| {
                if mended.load(Ordering::Relaxed) { Reaction::Take } else { Reaction::Fail }
            },
        );
    bench.consume(&NOTES, &recorder).await?;
    bench.publish(&notes(1)).await?;
    let amqp = Amqp::connect(vhost.url()).await?;
    amqp.counts(&NOTES.dead_letter_queue(), 1).await?;

    let dead_letters = dead_letters(vhost.url());
    let listed = dead_letters.list(&of(&NOTES), 10).await?;
    let [letter] = listed.letters.as_slice() else { panic!("{listed:?}") };
    assert!(!listed.more);
    assert_eq!((letter.queue, letter.reason.as_str()), (NOTES.name, "failed"));
    assert_eq!(letter.error.as_deref(), Some("told to Fail"));
    assert_eq!((letter.attempts, letter.times_dead_lettered), (Some(2), 1));
    assert_eq!(letter.message_id, Some(Uuid::nil().to_string()));
    assert_eq!(letter.kind.as_deref(), Some("message.received"));
    assert!(letter.published_at.is_some());

    let found = dead_letters.find(&of(&NOTES), letter.id).await?.expect("it was listed");
    assert_eq!(found.letter, *letter);
    assert_eq!(found.body, bodies(1)[0]);

    // Too early: it comes back, and the count says so.
    let ids = [letter.id];
    let settled = dead_letters.redrive(&of(&NOTES), Chosen::Ids(&ids)).await?;
    assert!(matches!(settled.outcomes[..], [(_, Outcome::Done)]), "{settled:?}");
    let came_back = async || {
        let listed = dead_letters.list(&of(&NOTES), 10).await.ok()?;
        listed.letters.into_iter().next()
    };
    let again = wait_for("the dead letter to come back", SOON, came_back).await?;
    assert_eq!((again.id, again.attempts, again.times_dead_lettered), (letter.id, Some(2), 2));

    is_mended.store(true, Ordering::Relaxed);
    dead_letters.redrive(&of(&NOTES), Chosen::All).await?;
    assert_eq!(recorder.has_taken(1).await?, notes(1));
    let nothing = dead_letters.redrive(&of(&NOTES), Chosen::Ids(&ids)).await?;
    assert!(matches!(nothing.outcomes[..], [(_, Outcome::NotFound)]), "{nothing:?}");
    bench.finish().await
}

#[tokio::test]
async fn looking_changes_nothing_not_even_the_order() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let (bench, amqp) = topology(vhost.url()).await?;
    bury(&amqp, &INBOUND, &bodies(50)).await?;
    let dead_letters = dead_letters(vhost.url());
    let first = dead_letters.list(&of(&INBOUND), 1_000).await?;
    assert_eq!(first.letters.len(), 50);
    // Again and again: whether what was seen is back in time is a race with the broker.
    for _ in 0..10 {
        let some = dead_letters.list(&of(&INBOUND), 7).await?;
        assert_eq!(ids(&some.letters), ids(&first.letters)[..7]);
        assert!(some.more);
        let last = first.letters[49].id;
        let found = dead_letters.find(&Scope::ALL, last).await?.expect("it is the last one");
        assert_eq!(found.letter.message_id.as_deref(), Some("m-49"));
        let again = dead_letters.list(&of(&INBOUND), 1_000).await?;
        assert_eq!(ids(&again.letters), ids(&first.letters));
    }
    amqp.counts(&INBOUND.dead_letter_queue(), 50).await?;
    bench.finish().await
}

#[tokio::test]
async fn two_who_redrive_at_the_same_time_send_each_message_once() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let (bench, amqp) = topology(vhost.url()).await?;
    bury(&amqp, &INBOUND, &bodies(40)).await?;
    let (one, other) = (dead_letters(vhost.url()), dead_letters(vhost.url()));
    let (one, other) = tokio::try_join!(
        one.redrive(&Scope::ALL, Chosen::All),
        other.redrive(&Scope::ALL, Chosen::All),
    )?;
    let both: Vec<_> = one.outcomes.iter().chain(&other.outcomes).collect();
    assert!(both.iter().all(|(_, outcome)| matches!(outcome, Outcome::Done)), "{both:?}");
    assert_eq!(both.len(), 40);
    assert_eq!(both.iter().map(|(id, _)| id).collect::<BTreeSet<_>>().len(), 40);

    let recorder = Recorder::new(|_| Reaction::Take);
    bench.consume(&INBOUND, &recorder).await?;
    assert_eq!(recorder.has_taken(40).await?, notes(40), "each once, and in order");
    amqp.counts(&INBOUND.dead_letter_queue(), 0).await?;
    bench.finish().await
}

#[tokio::test]
async fn more_than_is_looked_at_is_told_and_the_rest_comes_next() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let (bench, amqp) = topology(vhost.url()).await?;
    bury(&amqp, &EXECUTIONS, &bodies(1_005)).await?;
    let dead_letters = dead_letters(vhost.url());
    let listed = dead_letters.list(&of(&EXECUTIONS), 2_000).await?;
    // Fewer if the machine is so busy that the time was up.
    assert!(listed.letters.len() <= 1_000, "{}", listed.letters.len());
    assert!(listed.more);
    let mut n_redriven = 0;
    loop {
        let settled = dead_letters.redrive(&of(&EXECUTIONS), Chosen::All).await?;
        assert!(settled.outcomes.len() <= 1_000);
        n_redriven += settled.outcomes.len();
        if !settled.more {
            break;
        }
    }
    assert_eq!(n_redriven, 1_005);
    amqp.counts(EXECUTIONS.name, 1_005).await?;
    bench.finish().await
}

#[tokio::test]
async fn what_falls_back_is_not_among_those_that_are_left() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let recorder = Recorder::new(|_| Reaction::Fail);
    bench.consume(&NOTES, &recorder).await?;
    let amqp = Amqp::connect(vhost.url()).await?;
    bury(&amqp, &NOTES, &bodies(1_005)).await?;
    let dead_letters = dead_letters(vhost.url());
    let mut settled = dead_letters.redrive(&of(&NOTES), Chosen::All).await?;
    let mut n_redriven = settled.outcomes.len();
    while settled.more {
        settled = dead_letters.redrive(&of(&NOTES), Chosen::Rest(&settled.left)).await?;
        n_redriven += settled.outcomes.len();
    }
    assert_eq!(n_redriven, 1_005, "each once, though all of them come back");
    let discarded = dead_letters.discard(&of(&NOTES), Chosen::Rest(&settled.left)).await?;
    assert!(discarded.outcomes.is_empty(), "nothing was left: {discarded:?}");
    bench.finish().await
}

#[tokio::test]
async fn large_bodies_are_looked_at_up_to_a_limit() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let (bench, amqp) = topology(vhost.url()).await?;
    bury(&amqp, &INBOUND, &vec![vec![b'x'; 9 << 20]; 6]).await?;
    let listed = dead_letters(vhost.url()).list(&of(&INBOUND), 10).await?;
    assert!((1..=4).contains(&listed.letters.len()), "{}", listed.letters.len());
    assert!(listed.more);
    bench.finish().await
}

#[tokio::test]
async fn what_somebody_else_put_there_can_be_shown_and_discarded() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let (bench, amqp) = topology(vhost.url()).await?;
    let junk = vec![b"\xff\x00{".to_vec(), b"{}".to_vec(), b"\xff\x00{".to_vec()];
    bury(&amqp, &INBOUND, &junk).await?;
    amqp.publish(b"no id", BasicProperties::default()).await?;
    let recorder = Recorder::new(|_| Reaction::Take);
    bench.consume(&INBOUND, &recorder).await?;
    amqp.counts(&INBOUND.dead_letter_queue(), 4).await?;

    let dead_letters = dead_letters(vhost.url());
    let listed = dead_letters.list(&of(&INBOUND), 10).await?;
    let reasons: Vec<&str> = listed.letters.iter().map(|it| it.reason.as_str()).collect();
    assert_eq!(reasons, ["unknown", "unknown", "unknown", "undecodable"]);
    assert_eq!(listed.letters[3].message_id, None);
    let ids = ids(&listed.letters);
    let found = dead_letters.find(&of(&INBOUND), ids[2]).await?.expect("it was listed");
    assert_eq!(found.body, b"\xff\x00{");

    let unknown = DeadLetterId(Uuid::from_u128(1));
    let settled =
        dead_letters.discard(&Scope::ALL, Chosen::Ids(&[ids[0], unknown, ids[3]])).await?;
    let n_done = settled.outcomes.iter().filter(|(_, it)| matches!(it, Outcome::Done)).count();
    let missing = settled.outcomes.iter().find(|(id, _)| *id == unknown);
    assert_eq!(n_done, 2);
    assert!(matches!(missing, Some((_, Outcome::NotFound))), "{settled:?}");
    let rest = dead_letters.list(&of(&INBOUND), 10).await?;
    assert_eq!(self::ids(&rest.letters), ids[1..3]);
    bench.finish().await
}

#[tokio::test]
async fn a_tenant_reaches_only_what_says_that_it_is_its_own() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let (bench, amqp) = topology(vhost.url()).await?;
    let (ours, theirs) = (TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
    let body = |tenant| json!({"message": {"tenant_id": tenant}}).to_string().into_bytes();
    bury(&amqp, &INBOUND, &[body(ours), body(theirs), b"nobody's".to_vec()]).await?;
    let dead_letters = dead_letters(vhost.url());
    let all = ids(&dead_letters.list(&Scope::ALL, 10).await?.letters);
    assert_eq!(all.len(), 3);

    let scope = Scope { tenant: Some(ours), ..Scope::ALL };
    let listed = dead_letters.list(&scope, 10).await?;
    assert_eq!(ids(&listed.letters), all[..1]);
    assert!(dead_letters.find(&scope, all[1]).await?.is_none());
    let survey = dead_letters.survey().await?;
    assert_eq!(ids(&survey.list(&Scope::ALL, 10).letters), all);
    assert_eq!(
        ids(&survey.list(&scope, 10).letters),
        all[..1],
        "a survey of all tells nobody more"
    );
    assert!(survey.list(&of(&EXECUTIONS), 10).letters.is_empty());
    let more = [(3, &Scope::ALL), (2, &Scope::ALL), (1, &scope)].map(|(limit, scope)| {
        let listed = survey.list(scope, limit);
        assert_eq!(listed.letters.len(), limit);
        listed.more
    });
    assert_eq!(more, [false, true, false]);
    let discarded = dead_letters.discard(&scope, Chosen::Ids(&all[1..])).await?;
    assert!(discarded.outcomes.iter().all(|(_, it)| matches!(it, Outcome::NotFound)));
    let redriven = dead_letters.redrive(&scope, Chosen::All).await?;
    assert!(matches!(redriven.outcomes[..], [(id, Outcome::Done)] if id == all[0]));
    assert_eq!(ids(&dead_letters.list(&Scope::ALL, 10).await?.letters), all[1..]);
    bench.finish().await
}

#[tokio::test]
async fn what_has_no_queue_to_go_to_stays() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let (bench, amqp) = topology(vhost.url()).await?;
    bury(&amqp, &INBOUND, &bodies(3)).await?;
    amqp.channel.queue_delete(INBOUND.name.into(), QueueDeleteOptions::default()).await?;
    let dead_letters = dead_letters(vhost.url());
    let settled = dead_letters.redrive(&Scope::ALL, Chosen::All).await?;
    let unroutable =
        |outcome: &Outcome| matches!(outcome, Outcome::Failed(PublishError::Unroutable));
    assert_eq!(settled.outcomes.len(), 3);
    assert!(settled.outcomes.iter().all(|(_, it)| unroutable(it)), "{settled:?}");
    assert_eq!(dead_letters.list(&Scope::ALL, 10).await?.letters.len(), 3);
    bench.finish().await
}

#[tokio::test]
async fn a_broker_without_our_queues_has_no_dead_letters() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let dead_letters = dead_letters(vhost.url());
    let listed = dead_letters.list(&Scope::ALL, 10).await?;
    assert!(listed.letters.is_empty() && !listed.more);
    let queues = vhost.admin().queues(vhost.name()).await?;
    assert!(queues.is_empty(), "looking made {queues:?}");
    Ok(())
}

/// Redrives until it is told to stop, whatever happens to the broker.
async fn keep_redriving(dead_letters: DeadLetters, until_empty: Arc<AtomicBool>) {
    while !until_empty.load(Ordering::Relaxed) {
        // What it says of a broker that is being killed is not the point.
        let _ = dead_letters.redrive(&Scope::ALL, Chosen::All).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_over_it_loses_nothing() -> anyhow::Result<()> {
    let scratch = ScratchDir::new()?;
    let mut server = RabbitMq::start(scratch.path()).await?;
    let (bench, amqp) = topology(&server.url()).await?;
    bury(&amqp, &INBOUND, &bodies(800)).await?;
    let recorder = Recorder::new(|_| Reaction::Take);
    let consuming = bench.consume(&INBOUND, &recorder).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let redriving = keep_redriving(dead_letters(&server.url()), Arc::clone(&stop));
    let redriving = tokio_util::task::TaskTracker::new().spawn(redriving);
    recorder.has_taken(20).await?;
    server.kill()?;
    let away = dead_letters(&server.url()).list(&Scope::ALL, 1).await;
    assert!(matches!(away, Err(DeadLettersError::Unavailable(_))), "{away:?}");
    server.restart().await?;
    is_up(&consuming).await?;
    let all: BTreeSet<u32> = (0..800).collect();
    let taken = async || {
        let taken: BTreeSet<u32> = recorder.taken().iter().map(|note: &Note| note.n).collect();
        (taken == all).then_some(())
    };
    wait_for("all of them to be handled", SOON, taken).await?;
    stop.store(true, Ordering::Relaxed);
    redriving.await?;
    let amqp = Amqp::connect(&server.url()).await?;
    amqp.counts(&INBOUND.dead_letter_queue(), 0).await?;
    bench.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_is_given_up_and_nothing_is_lost() -> anyhow::Result<()> {
    let scratch = ScratchDir::new()?;
    let server = RabbitMq::start(scratch.path()).await?;
    let (bench, amqp) = topology(&server.url()).await?;
    bury(&amqp, &INBOUND, &bodies(3)).await?;
    server.stop()?;
    let started = Instant::now();
    let hung = dead_letters(&server.url()).redrive(&Scope::ALL, Chosen::All).await;
    assert!(matches!(hung, Err(DeadLettersError::Unavailable(_))), "{hung:?}");
    assert!(started.elapsed() < Duration::from_secs(15), "took {:?}", started.elapsed());
    server.cont()?;
    let back = async || {
        let listed = dead_letters(&server.url()).list(&Scope::ALL, 10).await.ok()?;
        (listed.letters.len() == 3).then_some(())
    };
    wait_for("the dead letters to be seen again", SOON, back).await?;
    bench.finish().await
}
