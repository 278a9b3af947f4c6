//! Those who post webhooks.

use hmac::{Hmac, KeyInit, Mac};
use recado_testkit::http_client;
use recado_testkit::twilio::Inbound;
use recado_types::TriggerId;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Body, Client, RequestBuilder};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::running::{PUBLIC_URL, WEBHOOK_SECRET};

pub(crate) const AUTH_TOKEN: &str = "auth-token-of-the-tests";
pub(crate) const TWILIO_SECRET: &str = "AC1:auth-token-of-the-tests";

/// Posts to one trigger.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    client: Client,
    path: String,
    url: String,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Sender {
    pub(crate) fn new(url: &str, trigger: TriggerId) -> Self {
        let path = format!("/api/triggers/webhook/{trigger}");
        Self { client: http_client(), url: format!("{url}{path}"), path }
    }

    /// A request without anything.
    pub(crate) fn request(&self) -> RequestBuilder {
        self.client.post(&self.url)
    }

    /// Any body of any type, unsigned.
    pub(crate) async fn post(&self, content_type: &str, body: impl Into<Body>) -> Answered {
        answered(self.request().header(CONTENT_TYPE, content_type).body(body)).await
    }

    /// JSON with the headers of a provider.
    pub(crate) async fn post_json_with(
        &self,
        headers: &[(&'static str, String)],
        body: impl Into<Body>,
    ) -> Answered {
        let request = self.request().header(CONTENT_TYPE, "application/json").body(body);
        let add =
            |request: RequestBuilder, (name, value): &(_, String)| request.header(*name, value);
        answered(headers.iter().fold(request, add)).await
    }

    /// What a provider asks with a GET.
    pub(crate) async fn get(&self, query: &str) -> Answered {
        answered(self.client.get(format!("{}?{query}", self.url))).await
    }

    /// JSON under the native signature.
    pub(crate) async fn post_signed(&self, body: &Value) -> Answered {
        let body = body.to_string();
        self.post_with_signature(&signature(body.as_bytes()), body).await
    }

    pub(crate) async fn post_with_signature(&self, signature: &str, body: String) -> Answered {
        let request = self.request().header(CONTENT_TYPE, "application/json");
        answered(request.header("X-Webhook-Signature", signature).body(body)).await
    }

    pub(crate) async fn post_with_key(&self, key: &str, body: &Value) -> Answered {
        answered(self.request().header("X-Api-Key", key).json(body)).await
    }

    /// A message as Twilio posts it.
    pub(crate) async fn post_twilio(&self, message: &Inbound) -> Answered {
        self.post_twilio_with(AUTH_TOKEN, message).await
    }

    pub(crate) async fn post_twilio_with(&self, auth_token: &str, message: &Inbound) -> Answered {
        let signed = message.signed(auth_token, &format!("{PUBLIC_URL}{}", self.path));
        let mut request = self.request().body(signed.body);
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        answered(request).await
    }

    /// A form of Twilio's with fields of one's own.
    pub(crate) async fn post_twilio_form(&self, fields: &[(&str, &str)]) -> Answered {
        let owned = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let owned: Vec<(String, String)> = owned.collect();
        let url = format!("{PUBLIC_URL}{}", self.path);
        let signature = recado_testkit::twilio::sign(AUTH_TOKEN, &url, &owned);
        let request = self.request().header("X-Twilio-Signature", signature);
        let form = serde_urlencoded::to_string(&owned).unwrap();
        let form_type = "application/x-www-form-urlencoded";
        answered(request.header(CONTENT_TYPE, form_type).body(form)).await
    }
}

/// The native signature of `body`.
pub(crate) fn signature(body: &[u8]) -> String {
    signature_with(WEBHOOK_SECRET, body)
}

/// The same with another secret.
pub(crate) fn signature_with(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    format!("sha256={}", hex::encode(mac.chain_update(body).finalize().into_bytes()))
}

pub(crate) async fn answered(request: RequestBuilder) -> Answered {
    let response = request.send().await.expect("ingress answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answered { status, headers, body: response.text().await.expect("the answer is complete") }
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status, content type and body: what a provider compares.
    pub(crate) fn essence(&self) -> (u16, Option<&str>, &str) {
        (self.status, self.header("content-type"), &self.body)
    }
}

/// Seed 000's trigger for `WhatsApp`, as far as the way in is concerned.
pub(crate) fn whatsapp() -> Value {
    json!({
        "channel": {
            "type": "twilio_whatsapp",
            "auth": { "type": "basic", "secret_ref": "TWILIO_CREDENTIALS" }
        },
        "execution": {
            "mode": "async",
            "ack_response": {
                "body": "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>",
                "content_type": "text/xml"
            },
            "message_buffer": {
                "enabled": true, "window_ms": 3000, "max_messages": 8, "concat_separator": "\n"
            }
        },
        "sender_access": { "mode": "any" },
        "context_mapping": {
            "_waId": "$.WaId",
            "_messageSid": "$.MessageSid",
            "phoneNumber": "$.From",
            "profileName": "$.ProfileName"
        },
        "query_extraction": { "mode": "field", "field": "Body" },
        "response_adapter": { "format": "twiml" },
        "session_strategy": { "mode": "derive", "fields": ["phoneNumber"] }
    })
}

/// Seed 000's trigger for an ERP, signed.
pub(crate) fn erp() -> Value {
    json!({
        "query_extraction": { "mode": "field", "field": "chatInput" },
        "context_mapping": { "userId": "$.userId", "userName": "$.userName" },
        "session_strategy": { "mode": "derive", "fields": ["userId", "companyId"] },
        "idempotency": { "header": "X-Event-Id" },
        "execution": { "mode": "async" }
    })
}

/// A trigger that checks nothing.
pub(crate) fn open() -> Value {
    json!({ "auth": { "type": "none" }, "execution": { "mode": "async" } })
}

/// A trigger that checks nothing and whose senders name their messages.
pub(crate) fn named() -> Value {
    json!({
        "auth": { "type": "none" },
        "execution": { "mode": "async" },
        "query_extraction": { "mode": "field", "field": "text" },
        "idempotency": { "path": "id" }
    })
}

/// A message for it.
pub(crate) fn named_message(id: &str, text: &str) -> String {
    json!({"id": id, "text": text}).to_string()
}

pub(crate) fn erp_message(text: &str) -> Value {
    json!({"chatInput": text, "userId": "u1", "companyId": 7, "userName": "Ana"})
}
