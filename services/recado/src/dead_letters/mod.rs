//! `recado dead-letters`: for whoever is called at night because messages are not handled.
//!
//! It goes to the broker directly, so it works while the roles and the database do not.

mod print;

use std::io::Write as _;
use std::process::ExitCode;
use std::slice;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use recado_broker::topology::Queue;
use recado_broker::{Chosen, DeadLetters, DeadLettersError, Left, Outcome, Scope, Settled};
use recado_service::config::{Amqp, ProcessEnv};
use recado_service::{Context, Process, connect};

use crate::cli::DeadLetters as Command;
use crate::{cli, roles, say};

/// How long the command waits for its turn: longer than the API, whose requests are many, so that
/// whoever is called at night gets it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Exit code 1 if something that was named is not there, or was not done.
pub(crate) fn main(command: &Command) -> ExitCode {
    Process::new("dead-letters", &ProcessEnv).names(roles::names()).without_listener().run(
        async |context: Context, amqp: Amqp| {
            let config = connect::broker_config(&context, "dead-letters", &amqp);
            let dead_letters = DeadLetters::new(config).with_patience(PATIENCE);
            match command {
                Command::List(options) => list(&dead_letters, options).await,
                Command::Show(options) => show(&dead_letters, options).await,
                Command::Redrive(options) => redrive(&dead_letters, options).await,
                Command::Discard(options) => discard(&dead_letters, options).await,
            }
        },
    )
}

/// Of all tenants: who may use the broker's password may see what is on it.
fn scope(queue: Option<&'static Queue>) -> Scope<'static> {
    queue.map_or(Scope::ALL, |queue| Scope { queues: slice::from_ref(queue), tenant: None })
}

async fn list(dead_letters: &DeadLetters, options: &cli::ListDeadLetters) -> anyhow::Result<()> {
    let scope = scope(options.queue);
    let listed = dead_letters.list(&scope, options.limit.into()).await?;
    if options.json {
        for letter in &listed.letters {
            say(&serde_json::to_string(letter)?);
        }
    } else if listed.letters.is_empty() {
        say("There are no dead letters.");
    } else {
        say(&print::table(&listed.letters));
    }
    if listed.more {
        // Not among what was asked for, which may be read by a program.
        eprintln!("recado: there are more; --limit shows up to 1000");
    }
    Ok(())
}

async fn show(dead_letters: &DeadLetters, options: &cli::ShowDeadLetter) -> anyhow::Result<()> {
    let found = dead_letters.find(&Scope::ALL, options.id).await?;
    let found = found.with_context(|| format!("there is no dead letter {}", options.id))?;
    if options.body {
        let mut out = std::io::stdout().lock();
        out.write_all(&found.body).and_then(|()| out.flush()).context("failed to print")?;
    } else {
        say(&print::details(&found.letter));
    }
    Ok(())
}

async fn redrive(
    dead_letters: &DeadLetters,
    options: &cli::ChosenDeadLetters,
) -> anyhow::Result<()> {
    let scope = scope(options.queue);
    settle(options, "redriven", async |chosen| dead_letters.redrive(&scope, chosen).await).await
}

async fn discard(
    dead_letters: &DeadLetters,
    options: &cli::ChosenDeadLetters,
) -> anyhow::Result<()> {
    let scope = scope(options.queue);
    settle(options, "discarded", async |chosen| dead_letters.discard(&scope, chosen).await).await
}

/// Does something to those that were chosen, and goes on with what was there at the beginning and
/// is more than is looked at in one go, until nothing of it is left. An error if one of them was
/// not settled.
async fn settle(
    options: &cli::ChosenDeadLetters,
    done: &str,
    act: impl AsyncFn(Chosen<'_>) -> Result<Settled, DeadLettersError>,
) -> anyhow::Result<()> {
    let first = if options.all { Chosen::All } else { Chosen::Ids(&options.ids) };
    let mut settled = act(first).await?;
    let (mut n_meant, mut n_failed) = (0, 0);
    loop {
        n_meant += settled.outcomes.len();
        n_failed += report(&settled, done);
        let was_lost = settled.more && settled.left.is_empty();
        ensure!(!was_lost, "the broker was lost: there may be more, repeat it");
        // What failed stands where it stood, and would be met again.
        if !options.all || settled.left.is_empty() || n_failed > 0 {
            break;
        }
        let left: Left = settled.left;
        settled = act(Chosen::Rest(&left)).await?;
    }
    if n_meant == 0 {
        say("There are no dead letters.");
    }
    ensure!(n_failed == 0, "{n_failed} of {n_meant} dead letters were not {done}");
    Ok(())
}

/// Prints a line for each of them, and answers how many were not settled.
fn report(settled: &Settled, done: &str) -> usize {
    for (id, outcome) in &settled.outcomes {
        match outcome {
            Outcome::Done => say(&format!("{id}  {done}")),
            Outcome::NotFound => say(&format!("{id}  not found")),
            Outcome::Failed(error) => say(&format!("{id}  not {done}: {error}")),
        }
    }
    settled.outcomes.iter().filter(|(_, outcome)| !matches!(outcome, Outcome::Done)).count()
}
