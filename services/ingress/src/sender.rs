//! Who wrote, and may they? [`recado_intake`] decides; the members are looked up, and remembered, here.

use std::sync::Arc;
use std::time::Duration;

use recado_intake::CompiledTrigger;
use recado_intake::channel::Incoming;
use recado_intake::sender::{self, Asked, Judged};
use recado_store::Store;
use recado_store::listen::Change;
use recado_store::members::{self, Member};
use recado_types::TenantId;
use recado_types::trigger::MatchColumn;
use serde_json::{Map, Value};

use crate::lookup::{Freshness, Lookups};
use crate::refusal::Refusal;

/// How many senders are remembered, and how long they are believed without a look. A change of a
/// member is announced, and then looked up at once.
const REMEMBERED: u64 = 100_000;
const FRESHNESS: Freshness =
    Freshness { known_for: Duration::from_secs(30), unknown_for: Duration::from_secs(5) };

/// The members of all teams, remembered as they write.
#[derive(Debug)]
pub(crate) struct Senders {
    store: Store,
    members: Lookups<Identity, (TenantId, Arc<Member>)>,
}

/// A member as a sender is known: whose team, by which identifier, and its hash.
type Identity = (TenantId, MatchColumn, [u8; 32]);

impl Senders {
    pub(crate) fn new(store: Store) -> Arc<Self> {
        Arc::new(Self { store, members: Lookups::new("member", REMEMBERED, FRESHNESS) })
    }

    /// Who wrote `incoming`, if that can be told; or an error if the trigger does not let them in.
    ///
    /// With `resolve_user`, the context is told who it is.
    pub(crate) async fn admit(
        &self,
        trigger: &CompiledTrigger,
        incoming: &Incoming,
        context: &mut Map<String, Value>,
    ) -> Result<Option<String>, Refusal> {
        match sender::judge(trigger, incoming, context)? {
            Judged::Admitted(sender) => Ok(sender),
            Judged::Ask(asked) => {
                let member = self.member(trigger.tenant_id, &asked).await?;
                Ok(Some(asked.is(member.id.to_string(), &member.name, context)))
            }
        }
    }

    async fn member(&self, tenant: TenantId, asked: &Asked) -> Result<Arc<Member>, Refusal> {
        let Asked { column, key, .. } = asked;
        let load = async || {
            let member = members::find(&self.store, tenant, *column, key).await?;
            Ok::<_, recado_store::StoreError>(member.map(|member| (tenant, Arc::new(member))))
        };
        let found = self.members.get((tenant, *column, hash(key)), load).await;
        let found = found.map_err(Refusal::Lookup)?;
        let member = found.map(|(_, member)| member);
        Ok(member.ok_or(recado_intake::Refusal::SenderDenied)?)
    }

    /// Something in the configuration changed.
    pub(crate) async fn apply(&self, change: &Change) {
        match change {
            Change::Reset => self.members.doubt_all(),
            Change::Row { table, tenant_id, .. } if table == "members" => {
                self.members.forget_where(|(tenant, _)| tenant == tenant_id).await;
            }
            Change::Row { .. } => {}
        }
    }
}

fn hash(key: &str) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(key).into()
}
