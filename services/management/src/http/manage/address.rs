//! Where a request leads: `/manage/tenants/{tenantId}/projects/{projectId}/agents/{agentId}/…`.
//!
//! The tenant is the credential's. Project and agent are named by their ids, or by what their owner
//! calls them; an agent of another project is not there.

use actix_web::HttpRequest;
use recado_http::{ApiError, Problem};
use recado_store::triggers::{self, Trigger};
use recado_types::{AgentId, ChosenId, ExecutionId, ProjectId, TenantId, TriggerId};
use serde::Deserialize;
use url::Url;

use crate::Api;
use crate::access::{Caller, in_form};
use crate::failure::store_failed;

/// A credential that may not be good: that is told in the seed's form, too.
pub(super) type Asked = Result<Caller, ApiError>;

/// Does `work`; what goes wrong is told in the seed's form.
pub(super) async fn answer<T>(
    request: &HttpRequest,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    work.await.map_err(|error| in_form(request, error))
}

/// Somebody who is let in, and the agent whose triggers they ask for.
pub(super) struct Here {
    pub(super) caller: Caller,
    pub(super) agent_id: AgentId,
    pub(super) project_id: ProjectId,
    /// How the caller names them.
    pub(super) project: String,
    pub(super) agent: String,
}

impl Here {
    /// # Errors
    /// 403 for another tenant, 404 for what is not there.
    pub(super) async fn find(request: &HttpRequest, caller: Asked) -> Result<Self, ApiError> {
        let caller = caller?;
        let Parts { tenant_id, project_id: project, agent_id: agent, .. } = Parts::of(request);
        let tenant: Result<TenantId, _> = tenant_id.parse();
        if tenant != Ok(caller.tenant) {
            return Err(Problem::TenantMismatch.into());
        }
        let found = triggers::place(&caller.store, caller.tenant, &project, &agent).await;
        let place = found.map_err(store_failed)?.ok_or_else(|| {
            ApiError::new(Problem::AgentNotFound, "there is no such agent in this project")
        })?;
        Ok(Self { caller, agent_id: place.agent_id, project_id: place.project_id, project, agent })
    }

    /// The trigger that the request names.
    pub(super) async fn trigger(&self, request: &HttpRequest) -> Result<Trigger, ApiError> {
        let id = self.trigger_id(&Parts::of(request).id).ok_or(Problem::TriggerNotFound)?;
        let Caller { store, tenant, .. } = &self.caller;
        let found = triggers::of_agent(store, *tenant, self.agent_id, id).await;
        Ok(found.map_err(store_failed)?.ok_or(Problem::TriggerNotFound)?)
    }

    /// The invocation that the request names.
    pub(super) fn invocation_id(request: &HttpRequest) -> Result<ExecutionId, ApiError> {
        let id = Parts::of(request).invocation_id.parse();
        id.map_err(|_no_id| Problem::ExecutionNotFound.into())
    }

    /// The id of a trigger that is named by it, or by what its maker calls it.
    fn trigger_id(&self, named: &str) -> Option<TriggerId> {
        let given = named.parse().ok();
        given.or_else(|| Some(TriggerId::chosen(self.agent_id, &named.parse::<ChosenId>().ok()?)))
    }

    /// Where a trigger's messages are posted, named as the caller names things.
    pub(super) fn webhook_url(&self, api: &Api, trigger: &Trigger) -> String {
        let tenant = self.caller.tenant.to_string();
        let id = name_of(trigger);
        let steps = ["run", "tenants", &tenant, "projects", &self.project, "agents", &self.agent];
        let public_url = api.public_url.to_string();
        // A public URL has a host, so its path can be gone on with.
        let mut url = Url::parse(&public_url).expect("it was read as a URL");
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(steps).extend(["triggers", &id]);
        }
        url.into()
    }
}

/// What a trigger is called on this surface.
pub(super) fn name_of(trigger: &Trigger) -> String {
    trigger.external_id.clone().unwrap_or_else(|| trigger.id.to_string())
}

/// The parts of the path that are in braces, decoded.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Parts {
    tenant_id: String,
    project_id: String,
    agent_id: String,
    id: String,
    invocation_id: String,
}

impl Parts {
    fn of(request: &HttpRequest) -> Self {
        request.match_info().load().unwrap_or_default()
    }
}
