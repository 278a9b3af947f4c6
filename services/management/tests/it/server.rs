//! A management service of one's own, and a client for it.

use std::path::Path;
use std::process::ExitCode;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use recado_clock::{Clock, SystemClock};
use recado_http::Problem;
use recado_http::auth::{ClaimNames, NewToken, Role, TokenIssuer};
use recado_management::Config;
use recado_management::http::operation::Resource;
use recado_service::config::MapEnv;
use recado_service::{Context, Process};
use recado_store::tenants::{self, EnsureTenant};
use recado_store::{Keyring, Store};
use recado_testkit::scratch::ScratchDir;
use recado_testkit::{TestDatabase, Vhost, database, http_client, sql, vhost, wait_for};
use recado_types::{ProjectId, TenantId};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const JWT_SECRET: &str = "a-secret-of-tests-that-is-long-enough-for-hs256";
const KEYS: &str = "k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const PATIENCE: Duration = Duration::from_secs(20);

/// A running service with two tenants, which know nothing of each other.
pub(crate) struct Server {
    pub(crate) base: String,
    pub(crate) database: TestDatabase,
    pub(crate) vhost: Vhost,
    pub(crate) store: Store,
    pub(crate) ours: TenantId,
    pub(crate) theirs: TenantId,
    tokens: TokenIssuer,
    client: reqwest::Client,
    stop: CancellationToken,
    thread: Option<JoinHandle<ExitCode>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Answer {
    /// The code of an error document, after checking its shape.
    pub(crate) fn code(&self) -> &str {
        if self.body["code"].is_number() {
            return self.rpc_reason();
        }
        if self.body["reason"].is_string() {
            return self.manage_reason();
        }
        assert_eq!(self.body["success"], false, "{self:?}");
        assert_eq!(self.body["status"], "error", "{self:?}");
        assert!(self.body["message"].is_string(), "{self:?}");
        self.body["error"].as_str().unwrap()
    }

    /// The same of a `google.rpc.Status`.
    fn rpc_reason(&self) -> &'static str {
        assert!(self.body["message"].is_string(), "{self:?}");
        let info = &self.body["details"][0];
        assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo", "{self:?}");
        assert_eq!(info["domain"], "recado", "{self:?}");
        let reason = info["reason"].as_str().unwrap();
        let mut codes = Problem::ALL.iter().map(|problem| problem.code());
        codes.find(|code| code.to_ascii_uppercase() == reason).unwrap()
    }

    /// The same of a problem document of seed 001.
    fn manage_reason(&self) -> &str {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let repeated = json!({"code": self.body["code"], "message": self.body["detail"]});
        assert_eq!(self.body["error"], repeated, "{self:?}");
        assert_eq!(self.body["status"], self.status, "{self:?}");
        assert_eq!(self.body["requestId"], self.headers["x-request-id"].to_str().unwrap());
        assert!(self.body["instance"].as_str().unwrap().starts_with("/manage"), "{self:?}");
        assert!(self.body["title"].is_string(), "{self:?}");
        self.body["reason"].as_str().unwrap()
    }

    /// The paths of an `invalid_input`.
    pub(crate) fn paths(&self) -> Vec<&str> {
        assert_eq!((self.status, self.code()), (400, "invalid_input"), "{self:?}");
        if let Some(errors) = self.body["errors"].as_array() {
            return errors.iter().map(|error| error["name"].as_str().unwrap()).collect();
        }
        let fields = self.body["details"]["fields"].as_array().unwrap();
        fields.iter().map(|field| field["path"].as_str().unwrap()).collect()
    }

