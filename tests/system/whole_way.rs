//! A message all the way: from a webhook to the callback, and what the API tells of it.

use anyhow::Context;
use recado_testkit::app::{Role, TestApp};
use recado_testkit::callback::Sink;
use recado_testkit::model::{Model, Usage};
use recado_testkit::{http_client, wait_for};
use serde_json::{Value, json};

use crate::metrics;
use crate::support::{ANA, Answer, SOON, Story, WhatsApp, api_key, chunk_statuses, echo, ended};
use crate::support::{MODEL_KEY, system, texts, thinker};

const PARAGRAPHS: [&str; 3] = [
    "Found 5 active contracts, three of which are about to expire within the next few weeks.",
    "1. Contract ABC, over $50,000, which runs until March and has been renewed once before.",
    "2. Contract DEF, over $30,000, which runs until May and has never been renewed so far.",
];

#[tokio::test]
async fn a_whatsapp_message_is_answered_in_ordered_chunks() -> Story {
    let app = system().start().await?;
    let model = Model::start();
    model.answer(&format!("**{}**\n\n{}\n\n{}", PARAGRAPHS[0], PARAGRAPHS[1], PARAGRAPHS[2]));
    model.claim_usage(Usage { prompt_tokens: 850, completion_tokens: 400 });
    let agent = thinker(&app, &model).await?;
    let whatsapp = WhatsApp::connect(&app, &agent, |config| {
        config["execution"]["split_config"]["max_chunk_size"] = json!(100);
        config["execution"]["split_config"]["inter_chunk_delay_ms"] = json!(50);
    })
    .await?;

    let answer = whatsapp.say(ANA, "List active contracts").await?;
    assert_eq!(answer.content_type, "text/xml");
    assert_eq!(answer.body, r#"<?xml version="1.0" encoding="UTF-8"?><Response></Response>"#);

    let detail = ended(&app, &whatsapp.trigger_id, 1).await?.remove(0);
    let sent = whatsapp.twilio.accepted();
    let bodies: Vec<&str> = sent.iter().map(|sent| sent.body.as_str()).collect();
    // Twilio's bold is one asterisk; `strip_markdown` takes all marks away.
    assert_eq!(bodies, PARAGRAPHS);
    for (n, sent) in (1..).zip(&sent) {
        let ends = (sent.to.as_str(), sent.from.as_str());
        assert_eq!(ends, ("whatsapp:+5511999990001", "whatsapp:+14155238886"));
        let delivery = detail["deliveries"][0]["id"].as_str().context("there is a delivery")?;
        assert_eq!(sent.idempotency_key, Some(format!("{delivery}-{n}")));
    }

    let asked = &model.asked()[0];
    assert_eq!(asked.authorization, Some(format!("Bearer {MODEL_KEY}")));
    assert_eq!(asked.chat.model, "gpt-4.1");
    assert_eq!(asked.chat.input(), "List active contracts");
    for visible in ["You sell.", "phoneNumber: whatsapp:+5511999990001", "profileName: Maria Silva"]
    {
        assert!(asked.chat.system().contains(visible), "{visible}: {}", asked.chat.system());
    }

    assert_is_as_documented(&detail, &whatsapp.trigger_id, &agent);
    assert_leads_back(&app, &detail, &whatsapp.trigger_id).await?;
    metrics::assert_one_message_was_counted(&app).await?;
    metrics::assert_depths_are_known(&app).await?;
    metrics::assert_labels_are_bounded(&app).await?;
    Ok(app.finish().await?)
}

/// The execution's detail, as seed 000 prints it.
fn assert_is_as_documented(detail: &Value, trigger_id: &str, agent_id: &str) {
    let execution = &detail["execution"];
    assert_eq!(detail["success"], true);
    assert_eq!(execution["trigger_id"], trigger_id);
    assert_eq!(execution["status"], "success");
    assert_eq!(execution["normalized_query"], "List active contracts");
    assert!(execution["agent_response"].as_str().unwrap_or_default().starts_with("**Found 5"));
    assert_eq!(execution["response_channel"], "webhook_async");
    assert_eq!(execution["tokens_used"], 1_250);
    assert!(execution["execution_time_ms"].as_i64().is_some_and(|took| took >= 0));
    let context = &execution["webhook_context"];
    assert_eq!(context["phoneNumber"], "whatsapp:+5511999990001");
    assert_eq!(context["_waId"], "5511999990001");
    assert_eq!(context.get("_buffered_messages"), None, "it was one message");

    let session = &detail["session"];
    assert_eq!(session["session_id"], execution["session_id"]);
    assert_eq!((&session["agent_id"], &session["status"]), (&json!(agent_id), &json!("active")));
    assert_eq!(session["agent_name"], "Sales Assistant");

    let call = &detail["llm_calls"][0];
    assert_eq!((&call["model"], &call["provider"]), (&json!("openai.gpt-4.1"), &json!("openai")));
    assert_eq!((&call["input_tokens"], &call["output_tokens"]), (&json!(850), &json!(400)));
    assert_eq!(call["finish_reason"], "stop");
    let cost = detail["metrics"]["total_cost_usd"].as_f64().unwrap_or_default();
    assert!((cost - (850.0 * 2.0 + 400.0 * 8.0) / 1e6).abs() < 1e-12, "{cost}");
    assert_eq!(detail["metrics"]["total_tokens"], 1_250);
    assert_eq!(detail["tool_calls"], json!([]));

    let delivery = &detail["deliveries"][0];
    assert_eq!((&delivery["status"], &delivery["chunk_count"]), (&json!("delivered"), &json!(3)));
    assert_eq!(chunk_statuses(detail), ["sent"; 3]);
    for chunk in delivery["chunks"].as_array().into_iter().flatten() {
        assert!(chunk["provider_id"].as_str().is_some_and(|sid| sid.starts_with("SM")));
        assert_eq!(chunk["attempts"][0]["status_code"], 201);
    }
}

/// From the session to the trigger and the execution.
async fn assert_leads_back(app: &TestApp, detail: &Value, trigger_id: &str) -> anyhow::Result<()> {
    let session = detail["session"]["session_id"].as_str().context("there is a session")?;
    let path = format!("/api/v1/sessions/{session}/trigger-context");
    let origin = app.management().get(&path).await?;
    assert_eq!(origin["has_trigger"], true);
    assert_eq!(origin["trigger"]["id"], trigger_id);
    let link = origin["navigation"]["execution_detail"].as_str().context("there is a link")?;
    let linked = app.management().get(link).await?;
    assert_eq!(linked["execution"]["id"], detail["execution"]["id"]);
    Ok(())
}

/// The ERP of seed 000, answered by a callback or through the API.
fn erp(callback: Option<&Value>) -> Value {
    let mut config = json!({
        "auth": {"type": "api_key"},
        "query_extraction": {"mode": "field", "field": "chatInput"},
        "context_mapping": {"userId": "$.userId", "userName": "$.userName"},
        "response_adapter": {"format": "raw", "split_messages": true, "max_messages": 10},
        "session_strategy": {"mode": "derive", "fields": ["userId", "companyId"]},
        "execution": {"mode": "async"},
    });
    if let Some(callback) = callback {
        config["execution"]["callback"] = callback.clone();
    }
    config
}

fn question(text: &str) -> Value {
    json!({"chatInput": text, "userId": 123, "companyId": "456", "userName": "Ana"})
}

#[tokio::test]
async fn an_erp_is_called_back_with_json() -> Story {
    let app = system().start().await?;
    let sink = Sink::start();
    app.management().create_secret("ERP_TOKEN", "erp-token").await?;
    let callback = json!({
        "url": format!("{}/users/{{{{userId}}}}/answers", sink.url()),
        "method": "PUT",
        "auth": {"type": "bearer", "secret_ref": "ERP_TOKEN"},
        "body_template": {
            "reply": "{{agent_response}}",
            "user": "{{userId}}",
            "meta": {"part": "{{chunk_index}}", "of": "{{chunk_count}}"},
        },
    });
    let agent = echo(&app).await?;
    let trigger = app.management().create_trigger(&agent, "ERP", &erp(Some(&callback))).await?;
    let key = api_key(&app).await?;

    let post = app.webhook(0, &trigger.id)?.header("X-Api-Key", &key);
    let answer = Answer::of(post.json(&question("Olá \"mundo\" {{userId}}")).send().await?).await?;
    assert_eq!((answer.status, answer.content_type.as_str()), (202, "application/json"));
    let accepted = answer.json()?;
    assert_eq!(accepted["success"], true);
    assert_eq!(accepted["trigger_id"], trigger.id.as_str());

    let called = wait_for("the callback", SOON, async || sink.received().into_iter().next());
    let called = called.await?;
    assert_eq!((called.method.as_str(), called.path.as_str()), ("PUT", "/users/123/answers"));
    assert_eq!(called.header("authorization"), Some("Bearer erp-token"));
    assert_eq!(called.header("content-type"), Some("application/json"));
    // Values keep their types, and an answer is never read as a template.
    let expected = json!({
        "reply": "Olá \"mundo\" {{userId}}",
        "user": 123,
        "meta": {"part": 1, "of": 1},
    });
    assert_eq!(called.json(), Some(expected));
    app.finish().await?;
    assert_eq!(sink.count(), 1);
    Ok(())
}

#[tokio::test]
async fn without_a_callback_the_answer_is_read_through_the_api() -> Story {
    let app = system().start().await?;
    let agent = echo(&app).await?;
    let trigger = app.management().create_trigger(&agent, "ERP", &erp(None)).await?;
    let key = api_key(&app).await?;
    let post = app.webhook(0, &trigger.id)?.header("X-Api-Key", &key);
    let answer = Answer::of(post.json(&question("ping")).send().await?).await?.json()?;
    let id = answer["execution_id"].as_str().context("it is certain which execution it is")?;

    let detail = wait_for("the answer", SOON, async || {
        let detail = app.management().execution(&trigger.id, id).await.ok()?;
        (detail["execution"]["status"] == "success").then_some(detail)
    })
    .await?;
    assert_eq!(detail["execution"]["agent_response"], "ping");
    assert_eq!(detail["execution"]["session_id"], answer["session_id"]);
    assert_eq!(detail["deliveries"], json!([]));
    assert_eq!(texts(&detail), ["ping"]);

    // The ERP need not have an account: its key reads, too.
    let management = app.url(Role::Management, 0, "management_url")?;
    let url = format!("{management}/api/triggers/{}/executions/{id}", trigger.id);
    let read = http_client().get(url).header("X-Api-Key", &key).send().await?;
    assert_eq!((read.status().as_u16(), read.json::<Value>().await?), (200, detail));
    Ok(app.finish().await?)
}

#[tokio::test]
async fn a_payload_without_what_the_session_derives_from_is_refused_by_name() -> Story {
    let app = system().start().await?;
    let agent = echo(&app).await?;
    let trigger = app.management().create_trigger(&agent, "ERP", &erp(None)).await?;
    let key = api_key(&app).await?;
    let mut incomplete = question("ping");
    incomplete.as_object_mut().context("it is an object")?.remove("companyId");
    let post = app.webhook(0, &trigger.id)?.header("X-Api-Key", &key).json(&incomplete);
    let answer = Answer::of(post.send().await?).await?;
    assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_input"));
    assert_eq!(answer.json()?["details"]["fields"][0]["path"], "companyId");
    Ok(app.finish().await?)
}
