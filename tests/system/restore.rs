//! A copy of the database, a loss, and what docs/operations.md says to do about it.

use std::process::Command;

use anyhow::{Context, ensure};
use recado_testkit::app::{Role, TestApp};
use recado_testkit::callback::Sink;
use recado_testkit::{sql, wait_for};
use serde_json::json;

use crate::support::{SOON, Story, echo, system};

/// A trigger whose messages have ids of their own, and where its answers go.
struct Way {
    trigger: String,
    sink: Sink,
}

impl Way {
    async fn make(app: &TestApp) -> anyhow::Result<Self> {
        let sink = Sink::start();
        let config = json!({
            "auth": {"type": "none"},
            "query_extraction": {"mode": "field", "field": "text"},
            "idempotency": {"path": "id"},
            "session_strategy": {"mode": "shared"},
            "execution": {"mode": "async", "callback": {"url": sink.url()}},
        });
        let trigger = app.management().create_trigger(&echo(app).await?, "Shop", &config).await?;
        Ok(Self { trigger: trigger.id, sink })
    }

    async fn post(&self, app: &TestApp, id: &str) -> anyhow::Result<()> {
        let request = app.webhook(0, &self.trigger)?.json(&json!({"id": id, "text": id}));
        let status = request.send().await?.status();
        ensure!(status == 202, "{id} was answered {status}");
        Ok(())
    }

    /// What was answered, and under which key, when there are so many answers.
    async fn answers(&self, n: usize) -> anyhow::Result<Vec<(String, String)>> {
        wait_for(&format!("{n} answers"), SOON, async || {
            let received = self.sink.received();
            (received.len() >= n).then_some(())
        })
        .await?;
        let answers = self.sink.received().into_iter().map(|received| {
            let key = received.header("idempotency-key").context("a callback without a key")?;
            let body: serde_json::Value = serde_json::from_slice(&received.body)?;
            let text = body["agent_response"].as_str().context("a callback without an answer")?;
            Ok((text.to_owned(), key.to_owned()))
        });
        answers.collect()
    }
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("{program} cannot be run"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments:?}: {said}");
    Ok(())
}

/// Replaces the database by what is in `dump`.
async fn restore(app: &TestApp, dump: &str) -> anyhow::Result<()> {
    let url = app.database_url();
    let (server, name) = url.rsplit_once('/').context("a URL names its database")?;
    let maintenance = format!("{server}/postgres");
    sql::execute(&maintenance, &format!("DROP DATABASE \"{name}\" WITH (FORCE)")).await?;
    sql::execute(&maintenance, &format!("CREATE DATABASE \"{name}\"")).await?;
    let target = format!("--dbname={url}");
    run("pg_restore", &["--exit-on-error", "--single-transaction", &target, dump])
}

#[tokio::test]
async fn what_a_copy_has_comes_back_and_what_it_lacks_is_heard_when_it_is_repeated() -> Story {
    let mut app = system().start().await?;
    let way = Way::make(&app).await?;
    for id in ["kept-1", "kept-2"] {
        way.post(&app, id).await?;
    }
    way.answers(2).await?;
    // What was heard may not be written down yet, and would be sent again.
    wait_for("both deliveries to be written down", SOON, async || {
        let ended = "SELECT count(*) FROM deliveries WHERE finished_at IS NOT NULL";
        (sql::count(&app.database_url(), ended).await.ok()? == 2).then_some(())
    })
    .await?;
    let dump = app.directory().join("recado.dump");
    let dump = dump.to_str().context("the path is text")?;
    let to = format!("--file={dump}");
    let url = app.database_url();
    run("pg_dump", &[&url, "--enable-row-security", "--format=custom", &to])?;
    way.post(&app, "lost").await?;
    let before = way.answers(3).await?;

    for role in Role::ALL {
        app.terminate(role, 0).await?;
    }
    restore(&app, dump).await?;
    app.redis().command("FLUSHDB").await?;
    for role in Role::ALL {
        app.restart(role, 0).await?;
    }

    // All of one session: had the first of these started anything, its answer would come first.
    for id in ["kept-2", "lost", "new"] {
        way.post(&app, id).await?;
    }
    let after = way.answers(5).await?;
    assert_eq!(after[..3], before);
    let texts: Vec<&str> = after[3..].iter().map(|(text, _key)| text.as_str()).collect();
    assert_eq!(texts, ["lost", "new"]);
    assert_eq!(after[3].1, before[2].1, "who heard it before knows it by its key");
    Ok(app.finish().await?)
}
