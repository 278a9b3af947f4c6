//! What is to be said about a load, once everything is at rest.

mod tools;

use recado_testkit::app::{Role, TestApp};
use recado_testkit::sql;

use super::ledger::Tally;
use super::load::Load;
use super::rows::{Fault, Order, Row};

/// Judges a load by what was seen from outside, and by what is in the database. Its tally has every
/// violation, in words.
pub(super) async fn of_load(app: &TestApp, row: &Row, load: &Load) -> anyhow::Result<Tally> {
    let url = app.database_url();
    let mut violations = load.mistakes();
    violations.extend(of_rows(&url, load).await?);
    let calls = tools::calls(&url, &load.cast.scripted.id).await?;
    violations.extend(tools::judge(&calls, &load.cast.tool.calls()));
    let is_kept = load.ledger.order() == Order::IsKept;
    let is_early = matches!(row.fault, Fault::ClockOf(Role::Sources));
    violations.extend(load.cast.ticking.violations(&url, is_kept, is_early).await?);
    // As late as can be.
    let mut tally = load.ledger.tally(&load.cast.sink);
    violations.append(&mut tally.violations);
    tally.violations = violations;
    Ok(tally)
}

async fn of_rows(url: &str, load: &Load) -> anyhow::Result<Vec<String>> {
    let tenant = load.cast.management.tenant();
    let mut violations = Vec::new();
    let open = format!(
        "SELECT count(*) FROM executions WHERE tenant_id = '{tenant}' AND finished_at IS NULL"
    );
    let n_open = sql::count(url, &open).await?;
    if n_open > 0 {
        violations.push(format!("{n_open} executions have not ended"));
    }
    let [direct, buffered, scripted] = load.cast.triggers();
    let written = format!(
        "SELECT count(*) FROM messages WHERE trigger_id IN ('{direct}', '{buffered}', '{scripted}')"
    );
    let n_written = usize::try_from(sql::count(url, &written).await?)?;
    let n_posted = load.ledger.n_posted();
    if n_written > n_posted {
        violations.push(format!("{n_written} messages were written, {n_posted} were posted"));
    }
    Ok(violations)
}
