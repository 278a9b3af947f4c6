//! The command-line client: what people who automate rely on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context, ensure};
use recado_testkit::app::{Role, TestApp};
use recado_testkit::scratch::ScratchDir;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{RECADO, SOON, Story, system};

/// The example of docs/cli.md.
const RECEPTION: &str = include_str!("../../docs/examples/reception.yaml");

/// What it makes, as the API calls it.
const MADE: [&str; 5] = ["providers", "tools", "agents", "triggers", "event-endpoints"];

/// Somebody with a token and a shell.
struct Shell {
    url: String,
    token: String,
    /// Everything that was printed to either of them.
    printed: String,
}

/// What a command came to.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Shell {
    fn open(app: &TestApp, role: &str) -> anyhow::Result<Self> {
        let url = app.url(Role::Management, 0, "management_url")?;
        Ok(Self { url, token: app.management().token(role)?, printed: String::new() })
    }

    async fn run(&mut self, arguments: &[&str]) -> anyhow::Result<Ended> {
        let environment = [("RECADO_API_URL", &*self.url), ("RECADO_TOKEN", &*self.token)];
        let ended = run(arguments, &environment).await?;
        self.printed.extend([&*ended.out, &*ended.err]);
        Ok(ended)
    }

    /// What it prints, if it succeeds.
    async fn out(&mut self, arguments: &[&str]) -> anyhow::Result<String> {
        let ended = self.run(arguments).await?;
        ensure!(ended.code == Some(0), "{arguments:?}: {:?}: {}", ended.code, ended.err);
        Ok(ended.out)
    }

    async fn json(&mut self, arguments: &[&str]) -> anyhow::Result<Value> {
        let out = self.out(&[arguments, &["-o", "json"]].concat()).await?;
        serde_json::from_str(&out).with_context(|| format!("no JSON: {out}"))
    }

    async fn apply(&mut self, file: &Path, more: &[&str]) -> anyhow::Result<Ended> {
        let file = file.to_str().context("a path of ours is UTF-8")?;
        self.run(&[&["apply", "-f", file], more].concat()).await
    }
}

/// Runs the client with nothing else in its environment, and nobody to ask.
async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Ended> {
    let mut recado = Command::new(RECADO);
    recado.args(arguments).env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
    let ended = tokio::time::timeout(SOON, recado.kill_on_drop(true).output()).await;
    let Output { status, stdout, stderr } =
        ended.with_context(|| format!("{arguments:?} does not end"))??;
    let (out, err) = (String::from_utf8(stdout)?, String::from_utf8(stderr)?);
    Ok(Ended { code: status.code(), out, err })
}

fn file(scratch: &ScratchDir, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = scratch.path().join(name);
    fs::write(&path, text)?;
    Ok(path)
}

/// Everything that the example makes, as the API has it.
async fn everything(app: &TestApp) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for kind in MADE {
        let mut listed = app.management().get(&format!("/api/{kind}?limit=100")).await?;
        let listed: Vec<Value> = serde_json::from_value(listed["data"].take())?;
        all.extend(listed);
    }
    Ok(all)
}

