//! Where does a request come from? Decided over the raw bytes, before anything is parsed.
//!
//! A caller learns that the check failed, never which part of it: missing, malformed and wrong
//! credentials look the same, and comparisons take the same time.

mod api_key;
mod signature;

pub(crate) use api_key::ApiKeys;

use actix_web::http::header::HeaderMap;
use recado_http::auth::API_KEY_HEADER;
use recado_types::trigger::InboundAuth;

use crate::public_url::PublicUrl;
use crate::refusal::Refusal;
use crate::trigger::CompiledTrigger;

/// A request as it was received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    /// What the sender calls us.
    pub(crate) public_url: &'a PublicUrl,
    /// What it asked for, undecoded.
    pub(crate) path_and_query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl Received<'_> {
    /// The first header of this name, if it is a text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Does `request` come from somebody who may use `trigger`?
pub(crate) async fn authenticate(
    trigger: &CompiledTrigger,
    request: &Received<'_>,
    api_keys: &ApiKeys,
) -> Result<(), Refusal> {
    match trigger.config.auth {
        InboundAuth::Signature { algorithm } => {
            let claimed = request.header(signature::HEADER);
            let secret = trigger.webhook_secret.expose().as_bytes();
            let is_authentic = signature::is_authentic(claimed, algorithm, secret, request.body);
            is_authentic.then_some(()).ok_or(Refusal::InvalidSignature)
        }
        InboundAuth::Twilio => {
            // Without a key nothing is authentic; the trigger's loading has told the operator.
            let key = trigger.channel_key.as_ref().ok_or(Refusal::InvalidSignature)?;
            let is_authentic = trigger.channel.is_authentic(request, key.expose());
            is_authentic.then_some(()).ok_or(Refusal::InvalidSignature)
        }
        InboundAuth::ApiKey => {
            api_keys.check(request.header(API_KEY_HEADER), trigger.tenant_id).await
        }
        InboundAuth::None => Ok(()),
    }
}
