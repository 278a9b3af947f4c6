//! A client of the management API, as the owner of a tenant.

use anyhow::{Context, bail};
use jsonwebtoken::{EncodingKey, Header, encode};
use recado_clock::{Clock, SystemClock};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{http_client, sql};

/// Signs the tokens of all tests.
pub(super) const JWT_SECRET: &str = "a-secret-of-tests-that-is-long-enough-for-hs256";

const LIFETIME_SECONDS: i64 = 3600;

/// The management API, for one tenant.
#[derive(Debug, Clone)]
pub struct Management {
    base: String,
    tenant: Uuid,
    client: Client,
}

/// A trigger, as its creation shows it: the secret is not shown again.
#[derive(Debug, Clone, Deserialize)]
pub struct NewTrigger {
    /// Its id.
    pub id: String,
    /// What its webhooks are signed with.
    pub webhook_secret: String,
}

/// An event endpoint, as its creation shows it: the secret is not shown again.
#[derive(Debug, Clone, Deserialize)]
pub struct NewEventEndpoint {
    /// Its id.
    pub id: String,
    /// What its events are signed with.
    pub secret: String,
}

/// What a rotation of a trigger's secret came to: the secret is not shown again.
#[derive(Debug, Clone, Deserialize)]
pub struct RotatedSecret {
    /// What its webhooks are signed with from now on.
    pub webhook_secret: String,
    /// Until when the one before it is good, if it still is.
    pub previous_secret_expires_at: Option<String>,
}

/// Makes a tenant with a project, in the database: no API does that.
pub(super) async fn create_tenant(database_url: &str) -> anyhow::Result<Uuid> {
    let tenant = Uuid::new_v4();
    let project = Uuid::new_v4();
    let statements = format!(
        "INSERT INTO tenants (id, name, created_at, updated_at)
         VALUES ('{tenant}', 'test', now(), now());
         INSERT INTO projects (id, tenant_id, name, created_at, updated_at)
         VALUES ('{project}', '{tenant}', 'default', now(), now())"
    );
    sql::execute(database_url, &statements).await.context("failed to make a tenant")?;
    Ok(tenant)
}