#[tokio::test]
async fn files_are_applied_once_and_a_change_changes_exactly_that() -> Story {
    let only_management = [Role::Ingress, Role::Buffer, Role::AgentRunner, Role::Delivery];
    let builder = only_management.into_iter().fold(system(), |it, role| it.instances(role, 0));
    let app = builder.start().await?;
    let scratch = ScratchDir::new()?;
    let reception = file(&scratch, "reception.yaml", RECEPTION)?;
    for secret in ["RECEPTION_MODEL_KEY", "CLINIC_KEY"] {
        app.management().create_secret(secret, "the-value-of-a-secret").await?;
    }
    let mut shell = Shell::open(&app, "editor")?;

    // Nothing is done that nobody has agreed to.
    let unasked = shell.apply(&reception, &[]).await?;
    assert_eq!(unasked.code, Some(2), "{}", unasked.err);
    let dry = shell.apply(&reception, &["--dry-run", "--exit-code"]).await?;
    assert_eq!(dry.code, Some(3), "{}", dry.err);
    assert!(dry.out.contains("+ agent `Reception`\n"), "{}", dry.out);
    assert!(dry.out.ends_with("7 to create, 0 to change, 0 unchanged\n"), "{}", dry.out);
    assert_eq!(everything(&app).await?, [Value::Null; 0]);

    let kept = scratch.path().join("secrets.jsonl");
    let kept_at = kept.to_str().context("a path of ours is UTF-8")?;
    let applied = shell.apply(&reception, &["--yes", "--save-secrets", kept_at]).await?;
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    let made = everything(&app).await?;
    assert_eq!(made.len(), 7);
    let named = |name: &str| made.iter().find(|it| it["name"] == name).cloned().unwrap_or_default();
    assert_eq!(named("Website")["agent_id"], named("Reception")["id"]);
    assert_eq!(named("ask_billing")["config"], json!({"agent_id": named("Billing")["id"]}));

    // The same again is nothing: no version and no time of a change is another one.
    let again = shell.apply(&reception, &["--yes"]).await?;
    assert_eq!((again.code, &*again.out), (Some(0), "Nothing to change: 7 as they should be.\n"));
    assert_eq!(everything(&app).await?, made);

    let other = RECEPTION.replace("max_iterations: 8", "max_iterations: 9");
    let changed = file(&scratch, "changed.yaml", &other)?;
    let told = shell.apply(&changed, &["--yes"]).await?;
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert!(
        told.out.contains("    limits.max_iterations: 8 → 9\n0 to create, 1 to change, 6 unch")
    );
    let after = everything(&app).await?;
    let differ: Vec<&Value> =
        after.iter().zip(&made).filter(|(after, made)| after != made).map(|it| it.0).collect();
    let [reception_now] = differ.as_slice() else { panic!("{differ:?}") };
    assert_eq!(
        (&reception_now["name"], &reception_now["version"]),
        (&json!("Reception"), &json!(2))
    );
    assert_eq!(reception_now["limits"]["max_iterations"], 9);

    // What a file has wrong is told by its lines, and nothing of it is done.
    let wrong = RECEPTION.replace("window_ms: 3000", "window_msec: 3000");
    let refused = shell.apply(&file(&scratch, "wrong.yaml", &wrong)?, &["--yes"]).await?;
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("/wrong.yaml:") && refused.err.contains("window_msec"));
    // All that is wrong is told at once, whatever it is, and so is a file that came to nothing.
    let wrong = RECEPTION.replace("window_ms: 3000", "window_msec: 3000, window_msec: 1")
        + "---\ntriggers: [{name: Lost, agent: nobody, trigger_config: {}}]\n";
    let refused = shell.apply(&file(&scratch, "several.yaml", &wrong)?, &["--yes"]).await?;
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    for expected in [
        "trigger `Website`: trigger_config.execution.message_buffer.window_msec is there twice",
        "trigger `Website`: trigger_config.execution.message_buffer.window_msec is not a known field",
        "(document 2): trigger `Lost`: agent names nobody: there is no agent `nobody`",
    ] {
        assert!(refused.err.contains(expected), "{expected}\n{}", refused.err);
    }
    let refused = shell.apply(&file(&scratch, "empty.yaml", "# soon\n")?, &["--yes"]).await?;
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("/empty.yaml: there is nothing in it"), "{}", refused.err);
    // What the server refuses, by its code, and by the line of what it is about.
    let unknown = RECEPTION.replace("secret_ref: RECEPTION_MODEL_KEY", "secret_ref: NO_SUCH_KEY");
    let refused = shell.apply(&file(&scratch, "unknown.yaml", &unknown)?, &["--yes"]).await?;
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("invalid_input (400)"), "{}", refused.err);
    assert!(refused.err.contains("/unknown.yaml:9: secret_ref"), "{}", refused.err);
    let mut viewer = Shell::open(&app, "viewer")?;
    let forbidden = viewer.apply(&file(&scratch, "back.yaml", RECEPTION)?, &["--yes"]).await?;
    assert_eq!(forbidden.code, Some(1));
    assert!(forbidden.err.contains("insufficient_permissions"), "{}", forbidden.err);
    assert_eq!(everything(&app).await?, after);

    let secrets = fs::read_to_string(&kept)?;
    assert_eq!(fs::metadata(&kept)?.permissions().mode() & 0o777, 0o600);
    let mut n_kept = 0;
    for line in secrets.lines() {
        let line: Value = serde_json::from_str(line)?;
        let secret = line["webhook_secret"].as_str().or(line["secret"].as_str());
        assert!(!shell.printed.contains(secret.context("a line without a secret")?));
        n_kept += 1;
    }
    assert_eq!(n_kept, 2, "the trigger's and the event endpoint's");
    for token in [&shell.token, &viewer.token] {
        assert!(!shell.printed.contains(token) && !viewer.printed.contains(token));
    }
    Ok(app.finish().await?)
}

