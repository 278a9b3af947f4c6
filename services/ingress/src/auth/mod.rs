//! Does a request come from somebody who may use a trigger?
//!
//! Decided over the raw bytes, before anything is parsed: signatures by [`recado_intake`], API keys
//! by looking them up.

mod api_key;

pub(crate) use api_key::ApiKeys;

use recado_intake::CompiledTrigger;
use recado_intake::auth::{Received, check_signatures, presented_key};
use recado_types::trigger::InboundAuth;

use crate::refusal::Refusal;

/// Does `request` come from somebody who may use `trigger`?
pub(crate) async fn authenticate(
    trigger: &CompiledTrigger,
    request: &Received<'_>,
    api_keys: &ApiKeys,
) -> Result<(), Refusal> {
    if trigger.config.auth == InboundAuth::ApiKey {
        let key = presented_key(request);
        api_keys.check(key.as_deref(), trigger.tenant_id, request.at).await?;
    }
    Ok(check_signatures(trigger, request)?)
}
