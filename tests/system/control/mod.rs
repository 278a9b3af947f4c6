//! People interfere with what agents do: they approve and deny calls, cancel executions, suspend
//! sessions and take them over, and write again while an agent thinks.
//!
//! An agent here asks a [`Model`] and has one [`Tool`] behind HTTP; questions are posted to it as
//! JSON, and the API tells what became of them.

mod approvals;
mod cancelling;
mod events;
mod fairness;
mod listener;
mod sub_agents;
mod superseding;
mod suspending;
mod windows;

use anyhow::{Context, bail, ensure};
use recado_testkit::app::{Role, TestApp};
use recado_testkit::model::{Chat, Model, Turn};
use recado_testkit::tool::Tool;
use recado_testkit::{sql, wait_for};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Asker, SOON, thinker};

/// A model, a tool, an agent that has both, and a trigger of the agent's.
struct Desk {
    model: Model,
    tool: Tool,
    agent: String,
    asker: Asker,
}

/// An execution that a question was put into.
#[derive(Clone, Debug)]
struct Asked {
    execution: String,
    session: String,
}

impl Desk {
    /// With a tool `book`, which takes an `amount` and answers that it is booked; each call of it
    /// waits for an approval as `approval` says.
    async fn open(app: &TestApp, approval: Value) -> anyhow::Result<Self> {
        Self::open_with(app, approval, json!({}), json!({})).await
    }

    /// The same, with more fields of the agent and of the trigger.
    async fn open_with(
        app: &TestApp,
        approval: Value,
        agent_fields: Value,
        trigger_fields: Value,
    ) -> anyhow::Result<Self> {
        let (model, tool) = (Model::start(), Tool::answering([("/book", json!({"booked": true}))]));
        let agent = thinker(app, &model).await?;
        let book = json!({
            "method": "POST",
            "url": format!("{}/book", tool.url()),
            "parameters": {
                "type": "object",
                "properties": {"amount": {"type": "number"}},
                "required": ["amount"],
            },
        });
        let book = app.management().create_tool("book", "Books it.", "http", &book).await?;
        let mut fields = json!({"tools": [{"tool": book, "approval": approval}]});
        merge(&mut fields, agent_fields);
        change_agent(app, &agent, &fields).await?;
        let mut config = json!({
            "auth": {"type": "api_key"},
            "query_extraction": {"mode": "field", "field": "question"},
            "context_mapping": {"user": "$.user"},
            "session_strategy": {"mode": "derive", "fields": ["user"]},
            "execution": {"mode": "async"},
        });
        merge(&mut config, trigger_fields);
        let asker = Asker::connect(app, &agent, &config).await?;
        Ok(Self { model, tool, agent, asker })
    }

    /// Posts a question, and does not wait for the answer.
    async fn ask(&self, app: &TestApp, user: &str, question: &str) -> anyhow::Result<Asked> {
        let answer = self.asker.ask(app, &question_of(user, question)).await?;
        ensure!(answer.status == 202, "{question:?} was answered {answer:?}");
        let accepted = answer.json()?;
        let field = |name| -> anyhow::Result<String> {
            Ok(accepted[name].as_str().with_context(|| format!("no {name}: {accepted}"))?.into())
        };
        Ok(Asked { execution: field("execution_id")?, session: field("session_id")? })
    }

    /// Posts a question to a trigger whose senders wait.
    async fn ask_and_wait(
        &self,
        app: &TestApp,
        user: &str,
        question: &str,
    ) -> anyhow::Result<Answer> {
        self.asker.ask(app, &question_of(user, question)).await
    }

    /// The model calls `book` when the user says so, with the amount in their words, and answers
    /// with what came of it; to anything else it answers with the question.
    fn book_when_told(&self) {
        self.model.respond_with(|chat| match (chat.input().strip_prefix("book "), chat.turn()) {
            (Some(amount), 0) => Turn::call("book", &json!({"amount": number(amount)})),
            (Some(_), _) => Turn::say(format!("It says {}", chat.results().join(" and "))),
            (None, _) => Turn::say(format!("You said {:?}.", chat.input())),
        });
    }

    /// Waits until the model was asked so often.
    async fn n_asked(&self, n: usize) -> anyhow::Result<()> {
        let asked = async || (self.model.count() >= n).then_some(());
        wait_for(&format!("{n} questions to the model"), SOON, asked).await
    }

    /// The last conversation that the model was given.
    fn last_chat(&self) -> anyhow::Result<Chat> {
        Ok(self.model.asked().pop().context("the model was not asked")?.chat)
    }

