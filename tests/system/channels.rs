//! Ways in beyond the plain webhook: Meta's batches, people who have to be members, secrets that
//! change, and apps.

use anyhow::Context;
use recado_testkit::app::{NewTrigger, Role, TestApp};
use recado_testkit::callback::Sink;
use recado_testkit::stub::Received;
use recado_testkit::{http_client, providers, wait_for};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::support::{ANA, Answer, Asker, BOB, SOON, Story, echo, ended, sha256, system, texts};

const APP_SECRET: &str = "the-app-secret-of-meta";
const META_TOKEN: &str = "the-token-of-meta";
const META: &str = "https://graph.facebook.com";

/// The configuration that docs/channels.md shows for Meta, with `graph` in Meta's place.
fn documented_for_meta(graph: &Sink) -> anyhow::Result<Value> {
    let page = include_str!("../../docs/channels.md");
    let (_, chapter) = page.split_once("## WhatsApp by Meta").context("there is a chapter")?;
    let (_, sample) = chapter.split_once("```json\n").context("it has a sample")?;
    let (sample, _) = sample.split_once("```").context("that ends")?;
    assert!(sample.contains(META) && sample.contains("<PHONE_NUMBER_ID>"), "{sample}");
    let sample = sample.replace(META, &graph.url()).replace("<PHONE_NUMBER_ID>", "1055");
    Ok(serde_json::from_str(&sample)?)
}

/// A trigger for Meta, and what stands in for `graph.facebook.com`.
struct Meta {
    graph: Sink,
    trigger: NewTrigger,
}

impl Meta {
    async fn connect(app: &TestApp) -> anyhow::Result<Self> {
        app.management().create_secret("META_APP_SECRET", APP_SECRET).await?;
        app.management().create_secret("META_WHATSAPP_TOKEN", META_TOKEN).await?;
        let graph = Sink::start();
        let (agent, config) = (echo(app).await?, documented_for_meta(&graph)?);
        let trigger = app.management().create_trigger(&agent, "Meta", &config).await?;
        Ok(Self { graph, trigger })
    }

    async fn post(&self, app: &TestApp, body: &Value) -> anyhow::Result<Answer> {
        let body = body.to_string();
        let mut request = app.webhook(0, &self.trigger.id)?;
        for (name, value) in providers::meta(body.as_bytes(), APP_SECRET) {
            request = request.header(name, value);
        }
        let request = request.header("Content-Type", "application/json").body(body);
        Ok(Answer::of(request.send().await?).await?)
    }

    /// Waits until `graph` was called `n` times; answers to whom it was told what.
    async fn told(&self, n: usize) -> anyhow::Result<Vec<(String, String)>> {
        let called = async || (self.graph.count() >= n).then(|| self.graph.received());
        let called = wait_for(&format!("{n} callbacks"), SOON, called).await?;
        called.iter().map(Self::read).collect()
    }

    fn read(called: &Received) -> anyhow::Result<(String, String)> {
        assert_eq!(called.path, "/v22.0/1055/messages");
        assert_eq!(called.header("authorization"), Some(format!("Bearer {META_TOKEN}").as_str()));
        let message = called.json().context("Meta takes JSON")?;
        let field = |pointer| {
            let text = message.pointer(pointer).and_then(Value::as_str);
            text.map(str::to_owned).with_context(|| format!("{pointer} is missing: {message}"))
        };
        assert_eq!(field("/messaging_product")?, "whatsapp");
        Ok((field("/to")?, field("/text/body")?))
    }
}

/// A request of Meta's with these messages: an id, who wrote, and what.
fn batch(messages: &[(&str, &str, &str)]) -> Value {
    let contact = |number: &str| json!({"profile": {"name": "Ana"}, "wa_id": number});
    let contacts: Vec<Value> = messages.iter().map(|(_, from, _)| contact(from)).collect();
    let messages: Vec<Value> = messages
        .iter()
        .map(|(id, from, text)| {
            json!({
                "from": from, "id": id, "timestamp": "1760000000", "type": "text",
                "text": {"body": text},
            })
        })
        .collect();
    from_meta(&json!({"contacts": contacts, "messages": messages}))
}

fn from_meta(changed: &Value) -> Value {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": "1055"},
    });
    for (name, changed) in changed.as_object().into_iter().flatten() {
        value[name] = changed.clone();
    }
    let change = json!({"field": "messages", "value": value});
    json!({"object": "whatsapp_business_account", "entry": [{"id": "8856", "changes": [change]}]})
}

/// A number as Meta writes it.
fn wa_id(number: &str) -> &str {
    number.trim_start_matches('+')
}

