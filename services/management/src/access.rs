//! Who may do what: the first thing every endpoint asks for.
//!
//! What an operation needs is said in its [`Operation`]: a role, which a token has, a scope, which an
//! API key has, or an operator. It is checked before anything is looked up, so a refusal tells
//! nothing about what exists. Whoever changes something is written down first (`audit.rs`).

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use chrono::{DateTime, Utc};
use futures_util::future::{FutureExt, LocalBoxFuture};
use recado_http::auth::{Credential, Identity, KeyHolder, Role};
use recado_http::trace::RequestId;
use recado_http::{ApiError, Problem};
use recado_store::{Store, webhooks};
use recado_types::TenantId;

use crate::failure::store_failed;
use crate::http::operation::{Access, ErrorForm, Operation, Resource};
use crate::query::QueryReader;
use crate::{Api, audit};

/// Somebody who may do what they ask for, and for whom.
pub(crate) struct Caller {
    pub(crate) tenant: TenantId,
    /// Who they are, inside the tenant.
    pub(crate) subject: String,
    /// The database, as the tenant sees it.
    pub(crate) store: Store,
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        async move {
            let found = admit(&request).await;
            found.map_err(|error| in_form(&request, error))
        }
        .boxed_local()
    }
}

/// Somebody who runs the installation, and may do what they ask for.
pub(crate) struct Operator {
    /// The database, as operators see it: which tenants there are.
    pub(crate) store: Store,
}

impl FromRequest for Operator {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        async move {
            let found = permitted(&request).await;
            found.map_err(|error| in_form(&request, error))?;
            Ok(Self { store: api(&request).store.for_operator() })
        }
        .boxed_local()
    }
}

/// Who is asking, and for what, if they may.
pub(crate) async fn permitted(
    request: &HttpRequest,
) -> Result<(Identity, &'static Operation), ApiError> {
    let identity = identify(api(request), request).await?;
    identity.check_tenant(request.headers())?;
    let operation = operation(request).ok_or(Problem::MethodNotAllowed)?;
    match operation.access {
        Access::Public => {}
        Access::Role(role) => identity.require(role)?,
        Access::Key(scope) => identity.require_scope(scope)?,
        Access::Operator => identity.require_operator()?,
    }
    if operation.query.is_empty() {
        // Nobody else looks at it: what is not heeded is a mistake.
        QueryReader::of(request).done()?;
    }
    Ok((identity, operation))
}

async fn admit(request: &HttpRequest) -> Result<Caller, ApiError> {
    let (identity, operation) = permitted(request).await?;
    let api = api(request);
    // Operators have endpoints of their own, which ask for no caller.
    let tenant = identity.tenant().ok_or(Problem::InsufficientPermissions)?;
    let store = api.store.for_tenant(tenant);
    if operation.writes() {
        // Whatever the operation says: a key changes nothing.
        identity.require(Role::Viewer)?;
        audit::begin(api, &store, tenant, &identity, request, operation).await?;
    }
    Ok(Caller { tenant, subject: identity.subject().to_owned(), store })
}

/// Everything there is at the request's address.
pub(crate) fn resource(request: &HttpRequest) -> Option<&'static Resource> {
    request.app_data::<&'static Resource>().copied()
}

/// What the request asks for.
pub(crate) fn operation(request: &HttpRequest) -> Option<&'static Operation> {
    resource(request)?.operation(request.method())
}

/// The error as the address has its errors.
pub(crate) fn in_form(request: &HttpRequest, error: ApiError) -> ApiError {
    let form = resource(request).map_or_else(|| ErrorForm::near(request.path()), |at| at.form);
    let request_id = RequestId::of(request);
    let request_id = request_id.as_ref().map_or("", |id| id.as_str());
    formed(form, error, request.path(), request_id)
}

/// The error in this form.
pub(crate) fn formed(form: ErrorForm, error: ApiError, path: &str, request_id: &str) -> ApiError {
    match form {
        ErrorForm::Native => error,
        ErrorForm::RpcStatus => error.as_rpc_status(),
        ErrorForm::Rfc9457 => as_problem(error, path),
        ErrorForm::Manage => crate::http::manage_error(error, path, request_id),
    }
}

/// The error as ingress documents errors: a problem document that repeats itself in `error`.
fn as_problem(error: ApiError, path: &str) -> ApiError {
    let repeated = serde_json::json!({
        "code": error.problem().code(), "message": error.message(),
    });
    error.as_rfc9457(serde_json::Map::from_iter([
        ("instance".to_owned(), path.into()),
        ("error".to_owned(), repeated),
    ]))
}

pub(crate) fn api(request: &HttpRequest) -> &Data<Api> {
    request.app_data().expect("`http::configure` is given it")
}

/// Who is asking, found out once for each request.
///
/// # Errors
/// 401 if nobody is, 429 if too many from there were nobody, and 503 if it cannot be found out.
pub(crate) async fn identify(api: &Api, request: &HttpRequest) -> Result<Identity, ApiError> {
    if let Some(known) = request.extensions().get::<Identity>() {
        return Ok(known.clone());
    }
    if let Some(refused) = request.extensions().get::<Refused>() {
        return Err(refused.again());
    }
    let found = look_for(api, request).await;
    match &found {
        Ok(identity) => drop(request.extensions_mut().insert(identity.clone())),
        Err(error) => drop(request.extensions_mut().insert(Refused::because_of(error))),
    }
    found
}

/// Why nobody is asking; that is found out once for each request, too.
struct Refused {
    problem: Problem,
    message: String,
    retry_after: Option<Duration>,
}

impl Refused {
    fn because_of(error: &ApiError) -> Self {
        let retry_after = error.retry_after_seconds().map(Duration::from_secs);
        Self { problem: error.problem(), message: error.message().to_owned(), retry_after }
    }

    fn again(&self) -> ApiError {
        let error = ApiError::new(self.problem, self.message.as_str());
        match self.retry_after {
            Some(after) => error.with_retry_after(after),
            None => error,
        }
    }
}

/// Looks at the credential, if whoever shows it has not shown too many that were none.
async fn look_for(api: &Api, request: &HttpRequest) -> Result<Identity, ApiError> {
    let now = api.clock.now();
    let credential = Credential::of(request.headers())?;
    let guess = api.guesses.admit(request, &credential, now)?;
    let found = check(api, credential, now).await;
    api.guesses.learn(guess, found.as_ref().err().map(ApiError::problem), now).await;
    found
}

async fn check(
    api: &Api,
    credential: Credential,
    now: DateTime<Utc>,
) -> Result<Identity, ApiError> {
    let identity = match credential {
        Credential::Token(token) => api.tokens.verify(&token, now).await?,
        Credential::ApiKey(key) => {
            let found = webhooks::api_key(&api.store, &key.hash()).await.map_err(store_failed)?;
            let found = found.filter(|found| found.is_good(now)).ok_or(Problem::InvalidApiKey)?;
            let (tenant, scopes) = (found.tenant_id, found.scopes);
            api.key_uses.note(&api.store.for_tenant(tenant), &found, now).await;
            let prefix = key.shown_prefix().to_owned();
            Identity::ApiKey(KeyHolder { tenant, prefix, scopes })
        }
    };
    Ok(identity)
}
