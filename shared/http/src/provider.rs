//! Requests to providers of models, as far as all of them are alike: the address and the key.

use recado_types::provider::ProviderKind;
use reqwest::Method;
use url::Url;

use crate::guard::{InvalidOutbound, Outbound};

/// The version of Anthropic's API that we speak.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// Why there is no request. Repeats neither address nor key.
#[derive(Debug, thiserror::Error)]
pub enum InvalidProvider {
    /// Nothing can be appended to its address.
    #[error("the provider's address is no URL")]
    Address,
    /// HTTP cannot carry its key.
    #[error("the provider's key cannot stand in a header")]
    Key(#[source] InvalidOutbound),
}

/// A request for what is at `path` below a provider's address, with its key. A query of the address
/// is kept.
///
/// # Errors
/// When address or key are of no use.
pub fn request(
    kind: ProviderKind,
    method: Method,
    base_url: &str,
    path: &[&str],
    key: Option<&str>,
) -> Result<Outbound, InvalidProvider> {
    let mut url = Url::parse(base_url).map_err(|_not_shown| InvalidProvider::Address)?;
    let segments = url.path_segments_mut();
    segments.map_err(|()| InvalidProvider::Address)?.pop_if_empty().extend(path);
    let request = Outbound::new(method, url);
    let request = match (kind, key) {
        (ProviderKind::OpenaiCompatible, None) => Ok(request),
        (ProviderKind::OpenaiCompatible, Some(key)) => request.bearer(key),
        (ProviderKind::Anthropic, key) => {
            let request = request.header("anthropic-version", ANTHROPIC_VERSION);
            match key {
                Some(key) => request.and_then(|request| request.secret_header("x-api-key", key)),
                None => request,
            }
        }
    };
    request.map_err(InvalidProvider::Key)
}