#[tokio::test]
async fn the_senders_of_one_batch_of_meta_are_answered_apart_and_in_order() -> Story {
    let app = system().start().await?;
    let meta = Meta::connect(&app).await?;
    let (ana, bob) = (wa_id(ANA), wa_id(BOB));
    let both =
        batch(&[("wamid.1", ana, "Ana 1"), ("wamid.2", bob, "Bob 1"), ("wamid.3", ana, "Ana 2")]);
    let answer = meta.post(&app, &both).await?;
    assert_eq!((answer.status, answer.json()?), (200, json!({"success": true})));
    // Meta sends what it doubts of again, together with what is new.
    let again = batch(&[("wamid.3", ana, "Ana 2"), ("wamid.4", ana, "Ana 3")]);
    assert_eq!(meta.post(&app, &again).await?, answer);

    let details = ended(&app, &meta.trigger.id, 4).await?;
    let told = meta.told(4).await?;
    let told_to = |number: &str| -> Vec<&str> {
        let his = told.iter().filter(|(to, _)| to == number);
        his.map(|(_, text)| text.as_str()).collect()
    };
    assert_eq!(told_to(ana), ["Ana 1", "Ana 2", "Ana 3"]);
    assert_eq!(told_to(bob), ["Bob 1"]);
    let session_of = |text: &str| {
        let detail = details.iter().find(|detail| texts(detail) == [text]);
        detail.map(|detail| detail["execution"]["session_id"].clone())
    };
    assert_eq!(session_of("Ana 1"), session_of("Ana 3"));
    assert_ne!(session_of("Ana 1"), session_of("Bob 1"));
    app.finish().await?;
    assert_eq!(meta.graph.count(), 4, "one callback for each message");
    Ok(())
}

#[tokio::test]
async fn meta_is_told_who_we_are_and_its_reports_start_nothing() -> Story {
    let app = system().start().await?;
    let meta = Meta::connect(&app).await?;
    let challenge = async |token: &str| {
        let url = app.webhook(0, &meta.trigger.id)?.build()?.url().clone();
        let query = [
            ("hub.mode", "subscribe"),
            ("hub.verify_token", token),
            ("hub.challenge", "1158201444"),
        ];
        let asked = http_client().get(Url::parse_with_params(url.as_str(), query)?);
        anyhow::Ok(Answer::of(asked.send().await?).await?)
    };
    let passed = challenge(&meta.trigger.webhook_secret).await?;
    assert_eq!((passed.status, passed.body.as_str()), (200, "1158201444"));
    assert_eq!(challenge("guessed").await?.status, 403);

    let report = json!([{"id": "wamid.9", "status": "delivered", "recipient_id": wa_id(ANA)}]);
    let answer = meta.post(&app, &from_meta(&json!({ "statuses": report }))).await?;
    assert_eq!((answer.status, answer.json()?), (200, json!({"success": true})));
    app.finish().await?;
    assert_eq!(meta.graph.count(), 0);
    Ok(())
}

#[tokio::test]
async fn only_members_are_answered_and_the_agent_knows_who_they_are() -> Story {
    let app = system().start().await?;
    let config = json!({
        "auth": {"type": "api_key"},
        "query_extraction": {"mode": "field", "field": "Body"},
        "context_mapping": {"userName": "$.claims"},
        "sender_access": {
            "mode": "members", "identity_field": "From", "match_column": "phone",
            "resolve_user": true,
        },
        "session_strategy": {"mode": "derive", "fields": ["From"]},
    });
    let asker = Asker::connect(&app, &echo(&app).await?, &config).await?;
    let message = |from: &str| json!({"From": from, "Body": "may I?", "claims": "somebody else"});
    let stranger = asker.ask(&app, &message("whatsapp:+5511999990001")).await?;
    assert_eq!((stranger.status, stranger.error().as_str()), (403, "webhook_sender_denied"));

    let ana = json!({"name": "Ana Souza", "phone": "+55 (11) 99999-0001"});
    let ana = app.management().create_member(&ana).await?;
    let answers = async |from: &str, status: u16| {
        wait_for(&format!("a {status}"), SOON, async || {
            let answer = asker.ask(&app, &message(from)).await.ok()?;
            (answer.status == status).then_some(answer)
        })
        .await
    };
    let answer = answers("whatsapp:+5511999990001", 200).await?;
    assert_eq!(answer.json()?["agent_response"], "may I?");
    // Old numbers of Brazil lack the ninth digit.
    answers("551199990001", 200).await?;
    let details = ended(&app, &asker.trigger_id, 2).await?;
    let context = &details[0]["execution"]["webhook_context"];
    assert_eq!((&context["userId"], &context["userName"]), (&json!(ana), &json!("Ana Souza")));

    let path = format!("/api/members/{ana}");
    app.management().patch(&path, &json!({"active": false})).await?;
    let former = answers("whatsapp:+5511999990001", 403).await?;
    assert_eq!(former, stranger, "a former member is a stranger");
    Ok(app.finish().await?)
}

