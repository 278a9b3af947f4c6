//! What the stories have in common: a system, its agents, a WhatsApp number, and answers.

use std::time::Duration;

use anyhow::{Context, ensure};
use hmac::{Hmac, KeyInit, Mac};
use recado_testkit::app::{Builder, PUBLIC_URL, Role, TestApp};
use recado_testkit::model::Model;
use recado_testkit::stub::Received;
use recado_testkit::twilio::{Inbound, Messages, SECRET_REF, Sent, trigger_config};
use recado_testkit::{http_client, wait_for};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::Sha256;

/// The binary under test.
pub(crate) const RECADO: &str = env!("CARGO_BIN_EXE_recado");

/// Longer than anything takes that has nothing to wait for, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) const ANA: &str = "+5511999990001";
pub(crate) const BOB: &str = "+5511999990002";

const ACCOUNT_SID: &str = "AC00000000000000000000000000000001";
pub(crate) const AUTH_TOKEN: &str = "the-auth-token-of-the-tests";

/// What a test returns, so that it can use `?`.
pub(crate) type Story = Result<(), Failure>;

/// Never made: an error fails the test at the `?` it comes to, while the system is still there to
/// print its logs.
#[derive(Debug)]
pub(crate) enum Failure {}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        panic!("{:?}", error.into())
    }
}

/// One instance of each role, unless the test wants more.
pub(crate) fn system() -> Builder {
    TestApp::builder(RECADO)
}

/// An agent that repeats what it is told.
pub(crate) async fn echo(app: &TestApp) -> anyhow::Result<String> {
    app.management().create_agent("Echo", "builtin.echo", "").await
}

/// What the provider of [`thinker`] is paid with.
pub(crate) const MODEL_KEY: &str = "sk-the-key-of-the-tests";

/// An agent that asks `model`, as `openai.gpt-4.1`: 2 US dollars for a million tokens in, 8 out.
pub(crate) async fn thinker(app: &TestApp, model: &Model) -> anyhow::Result<String> {
    thinker_with_key(app, model, MODEL_KEY).await
}

pub(crate) async fn thinker_with_key(
    app: &TestApp,
    model: &Model,
    key: &str,
) -> anyhow::Result<String> {
    app.management().create_secret("OPENAI_KEY", key).await?;
    let price = json!({"input_per_million_usd": 2.0, "output_per_million_usd": 8.0});
    let provider = json!({
        "name": "openai",
        "kind": "openai_compatible",
        "base_url": model.base_url(),
        "secret_ref": "OPENAI_KEY",
        "prices": {"gpt-4.1": price},
    });
    app.management().post("/api/providers", &provider).await?;
    app.management().create_agent("Sales Assistant", "openai.gpt-4.1", "You sell.").await
}

/// A key of the tenant, for those who post or read.
pub(crate) async fn api_key(app: &TestApp) -> anyhow::Result<String> {
    let created = app.management().post("/api/api-keys", &json!({"name": "ERP"})).await?;
    Ok(created["data"]["key"].as_str().context("a new key is shown")?.to_owned())
}

/// What a webhook was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> reqwest::Result<Self> {
        let header = |name| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        Ok(Self {
            status: response.status().as_u16(),
            content_type: header("content-type").unwrap_or_default(),
            retry_after: header("retry-after"),
            body: response.text().await?,
        })
    }

    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("no JSON: {self:?}"))
    }

    /// The code of a refusal.
    pub(crate) fn error(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["error"].as_str().unwrap_or_default().to_owned()
    }
}

/// The native signature of `body`.
pub(crate) fn sha256(secret: &str, body: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
    format!("sha256={}", hex::encode(mac.chain_update(body).finalize().into_bytes()))
}

/// Somebody who posts JSON to a trigger under an API key, and waits for the answer.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) trigger_id: String,
    key: String,
}

impl Asker {
    /// Makes the trigger, whose configuration asks for an API key, and the key.
    pub(crate) async fn connect(
        app: &TestApp,
        agent_id: &str,
        config: &Value,
    ) -> anyhow::Result<Self> {
        let trigger = app.management().create_trigger(agent_id, "ERP", config).await?;
        Ok(Self { trigger_id: trigger.id, key: api_key(app).await? })
    }

    /// A request to an instance of ingress, for a test to fill in.
    pub(crate) fn request(&self, app: &TestApp, ingress: usize) -> anyhow::Result<RequestBuilder> {
        Ok(app.webhook(ingress, &self.trigger_id)?.header("X-Api-Key", &self.key))
    }

    /// What the first instance of ingress answers to `body`.
    pub(crate) async fn ask(&self, app: &TestApp, body: &Value) -> anyhow::Result<Answer> {
        Ok(Answer::of(self.request(app, 0)?.json(body).send().await?).await?)
    }
}

/// A WhatsApp number: a trigger on our side, and Twilio on the other.
#[derive(Debug)]
pub(crate) struct WhatsApp {
    pub(crate) twilio: Messages,
    pub(crate) trigger_id: String,
    client: Client,
    /// The webhook at each instance of ingress.
    urls: Vec<String>,
    public_url: String,
    auth_token: String,
}

