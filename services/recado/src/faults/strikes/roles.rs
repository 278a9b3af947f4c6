//! Processes of ours that are killed, frozen, or restarted one after the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use recado_testkit::app::{Management, Role};
use recado_testkit::sql;
use reqwest::Method;
use serde_json::json;

use super::Stage;

/// How often something is asked of management that does not answer.
const TRIES: usize = 300;
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// What `preStop` waits for, in small.
const LEFT_OUT_FOR: Duration = Duration::from_millis(500);

/// What management knows of requests with a key.
#[derive(Default)]
struct Made {
    n_done: i64,
    /// Whoever handled it died over it; repeating it does nothing.
    n_unknown: i64,
}

/// SIGKILL, a moment, and up again: one instance or the other.
pub(super) async fn kill(stage: &mut Stage<'_>, role: Role) -> anyhow::Result<()> {
    if role == Role::Management {
        return kill_management(stage).await;
    }
    let n_instances = stage.app.n_instances(role);
    loop {
        let index = stage.one_of(n_instances);
        kill_one(stage, role, index).await?;
        if !stage.goes_on() {
            return Ok(());
        }
    }
}

async fn kill_one(stage: &mut Stage<'_>, role: Role, index: usize) -> anyhow::Result<()> {
    stage.moment(50..800).await;
    stage.app.kill(role, index)?;
    stage.moment(50..800).await;
    stage.app.restart(role, index).await
}

/// Somebody makes agents meanwhile, and asks again until there is an answer: each is made once.
async fn kill_management(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let management = stage.load.cast.management.clone();
    let over = AtomicBool::new(false);
    let killing = async {
        let mut killed = Ok(());
        while killed.is_ok() && stage.goes_on() {
            killed = kill_one(stage, Role::Management, 0).await;
        }
        over.store(true, Ordering::Relaxed);
        killed
    };
    let (killed, made) = tokio::join!(killing, make_agents(&management, &over));
    killed?;
    let Made { n_done, n_unknown } = made?;
    let found = |what| {
        let tenant = management.tenant();
        format!("SELECT {what} FROM agents WHERE tenant_id = '{tenant}' AND name LIKE 'Made %'")
    };
    let url = stage.app.database_url();
    let n_found = sql::count(&url, &found("count(*)")).await?;
    let n_names = sql::count(&url, &found("count(DISTINCT name)")).await?;
    if n_found != n_names || n_found < n_done || n_found > n_done + n_unknown {
        stage.load.object(format!(
            "{n_done} agents were made, of {n_unknown} it is unknown; there are {n_found}, with \
             {n_names} names"
        ));
    }
    stage.notes.push(format!("{n_done} agents made, {n_unknown} of which it is unknown"));
    Ok(())
}

async fn make_agents(management: &Management, over: &AtomicBool) -> anyhow::Result<Made> {
    let mut made = Made::default();
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        if make_agent(management, n).await? {
            made.n_done += 1;
        } else {
            made.n_unknown += 1;
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
    Ok(made)
}

/// Asks until there is an answer; `false` if it is that nobody knows.
async fn make_agent(management: &Management, n: usize) -> anyhow::Result<bool> {
    let agent = json!({"name": format!("Made {n}"), "model": "builtin.echo", "system_prompt": ""});
    let mut last = "nobody was there".to_owned();
    for _ in 0..TRIES {
        let request = management.request(Method::POST, "/api/agents")?.json(&agent);
        match request.header("Idempotency-Key", format!("made-{n}")).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(true),
            Ok(answer) => {
                last = answer.text().await.unwrap_or_default();
                // It is "in progress" for as long as it may still be.
                if last.contains("idempotency_outcome_unknown")
                    || last.contains("idempotency_in_progress")
                {
                    return Ok(false);
                }
            }
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
    anyhow::bail!("agent {n} could not be made: {last}")
}

/// All instances of all roles at once.
pub(super) async fn kill_all(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let all: Vec<(Role, usize)> = instances(stage);
    loop {
        for (role, index) in &all {
            stage.app.kill(*role, *index)?;
        }
        stage.moment(200..1_500).await;
        for (role, index) in &all {
            stage.app.launch(*role, *index)?;
        }
        for (role, index) in &all {
            stage.app.until_ready(*role, *index).await?;
        }
        stage.moment(500..1_500).await;
        if !stage.goes_on() {
            return Ok(());
        }
    }
}

fn instances(stage: &Stage<'_>) -> Vec<(Role, usize)> {
    let of = |role| (0..stage.app.n_instances(role)).map(move |index| (role, index));
    Role::ALL.into_iter().flat_map(of).collect()
}

/// To the others it is dead, to itself it is not: longer than a lease, which is 2 s here.
pub(super) async fn freeze(stage: &mut Stage<'_>, role: Role) -> anyhow::Result<()> {
    let n_instances = stage.app.n_instances(role);
    loop {
        let index = stage.one_of(n_instances);
        stage.moment(50..500).await;
        stage.app.stop(role, index)?;
        stage.moment(2_500..4_000).await;
        stage.app.cont(role, index)?;
        if !stage.goes_on() {
            return Ok(());
        }
    }
}

/// As a rolling update does it: each has to end in good order before the next is told to.
pub(super) async fn restart_one_by_one(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    loop {
        for (role, index) in instances(stage) {
            if role == Role::Ingress {
                // As a pod is taken out of its Service before it is told to end.
                stage.load.client().leave_out(Some(index));
                tokio::time::sleep(LEFT_OUT_FOR).await;
            }
            let exit = stage.app.terminate(role, index).await?;
            ensure!(exit.code == Some(0), "{role} {index} ended with {:?}", exit.code);
            let again = stage.app.restart(role, index).await;
            again.with_context(|| format!("{role} {index} did not come back"))?;
            stage.load.client().leave_out(None);
        }
        if !stage.goes_on() {
            return Ok(());
        }
    }
}
