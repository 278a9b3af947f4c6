//! The calls of a tool: what the journal has of them, against what the tool has seen.
//!
//! The agent of the load calls its tool once, with what it was told, and then answers. So each
//! execution has one call, each call one idempotency key, and each key belongs to one execution and
//! stands for one request, however often that comes.

use std::collections::{BTreeMap, BTreeSet};

use recado_testkit::sql;
use recado_testkit::tool::ToolCalled;

/// An execution, with one of its calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    execution: String,
    /// Its key, if there was a call at all.
    key: Option<String>,
    /// How it ended, as the journal has it.
    ended: String,
}

/// All that the journal has of the executions of a trigger.
pub(super) async fn calls(url: &str, trigger: &str) -> anyhow::Result<Vec<Call>> {
    let calls = format!(
        "SELECT concat_ws(' ', e.id, c.id, c.status, c.error_message)
           FROM executions e LEFT JOIN tool_calls c ON c.execution_id = e.id
          WHERE e.trigger_id = '{trigger}'"
    );
    Ok(sql::texts(url, &calls).await?.iter().map(|line| Call::read(line)).collect())
}

/// What is wrong with the calls.
pub(super) fn judge(calls: &[Call], seen: &[ToolCalled]) -> Vec<String> {
    let mut violations = Vec::new();
    let bodies = seen.iter().map(|called| (key_of(called), body_of(called)));
    let by_key = grouped(bodies.clone());
    let by_body = grouped(bodies.map(|(key, body)| (body, key)));
    let by_execution = grouped(calls.iter().map(|call| (call.execution.clone(), key(call))));
    for (execution, keys) in &by_execution {
        if keys.len() != 1 || keys.contains("") {
            violations.push(format!("the execution {execution} has called its tool by {keys:?}"));
        }
    }
    for call in calls.iter().filter(|call| call.key.is_some()) {
        if call.ended != "success" {
            violations.push(format!("a call of a tool failed: {call:?}"));
        } else if !by_key.contains_key(&key(call)) {
            violations.push(format!("the tool has not seen a call that was made: {call:?}"));
        }
    }
    let known: BTreeSet<String> = calls.iter().map(key).collect();
    for (key, bodies) in &by_key {
        if !known.contains(key) {
            violations.push(format!("the key {key:?} is of no execution: {bodies:?}"));
        }
        if bodies.len() > 1 {
            violations.push(format!("the key {key:?} stands for several calls: {bodies:?}"));
        }
    }
    for (body, keys) in by_body.iter().filter(|(_, keys)| keys.len() > 1) {
        violations.push(format!("a call was made under several keys: {body}, {keys:?}"));
    }
    violations
}

impl Call {
    fn read(line: &str) -> Self {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let execution = words.next().unwrap_or_default();
        Self { execution, key: words.next(), ended: words.next().unwrap_or_default() }
    }
}

/// Empty if there is none.
fn key(call: &Call) -> String {
    call.key.clone().unwrap_or_default()
}

fn key_of(called: &ToolCalled) -> String {
    called.idempotency_key.clone().unwrap_or_default()
}

fn body_of(called: &ToolCalled) -> String {
    called.body.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn grouped(pairs: impl Iterator<Item = (String, String)>) -> BTreeMap<String, BTreeSet<String>> {
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (one, other) in pairs {
        groups.entry(one).or_default().insert(other);
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    const GOOD: [&str; 2] = ["e1 k1 success", "e2 k2 success"];

    fn seen(key: &str, text: &str) -> ToolCalled {
        ToolCalled {
            seq: 1,
            at: Duration::ZERO,
            method: "POST".into(),
            path: "/note".into(),
            query: Vec::new(),
            authorization: None,
            idempotency_key: Some(key.into()),
            body: Some(json!({ "text": text })),
            succeeded: true,
        }
    }

    fn judged(journal: &[&str], tool: &[(&str, &str)]) -> Vec<String> {
        let calls: Vec<_> = journal.iter().map(|line| Call::read(line)).collect();
        let seen: Vec<_> = tool.iter().map(|(key, text)| seen(key, text)).collect();
        judge(&calls, &seen)
    }

    #[test]
    fn a_call_in_doubt_comes_again_under_its_key() {
        assert_eq!(judged(&GOOD, &[("k1", "a"), ("k2", "b"), ("k1", "a")]), [""; 0]);
    }

    #[test]
    fn each_execution_has_a_call_and_a_key_of_its_own() {
        let wrong = |journal: &[&str], tool: &[(&str, &str)], told: &str| {
            let violations = judged(journal, tool);
            assert!(violations.iter().any(|it| it.contains(told)), "{violations:?}");
        };
        let both = [("k1", "a"), ("k2", "b")];
        wrong(&GOOD, &both[..1], "has not seen");
        wrong(&["e1 k1 success", "e2 k2 error refused"], &both, "a call of a tool failed");
        wrong(&["e1 k1 success", "e2"], &both[..1], "e2 has called its tool by {\"\"}");
        wrong(&["e1 k1 success", "e1 k2 success"], &both, "e1 has called its tool by");
        wrong(&GOOD, &[("k1", "a"), ("k2", "b"), ("k3", "c")], "is of no execution");
        wrong(&GOOD, &[("k1", "a"), ("k2", "b"), ("k2", "c")], "stands for several calls");
        wrong(&GOOD, &[("k1", "a"), ("k2", "a")], "under several keys");
    }
}