    /// Waits until the tool was called so often.
    async fn n_called(&self, n: usize) -> anyhow::Result<()> {
        let called = async || (self.tool.count() >= n).then_some(());
        wait_for(&format!("{n} calls of the tool"), SOON, called).await
    }
}

fn question_of(user: &str, question: &str) -> Value {
    json!({"user": user, "question": question})
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or_default()
}

/// What was said after the system prompt, each with who said it.
fn said(chat: &Chat) -> Vec<(&str, &str)> {
    let said = chat.messages.iter().filter(|message| message.role != "system");
    said.map(|message| (message.role.as_str(), message.content.as_deref().unwrap_or_default()))
        .collect()
}

/// Puts fields into an object, in place of those it has; objects are merged.
fn merge(into: &mut Value, fields: Value) {
    match (into, fields) {
        (Value::Object(into), Value::Object(fields)) => {
            for (name, value) in fields {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, fields) => *into = fields,
    }
}

async fn change_agent(app: &TestApp, agent: &str, fields: &Value) -> anyhow::Result<()> {
    app.management().patch(&format!("/api/agents/{agent}"), fields).await.map(drop)
}

/// Everything the API tells of an execution.
async fn detail(app: &TestApp, execution: &str) -> anyhow::Result<Value> {
    app.management().get(&format!("/api/executions/{execution}")).await
}

/// Waits until an execution stands like this; answers everything about it. An end that is another
/// one is an error.
async fn until(app: &TestApp, execution: &str, status: &str) -> anyhow::Result<Value> {
    let stands = wait_for(&format!("an execution to be {status}"), SOON, async || {
        let detail = detail(app, execution).await.ok()?;
        let execution = &detail["execution"];
        (execution["status"] == status || !execution["finished_at"].is_null()).then_some(detail)
    })
    .await
    .with_context(|| execution.to_owned())?;
    if stands["execution"]["status"] != status {
        bail!("an execution was to be {status}: {stands:#}");
    }
    Ok(stands)
}

/// The tool calls of an execution, by a field of theirs.
fn tool_calls<'d>(detail: &'d Value, field: &str) -> Vec<&'d str> {
    let calls = detail["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    calls.iter().map(|call| call[field].as_str().unwrap_or_default()).collect()
}

/// Does something to an execution or a session; answers what the API does.
async fn act(
    app: &TestApp,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> anyhow::Result<Answer> {
    let mut request = app.management().request(method, path)?;
    if let Some(body) = body {
        request = request.json(&body);
    }
    Ok(Answer::of(request.send().await?).await?)
}

/// Approves or denies a call; anything but a 200 is an error.
async fn decide(app: &TestApp, execution: &str, call: &str, verdict: &str) -> anyhow::Result<()> {
    let path = format!("/api/executions/{execution}/tool-calls/{call}/{verdict}");
    let answer = act(app, Method::PUT, &path, None).await?;
    ensure!(answer.status == 200, "to {verdict} was answered {answer:?}");
    Ok(())
}

async fn cancel(app: &TestApp, execution: &str) -> anyhow::Result<()> {
    let path = format!("/api/executions/{execution}/cancel");
    let answer = act(app, Method::POST, &path, None).await?;
    ensure!(answer.status == 202, "to cancel was answered {answer:?}");
    Ok(())
}

/// `suspend`, `resume` or `handoff`.
async fn change_session(app: &TestApp, session: &str, change: &str) -> anyhow::Result<()> {
    let answer = act(app, Method::POST, &format!("/api/sessions/{session}/{change}"), None).await?;
    ensure!(answer.status == 200, "to {change} was answered {answer:?}");
    Ok(())
}

/// Kills all processes, and starts them again.
async fn restart_all(app: &mut TestApp) -> anyhow::Result<()> {
    for role in Role::ALL {
        app.kill(role, 0)?;
    }
    for role in Role::ALL {
        app.restart(role, 0).await?;
    }
    Ok(())
}

/// Moves the beginning of all that has not ended, and of all waiting, into the past: as if that
/// much time had gone by.
async fn let_pass(app: &TestApp, interval: &str) -> anyhow::Result<()> {
    let statement = format!(
        "UPDATE executions SET created_at = created_at - interval '{interval}',
                started_at = started_at - interval '{interval}',
                paused_at = paused_at - interval '{interval}'
          WHERE finished_at IS NULL"
    );
    Ok(sql::execute(&app.database_url(), &statement).await?)
}

async fn count(app: &TestApp, query: &str) -> anyhow::Result<i64> {
    Ok(sql::count(&app.database_url(), query).await?)
}
