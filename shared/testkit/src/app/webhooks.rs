//! What channels send to the system.

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use super::{PUBLIC_URL, Role, TestApp};
use crate::http_client;
use crate::twilio::Inbound;

/// Where a trigger's webhooks are posted to.
fn path(trigger_id: &str) -> String {
    format!("/api/triggers/webhook/{trigger_id}")
}

impl TestApp {
    /// A POST to a trigger's webhook at an instance of ingress, for a test to fill in.
    pub fn webhook(&self, ingress: usize, trigger_id: &str) -> anyhow::Result<RequestBuilder> {
        let base = self.url(Role::Ingress, ingress, "ingress_url")?;
        Ok(http_client().post(format!("{}{}", base.trim_end_matches('/'), path(trigger_id))))
    }

    /// Posts a JSON document to a trigger whose webhooks are not authenticated.
    pub async fn post_webhook(&self, trigger_id: &str, body: &Value) -> anyhow::Result<Response> {
        Ok(self.webhook(0, trigger_id)?.json(body).send().await?)
    }

    /// Posts a message as Twilio does, signed for the public URL.
    pub async fn post_twilio(
        &self,
        trigger_id: &str,
        auth_token: &str,
        message: &Inbound,
    ) -> anyhow::Result<Response> {
        let signed = message.signed(auth_token, &format!("{PUBLIC_URL}{}", path(trigger_id)));
        let mut request = self.webhook(0, trigger_id)?.body(signed.body);
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        Ok(request.send().await?)
    }
}
