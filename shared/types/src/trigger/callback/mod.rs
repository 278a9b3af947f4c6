//! The way out: which request carries a chunk to the channel.
//!
//! Only a tenant decides where requests go, never a payload: scheme, host and port of the URL are
//! fixed, and a placeholder is a single piece of its path or query.

mod auth;
mod body;
mod headers;
mod placeholders;
mod retry;
mod status;
#[cfg(test)]
mod tests;
mod transform;
mod url;

pub use auth::{CallbackAuth, HmacFormat};
pub use body::{CallbackBody, Fields};
pub use placeholders::BUILTIN_PLACEHOLDERS;
pub use retry::RetryPolicy;
pub use status::StatusSet;
pub use transform::Transform;
pub use url::has_dot_segment;

use super::ContextField;
use crate::shape::ObjectReader;
use crate::template::Template;

/// `execution.callback`.
#[derive(Clone, Debug, PartialEq)]
pub struct Callback {
    /// Where to; placeholders are single, percent-encoded pieces of its path or query.
    pub url: Template,
    /// The request's method.
    pub method: Method,
    /// The credential or signature it carries.
    pub auth: CallbackAuth,
    /// What the body says, and in which form.
    pub body: CallbackBody,
    /// Further headers, at most 32.
    pub headers: Vec<(String, Template)>,
    /// Which statuses mean that the channel took the message.
    pub success: StatusSet,
    /// What happens to the text before it is sent.
    pub transform: Transform,
    /// What happens when a request fails.
    pub retry: RetryPolicy,
    /// How long one request may take, 1,000 to 60,000 ms.
    pub timeout_ms: u32,
}

/// A request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// POST, the default.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
}

impl Callback {
    pub(super) fn read(
        reader: &mut ObjectReader<'_>,
        derived: Transform,
        context: &[ContextField],
    ) -> Option<Self> {
        let mut fields = reader.object("callback")?;
        let url = url::read(&mut fields);
        let methods = [("POST", Method::Post), ("PUT", Method::Put), ("PATCH", Method::Patch)];
        let method = fields.choice("method", &methods).unwrap_or(Method::Post);
        let auth = CallbackAuth::read(&mut fields);
        let body = CallbackBody::read(&mut fields);
        let headers = headers::read(&mut fields);
        if let Some(auth) = &auth {
            headers::refuse_those_of_auth(&fields, &headers, auth);
            refuse_parameter_of_auth(&fields, url.as_ref(), auth);
        }
        let success = StatusSet::read(&mut fields);
        let transform = Transform::read(&mut fields, derived);
        let retry = RetryPolicy::read(&mut fields);
        let timeout_ms = fields.integer("timeout_ms", 1_000..=60_000).unwrap_or(15_000);
        if let (Some(url), Some(body)) = (&url, &body) {
            placeholders::refuse_unknown(&fields, url, body, &headers, context);
        }
        fields.done();
        Some(Self {
            url: url?,
            method,
            auth: auth?,
            body: body?,
            headers,
            success,
            transform,
            retry,
            timeout_ms,
        })
    }
}

/// Of two parameters of one name, receivers take this one or that.
fn refuse_parameter_of_auth(
    fields: &ObjectReader<'_>,
    url: Option<&Template>,
    auth: &CallbackAuth,
) {
    if let (Some(url), Some(name)) = (url, auth.query_parameter())
        && url::has_parameter(url, name)
    {
        fields.refuse("auth.name", "is in the query of `url` already");
    }
}
