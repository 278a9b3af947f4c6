//! Generic channels and requests for them.

mod payload;
mod rules;
mod schemes;

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;
use crate::channel::tests::{Request, adapter_of, messages};

const SECRET: &str = "s3cret";

/// A generic channel with these fields; what they sign is signed with `secret`.
fn channel(mut fields: Value, secret: &str) -> Arc<dyn Channel> {
    fields["type"] = json!("generic");
    if fields.get("signatureVerification").is_some() {
        fields["signingSecretCredentialReferenceId"] = json!("SIGNING");
    }
    adapter_of(&fields, &[("SIGNING", secret), ("TOKEN", "t0ken\nother"), ("SECOND", "s3cond")])
}

fn signed_by(rules: &Value, secret: &str) -> Arc<dyn Channel> {
    channel(json!({ "signatureVerification": rules }), secret)
}

/// Rules for a signature over the raw body in `X-Signature`, in hexadecimal, but for `fields`.
fn rules(fields: Value) -> Value {
    let mut rules = json!({
        "algorithm": "sha256", "encoding": "hex",
        "signature": {"source": "header", "key": "X-Signature"},
        "signedComponents": [{"source": "body"}],
        "componentJoin": {"strategy": "concatenate", "separator": ""},
    });
    let Value::Object(fields) = fields else { panic!("{fields}") };
    rules.as_object_mut().unwrap().extend(fields);
    rules
}

fn is_authentic(channel: &dyn Channel, request: &Request) -> bool {
    channel.is_authentic(&request.received())
}

fn hmac(secret: &str, signed: impl AsRef<[u8]>) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    hex::encode(mac.chain_update(signed).finalize().into_bytes())
}

/// A request with this body whose signature in `X-Signature` is made over `signed`.
fn request(body: &str, signed: impl AsRef<[u8]>) -> Request {
    Request::post(body).header("X-Signature", &hmac(SECRET, signed))
}
