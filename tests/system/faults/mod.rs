//! Something dies, hangs, fills up or forgets while many people write: nothing is lost, nothing
//! comes twice, nobody gets another's answer, and the order is kept.
//!
//! Each story prints one line: what happened, and what it came to.

mod redis;
mod roles;
mod selection;
mod servers;
mod sources;
mod sync;

use std::time::Duration;

use recado_testkit::app::{Builder, TestApp};
use recado_testkit::history::Summary;
use recado_testkit::model::Model;
use recado_testkit::sql;
use recado_testkit::stub::Fault;
use serde_json::json;

use crate::load::{Load, Order, Talk};
use crate::support::{WhatsApp, echo, thinker};

/// As many as the machine can serve beside the fault; together they write some 40 messages a second.
const TALK: Talk = Talk { sessions: 12, messages: None };

/// How many messages are acknowledged before something happens, and after it is over.
const BEFORE: usize = 60;
const AFTER: usize = 60;

/// How long models and receivers take: at any time some are asked and have not answered.
const IN_DOUBT: Duration = Duration::from_millis(80);

/// A system, a number, and a fault to come.
struct Trial {
    fault: &'static str,
    app: TestApp,
    whatsapp: WhatsApp,
    /// Asked by the agent, where the test is about that; otherwise the agent is an echo.
    model: Option<Model>,
}

impl Trial {
    /// With an agent that repeats what it is told, at once.
    async fn of(fault: &'static str, system: Builder) -> Self {
        let app = system.start().await.expect("the system starts");
        let agent = echo(&app).await.expect("an agent can be made");
        let whatsapp = connect(&app, &agent).await;
        Self { fault, app, whatsapp, model: None }
    }

    /// With an agent that takes its time, so that something is in doubt whenever it dies.
    async fn of_thinking(fault: &'static str, system: Builder) -> Self {
        let app = system.start().await.expect("the system starts");
        let model = Model::start();
        model.fail_always(Fault::Delay(IN_DOUBT));
        let agent = thinker(&app, &model).await.expect("an agent can be made");
        let whatsapp = connect(&app, &agent).await;
        Self { fault, app, whatsapp, model: Some(model) }
    }

    /// Lets `happen` what is to happen, under load; then all has to come to rest, and to be right.
    async fn under_load(
        mut self,
        order: Order,
        happen: impl AsyncFnOnce(&mut TestApp, &Load<'_>) -> anyhow::Result<()>,
    ) -> Summary {
        let fault = self.fault;
        let load = Load::new(&self.whatsapp, self.model.as_ref(), order, TALK);
        let app = &mut self.app;
        let story = load.during(async {
            load.acknowledges(BEFORE).await?;
            happen(app, &load).await?;
            load.acknowledges(AFTER).await
        });
        story.await.unwrap_or_else(|error| panic!("{fault}: {error:?}"));
        load.settle().await.unwrap_or_else(|error| panic!("{fault}: {error:?}"));
        let n_executions = n_executions(&self.app).await;
        self.app.finish().await.unwrap_or_else(|error| panic!("{fault}: {error:?}"));
        let summary = load.check().unwrap_or_else(|violations| panic!("{fault}: {violations}"));
        report(fault, &load, n_executions, &summary);
        summary
    }
}

/// A number whose callbacks take a moment, so that some are in doubt whenever somebody dies.
async fn connect(app: &TestApp, agent: &str) -> WhatsApp {
    let connected = WhatsApp::connect(app, agent, |config| {
        config["execution"]["message_buffer"]["window_ms"] = json!(300);
        config["execution"]["callback"]["retry"] = json!({"initial_delay_ms": 100});
    });
    let whatsapp = connected.await.expect("a number can be connected");
    whatsapp.twilio.fail_always(Fault::Delay(IN_DOUBT));
    whatsapp
}

async fn n_executions(app: &TestApp) -> i64 {
    let counted = sql::count(&app.database_url(), "SELECT count(*) FROM executions").await;
    counted.expect("the database is there again")
}

/// A row of the table; that nothing was lost or doubled is what was checked before.
fn report(fault: &str, load: &Load<'_>, n_executions: i64, summary: &Summary) {
    eprintln!(
        "| {fault} | {} sessions | {} acknowledged | {} refused | {n_executions} executions | \
         0 lost | 0 duplicated | in doubt: {} model calls, {} callbacks | {} reordered |",
        load.n_sessions(),
        summary.n_acknowledged,
        load.n_refused(),
        if load.is_answered_by_a_model() { summary.n_repeated_inputs } else { 0 },
        summary.n_repeated_callbacks,
        summary.n_reordered,
    );
}

/// For how long something is away: longer than a lease (2 s in tests), so that others take over.
const AWAY: Duration = Duration::from_secs(3);

async fn wait(time: Duration) {
    tokio::time::sleep(time).await;
}
