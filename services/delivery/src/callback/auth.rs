//! Puts the credential of a callback where it belongs.

use recado_http::guard::Outbound;
use recado_types::trigger::{CallbackAuth, KeyPlace};

use super::render::RenderError;

/// Adds the credential that `auth` asks for; `secret` is the value of the secret it names.
pub(super) fn authorise(
    request: Outbound,
    auth: &CallbackAuth,
    secret: Option<&str>,
) -> Result<Outbound, RenderError> {
    let Some(name) = auth.secret_ref() else { return Ok(request) };
    let secret = secret.ok_or_else(|| RenderError::SecretMissing { name: name.to_owned() })?;
    let invalid = |reason| RenderError::SecretInvalid { name: name.to_owned(), reason };
    if secret.is_empty() || secret.chars().any(char::is_control) {
        return Err(invalid("is empty, or holds a line break or another control character"));
    }
    match auth {
        CallbackAuth::None => Ok(request),
        CallbackAuth::Basic { .. } => {
            let credentials = secret.split_once(':');
            let (user, password) =
                credentials.ok_or_else(|| invalid("must have the form `user:password`"))?;
            Ok(request.basic(user, password))
        }
        CallbackAuth::Bearer { .. } => {
            request.bearer(secret).map_err(|_no_more_to_tell| invalid("cannot stand in a header"))
        }
        CallbackAuth::ApiKey { name: header, place: KeyPlace::Header, .. } => request
            .header(header, secret)
            .map_err(|_no_more_to_tell| invalid("cannot stand in a header")),
        CallbackAuth::ApiKey { name: parameter, place: KeyPlace::Query, .. } => {
            let mut request = request;
            request.url.query_pairs_mut().append_pair(parameter, secret);
            Ok(request)
        }
    }
}
