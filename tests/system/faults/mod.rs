//! Something dies, hangs, fills up or forgets while many people write: nothing is lost, nothing
//! comes twice, nobody gets another's answer, and the order is kept.
//!
//! Each story prints one line: what happened, and what it came to.

mod redis;
mod roles;
mod servers;

use std::time::Duration;

use recado_testkit::app::{Builder, TestApp};
use recado_testkit::history::Summary;
use serde_json::json;

use crate::load::{Load, Talk};
use crate::support::{WhatsApp, echo};

/// As many as the machine can serve beside the fault; together they write some 40 messages a second.
const TALK: Talk = Talk { sessions: 12, messages: None };

/// How many messages are acknowledged before something happens, and after it is over.
const BEFORE: usize = 60;
const AFTER: usize = 60;

/// Whether the broker gives messages again, maybe after later ones.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    IsKept,
    MayChangeByRedelivery,
}

/// A system, a number, and a fault to come.
struct Trial {
    fault: &'static str,
    app: TestApp,
    whatsapp: WhatsApp,
}

impl Trial {
    async fn of(fault: &'static str, system: Builder) -> Self {
        let app = system.start().await.expect("the system starts");
        let agent = echo(&app).await.expect("an agent can be made");
        let connected = WhatsApp::connect(&app, &agent, |config| {
            config["execution"]["message_buffer"]["window_ms"] = json!(300);
            config["execution"]["callback"]["retry"] = json!({"initial_delay_ms": 100});
        });
        let whatsapp = connected.await.expect("a number can be connected");
        Self { fault, app, whatsapp }
    }

    /// Lets `happen` what is to happen, under load; then all has to come to rest, and to be right.
    async fn under_load(
        mut self,
        order: Order,
        happen: impl AsyncFnOnce(&mut TestApp, &Load<'_>) -> anyhow::Result<()>,
    ) -> Summary {
        let load = match order {
            Order::IsKept => Load::new(&self.whatsapp, TALK),
            Order::MayChangeByRedelivery => Load::where_redelivery_reorders(&self.whatsapp, TALK),
        };
        let app = &mut self.app;
        let story = load.during(async {
            load.acknowledges(BEFORE).await?;
            happen(app, &load).await?;
            load.acknowledges(AFTER).await
        });
        story.await.unwrap_or_else(|error| panic!("{}: {error:?}", self.fault));
        load.settle().await.unwrap_or_else(|error| panic!("{}: {error:?}", self.fault));
        self.app.finish().await.unwrap_or_else(|error| panic!("{}: {error:?}", self.fault));
        let summary = load.check().unwrap_or_else(|violations| {
            panic!("{}: {violations}", self.fault);
        });
        report(self.fault, &load, &summary);
        summary
    }
}

/// A row of the table; that nothing was lost or doubled is what was checked before.
fn report(fault: &str, load: &Load<'_>, summary: &Summary) {
    let n_executions = summary.n_inputs - summary.n_repeated_inputs;
    eprintln!(
        "| {fault} | {} sessions | {} acknowledged | {} refused | {n_executions} executions | \
         0 lost | 0 duplicated | {} callbacks repeated in doubt | {} reordered by redelivery |",
        load.n_sessions(),
        summary.n_acknowledged,
        load.n_refused(),
        summary.n_repeated_callbacks,
        summary.n_reordered,
    );
}

/// For how long something is away: longer than a lease (2 s in tests), so that others take over.
const AWAY: Duration = Duration::from_secs(3);

async fn wait(time: Duration) {
    tokio::time::sleep(time).await;
}
