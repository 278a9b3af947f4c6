//! Poison, and a bug.

use recado_broker::topology::INBOUND;
use recado_testkit::app::Role;
use recado_testkit::model::Model;
use recado_testkit::sql;

use super::{Watched, say, trigger};
use crate::support::{Story, system, thinker};

/// More than the hundred within a quarter of an hour that are a page.
const POISON: usize = 120;

#[tokio::test]
async fn poison_and_panics_are_told() -> Story {
    let mut watched = Watched::start("panics", system()).await?;
    let model = Model::start();
    let agent = thinker(&watched, &model).await?;
    let trigger = trigger(&watched, &agent, serde_json::json!({})).await?;
    watched.is_quiet().await?;

    for _ in 0..POISON {
        watched.put(INBOUND.name, "no message at all").await?;
    }
    watched.fires("RecadoDeadLetters", &[("severity", "page"), ("queue", INBOUND.name)]).await?;
    let queue = INBOUND.dead_letter_queue();
    watched.fires("RecadoDeadLetters", &[("severity", "ticket"), ("queue", &queue)]).await?;
    watched.resolves("RecadoDeadLetters", &[("severity", "page")]).await?;

    // A column that is not what the code takes it for is a bug, and nothing that a statement can
    // fail with; what it knows of the provider it forgets with its process.
    watched.kill(Role::AgentRunner, 0)?;
    let other_type = "ALTER TABLE providers ALTER COLUMN base_url TYPE bytea
                      USING convert_to(base_url, 'UTF8')";
    sql::execute(&watched.database_url(), other_type).await?;
    watched.restart(Role::AgentRunner, 0).await?;
    say(&watched, &trigger, "somebody").await?;
    watched.fires("RecadoPanics", &[("kind", "execution")]).await?;
    assert!(watched.whole_log(Role::AgentRunner, 0)?.contains("panicked"), "it is logged");
    Ok(watched.end()?)
}
