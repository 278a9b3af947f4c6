//! Something dies while listeners are told: they are told of everything all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use recado_testkit::app::{Builder, Role, TestApp};
use recado_testkit::sql;
use recado_testkit::stub::Fault;
use recado_testkit::wait_for;
use serde_json::json;

use super::{Office, Told, WHOLE, by_execution, kinds};
use crate::agents::Desk;
use crate::support::{Failure, SOON, Story, system};

/// How many executions are on their way when something dies.
const AT_ONCE: usize = 4;
/// Short, so that what a dead process held is taken over soon.
const LEASE_MS: &str = "1000";
/// How long models, tools and listeners take, so that something is in doubt at most moments.
const IN_DOUBT: Duration = Duration::from_millis(50);

impl Office {
    async fn open_slow(system: Builder) -> Result<Self, Failure> {
        let office = Self::open(system.env("RECADO_LEASE_MS", LEASE_MS)).await?;
        office.model.fail_always(Fault::Delay(IN_DOUBT));
        office.tool.fail_always(Fault::Delay(IN_DOUBT));
        office.listener.sink.fail_always(Fault::Delay(IN_DOUBT));
        Ok(office)
    }

    async fn begin_some(&self, executions: &mut Vec<String>) -> anyhow::Result<()> {
        for _ in 0..AT_ONCE {
            executions.push(self.begin(&format!("run {}", executions.len())).await?);
        }
        Ok(())
    }

    /// Waits until ingress has the broker back.
    async fn accepts_again(&self, executions: &mut Vec<String>) -> anyhow::Result<()> {
        let execution = wait_for("a message to be accepted", SOON, async || {
            let message = json!({"text": "is it over?"});
            self.desk.post(&self.trigger, &message).await.ok()
        });
        executions.push(execution.await?);
        Ok(())
    }

    /// Waits until the listener is being told of the `n`-th event.
    async fn is_telling(&self, n: usize) -> anyhow::Result<()> {
        let told = async || (self.listener.sink.count() >= n).then_some(());
        wait_for(&format!("event {n}"), SOON, told).await
    }

    /// All of it has ended, and all of it was told, whole, each event under one id and with one
    /// body.
    async fn judge(&self, executions: &[String]) -> anyhow::Result<()> {
        for execution in executions {
            self.desk.end_of(&self.trigger, execution).await?;
        }
        time_passes(&self.desk.app).await?;
        self.listener.until_told_of(executions.len()).await?;
        let heard = self.listener.heard();
        let told = by_execution(&heard);
        assert_eq!(told.len(), executions.len());
        for (objective, told) in &told {
            assert_eq!(kinds(told), WHOLE, "{objective}");
        }
        let mut bodies: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for Told { id, body, .. } in &heard {
            bodies.entry(id).or_default().insert(body);
        }
        assert!(bodies.values().all(|bodies| bodies.len() == 1), "one id, one body");
        eprintln!("{} events, {} of them again", bodies.len(), heard.len() - bodies.len());
        Ok(())
    }
}

/// The minute is over for which the dead hold what they had in hand, or have to tell what they
/// ended.
async fn time_passes(app: &TestApp) -> anyhow::Result<()> {
    let over = "UPDATE event_deliveries SET next_attempt_at = now() WHERE status = 'pending';
                UPDATE executions SET finished_at = finished_at - interval '2 minutes'
                 WHERE events_due";
    Ok(sql::execute(&app.database_url(), over).await?)
}

async fn kill_and_restart(desk: &mut Desk, role: Role) -> anyhow::Result<()> {
    desk.app.kill(role, 0)?;
    time_passes(&desk.app).await?;
    desk.app.restart(role, 0).await
}

#[tokio::test]
async fn a_killed_delivery_and_a_killed_runner_leave_no_event_untold() -> Story {
    let mut office = Office::open_slow(system()).await?;
    let mut executions = Vec::new();
    for role in [Role::Delivery, Role::AgentRunner, Role::Delivery] {
        let n_told = office.listener.sink.count();
        office.begin_some(&mut executions).await?;
        office.is_telling(n_told + AT_ONCE + 2).await?;
        kill_and_restart(&mut office.desk, role).await?;
    }
    for execution in &executions {
        office.desk.end_of(&office.trigger, execution).await?;
    }
    // What a dead runner had ended and not told is looked for by whoever starts.
    kill_and_restart(&mut office.desk, Role::AgentRunner).await?;
    office.judge(&executions).await?;
    Ok(office.desk.app.finish().await?)
}

#[tokio::test]
async fn a_killed_rabbitmq_leaves_no_event_untold() -> Story {
    let mut office = Office::open_slow(system().private_servers()).await?;
    let mut executions = Vec::new();
    office.begin_some(&mut executions).await?;
    office.is_telling(AT_ONCE).await?;
    office.desk.app.servers().rabbitmq.kill()?;
    office.desk.app.servers().rabbitmq.restart().await?;
    office.accepts_again(&mut executions).await?;
    office.judge(&executions).await?;
    Ok(office.desk.app.finish().await?)
}

#[tokio::test]
async fn a_killed_postgres_leaves_no_event_untold() -> Story {
    let mut office = Office::open_slow(system().private_servers()).await?;
    let mut executions = Vec::new();
    office.begin_some(&mut executions).await?;
    office.is_telling(AT_ONCE).await?;
    office.desk.app.servers().postgres.kill()?;
    office.desk.app.servers().postgres.restart().await?;
    office.begin_some(&mut executions).await?;
    office.judge(&executions).await?;
    Ok(office.desk.app.finish().await?)
}
