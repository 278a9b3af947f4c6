//! Agents in addresses, by what their owner calls them, remembered.

use std::sync::Arc;
use std::time::Duration;

use recado_store::listen::Change;
use recado_store::triggers::{self, Place};
use recado_store::{Store, StoreError};
use recado_types::{AgentId, Fingerprint, ProjectId, TenantId};

use crate::lookup::{Freshness, LookupError, Lookups};

/// How long a name is believed when no notification says that it changed.
const FRESHNESS: Freshness =
    Freshness { known_for: Duration::from_secs(30), unknown_for: Duration::from_secs(2) };

/// How many names are remembered at most.
const CAPACITY: u64 = 10_000;

/// The longest name of a project or an agent, in bytes; no owner has longer ones.
const MAX_NAME: usize = 1_024;

/// All places that have been asked for.
#[derive(Debug)]
pub(crate) struct Places {
    store: Store,
    /// By what their address says.
    lookups: Lookups<Fingerprint, (TenantId, Place)>,
}

impl Places {
    pub(crate) fn new(store: Store) -> Arc<Self> {
        Arc::new(Self { store, lookups: Lookups::new("place", CAPACITY, FRESHNESS) })
    }

    /// The agent that is meant, if these are ids: then nothing has to be looked up.
    pub(crate) fn by_ids(project: &str, agent: &str) -> Option<Place> {
        let project_id: ProjectId = project.parse().ok()?;
        let agent_id: AgentId = agent.parse().ok()?;
        Some(Place { project_id, agent_id })
    }

    /// The agent that is meant and its project; `None` if there is none.
    pub(crate) async fn get(
        &self,
        tenant: TenantId,
        project: &str,
        agent: &str,
    ) -> Result<Option<Place>, LookupError> {
        if project.len() > MAX_NAME || agent.len() > MAX_NAME {
            return Ok(None);
        }
        let address = format!("{tenant}/{}/{project}/{agent}", project.len());
        let load = async || -> Result<_, StoreError> {
            let place = triggers::place(&self.store, tenant, project, agent).await?;
            Ok(place.map(|place| (tenant, place)))
        };
        let found = self.lookups.get(Fingerprint::of(address.as_bytes()), load).await?;
        Ok(found.map(|(_, place)| place))
    }

    /// Something in the configuration changed.
    pub(crate) async fn apply(&self, change: &Change) {
        match change {
            Change::Reset => self.lookups.doubt_all(),
            Change::Row { table, tenant_id, .. } if table == "agents" => {
                self.lookups.forget_where(|(tenant, _)| tenant == tenant_id).await;
            }
            Change::Row { .. } => {}
        }
    }
}