    /// `data`, of an answer with this status.
    pub(crate) fn data(&self, status: u16) -> &Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.body["success"], true, "{self:?}");
        &self.body["data"]
    }

    pub(crate) fn id(&self) -> String {
        self.data(201)["id"].as_str().unwrap().to_owned()
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With a broker of one's own, at that URL, in place of the shared one.
    pub(crate) async fn start_with_broker(amqp_url: Option<&str>) -> Self {
        let settings = amqp_url.map(|url| ("RECADO_AMQP_URL", url));
        Self::start_with(settings.as_slice()).await
    }

    /// With these settings besides, or in place of, those of tests.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        let (database, vhost) = tokio::join!(database(), vhost());
        let directory = ScratchDir::new().unwrap();
        let ready_file = directory.path().join("ready.json");
        let mut env = MapEnv::from([
            ("RECADO_DATABASE_URL", database.url()),
            ("RECADO_AMQP_URL", vhost.url()),
            ("RECADO_MANAGEMENT_LISTEN", "127.0.0.1:0"),
            ("RECADO_METRICS_LISTEN", "127.0.0.1:0"),
            ("RECADO_PUBLIC_URL", "https://recado.example.com/"),
            ("RECADO_JWT_SECRET", JWT_SECRET),
            ("RECADO_SECRET_KEYS", KEYS),
            ("RECADO_LOG", "error"),
            // One: a request that held two at a time would wait for itself.
            ("RECADO_DATABASE_POOL_SIZE", "1"),
        ]);
        for (name, value) in settings {
            env.set(*name, *value);
        }
        let stop = CancellationToken::new();
        let (stopped, path) = (stop.clone(), ready_file.clone());
        let thread = thread::spawn(move || {
            let process = Process::new("management", &env).ready_file(Some(path));
            process.run(async |mut context: Context, config: Config| {
                context.shutdown = stopped;
                recado_management::run(context, config).await
            })
        });
        let base = wait_for("the service", PATIENCE, async || announced(&ready_file)).await;
        let keys = Keyring::parse(KEYS).unwrap();
        let config = recado_store::Config::new(database.url(), 2, "tests");
        let store = Store::new(&config, keys).unwrap();
        Self {
            base: base.unwrap(),
            ours: tenant(&store, "ours").await,
            theirs: tenant(&store, "theirs").await,
            store,
            database,
            vhost,
            tokens: token_issuer(),
            client: http_client(),
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn token(&self, tenant: TenantId, role: Role) -> String {
        self.token_of("ana", Some((tenant, role)))
    }

    /// A token of somebody who runs the installation.
    pub(crate) fn operator_token(&self) -> String {
        self.token_of("ops", None)
    }

    fn token_of(&self, subject: &str, membership: Option<(TenantId, Role)>) -> String {
        let lifetime = TimeDelta::minutes(10);
        let new = NewToken { subject: subject.into(), membership, lifetime };
        self.tokens.issue(&new, SystemClock::default().now())
    }

    /// A request with these headers. `{tenantId}` in the path is ours.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let method: Method = method.parse().unwrap();
        let path = path.replace("{tenantId}", &self.ours.to_string());
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        assert!(headers.contains_key("x-request-id"), "{path}");
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Answer { status, headers, text, body }
    }

    /// A request of somebody with `role` in `tenant`.
    pub(crate) async fn call_as(
        &self,
        (tenant, role): (TenantId, Role),
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let bearer = format!("Bearer {}", self.token(tenant, role));
        let tenant = tenant.to_string();
        let headers = [("authorization", bearer.as_str()), ("x-tenant-id", tenant.as_str())];
        self.send(method, &path.replace("{tenantId}", &tenant), &headers, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call_as((self.ours, Role::Owner), "GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call_as((self.ours, Role::Owner), "POST", path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call_as((self.ours, Role::Owner), "PATCH", path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call_as((self.ours, Role::Owner), "DELETE", path, None).await
    }

    /// An agent that echoes.
    pub(crate) async fn agent(&self) -> String {
        let agent = json!({"name": "Echo", "model": "builtin.echo", "system_prompt": ""});
        self.post("/api/agents", &agent).await.id()
    }

    /// The project of that agent.
    pub(crate) async fn home_of(&self, agent: &str) -> String {
        let agent = self.get(&format!("/api/agents/{agent}")).await;
        agent.data(200)["project_id"].as_str().unwrap().to_owned()
    }

    /// A trigger of that agent.
    pub(crate) async fn trigger(&self, agent: &str) -> String {
        self.post("/api/triggers", &new_trigger(agent)).await.id()
    }

    pub(crate) async fn execute(&self, statements: &str) {
        sql::execute(self.database.url(), statements).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert_eq!(ended.unwrap().unwrap(), ExitCode::SUCCESS);
        }
    }
}

/// The methods of an address.
pub(crate) fn methods(resource: &'static Resource) -> impl Iterator<Item = &'static str> {
    resource.operations.iter().map(|operation| operation.method.name())
}

/// The body of a POST that is right.
pub(crate) fn new_trigger(agent: &str) -> Value {
    json!({
        "agent_id": agent,
        "name": "ERP Chat Integration",
        "trigger_type": "webhook",
        "trigger_config": {
            "auth": {"type": "api_key"},
            "query_extraction": {"mode": "field", "field": "chatInput"},
            "context_mapping": {"userId": "$.userId"},
            "session_strategy": {"mode": "derive", "fields": ["userId"]},
            "execution": {"mode": "async"},
        },
    })
}

/// A trigger with a callback and a buffer.
pub(crate) async fn trigger_with_callback(server: &Server, agent: &str) -> String {
    let mut trigger = new_trigger(agent);
    trigger["trigger_config"]["execution"] = json!({
        "mode": "async",
        "callback": {"url": "https://api.example.com/messages"},
        "message_buffer": {"enabled": true, "window_ms": 3000, "max_messages": 2},
    });
    server.post("/api/triggers", &trigger).await.id()
}

async fn tenant(store: &Store, name: &str) -> TenantId {
    let id = TenantId(Uuid::new_v4());
    let project_id = ProjectId(Uuid::new_v4());
    let now = SystemClock::default().now();
    tenants::ensure(store, &EnsureTenant { id, project_id, name }, now).await.unwrap();
    id
}

fn token_issuer() -> TokenIssuer {
    let ours = || "recado".to_owned();
    TokenIssuer::new(JWT_SECRET.as_bytes(), ours(), ours(), ClaimNames::default()).unwrap()
}

fn announced(ready_file: &Path) -> Option<String> {
    let text = std::fs::read(ready_file).ok()?;
    let facts: Value = serde_json::from_slice(&text).context("no JSON").unwrap();
    Some(facts["management_url"].as_str().unwrap().to_owned())
}
