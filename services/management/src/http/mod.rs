//! The endpoints, one module for each kind of resource.

mod agents;
mod api_keys;
mod apps;
mod control;
mod dead_letters;
mod deliveries;
mod destinations;
mod event_deliveries;
mod event_endpoints;
mod executions;
mod members;
mod providers;
mod secrets;
mod sessions;
mod tenant;
mod tools;
mod triggers;

use actix_web::web::{ServiceConfig, delete, get, patch, post, put, resource};
use recado_http::problem::{method_not_allowed, path_config};
use serde::Serialize;

/// One address with everything that can be done there.
#[derive(Clone, Copy, Debug)]
pub struct Resource {
    /// The address; what is in braces is an id or a name.
    pub path: &'static str,
    /// The methods it has, as `Allow` tells them.
    pub methods: &'static str,
    register: fn(actix_web::Resource) -> actix_web::Resource,
}

/// Every address of this API. Tests go by it, so that no endpoint escapes them.
pub const RESOURCES: &[Resource] = &[
    Resource {
        path: "/api/triggers",
        methods: "GET, POST",
        register: |at| at.route(get().to(triggers::list)).route(post().to(triggers::create)),
    },
    Resource {
        path: "/api/triggers/types",
        methods: "GET",
        register: |at| at.route(get().to(triggers::types)),
    },
    Resource {
        path: "/api/triggers/stats",
        methods: "GET",
        register: |at| at.route(get().to(triggers::stats)),
    },
    Resource {
        path: "/api/triggers/{id}",
        methods: "GET, PATCH, DELETE",
        register: |at| {
            at.route(get().to(triggers::show))
                .route(patch().to(triggers::update))
                .route(delete().to(triggers::delete))
        },
    },
    Resource {
        path: "/api/triggers/{id}/enable",
        methods: "POST",
        register: |at| at.route(post().to(triggers::enable)),
    },
    Resource {
        path: "/api/triggers/{id}/disable",
        methods: "POST",
        register: |at| at.route(post().to(triggers::disable)),
    },
    Resource {
        path: "/api/triggers/{id}/rotate-secret",
        methods: "POST",
        register: |at| at.route(post().to(triggers::rotate_secret)),
    },
    Resource {
        path: "/api/triggers/{id}/executions",
        methods: "GET",
        register: |at| at.route(get().to(executions::list)),
    },
    Resource {
        path: "/api/triggers/{id}/executions/{execution_id}",
        methods: "GET",
        register: |at| at.route(get().to(executions::show)),
    },
    Resource {
        path: "/api/executions/{id}",
        methods: "GET",
        register: |at| at.route(get().to(executions::show_alone)),
    },
    Resource {
        path: "/api/executions/{id}/cancel",
        methods: "POST",
        register: |at| at.route(post().to(control::cancel)),
    },
    Resource {
        path: "/api/executions/{id}/tool-calls/{tool_call_id}/approve",
        methods: "PUT, POST",
        register: |at| at.route(put().to(control::approve)).route(post().to(control::approve)),
    },
    Resource {
        path: "/api/executions/{id}/tool-calls/{tool_call_id}/deny",
        methods: "PUT, POST",
        register: |at| at.route(put().to(control::deny)).route(post().to(control::deny)),
    },
    Resource {
        path: "/api/deliveries",
        methods: "GET",
        register: |at| at.route(get().to(deliveries::list)),
    },
    Resource {
        path: "/api/deliveries/{id}",
        methods: "GET",
        register: |at| at.route(get().to(deliveries::show)),
    },
    Resource {
        path: "/api/deliveries/{id}/redeliver",
        methods: "POST",
        register: |at| at.route(post().to(deliveries::redeliver)),
    },
    Resource {
        path: "/api/destinations",
        methods: "GET",
        register: |at| at.route(get().to(destinations::list)),
    },
    Resource {
        path: "/api/destinations/{id}",
        methods: "GET",
        register: |at| at.route(get().to(destinations::show)),
    },
    Resource {
        path: "/api/destinations/{id}/probe",
        methods: "POST",
        register: |at| at.route(post().to(destinations::probe)),
    },
    Resource {
        path: "/api/event-endpoints",
        methods: "GET, POST",
        register: |at| {
            at.route(get().to(event_endpoints::list)).route(post().to(event_endpoints::create))
        },
    },
    Resource {
        path: "/api/event-endpoints/{id}",
        methods: "GET, PATCH, DELETE",
        register: |at| {
            at.route(get().to(event_endpoints::show))
                .route(patch().to(event_endpoints::update))
                .route(delete().to(event_endpoints::delete))
        },
    },
    Resource {
        path: "/api/event-endpoints/{id}/rotate-secret",
        methods: "POST",
        register: |at| at.route(post().to(event_endpoints::rotate_secret)),
    },
    Resource {
        path: "/api/event-endpoints/{id}/recover",
        methods: "POST",
        register: |at| at.route(post().to(event_endpoints::recover)),
    },
    Resource {
        path: "/api/event-endpoints/{id}/test",
        methods: "POST",
        register: |at| at.route(post().to(event_endpoints::send_test)),
    },
    Resource {
        path: "/api/event-endpoints/{id}/deliveries",
        methods: "GET",
        register: |at| at.route(get().to(event_deliveries::list)),
    },
    Resource {
        path: "/api/event-deliveries/{id}",
        methods: "GET",
        register: |at| at.route(get().to(event_deliveries::show)),
    },
    Resource {
        path: "/api/event-deliveries/{id}/send-again",
        methods: "POST",
        register: |at| at.route(post().to(event_deliveries::send_again)),
    },
    Resource {
        path: "/api/tool-calls",
        methods: "GET",
        register: |at| at.route(get().to(control::waiting_tool_calls)),
    },
    Resource {
        path: "/v1/objectives/{id}/cancel",
        methods: "POST",
        register: |at| at.route(post().to(control::cancel_objective)),
    },
    Resource {
        path: "/v1/objectives/{id}/tool_calls/{tool_call_id}/approve",
        methods: "PUT",
        register: |at| at.route(put().to(control::approve_objective)),
    },
    Resource {
        path: "/v1/objectives/{id}/tool_calls/{tool_call_id}/deny",
        methods: "PUT",
        register: |at| at.route(put().to(control::deny_objective)),
    },
    Resource {
        path: "/api/sessions/{id}",
        methods: "GET",
        register: |at| at.route(get().to(sessions::show)),
    },
    Resource {
        path: "/api/sessions/{id}/suspend",
        methods: "POST",
        register: |at| at.route(post().to(sessions::suspend)),
    },
    Resource {
        path: "/api/sessions/{id}/resume",
        methods: "POST",
        register: |at| at.route(post().to(sessions::resume)),
    },
    Resource {
        path: "/api/sessions/{id}/handoff",
        methods: "POST",
        register: |at| at.route(post().to(sessions::hand_off)),
    },
    Resource {
        path: "/api/v1/sessions/{id}/trigger-context",
        methods: "GET",
        register: |at| at.route(get().to(sessions::trigger_context)),
    },
    Resource {
        path: "/api/agents",
        methods: "GET, POST",
        register: |at| at.route(get().to(agents::list)).route(post().to(agents::create)),
    },
    Resource {
        path: "/api/agents/{id}",
        methods: "GET, PATCH, DELETE",
        register: |at| {
            at.route(get().to(agents::show))
                .route(patch().to(agents::update))
                .route(delete().to(agents::delete))
        },
    },
    Resource {
        path: "/api/agents/{id}/versions",
        methods: "GET",
        register: |at| at.route(get().to(agents::list_versions)),
    },
    Resource {
        path: "/api/agents/{id}/versions/{version}",
        methods: "GET",
        register: |at| at.route(get().to(agents::show_version)),
    },
    Resource {
        path: "/api/tools",
        methods: "GET, POST",
        register: |at| at.route(get().to(tools::list)).route(post().to(tools::create)),
    },
    Resource {
        path: "/api/tools/{id}",
        methods: "GET, PATCH, DELETE",
        register: |at| {
            at.route(get().to(tools::show))
                .route(patch().to(tools::update))
                .route(delete().to(tools::delete))
        },
    },
    Resource {
        path: "/api/tenant",
        methods: "GET, PATCH",
        register: |at| at.route(get().to(tenant::show)).route(patch().to(tenant::update)),
    },
    Resource {
        path: "/api/members",
        methods: "GET, POST",
        register: |at| at.route(get().to(members::list)).route(post().to(members::create)),
    },
    Resource {
        path: "/api/members/{id}",
        methods: "GET, PATCH, DELETE",
        register: |at| {
            at.route(get().to(members::show))
                .route(patch().to(members::update))
                .route(delete().to(members::delete))
        },
    },
    Resource {
        path: "/api/apps",
        methods: "GET, POST",
        register: |at| at.route(get().to(apps::list)).route(post().to(apps::create)),
    },
    Resource {
        path: "/api/apps/{id}",
        methods: "GET, PATCH, DELETE",
        register: |at| {
            at.route(get().to(apps::show))
                .route(patch().to(apps::update))
                .route(delete().to(apps::delete))
        },
    },
    Resource {
        path: "/api/providers",
        methods: "GET, POST",
        register: |at| at.route(get().to(providers::list)).route(post().to(providers::create)),
    },
    Resource {
        path: "/api/providers/{id}",
        methods: "GET, PATCH, DELETE",
        register: |at| {
            at.route(get().to(providers::show))
                .route(patch().to(providers::update))
                .route(delete().to(providers::delete))
        },
    },
    Resource {
        path: "/api/secrets",
        methods: "GET, POST",
        register: |at| at.route(get().to(secrets::list)).route(post().to(secrets::create)),
    },
    Resource {
        path: "/api/secrets/{name}",
        methods: "PUT, PATCH, DELETE",
        register: |at| {
            at.route(put().to(secrets::replace))
                .route(patch().to(secrets::replace))
                .route(delete().to(secrets::delete))
        },
    },
    Resource {
        path: "/api/dead-letters",
        methods: "GET",
        register: |at| at.route(get().to(dead_letters::list)),
    },
    Resource {
        path: "/api/dead-letters/{id}",
        methods: "GET, DELETE",
        register: |at| {
            at.route(get().to(dead_letters::show)).route(delete().to(dead_letters::discard))
        },
    },
    Resource {
        path: "/api/dead-letters/{id}/redrive",
        methods: "POST",
        register: |at| at.route(post().to(dead_letters::redrive)),
    },
    Resource {
        path: "/api/api-keys",
        methods: "GET, POST",
        register: |at| at.route(get().to(api_keys::list)).route(post().to(api_keys::create)),
    },
    Resource {
        path: "/api/api-keys/{id}",
        methods: "DELETE",
        register: |at| at.route(delete().to(api_keys::revoke)),
    },
];

/// Registers every endpoint.
pub(crate) fn configure(service: &mut ServiceConfig) {
    service.app_data(path_config());
    for Resource { path, methods, register } in RESOURCES {
        let refuse_others = method_not_allowed(methods);
        service.service(register(resource(*path)).default_service(refuse_others));
    }
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

/// `{"success": true}`.
#[derive(Serialize)]
struct Done {
    success: bool,
}

const DONE: Done = Done { success: true };
