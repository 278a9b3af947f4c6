//! What lies beyond the system: receivers of callbacks and models that do not answer.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use recado_testkit::app::NewTrigger;
use recado_testkit::history::token;
use recado_testkit::model::Model;
use recado_testkit::stub::Fault as OfStub;
use recado_testkit::{sql, wait_for};
use serde_json::json;

use super::Stage;
use crate::faults::cast::Cast;
use crate::faults::ledger::p95;
use crate::faults::load::Load;
use crate::faults::post::{Letter, Sent};
use crate::faults::rows::{Callbacks, Order};

/// No longer, or the attempts of a callback would be used up.
const LONGEST: Duration = Duration::from_secs(6);

/// How much slower another tenant's answers may come: half as much again, and half a second. That is
/// more than chance makes of it (0.7 to 1.1 times, measured), and less than whoever waits for a place
/// that a bad receiver keeps: for 2 s if that is slow, for 4 s if it hangs.
const SLOWER: f64 = 1.5;
const SLOWER_BY: Duration = Duration::from_millis(500);

const REST: Duration = Duration::from_mins(1);

/// How many ask the hanging model at a time, and how long each of them may.
const ASKING: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(1);
/// What a busy machine adds.
const MARGIN: Duration = Duration::from_secs(10);

/// Those of the tenant under load misbehave; another tenant writes as much and must not feel it.
pub(super) async fn callbacks(stage: &mut Stage<'_>, kind: Callbacks) -> anyhow::Result<()> {
    let cast = Cast::make(stage.app).await?;
    let mut neighbour = Load::start(stage.app, cast, Order::IsKept, false)?;
    tokio::time::sleep(stage.lasting.clamp(Duration::from_secs(2), LONGEST)).await;
    let began = Instant::now();
    stage.load.cast.sink.fail_always(match kind {
        Callbacks::Slow => OfStub::Delay(Duration::from_secs(2)),
        Callbacks::Hang => OfStub::Hang,
        Callbacks::Fail => OfStub::status(503),
        Callbacks::Cut => OfStub::Cut,
    });
    tokio::time::sleep(stage.lasting.clamp(Duration::from_secs(3), LONGEST)).await;
    stage.load.cast.heal();
    let over = Instant::now();
    neighbour.stop(stage.app).await?;
    let answered = async || (neighbour.n_outstanding() == 0).then_some(());
    // If they do not come, that is what is judged.
    let _judged_later = wait_for("the answers of another tenant", REST, answered).await;
    let before = p95(&neighbour.ledger.latencies(|at| at < began));
    let during = p95(&neighbour.ledger.latencies(|at| at >= began && at < over));
    let ms = |time: Duration| time.as_millis();
    stage.notes.push(format!("another tenant's p95 {} → {} ms", ms(before), ms(during)));
    if during > before.mul_f64(SLOWER) + SLOWER_BY {
        let slower = format!("another tenant waits {during:?} instead of {before:?}");
        stage.load.object(slower);
    }
    stage.neighbours.push(neighbour);
    Ok(())
}

/// Executions end in time, and when the model is back their sessions go on.
pub(super) async fn hanging_model(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let model = Model::start();
    let trigger = asking(stage, &model).await?;
    let mut asked = 0;
    loop {
        model.fail_always(OfStub::Hang);
        post_to_all(stage, &trigger, asked).await?;
        let began = Instant::now();
        let timed_out = ended(stage, &trigger, "timeout", asked / 2 + ASKING);
        timed_out.await.context("executions outlived their time")?;
        stage.notes.push(format!("ended after {:.1} s", began.elapsed().as_secs_f64()));
        model.heal();
        asked += ASKING;
        post_to_all(stage, &trigger, asked).await?;
        asked += ASKING;
        let answered = ended(stage, &trigger, "success", asked / 2);
        answered.await.context("sessions did not go on")?;
        if !stage.goes_on() {
            return Ok(());
        }
    }
}

/// A trigger whose agent asks this model, and gives up after a second.
async fn asking(stage: &Stage<'_>, model: &Model) -> anyhow::Result<NewTrigger> {
    let management = &stage.load.cast.management;
    management.create_secret("MODEL_KEY", "sk-faults").await?;
    management.create_provider("slow", &model.base_url(), "MODEL_KEY").await?;
    let agent = management.create_agent("Asking", "slow.model", "You answer.").await?;
    let config = json!({
        "auth": {"type": "signature", "algorithm": "sha256"},
        "idempotency": {"path": "id"},
        "query_extraction": {"mode": "field", "field": "text"},
        "session_strategy": {"mode": "derive", "fields": ["userId"]},
        "execution": {"mode": "async", "timeout_ms": TIMEOUT.as_secs() * 1_000},
    });
    management.create_trigger(&agent, "Asking", &config).await
}

async fn post_to_all(stage: &Stage<'_>, trigger: &NewTrigger, n: usize) -> anyhow::Result<()> {
    for session in 0..ASKING {
        let letter =
            Letter::new(trigger, &format!("asking-{session}"), token(session, n + session));
        let sent = stage.load.client().post(session, &letter).await;
        anyhow::ensure!(matches!(sent, Sent::Acknowledged), "a question was not taken");
    }
    Ok(())
}

async fn ended(
    stage: &Stage<'_>,
    trigger: &NewTrigger,
    status: &str,
    n: usize,
) -> anyhow::Result<()> {
    let count = format!(
        "SELECT count(*) FROM executions WHERE trigger_id = '{}' AND status = '{status}'",
        trigger.id
    );
    let url = stage.app.database_url();
    wait_for(&format!("{n} executions to be a {status}"), TIMEOUT + MARGIN, async || {
        let found = sql::count(&url, &count).await.ok()?;
        (usize::try_from(found).ok()? >= n).then_some(())
    })
    .await
}