#[tokio::test]
async fn a_rotated_secret_is_good_for_as_long_as_it_was_promised() -> Story {
    let app = system().start().await?;
    let config = json!({"query_extraction": {"mode": "field", "field": "text"}});
    let trigger = app.management().create_trigger(&echo(&app).await?, "Signed", &config).await?;
    let body = json!({"text": "sealed"}).to_string();
    let status_under = async |secret: &str| {
        let request = app.webhook(0, &trigger.id)?.header("Content-Type", "application/json");
        let request = request.header("X-Webhook-Signature", sha256(secret, &body));
        anyhow::Ok(request.body(body.clone()).send().await?.status().as_u16())
    };
    let becomes = async |secret: &str, status: u16| {
        let level = async || (status_under(secret).await.ok()? == status).then_some(());
        wait_for(&format!("a {status}"), SOON, level).await
    };
    let first = trigger.webhook_secret.as_str();
    assert_eq!(status_under(first).await?, 200);

    let second = app.management().rotate_secret(&trigger.id, 3_600).await?;
    assert!(second.previous_secret_expires_at.is_some());
    becomes(&second.webhook_secret, 200).await?;
    assert_eq!(status_under(first).await?, 200, "the old one is good for an hour");

    let third = app.management().rotate_secret(&trigger.id, 0).await?;
    assert_eq!(third.previous_secret_expires_at, None);
    becomes(&third.webhook_secret, 200).await?;
    for old in [first, &second.webhook_secret] {
        assert_eq!(status_under(old).await?, 401);
    }
    Ok(app.finish().await?)
}

/// An app's channel, seen by somebody who writes to it.
struct AppChannel {
    url: String,
    token: String,
}

impl AppChannel {
    /// Where the trigger says that its app's senders post, at the ingress of this test.
    async fn of(app: &TestApp, trigger: &NewTrigger) -> anyhow::Result<Self> {
        let shown = app.management().get(&format!("/api/triggers/{}", trigger.id)).await?;
        let told = shown["data"]["app_webhook_url"].as_str().context("it is an app's channel")?;
        let path = Url::parse(told)?.path().to_owned();
        let url = format!("{}{path}", app.url(Role::Ingress, 0, "ingress_url")?);
        Ok(Self { url, token: trigger.webhook_secret.clone() })
    }

    async fn post(&self, token: &str, text: &str) -> anyhow::Result<Answer> {
        let request = http_client().post(&self.url).header("X-Everruns-Webhook-Token", token);
        let request = request.header("Content-Type", "application/octet-stream");
        Ok(Answer::of(request.body(text.to_owned()).send().await?).await?)
    }

    /// Posts until the answer has this status: changes take a moment to arrive.
    async fn answers(&self, text: &str, status: u16) -> anyhow::Result<Answer> {
        wait_for(&format!("a {status}"), SOON, async || {
            let answer = self.post(&self.token, text).await.ok()?;
            (answer.status == status).then_some(answer)
        })
        .await
    }
}

#[tokio::test]
async fn an_app_takes_messages_while_it_is_published() -> Story {
    let app = system().start().await?;
    let sink = Sink::start();
    let config = json!({
        "session_strategy": {"mode": "shared"},
        "execution": {"mode": "async", "callback": {
            "url": sink.url(), "body_template": {"said": "{{agent_response}}"},
        }},
    });
    let trigger = app.management().create_trigger(&echo(&app).await?, "Support", &config).await?;
    let support = app.management().create_app("Support", "draft").await?;
    app.management().put_into_app(&trigger.id, &support).await?;
    let channel = AppChannel::of(&app, &trigger).await?;
    let status = async |status: &str| {
        app.management().patch(&format!("/api/apps/{support}"), &json!({"status": status})).await
    };

    let draft = channel.answers("too early", 403).await?;
    assert_eq!(draft.content_type, "application/problem+json");
    assert_eq!(draft.json()?["allowed_actions"][0]["rel"], "retry-later", "{draft:?}");
    status("published").await?;
    let accepted = channel.answers("Olá!", 202).await?.json()?;
    assert_eq!((&accepted["accepted"], &accepted["created_session"]), (&json!(true), &json!(true)));
    let session = accepted["session_id"].as_str().unwrap_or_default();
    assert!(session.strip_prefix("session_").is_some_and(|hex| hex.len() == 32), "{accepted}");
    let called = wait_for("the callback", SOON, async || sink.received().into_iter().next());
    assert_eq!(called.await?.json(), Some(json!({"said": "Olá!"})));

    let more = channel.post(&channel.token, "more").await?.json()?;
    assert_eq!((&more["created_session"], &more["session_id"]), (&json!(false), &json!(session)));
    assert_eq!(channel.post("guessed", "let me in").await?.status, 401);
    status("archived").await?;
    assert_eq!(channel.answers("too late", 403).await?.json()?, draft.json()?);
    let delete = app.management().request(Method::DELETE, &format!("/api/apps/{support}"))?;
    assert_eq!(delete.send().await?.status(), 409, "it has a channel");
    ended(&app, &trigger.id, 2).await?;
    app.finish().await?;
    assert_eq!(sink.count(), 2);
    Ok(())
}
