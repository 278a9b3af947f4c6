//! More to do than there are slots for it.

use std::ffi::OsString;

use recado_testkit::app::Role;
use recado_testkit::callback::Sink;
use recado_testkit::model::Model;
use recado_testkit::stub::Fault;
use recado_testkit::wait_for;
use serde_json::json;

use super::{Watched, callback, say, trigger};
use crate::support::{SOON, Story, echo, system, thinker};

/// Longer than the test.
const PATIENCE_MS: u32 = 60_000;

#[tokio::test]
async fn work_that_finds_no_slot_is_told() -> Story {
    let system = system().env("RECADO_DELIVERY_SLOTS", "1").env("RECADO_RUNNER_SLOTS", "1");
    let mut watched = Watched::start("waiting", system).await?;
    let (model, slow, quick) = (Model::start(), Sink::start(), Sink::start());
    model.fail_always(Fault::Hang);
    slow.fail_always(Fault::Hang);
    let (echo, thinker) = (echo(&watched).await?, thinker(&watched, &model).await?);
    let to_slow = trigger(&watched, &echo, callback(&slow.url(), PATIENCE_MS)).await?;
    let to_quick = trigger(&watched, &echo, callback(&quick.url(), PATIENCE_MS)).await?;
    let thinking = trigger(&watched, &thinker, json!({"timeout_ms": 300_000})).await?;
    watched.is_quiet().await?;

    // Each takes the only slot there is, and somebody waits behind it.
    say(&watched, &to_slow, "first").await?;
    until_asked("the receiver", || slow.count()).await?;
    say(&watched, &to_quick, "second").await?;
    watched.sees("sum(recado_runner_executions_total{outcome='success'}) == 2").await?;
    say(&watched, &thinking, "third").await?;
    until_asked("the model", || model.asked().len()).await?;
    say(&watched, &thinking, "fourth").await?;
    watched.fires("RecadoOldestMessageAgeHigh", &[("stage", "execution")]).await?;
    watched.fires("RecadoOldestMessageAgeHigh", &[("stage", "delivery")]).await?;

    // With more slots, nobody waits.
    for role in [Role::AgentRunner, Role::Delivery] {
        watched.add_to_environment(role, 0, slots())?;
        watched.restart(role, 0).await?;
    }
    watched.resolves("RecadoOldestMessageAgeHigh", &[]).await?;
    Ok(watched.end()?)
}

fn slots() -> Vec<(&'static str, OsString)> {
    vec![("RECADO_DELIVERY_SLOTS", "64".into()), ("RECADO_RUNNER_SLOTS", "64".into())]
}

async fn until_asked(who: &str, count: impl Fn() -> usize) -> anyhow::Result<()> {
    wait_for(&format!("{who} to be asked"), SOON, async || (count() > 0).then_some(())).await
}
