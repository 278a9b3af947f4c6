//! What the roles tell Prometheus after they have done something: it is counted, and nobody can be
//! recognised by it.

use anyhow::Context;
use recado_testkit::app::{Role, TestApp};
use recado_testkit::wait_for;
use uuid::Uuid;

use crate::support::SOON;

const ROLES: [Role; 6] = [
    Role::Ingress,
    Role::Buffer,
    Role::AgentRunner,
    Role::Delivery,
    Role::Sources,
    Role::Management,
];

/// The fewest digits of a telephone number.
const PHONE_DIGITS: usize = 7;

/// Everything that a role tells.
pub(crate) async fn scrape(app: &TestApp, role: Role) -> anyhow::Result<String> {
    let (status, text) = app.ask(role, 0, "/metrics").await?;
    anyhow::ensure!(status == 200, "{status}: {text}");
    Ok(text)
}

/// The value of a series, which is written as it is in the text.
pub(crate) fn value(text: &str, series: &str) -> anyhow::Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.with_context(|| format!("there is no {series} in:\n{text}"))?
        .parse()
        .context(series.to_owned())
}

/// Whether a series, whose value is a count, has the one expected.
fn assert_is(text: &str, series: &str, expected: f64) -> anyhow::Result<()> {
    let told = value(text, series)?;
    assert!((told - expected).abs() < f64::EPSILON, "{series} is {told}, not {expected}");
    Ok(())
}

/// Whether no label of any role tells an id, a telephone number or an address.
pub(crate) async fn assert_labels_are_bounded(app: &TestApp) -> anyhow::Result<()> {
    for role in ROLES {
        let text = scrape(app, role).await?;
        for (name, value) in labels(&text).filter(|(name, _)| *name != "le") {
            let parts = value.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
            let has_id = parts.into_iter().any(|part| Uuid::try_parse(part).is_ok());
            let digits = value.split(|c: char| !c.is_ascii_digit());
            let has_number = digits.into_iter().any(|digits| digits.len() >= PHONE_DIGITS);
            let is_told = has_id || has_number || value.contains("://");
            assert!(!is_told, "{role:?} has a label {name}={value:?}");
        }
    }
    Ok(())
}

/// Name and value of each label.
fn labels(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let series = text.lines().filter(|line| !line.starts_with('#'));
    let labels = series.filter_map(|line| Some(line.split_once('{')?.1.rsplit_once('}')?.0));
    labels.flat_map(|labels| labels.split("\",")).filter_map(|label| {
        let (name, value) = label.split_once("=\"")?;
        Some((name, value.trim_end_matches('"')))
    })
}

/// Whether one message that was answered in three chunks, by a model that counted 850 and 400 tokens,
/// is told as what it was.
pub(crate) async fn assert_one_message_was_counted(app: &TestApp) -> anyhow::Result<()> {
    let runner = scrape(app, Role::AgentRunner).await?;
    for (series, expected) in [
        ("recado_runner_executions_total{outcome=\"success\"}", 1.0),
        ("recado_runner_executions_total{outcome=\"timeout\"}", 0.0),
        ("recado_runner_tokens_total{direction=\"input\",provider=\"openai_compatible\"}", 850.0),
        ("recado_runner_tokens_total{direction=\"output\",provider=\"openai_compatible\"}", 400.0),
        ("recado_runner_admission_lag_seconds_count", 1.0),
        ("recado_lanes_waited_seconds_count{kind=\"execution\"}", 1.0),
        ("recado_component_ready{component=\"database\"}", 1.0),
    ] {
        assert_is(&runner, series, expected)?;
    }
    assert!(value(&runner, "recado_runner_cost_usd_total{provider=\"openai_compatible\"}")? > 0.0);
    let age = "recado_broker_message_age_seconds_count{queue=\"agent-runner.executions\"}";
    assert!(value(&runner, age)? >= 1.0);

    let delivery = scrape(app, Role::Delivery).await?;
    assert_is(&delivery, "recado_delivery_attempts_total{outcome=\"sent\"}", 3.0)?;
    assert_is(&delivery, "recado_delivery_waited_seconds_count", 1.0)
}

/// Whether what has to be asked for is told.
pub(crate) async fn assert_depths_are_known(app: &TestApp) -> anyhow::Result<()> {
    for (role, series) in [
        (Role::AgentRunner, "recado_queue_messages{queue=\"agent-runner.executions\"}"),
        (Role::AgentRunner, "recado_queue_messages{queue=\"agent-runner.executions.dlq\"}"),
        (Role::AgentRunner, "recado_lanes_oldest_due_seconds{kind=\"execution\"}"),
        (Role::Delivery, "recado_lanes_due{kind=\"delivery\"}"),
        (Role::Sources, "recado_sources_due"),
    ] {
        let known = async || value(&scrape(app, role).await.ok()?, series).ok();
        let known = wait_for(series, SOON, known).await?;
        assert!(known.abs() < f64::EPSILON, "{series} is {known}");
    }
    let runner = scrape(app, Role::AgentRunner).await?;
    // Asked for every 15 s, the first time perhaps before there is one.
    let consumers = value(&runner, "recado_queue_consumers{queue=\"agent-runner.executions\"}")?;
    assert!((0.0..=1.0).contains(&consumers), "{consumers}");
    assert!(value(&runner, "recado_store_pool_max")? >= 1.0);
    Ok(())
}