#[tokio::test]
async fn a_script_makes_a_trigger_finds_it_and_follows_what_it_does() -> Story {
    let app = system().start().await?;
    let scratch = ScratchDir::new()?;
    let text = r#"
        agents:
          - {name: Echo, model: builtin.echo, system_prompt: ""}
          - {name: Lost, model: builtin.script, system_prompt: "fail: nothing comes to mind"}
    "#;
    let agents = file(&scratch, "agents.yaml", text)?;
    let mut shell = Shell::open(&app, "owner")?;
    let applied = shell.apply(&agents, &["--yes"]).await?;
    assert_eq!(applied.code, Some(0), "{}", applied.err);

    let mut triggers = Vec::new();
    for agent in ["Echo", "Lost"] {
        let trigger = format!(
            "triggers: [{{name: To {agent}, agent: {agent}, trigger_config: {{auth: {{type: none}}, \
             query_extraction: {{mode: field, field: text}}, execution: {{mode: sync}}}}}}]"
        );
        let path = file(&scratch, &format!("{agent}.yaml"), &trigger)?;
        let path = path.to_str().context("a path of ours is UTF-8")?;
        let made = shell.json(&["triggers", "create", "-f", path]).await?;
        assert!(made[0]["webhook_secret"].is_string(), "it is shown only now: {made}");
        triggers.push(made[0].clone());
    }

    let listed = shell.json(&["triggers", "list"]).await?;
    let mut ids: Vec<&Value> =
        listed.as_array().context("a list")?.iter().map(|it| &it["id"]).collect();
    ids.reverse();
    assert_eq!(ids, triggers.iter().map(|it| &it["id"]).collect::<Vec<_>>());
    let one = shell.json(&["triggers", "get", "To Echo"]).await?;
    assert_eq!(
        (&one["id"], &one["webhook_url"]),
        (&triggers[0]["id"], &triggers[0]["webhook_url"])
    );
    assert!(one["webhook_secret"].is_null());
    let table = shell.out(&["triggers", "list", "--limit", "1"]).await?;
    assert!(table.starts_with("ID ") && table.contains("  To Lost  "), "{table}");
    assert!(table.contains("  Lost  "), "its agent, by name: {table}");
    assert_eq!(shell.json(&["agents", "get", "Echo"]).await?["id"], triggers[0]["agent_id"]);

    let (succeeded, failed) = (said(&app, &triggers[0]).await?, said(&app, &triggers[1]).await?);
    let followed = shell.out(&["executions", "show", &succeeded, "--follow"]).await?;
    assert!(followed.contains("answer\n  Olá\n"), "{followed}");
    assert!(followed.contains(&format!("success  {succeeded}")), "{followed}");
    let lost = shell.run(&["executions", "show", &failed, "--follow"]).await?;
    assert_eq!(lost.code, Some(1), "{}", lost.out);
    assert!(lost.out.contains(&format!("failed  {failed}")), "{}", lost.out);

    let of_echo = shell.json(&["executions", "list", "--trigger", "To Echo"]).await?;
    assert_eq!((&of_echo[0]["id"], &of_echo[1]), (&json!(succeeded), &Value::Null));
    let table = shell.out(&["executions", "list", "--trigger", "To Echo"]).await?;
    assert!(table.contains("  To Echo  ") && table.contains("  Echo  "), "{table}");
    let session = of_echo[0]["session_id"].as_str().context("a session")?;
    assert!(table.contains(session), "{table}");
    let of_status = shell.json(&["executions", "list", "--status", "failed"]).await?;
    assert_eq!((&of_status[0]["id"], &of_status[1]), (&json!(failed), &Value::Null));
    let sessions = shell.json(&["sessions", "list", "--agent", "Echo"]).await?;
    let session = sessions[0]["session_id"].as_str().context("a session")?.to_owned();
    let said = shell.out(&["sessions", "show", &session]).await?;
    assert!(said.matches("\n  Olá").count() >= 2, "asked and answered: {said}");
    let transcript = shell.json(&["sessions", "show", &session]).await?;
    assert!(transcript["transcript"].is_array(), "{transcript}");

    for (arguments, code) in [
        (&["triggers", "get", "nobody"][..], "there is no trigger `nobody`"),
        (
            &["executions", "show", "01930000-0000-7000-8000-000000000001"],
            "execution_not_found (404)",
        ),
        (&["executions", "list", "--status", "bored"], "invalid_input (400)"),
    ] {
        let refused = shell.run(arguments).await?;
        assert_eq!(refused.code, Some(1), "{arguments:?}");
        assert!(refused.err.contains(code), "{}", refused.err);
        assert_eq!(refused.out, "");
    }
    assert!(!shell.printed.contains(&shell.token));
    Ok(app.finish().await?)
}

