//! Where does a request come from? Decided over the raw bytes, before anything is parsed.
//!
//! A caller learns that the check failed, never which part of it: missing, malformed and wrong
//! credentials look the same, and comparisons take the same time.

mod api_key;
mod keys;
mod signature;

pub(crate) use api_key::ApiKeys;
pub(crate) use keys::Keys;

use actix_web::http::header::HeaderMap;
use chrono::{DateTime, Utc};
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
    /// When it came: what signed timestamps are compared with.
    pub(crate) at: DateTime<Utc>,
}

impl<'a> Received<'a> {
    /// The first header of this name, if it is a text.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The query, undecoded and without its question mark.
    pub(crate) fn query(&self) -> &'a str {
        self.path_and_query.split_once('?').map_or("", |(_, query)| query)
    }
}

/// Does `request` come from somebody who may use `trigger`?
pub(crate) async fn authenticate(
    trigger: &CompiledTrigger,
    request: &Received<'_>,
    api_keys: &ApiKeys,
) -> Result<(), Refusal> {
    let is_authentic = match trigger.config.auth {
        InboundAuth::Signature { algorithm } => {
            let claimed = request.header(signature::HEADER);
            let is_signed =
                |key: &[u8]| signature::is_authentic(claimed, algorithm, key, request.body);
            trigger.own_keys.any(request.at, is_signed)
        }
        InboundAuth::ApiKey => {
            api_keys.check(request.header(API_KEY_HEADER), trigger.tenant_id).await?;
            true
        }
        InboundAuth::Channel | InboundAuth::None => true,
    };
    // A channel that describes its own checks makes them whatever else is asked for.
    let by_channel = trigger.config.auth == InboundAuth::Channel || trigger.channel.always_checks();
    let is_authentic = is_authentic && (!by_channel || trigger.channel.is_authentic(request));
    is_authentic.then_some(()).ok_or(Refusal::InvalidSignature)
}