impl Management {
    pub(super) fn new(base: &str, tenant: Uuid) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), tenant, client: http_client() }
    }

    pub(super) async fn another_tenant(&self, database_url: &str) -> anyhow::Result<Self> {
        let tenant = create_tenant(database_url).await?;
        Ok(Self { tenant, ..self.clone() })
    }

    /// Whose resources this sees.
    pub fn tenant(&self) -> Uuid {
        self.tenant
    }

    /// A bearer token for one hour.
    pub fn token(&self, role: &str) -> anyhow::Result<String> {
        let now = SystemClock::default().now().timestamp();
        let claims = json!({
            "sub": "test",
            "tenant_id": self.tenant,
            "role": role,
            "iss": "recado",
            "aud": "recado",
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME_SECONDS,
        });
        let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
        encode(&Header::default(), &claims, &key).context("failed to sign a token")
    }

    /// A request to `path` (from `/api` on), as the tenant's owner.
    pub fn request(&self, method: Method, path: &str) -> anyhow::Result<RequestBuilder> {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let tenant = self.tenant.to_string();
        Ok(request.bearer_auth(self.token("owner")?).header("x-tenant-id", tenant))
    }

    /// What `GET path` gives; anything but a 2xx is an error.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        body_of(self.request(Method::GET, path)?.send().await?).await
    }

    /// What `POST path` gives; anything but a 2xx is an error.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        body_of(self.request(Method::POST, path)?.json(body).send().await?).await
    }

    /// What `PATCH path` gives; anything but a 2xx is an error.
    pub async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        body_of(self.request(Method::PATCH, path)?.json(body).send().await?).await
    }

    /// Creates a secret.
    pub async fn create_secret(&self, name: &str, value: &str) -> anyhow::Result<()> {
        self.post("/api/secrets", &json!({"name": name, "value": value})).await.map(drop)
    }

    /// Creates a provider of models.
    pub async fn create_provider(
        &self,
        name: &str,
        base_url: &str,
        secret_ref: &str,
    ) -> anyhow::Result<()> {
        let provider = json!({
            "name": name,
            "kind": "openai_compatible",
            "base_url": base_url,
            "secret_ref": secret_ref,
        });
        self.post("/api/providers", &provider).await.map(drop)
    }

    /// Creates an agent and gives its id. `model` is `provider.model`, such as `builtin.echo`.
    pub async fn create_agent(
        &self,
        name: &str,
        model: &str,
        system_prompt: &str,
    ) -> anyhow::Result<String> {
        let agent = json!({"name": name, "model": model, "system_prompt": system_prompt});
        self.create_agent_with(&agent).await
    }

    /// Creates an agent of everything that the API takes, and gives its id.
    pub async fn create_agent_with(&self, agent: &Value) -> anyhow::Result<String> {
        id_of(&self.post("/api/agents", agent).await?)
    }

    /// Creates a tool and gives its id. `kind` is `http`, `mcp` or `agent`, `config` what the API
    /// takes for that kind.
    pub async fn create_tool(
        &self,
        name: &str,
        description: &str,
        kind: &str,
        config: &Value,
    ) -> anyhow::Result<String> {
        let tool =
            json!({"name": name, "description": description, "kind": kind, "config": config});
        id_of(&self.post("/api/tools", &tool).await?)
    }

    /// Says where tools may go when a context field or the model names the host.
    pub async fn allow_hosts(&self, hosts: &[&str]) -> anyhow::Result<()> {
        self.patch("/api/tenant", &json!({"allowed_hosts": hosts})).await.map(drop)
    }

    /// Creates a webhook trigger.
    pub async fn create_trigger(
        &self,
        agent_id: &str,
        name: &str,
        trigger_config: &Value,
    ) -> anyhow::Result<NewTrigger> {
        let trigger = json!({
            "agent_id": agent_id,
            "name": name,
            "trigger_type": "webhook",
            "trigger_config": trigger_config,
        });
        let mut created = self.post("/api/triggers", &trigger).await?;
        serde_json::from_value(created["data"].take()).context("a trigger without id or secret")
    }

    /// Replaces a trigger's webhook secret; the one before it stays good for `grace_period_s`.
    pub async fn rotate_secret(
        &self,
        trigger_id: &str,
        grace_period_s: u32,
    ) -> anyhow::Result<RotatedSecret> {
        let path = format!("/api/triggers/{trigger_id}/rotate-secret");
        let mut rotated = self.post(&path, &json!({"grace_period_s": grace_period_s})).await?;
        serde_json::from_value(rotated["data"].take()).context("a rotation without a secret")
    }

    /// Creates a member and gives its id. `member` is what the API takes: a name, and a phone, an
    /// email or an external id.
    pub async fn create_member(&self, member: &Value) -> anyhow::Result<String> {
        id_of(&self.post("/api/members", member).await?)
    }

    /// Creates an app and gives its id. `status` is `draft` or `published`.
    pub async fn create_app(&self, name: &str, status: &str) -> anyhow::Result<String> {
        id_of(&self.post("/api/apps", &json!({"name": name, "status": status})).await?)
    }

    /// Makes a trigger a webhook channel of an app.
    pub async fn put_into_app(&self, trigger_id: &str, app_id: &str) -> anyhow::Result<()> {
        let path = format!("/api/triggers/{trigger_id}");
        self.patch(&path, &json!({"app_id": app_id})).await.map(drop)
    }

    /// Creates an event endpoint of everything that the API takes: a `name` and a `url` at least.
    pub async fn make_event_endpoint(&self, endpoint: &Value) -> anyhow::Result<NewEventEndpoint> {
        let mut created = self.post("/api/event-endpoints", endpoint).await?;
        serde_json::from_value(created["data"].take()).context("an endpoint without id or secret")
    }

    /// What was, is or will be sent to an event endpoint, as listed: one page, newest first.
    pub async fn event_deliveries(&self, endpoint_id: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("/api/event-endpoints/{endpoint_id}/deliveries?limit=100");
        let mut page = self.get(&path).await?;
        serde_json::from_value(page["data"].take()).context("event deliveries are no list")
    }

    /// One delivery, with its chunks and attempts.
    pub async fn delivery(&self, id: &str) -> anyhow::Result<Value> {
        Ok(self.get(&format!("/api/deliveries/{id}")).await?["data"].take())
    }

    /// Has a delivery sent again, and gives it as it then is. `from` is `first_failed` or `start`.
    pub async fn redeliver(&self, id: &str, from: &str) -> anyhow::Result<Value> {
        let path = format!("/api/deliveries/{id}/redeliver");
        Ok(self.post(&path, &json!({"from": from})).await?["data"].take())
    }

    /// The executions of a trigger, as listed: one page.
    pub async fn executions(&self, trigger_id: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("/api/triggers/{trigger_id}/executions?limit=100");
        let mut page = self.get(&path).await?;
        serde_json::from_value(page["data"].take()).context("executions are no list")
    }

    /// The details of one execution: the whole answer.
    pub async fn execution(&self, trigger_id: &str, id: &str) -> anyhow::Result<Value> {
        self.get(&format!("/api/triggers/{trigger_id}/executions/{id}")).await
    }
}

/// The id of what was created.
fn id_of(created: &Value) -> anyhow::Result<String> {
    let id = created["data"]["id"].as_str();
    Ok(id.with_context(|| format!("something without an id: {created}"))?.to_owned())
}

async fn body_of(response: Response) -> anyhow::Result<Value> {
    let (status, url) = (response.status(), response.url().path().to_owned());
    let text = response.text().await?;
    if !status.is_success() {
        bail!("{url} answered {status}: {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("{url} answered no JSON: {text}"))
}