impl WhatsApp {
    /// Connects a number to an agent, by the configuration that seed 000 prints; `adjust` changes
    /// in it what the test is about.
    pub(crate) async fn connect(
        app: &TestApp,
        agent_id: &str,
        adjust: impl FnOnce(&mut Value),
    ) -> anyhow::Result<Self> {
        Self::connect_with_token(app, agent_id, AUTH_TOKEN, adjust).await
    }

    pub(crate) async fn connect_with_token(
        app: &TestApp,
        agent_id: &str,
        auth_token: &str,
        adjust: impl FnOnce(&mut Value),
    ) -> anyhow::Result<Self> {
        let twilio = Messages::start(ACCOUNT_SID, auth_token);
        app.management().create_secret(SECRET_REF, &twilio.credentials()).await?;
        let mut config = trigger_config(&twilio);
        adjust(&mut config);
        let trigger = app.management().create_trigger(agent_id, "WhatsApp", &config).await?;
        let path = format!("/api/triggers/webhook/{}", trigger.id);
        let ingresses = (0..).map_while(|n| app.url(Role::Ingress, n, "ingress_url").ok());
        Ok(Self {
            twilio,
            trigger_id: trigger.id,
            client: http_client(),
            urls: ingresses.map(|url| format!("{url}{path}")).collect(),
            public_url: format!("{PUBLIC_URL}{path}"),
            auth_token: auth_token.to_owned(),
        })
    }

    /// Posts a message as Twilio does, and expects Twilio's answer to be a 200.
    pub(crate) async fn say(&self, from: &str, text: &str) -> anyhow::Result<Answer> {
        let answer = self.send(&Inbound::new(from, text)).await?;
        ensure!(answer.status == 200, "{text:?} was answered {answer:?}");
        Ok(answer)
    }

    /// Posts a message as Twilio does.
    pub(crate) async fn send(&self, message: &Inbound) -> anyhow::Result<Answer> {
        Ok(self.send_to(0, message).await?)
    }

    /// The same, to one of several instances of ingress; any number is one of them.
    pub(crate) async fn send_to(
        &self,
        ingress: usize,
        message: &Inbound,
    ) -> reqwest::Result<Answer> {
        let signed = message.signed(&self.auth_token, &self.public_url);
        let url = &self.urls[ingress % self.urls.len()];
        let request = self.client.post(url).body(signed.body);
        let headers = signed.headers.into_iter();
        let request = headers.fold(request, |request, (name, value)| request.header(name, value));
        Answer::of(request.send().await?).await
    }

    /// Waits until Twilio has accepted `n` messages for anybody; answers them.
    pub(crate) async fn delivered(&self, n: usize) -> anyhow::Result<Vec<Sent>> {
        wait_for(&format!("{n} callbacks"), SOON, async || {
            let accepted = self.twilio.accepted();
            (accepted.len() >= n).then_some(accepted)
        })
        .await
    }

    /// The texts that Twilio has accepted for `recipient`, in order.
    pub(crate) fn received_by(&self, recipient: &str) -> Vec<String> {
        let recipient = format!("whatsapp:{recipient}");
        let accepted = self.twilio.accepted().into_iter();
        accepted.filter(|sent| sent.to == recipient).map(|sent| sent.body).collect()
    }
}

/// Waits until a trigger has `n` executions that have ended with everything they led to; answers
/// their details, oldest first.
pub(crate) async fn ended(app: &TestApp, trigger_id: &str, n: usize) -> anyhow::Result<Vec<Value>> {
    let has_ended = |execution: &Value| {
        !execution["finished_at"].is_null() && execution["delivery_status"] != "pending"
    };
    let listed = wait_for(&format!("the end of {n} executions"), SOON, async || {
        let listed = app.management().executions(trigger_id).await.ok()?;
        (listed.len() >= n && listed.iter().all(has_ended)).then_some(listed)
    })
    .await?;
    let mut details = Vec::new();
    for execution in listed.iter().rev() {
        let id = execution["id"].as_str().context("an execution without an id")?;
        details.push(app.management().execution(trigger_id, id).await?);
    }
    Ok(details)
}

/// The texts of an execution's messages, in order.
pub(crate) fn texts(detail: &Value) -> Vec<&str> {
    let messages = detail["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    messages.iter().filter_map(|message| message["text"].as_str()).collect()
}

/// What the chunks of an execution's delivery have come to.
pub(crate) fn chunk_statuses(detail: &Value) -> Vec<&str> {
    let chunks = detail["deliveries"][0]["chunks"].as_array();
    let chunks = chunks.map(Vec::as_slice).unwrap_or_default();
    chunks.iter().filter_map(|chunk| chunk["status"].as_str()).collect()
}

/// When a stub answered, by its own clock.
pub(crate) fn answered_at(received: &Received) -> anyhow::Result<Duration> {
    Ok(received.answered.context("it was not answered")?.at)
}
