//! Who may do what: the first thing every endpoint asks for.
//!
//! A bearer token says tenant and role. An API key reads what a viewer reads, which is why writes
//! refuse it. Roles are checked before anything is looked up, so a refusal tells nothing about
//! what exists.

use std::marker::PhantomData;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::{FutureExt, LocalBoxFuture};
use recado_http::auth::{Credential, Identity, Role};
use recado_http::{ApiError, Problem};
use recado_store::{tenants, webhooks};
use recado_types::TenantId;

use crate::Api;
use crate::failure::store_failed;

/// What an endpoint does, as far as permission goes.
pub(crate) trait Permission: 'static {
    /// The least role that may.
    const ROLE: Role;
    /// Whether it changes something.
    const WRITES: bool;
}

/// Looking at configuration and history.
pub(crate) enum Read {}
/// Changing configuration.
pub(crate) enum Write {}
/// Looking at what secrets and keys there are.
pub(crate) enum ReadSecrets {}
/// Changing secrets and keys.
pub(crate) enum WriteSecrets {}
/// Changing what the whole tenant is allowed to do.
pub(crate) enum WriteTenant {}

impl Permission for Read {
    const ROLE: Role = Role::Viewer;
    const WRITES: bool = false;
}

impl Permission for Write {
    const ROLE: Role = Role::Editor;
    const WRITES: bool = true;
}

impl Permission for ReadSecrets {
    const ROLE: Role = Role::Admin;
    const WRITES: bool = false;
}

impl Permission for WriteSecrets {
    const ROLE: Role = Role::Admin;
    const WRITES: bool = true;
}

impl Permission for WriteTenant {
    const ROLE: Role = Role::Admin;
    const WRITES: bool = true;
}

/// Somebody who may do `P`, and for whom.
pub(crate) struct Caller<P> {
    pub(crate) tenant: TenantId,
    /// Who they are, inside the tenant.
    pub(crate) subject: String,
    permission: PhantomData<P>,
}

impl<P: Permission> FromRequest for Caller<P> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        async move {
            let api: &Data<Api> = request.app_data().expect("`http::configure` is given it");
            let identity = identify(api, &request).await?;
            identity.check_tenant(request.headers())?;
            identity.require(P::ROLE)?;
            if P::WRITES {
                require_tenant(api, identity.tenant).await?;
            }
            let Identity { tenant, subject, .. } = identity;
            Ok(Self { tenant, subject, permission: PhantomData })
        }
        .boxed_local()
    }
}

async fn identify(api: &Api, request: &HttpRequest) -> Result<Identity, ApiError> {
    match Credential::of(request.headers())? {
        Credential::Token(token) => api.tokens.verify(&token, api.clock.now()),
        Credential::ApiKey(key) => {
            let tenant = webhooks::api_key_tenant(&api.store, &key.hash()).await;
            let tenant = tenant.map_err(store_failed)?.ok_or(Problem::InvalidApiKey)?;
            Ok(Identity { tenant, subject: key.shown_prefix().to_owned(), role: Role::Viewer })
        }
    }
}

/// A token may outlive its tenant; nothing may be written for nobody.
async fn require_tenant(api: &Api, tenant: TenantId) -> Result<(), ApiError> {
    if tenants::exists(&api.store, tenant).await.map_err(store_failed)? {
        return Ok(());
    }
    Err(ApiError::new(Problem::TenantMismatch, "the credential's tenant does not exist"))
}
