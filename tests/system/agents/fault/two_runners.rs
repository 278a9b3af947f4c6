//! Many sessions, tools in every run, two runners, one of which dies on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use recado_testkit::app::Role;
use recado_testkit::model::{Chat, Model, Turn};
use recado_testkit::stub::Fault;
use recado_testkit::tool::{Tool, ToolCalled};
use serde_json::json;

use crate::agents::posting;
use crate::load::{Load, Order, Talk};
use crate::support::{Story, WhatsApp, system, thinker};

const TALK: Talk = Talk { sessions: 50, messages: Some(4) };

/// How long models and tools take: at any time some have been asked and have not answered.
const IN_DOUBT: Duration = Duration::from_millis(80);

/// Passes on what it is told, and repeats it when the tool has answered.
fn turn(chat: &Chat) -> Turn {
    match chat.turn() {
        0 => Turn::call("note", &json!({"text": chat.input()})),
        _ => Turn::say(chat.input()),
    }
}

/// When the runners were killed, by the tool's clock.
type Kills = Vec<Duration>;

#[tokio::test]
async fn fifty_sessions_with_tools_survive_the_death_of_each_of_two_runners() -> Story {
    let mut app = system().instances(Role::AgentRunner, 2).start().await?;
    let (model, tool) = (Model::start(), Tool::answering([("/notes", json!({"noted": true}))]));
    model.respond_with(turn);
    model.fail_always(Fault::Delay(IN_DOUBT));
    tool.fail_always(Fault::Delay(IN_DOUBT));
    let parameters = json!({"type": "object", "properties": {"text": {"type": "string"}}});
    let config = posting(&tool, "/notes", &parameters, &json!({}));
    let note = app.management().create_tool("note", "Takes a note.", "http", &config).await?;
    let agent = thinker(&app, &model).await?;
    app.management().patch(&format!("/api/agents/{agent}"), &json!({"tools": [note]})).await?;
    let whatsapp = WhatsApp::connect(&app, &agent, |config| {
        config["execution"]["message_buffer"]["window_ms"] = json!(300);
    })
    .await?;

    let load = Load::new(&whatsapp, Some(&model), Order::MayChangeByRedelivery, TALK);
    let (killed, written) = tokio::join!(
        async {
            let mut kills = Kills::new();
            for index in [0, 1] {
                load.acknowledges(40).await?;
                app.kill(Role::AgentRunner, index)?;
                kills.push(tool.elapsed());
                load.acknowledges(20).await?;
                // The talk does not wait for it, and must not be over before the next one dies.
                app.launch(Role::AgentRunner, index)?;
            }
            for index in [0, 1] {
                app.until_ready(Role::AgentRunner, index).await?;
            }
            anyhow::Ok(kills)
        },
        load.run_to_its_end(),
    );
    written?;
    let kills = killed?;
    load.settle().await?;
    app.finish().await?;
    let summary = load.check().unwrap_or_else(|violations| panic!("{violations}"));
    let n_repeated = judge_calls(&tool, &kills);
    assert_eq!(summary.n_repeated_callbacks, 0, "nobody who calls back has died");
    eprintln!(
        "{} messages in {} executions; in doubt: {} model calls, {n_repeated} tool calls",
        summary.n_acknowledged,
        summary.n_inputs - summary.n_repeated_inputs,
        summary.n_repeated_inputs,
    );
    Ok(())
}

/// Each call has a key of its own, and is repeated only if a runner died meanwhile. Answers how many
/// were.
fn judge_calls(tool: &Tool, kills: &Kills) -> usize {
    let mut by_text: BTreeMap<String, Vec<ToolCalled>> = BTreeMap::new();
    for call in tool.calls() {
        let text = call.body.as_ref().map(|body| body["text"].to_string()).unwrap_or_default();
        by_text.entry(text).or_default().push(call);
    }
    let mut keys = BTreeSet::new();
    for (text, calls) in &by_text {
        let key = calls[0].idempotency_key.clone();
        assert!(key.is_some() && keys.insert(key), "{text} shares its key with another call");
        for pair in calls.windows(2) {
            assert_eq!(pair[0].idempotency_key, pair[1].idempotency_key, "{text}");
            let died_between = kills.iter().any(|kill| (pair[0].at..pair[1].at).contains(kill));
            assert!(died_between, "{text} was called again for no reason: {calls:#?}");
        }
    }
    by_text.values().map(|calls| calls.len() - 1).sum()
}
