//! `recado dead-letters`: what an operator does about messages that nobody could handle.

use std::process::Output;

use anyhow::Context;
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use recado_broker::topology::{INBOUND, definitions};
use recado_testkit::app::{Role, TestApp};
use recado_testkit::{Vhost, vhost};
use recado_types::{DeadLetterId, TenantId};
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use crate::support::{ANA, RECADO, SOON, Story, WhatsApp, echo, system};

/// Runs `recado dead-letters` with nothing in its environment but the broker.
async fn run(amqp_url: &str, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut recado = Command::new(RECADO);
    recado.arg("dead-letters").args(arguments).env_clear().env("RECADO_AMQP_URL", amqp_url);
    let ended = tokio::time::timeout(SOON, recado.kill_on_drop(true).output()).await;
    Ok(ended.with_context(|| format!("{arguments:?} does not end"))??)
}

/// What it prints, if it succeeds.
pub(crate) async fn printed(amqp_url: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = run(amqp_url, arguments).await?;
    let told = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{arguments:?} failed: {told}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Puts something among the dead letters, and gives its id.
async fn bury(vhost: &Vhost, message_id: &str, body: &str) -> anyhow::Result<String> {
    let properties = json!({
        "message_id": message_id,
        "timestamp": 1_795_000_000,
        "headers": {"recado-reason": "undecodable", "recado-error": "line 1\nis \u{1b}[2J odd"},
    });
    vhost.admin().put(vhost.name(), &INBOUND.dead_letter_queue(), &properties, body).await?;
    Ok(DeadLetterId::derived(INBOUND.name, message_id, body.as_bytes()).to_string())
}

#[tokio::test]
async fn an_operator_lists_shows_redrives_and_discards() -> Story {
    let vhost = vhost().await;
    let url = vhost.url();
    assert_eq!(printed(url, &["list"]).await?, "There are no dead letters.\n");
    vhost.admin().import(vhost.name(), &definitions()).await?;
    let tenant = TenantId(Uuid::new_v4());
    let body = json!({"message": {"tenant_id": tenant}}).to_string();
    let (one, other) = (bury(&vhost, "m-1", &body).await?, bury(&vhost, "m-2", "{\"x\": ").await?);

    let list = printed(url, &["list"]).await?;
    let lines: Vec<&str> = list.lines().collect();
    let [headings, first, second] = lines.as_slice() else { panic!("{list}") };
    assert!(headings.starts_with("ID ") && headings.contains(" TIMES "), "{headings}");
    for part in [one.as_str(), "buffer.inbound", "undecodable", "2026-11-18", "line 1 is  [2J odd"]
    {
        assert!(first.contains(part), "no {part} in {first}");
    }
    assert!(first.contains(&tenant.to_string()) && second.starts_with(&other), "{list}");
    let json = printed(url, &["list", "--json", "--limit", "1"]).await?;
    let json: Value = serde_json::from_str(&json)?;
    assert_eq!((&json["id"], &json["message_id"]), (&json!(one), &json!("m-1")));
    let none = printed(url, &["list", "--queue", "delivery.requests.dlq"]).await?;
    assert_eq!(none, "There are no dead letters.\n");

    let shown = printed(url, &["show", &other]).await?;
    assert!(shown.contains("times dead-lettered  1"), "{shown}");
    assert!(!shown.contains("{\"x\""), "{shown}");
    assert_eq!(printed(url, &["show", &other, "--body"]).await?, "{\"x\": ");

    let nobody = Uuid::from_u128(1).to_string();
    let partly = run(url, &["redrive", &one, &nobody]).await?;
    assert_eq!(partly.status.code(), Some(1));
    let told = String::from_utf8(partly.stdout)?;
    assert!(told.contains(&format!("{one}  redriven\n")), "{told}");
    assert!(told.contains(&format!("{nobody}  not found\n")), "{told}");
    assert_eq!(printed(url, &["discard", &other]).await?, format!("{other}  discarded\n"));
    for arguments in [["show", &other], ["discard", &other], ["redrive", &one]] {
        assert_eq!(run(url, &arguments).await?.status.code(), Some(1), "{arguments:?}");
    }
    assert_eq!(printed(url, &["redrive", "--all"]).await?, "There are no dead letters.\n");

    let both = [bury(&vhost, "m-3", "a").await?, bury(&vhost, "m-4", "b").await?];
    let elsewhere = printed(url, &["discard", "--all", "--queue", "delivery.events"]).await?;
    assert_eq!(elsewhere, "There are no dead letters.\n");
    let all = run(url, &["discard", "--all", "--queue", "buffer.inbound"]).await?;
    let expected = both.map(|id| format!("{id}  discarded\n")).concat();
    assert_eq!(String::from_utf8(all.stdout)?, expected);
    assert_eq!(String::from_utf8(all.stderr)?, "", "a command that succeeds logs nothing");
    Ok(())
}

#[tokio::test]
async fn a_wrong_command_or_a_broker_that_is_away_is_told() -> Story {
    let nowhere = "amqp://127.0.0.1:1";
    for wrong in [&["redrive"][..], &["list", "--queue", "x"], &["show", "x"], &["discard"]] {
        assert_eq!(run(nowhere, wrong).await?.status.code(), Some(2), "{wrong:?}");
    }
    let id = Uuid::from_u128(1).to_string();
    for command in [&["list"][..], &["show", &id], &["redrive", &id], &["discard", &id]] {
        let output = run(nowhere, command).await?;
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let told = String::from_utf8(output.stderr)?;
        assert!(told.contains("the broker cannot be reached"), "{told}");
    }
    Ok(())
}

/// As if whoever handles messages had given up on the one that waits.
#[expect(clippy::disallowed_methods, reason = "to do what no consumer did")]
async fn give_up_one(app: &TestApp) -> anyhow::Result<()> {
    let connection = Connection::connect(&app.amqp_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    // A queue with a single active consumer gives to consumers only.
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let consuming = channel.basic_consume(INBOUND.name.into(), "".into(), options, arguments);
    let mut consumer = consuming.await?;
    let message = tokio::time::timeout(SOON, consumer.next()).await?;
    let message = message.context("the broker ended the consumer")??;
    let (key, options) = (INBOUND.dead_letter_queue().into(), BasicPublishOptions::default());
    let (body, properties) = (&message.data, message.properties.clone());
    channel.basic_publish("".into(), key, options, body, properties).await?.await?;
    channel.basic_ack(message.delivery_tag, BasicAckOptions::default()).await?;
    connection.close(200, "bye".into()).await?;
    Ok(())
}

#[tokio::test]
async fn a_redriven_message_is_answered_after_all() -> Story {
    let mut app = system().start().await?;
    let whatsapp = WhatsApp::connect(&app, &echo(&app).await?, |_| {}).await?;
    app.kill(Role::Buffer, 0)?;
    whatsapp.say(ANA, "are you there?").await?;
    give_up_one(&app).await?;
    app.restart(Role::Buffer, 0).await?;
    let redriven = printed(&app.amqp_url(), &["redrive", "--all"]).await?;
    assert!(redriven.ends_with("  redriven\n"), "{redriven}");
    whatsapp.delivered(1).await?;
    app.finish().await?;
    assert_eq!(whatsapp.received_by(ANA), ["are you there?"]);
    Ok(())
}
