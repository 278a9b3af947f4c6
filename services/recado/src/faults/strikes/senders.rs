//! What comes in: rubbish in the queues, and the same message a hundred times.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use recado_broker::topology;
use recado_testkit::history::token;
use recado_testkit::{baseline, wait_for};
use tokio::task::JoinSet;

use super::Stage;
use crate::faults::post::{Letter, Sent};

/// The session of the one whose messages come often; no sender of the load has this number.
const SESSION: usize = 900;
const AT_ONCE: usize = 100;

const DEAD_LETTERED_WITHIN: Duration = Duration::from_secs(30);

/// Nobody's, of no version, of nothing that is known.
const RUBBISH: [&str; 5] = [
    "this is no message",
    "{\"message\": {",
    "{\"v\": 99}",
    "[[[[[[[[\\u0000]]]]]]]]",
    "{\"message\": {\"tenant_id\": \"00000000-0000-0000-0000-000000000000\", \"text\": \"\\u0000\"}}",
];

/// It ends in the dead-letter queues, all of it, and nobody waits for it.
pub(super) async fn poison(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let mut n_put = 0;
    loop {
        stage.moment(20..200).await;
        let queue = topology::QUEUES[stage.one_of(topology::QUEUES.len())].name;
        let rubbish = RUBBISH[stage.one_of(RUBBISH.len())];
        stage.app.put(queue, rubbish).await?;
        n_put += 1;
        if !stage.goes_on() {
            break;
        }
    }
    let mut n_dead = 0;
    let all = wait_for("the dead letters", DEAD_LETTERED_WITHIN, async || {
        let depths = stage.app.queue_depths().await.ok()?;
        let dead = depths.iter().filter(|(queue, _)| is_dead_letter_queue(queue));
        n_dead = dead.map(|(_, n)| *n).sum();
        (n_dead == n_put).then_some(())
    });
    if all.await.is_err() {
        stage.load.object(format!("{n_put} messages of poison are {n_dead} dead letters"));
    }
    stage.notes.push(format!("{n_dead} dead letters"));
    for queue in topology::QUEUES {
        let purged = baseline::purge(&stage.app.amqp_url(), &queue.dead_letter_queue()).await;
        purged.context("the dead letters were not removed")?;
    }
    Ok(())
}

fn is_dead_letter_queue(name: &str) -> bool {
    topology::QUEUES.iter().any(|queue| queue.dead_letter_queue() == name)
}

/// One execution, one answer, and a 2xx for each.
pub(super) async fn duplicates(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    for n in 1.. {
        stage.moment(50..300).await;
        let (cast, ledger) = (&stage.load.cast, &stage.load.ledger);
        let letter = Letter::new(&cast.direct, "user-900", token(SESSION, n));
        let letter = Arc::new(letter);
        ledger.posting(&letter);
        let mut posts = JoinSet::new();
        for ingress in 0..AT_ONCE {
            let (client, letter) = (stage.load.client().clone(), Arc::clone(&letter));
            posts.spawn(async move { client.post(ingress, &letter).await });
        }
        let answers = posts.join_all().await;
        let taken = answers.iter().filter(|sent| matches!(sent, Sent::Acknowledged)).count();
        if taken > 0 {
            ledger.acknowledged(&letter);
        }
        if taken < AT_ONCE {
            stage.load.object(format!("of {AT_ONCE} times the same message {taken} were taken"));
        }
        if !stage.goes_on() {
            stage.notes.push(format!("{n} messages, {AT_ONCE} times each"));
            break;
        }
    }
    Ok(())
}