/// Posts to a trigger that anybody may use, and gives the id of the execution.
async fn said(app: &TestApp, trigger: &Value) -> anyhow::Result<String> {
    let id = trigger["id"].as_str().context("a trigger's id")?;
    let answer = app.webhook(0, id)?.json(&json!({"text": "Olá"})).send().await?;
    let answer: Value = answer.json().await?;
    let id = answer["execution_id"].as_str().or(answer["details"]["execution_id"].as_str());
    Ok(id.with_context(|| format!("no execution: {answer}"))?.to_owned())
}

#[tokio::test]
async fn exit_codes_tell_what_kind_of_trouble_it_is() -> Story {
    let scratch = ScratchDir::new()?;
    let token = scratch.path().join("token");
    fs::write(&token, "the-token-of-a-file\n")?;
    let token = token.to_str().context("a path of ours is UTF-8")?;
    let nowhere = ("RECADO_API_URL", "http://127.0.0.1:1");

    let away = run(&["triggers", "list", "--token-file", token], &[nowhere]).await?;
    assert_eq!(away.code, Some(69), "{}", away.err);
    assert!(away.err.contains("http://127.0.0.1:1") && !away.err.contains("the-token"));
    for (arguments, environment) in [
        // Nobody who asks.
        (&["triggers", "list"][..], &[nowhere][..]),
        // A token on the command line would be for everybody to see.
        (&["triggers", "list", "--token", "x"], &[nowhere, ("RECADO_TOKEN", "x")]),
        (&["triggers", "list"], &[("RECADO_API_URL", "nowhere"), ("RECADO_TOKEN", "x")]),
        // A variable that nobody reads is a typing error.
        (&["triggers", "list"], &[nowhere, ("RECADO_TOKN", "x")]),
        (&["apply", "-f", "/nowhere.yaml"], &[nowhere, ("RECADO_TOKEN", "x")]),
        (&["apply"], &[nowhere, ("RECADO_TOKEN", "x")]),
        (&["triggers", "list", "--dev", "/nowhere"], &[]),
    ] {
        let refused = run(arguments, environment).await?;
        assert_eq!(refused.code, Some(2), "{arguments:?}: {}", refused.err);
        assert_ne!(refused.err, "");
    }

    Ok(())
}
