//! What the database has to say about a row, once everything is at rest.

use recado_testkit::app::TestApp;
use recado_testkit::sql;

use super::load::Load;

/// Every promise about a tenant's rows that is broken, in words.
pub(super) async fn of_database(app: &TestApp, load: &Load) -> anyhow::Result<Vec<String>> {
    let url = app.database_url();
    let tenant = load.cast.management.tenant();
    let mut violations = Vec::new();
    let open = format!(
        "SELECT count(*) FROM executions WHERE tenant_id = '{tenant}' AND finished_at IS NULL"
    );
    let n_open = sql::count(&url, &open).await?;
    if n_open > 0 {
        violations.push(format!("{n_open} executions have not ended"));
    }
    let [direct, buffered, scripted] = load.cast.triggers();
    let written = format!(
        "SELECT count(*) FROM messages WHERE trigger_id IN ('{direct}', '{buffered}', '{scripted}')"
    );
    let n_written = usize::try_from(sql::count(&url, &written).await?)?;
    let n_posted = load.ledger.n_posted();
    if n_written > n_posted {
        violations.push(format!("{n_written} messages were written, {n_posted} were posted"));
    }
    violations.extend(of_tools(&url, load).await?);
    violations.extend(of_ticks(&url, &load.cast.ticking).await?);
    Ok(violations)
}

/// Each scripted execution that went well has made its one call, under a key of its own. A call that
/// failed was told to the agent, and may have had its effect or not.
async fn of_tools(url: &str, load: &Load) -> anyhow::Result<Vec<String>> {
    let trigger = &load.cast.scripted.id;
    let of_calls = format!(
        "FROM tool_calls c JOIN executions e ON e.id = c.execution_id
         WHERE e.trigger_id = '{trigger}'"
    );
    let n_calls = sql::count(url, &format!("SELECT count(*) {of_calls}")).await?;
    let n_made =
        sql::count(url, &format!("SELECT count(*) {of_calls} AND c.status = 'success'")).await?;
    let n_executions = format!(
        "SELECT count(*) FROM executions WHERE trigger_id = '{trigger}' AND status = 'success'"
    );
    let n_executions = sql::count(url, &n_executions).await?;
    let n_effects = i64::try_from(load.cast.tool.calls_by_key().len())?;
    let mut violations = Vec::new();
    if n_calls < n_executions || !(n_made..=n_calls).contains(&n_effects) {
        violations.push(format!(
            "{n_executions} executions have {n_calls} calls of a tool, {n_made} of which were \
             made; it was called under {n_effects} idempotency keys"
        ));
    }
    let failed = format!(
        "SELECT coalesce(c.error_message, c.output, c.status) {of_calls} AND c.status <> 'success'
          LIMIT 5"
    );
    let failed = sql::texts(url, &failed).await?;
    violations.extend(failed.iter().map(|told| format!("a call of a tool failed: {told}")));
    Ok(violations)
}

/// Each second has fired once, in order, and been executed.
async fn of_ticks(url: &str, trigger: &str) -> anyhow::Result<Vec<String>> {
    let of_messages = format!("FROM messages WHERE trigger_id = '{trigger}'");
    let n_ticks = sql::count(url, &format!("SELECT count(*) {of_messages}")).await?;
    let seconds = format!(
        "SELECT coalesce(extract(epoch FROM max(text::timestamptz) - min(text::timestamptz)), -1)
                ::bigint + 1 {of_messages}"
    );
    let n_seconds = sql::count(url, &seconds).await?;
    let mut violations = Vec::new();
    if n_ticks != n_seconds {
        violations.push(format!("a schedule has fired {n_ticks} times in {n_seconds} s"));
    }
    let n_executions = format!(
        "SELECT count(*) FROM executions WHERE trigger_id = '{trigger}' AND status = 'success'"
    );
    let n_executions = sql::count(url, &n_executions).await?;
    if n_executions != n_ticks {
        violations.push(format!("{n_ticks} ticks of a schedule are {n_executions} executions"));
    }
    Ok(violations)
}
