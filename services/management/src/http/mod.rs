//! The endpoints, one module for each kind of resource.

mod agents;
mod api_keys;
mod apps;
mod audit_log;
mod control;
mod dead_letters;
mod deliveries;
mod destinations;
mod event_deliveries;
mod event_endpoints;
mod executions;
mod manage;
mod members;
pub mod operation;
mod projects;
mod providers;
mod schema;
mod secrets;
mod sessions;
mod tenants;
mod tools;
mod triggers;
mod usage;
mod windows;

use std::borrow::Cow;

use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::middleware::from_fn;
use actix_web::web::{PathConfig, ServiceConfig, resource, to};
use actix_web::{HttpRequest, HttpResponse};
use recado_http::{ApiError, Problem};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use operation::Resource;

pub(crate) use manage::{manage_error, manage_error_schema};

use crate::{access, audit, idempotency, rate};

/// Every address of this API, by what it is about. Tests go by it, so that no endpoint escapes
/// them.
const GROUPS: &[&[Resource]] = &[
    triggers::RESOURCES,
    manage::RESOURCES,
    executions::RESOURCES,
    control::RESOURCES,
    deliveries::RESOURCES,
    destinations::RESOURCES,
    event_endpoints::RESOURCES,
    event_deliveries::RESOURCES,
    sessions::RESOURCES,
    windows::RESOURCES,
    agents::RESOURCES,
    tools::RESOURCES,
    tenants::RESOURCES,
    usage::RESOURCES,
    projects::RESOURCES,
    members::RESOURCES,
    apps::RESOURCES,
    providers::RESOURCES,
    secrets::RESOURCES,
    dead_letters::RESOURCES,
    api_keys::RESOURCES,
    audit_log::RESOURCES,
];

/// Every address of this API.
pub fn resources() -> impl Iterator<Item = &'static Resource> {
    GROUPS.iter().copied().flatten()
}

/// Registers every endpoint.
pub(crate) fn configure(service: &mut ServiceConfig) {
    // A path whose parts cannot be read leads nowhere.
    let nowhere = PathConfig::default()
        .error_handler(|_, request| access::in_form(request, Problem::NotFound.into()).into());
    service.app_data(nowhere);
    for at in resources() {
        let routes = at.operations.iter().map(|operation| (operation.route)());
        let address = routes.fold(resource(at.path).app_data(at), actix_web::Resource::route);
        // The last one is the first to see a request.
        let address = address
            .default_service(to(other_method))
            .wrap(from_fn(audit::complete))
            .wrap(from_fn(idempotency::heed))
            .wrap(from_fn(rate::limit));
        service.service(address);
    }
}

/// 404, in the form of the addresses around it.
pub(crate) async fn nothing_there(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(access::in_form(&request, Problem::NotFound.into()))
}

/// 405, telling which methods there are.
async fn other_method(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let methods = access::resource(&request).map(Resource::methods).unwrap_or_default();
    let mut error = ApiError::from(Problem::MethodNotAllowed);
    if let Ok(methods) = HeaderValue::try_from(methods) {
        error = error.with_header(ALLOW, methods);
    }
    Err(access::in_form(&request, error))
}

/// `{"success": true, "data": …}`.
#[derive(Serialize)]
struct Found<T> {
    success: bool,
    data: T,
}

impl<T> Found<T> {
    fn new(data: T) -> Self {
        Self { success: true, data }
    }
}

impl<T: JsonSchema> JsonSchema for Found<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Found{}", T::schema_name()).into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": {
                "success": { "type": "boolean", "const": true },
                "data": schemas.subschema_for::<T>(),
            },
            "required": ["success", "data"],
        })
    }
}

/// `{"success": true}`.
#[derive(Serialize, JsonSchema)]
struct Done {
    success: bool,
}

const DONE: Done = Done { success: true };
