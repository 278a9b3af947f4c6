//! Models that refuse, models that hang, and a runner that is frozen while they do.

use std::time::Duration;

use anyhow::Context;
use recado_testkit::app::Role;
use recado_testkit::model::Model;
use recado_testkit::stub::Fault;
use recado_testkit::wait_for;
use serde_json::json;

use super::{Watched, again_and_again, post, say, trigger};
use crate::support::{SOON, Story, system};

const PAUSE: Duration = Duration::from_millis(200);

/// How many runs lose their leases: more than the ten that the rules forgive.
const RUNS: usize = 15;

async fn agent(watched: &Watched, name: &str, model: &Model) -> anyhow::Result<String> {
    let provider = json!({
        "name": name, "kind": "openai_compatible", "base_url": model.base_url(),
        "secret_ref": "MODEL_KEY",
    });
    watched.management().post("/api/providers", &provider).await?;
    watched.management().create_agent(name, &format!("{name}.large"), "You help.").await
}

#[tokio::test]
async fn agents_that_fail_and_hang_and_lose_their_lanes_are_told() -> Story {
    let mut watched = Watched::start("agents", system().instances(Role::AgentRunner, 2)).await?;
    watched.management().create_secret("MODEL_KEY", "sk-revoked").await?;
    // A key that was revoked, and models that never answer.
    let (refusing, hanging) = (Model::start(), Model::start());
    refusing.fail_always(Fault::status(401));
    hanging.fail_always(Fault::Hang);
    let refused = agent(&watched, "refusing", &refusing).await?;
    let hung = agent(&watched, "hanging", &hanging).await?;
    let refused = trigger(&watched, &refused, json!({})).await?;
    let short = trigger(&watched, &hung, json!({"timeout_ms": 1_000})).await?;
    let long = trigger(&watched, &hung, json!({"timeout_ms": 300_000})).await?;
    watched.is_quiet().await?;

    let told = async {
        watched.fires("RecadoExecutionFailureRatio", &[("severity", "page")]).await?;
        watched.fires("RecadoModelErrorRatio", &[]).await?;
        watched.fires("RecadoExecutionTimeoutRatio", &[]).await?;
        watched.fires("RecadoExecutionFailureRatio", &[("severity", "ticket")]).await
    };
    let post_both = async |n: usize| {
        post(&watched, &refused, n).await;
        post(&watched, &refused, n + 1_000_000).await;
        if n.is_multiple_of(2) {
            post(&watched, &short, n).await;
        }
    };
    again_and_again(PAUSE, post_both, told).await?;
    watched.resolves("RecadoExecutionFailureRatio", &[("severity", "page")]).await?;

    // All runs are one runner's, which freezes; the other one takes them over.
    watched.kill(Role::AgentRunner, 1)?;
    let before = hanging.asked().len();
    for n in 0..RUNS {
        say(&watched, &long, &format!("long-{n}")).await?;
    }
    let asked = async |times: usize| {
        let enough = async || (hanging.asked().len() >= before + times * RUNS).then_some(());
        wait_for("the model to be asked", SOON, enough).await.context("nobody runs them")
    };
    asked(1).await?;
    watched.restart(Role::AgentRunner, 1).await?;
    watched.stop(Role::AgentRunner, 0)?;
    asked(2).await?;
    watched.cont(Role::AgentRunner, 0)?;
    watched.fires("RecadoLeasesLost", &[("kind", "execution")]).await?;
    Ok(watched.end()?)
}
