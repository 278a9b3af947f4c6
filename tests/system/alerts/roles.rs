//! Processes that are not there.

use recado_testkit::app::Role;

use super::Watched;
use crate::support::{Story, system};

/// All that messages need.
const WORKERS: [Role; 5] =
    [Role::Ingress, Role::Buffer, Role::AgentRunner, Role::Delivery, Role::Sources];

#[tokio::test]
async fn who_is_killed_is_missed() -> Story {
    let mut watched = Watched::start("roles", system()).await?;
    watched.is_quiet().await?;
    watched.redis().kill()?;
    watched.fires("RecadoRedisUnavailable", &[("severity", "ticket")]).await?;
    watched.redis().restart().await?;
    watched.resolves("RecadoRedisUnavailable", &[]).await?;

    for role in WORKERS {
        watched.kill(role, 0)?;
    }
    for role in WORKERS {
        watched.fires("RecadoRoleDown", &[("role", role.as_str()), ("severity", "page")]).await?;
    }
    watched.kill(Role::Management, 0)?;
    watched.fires("RecadoRoleDown", &[("role", "any"), ("severity", "page")]).await?;
    watched.fires("RecadoRoleDown", &[("role", "management"), ("severity", "ticket")]).await?;
    for role in Role::ALL {
        watched.restart(role, 0).await?;
    }
    watched.resolves("RecadoRoleDown", &[]).await?;
    Ok(watched.end()?)
}
