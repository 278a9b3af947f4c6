//! Who wrote, and may they? Decided before anything that costs.

use std::sync::Arc;
use std::time::Duration;

use recado_store::Store;
use recado_store::listen::Change;
use recado_store::members::{self, Member};
use recado_types::TenantId;
use recado_types::identity;
use recado_types::trigger::{MatchColumn, SenderRule};
use serde_json::{Map, Value};

use crate::channel::Incoming;
use crate::lookup::{Freshness, Lookups};
use crate::message::identity::exact_text;
use crate::message::value_at;
use crate::refusal::Refusal;
use crate::trigger::CompiledTrigger;

/// How many senders are remembered, and how long they are believed without a look. A change of a
/// member is announced, and then looked up at once.
const REMEMBERED: u64 = 100_000;
const FRESHNESS: Freshness =
    Freshness { known_for: Duration::from_secs(30), unknown_for: Duration::from_secs(5) };

/// The longest identity that is looked at, in bytes.
const MAX_IDENTITY: usize = 512;

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
    /// With `resolve_user`, the context is told who it is: what the team's directory says replaces
    /// what the payload claims.
    pub(crate) async fn admit(
        &self,
        trigger: &CompiledTrigger,
        incoming: &Incoming,
        context: &mut Map<String, Value>,
    ) -> Result<Option<String>, Refusal> {
        let access = &trigger.config.sender_access;
        let sender = match &access.identity_field {
            Some(field) => {
                let mapping = &trigger.config.context_mapping;
                value_at(field, mapping, context, &incoming.payload).and_then(exact_text)
            }
            None => incoming.sender.clone(),
        };
        let sender = sender.filter(|sender| !sender.trim().is_empty());
        if access.rule == SenderRule::Any {
            return Ok(sender);
        }
        let Some(sender) = sender.filter(|sender| sender.len() <= MAX_IDENTITY) else {
            let field =
                access.identity_field.as_ref().map_or("sender".to_owned(), ToString::to_string);
            let reason = "is missing or no identity; the trigger admits known senders only".into();
            return Err(Refusal::InvalidInput { field, reason });
        };
        match &access.rule {
            SenderRule::Any => {}
            SenderRule::Whitelist(keys) => {
                let is_listed = identity::any_key(&sender).is_some_and(|key| keys.contains(&key));
                is_listed.then_some(()).ok_or(Refusal::SenderDenied)?;
            }
            SenderRule::Members { match_column, resolve_user } => {
                let member = self.member(trigger.tenant_id, *match_column, &sender).await?;
                if *resolve_user {
                    introduce(&member, context);
                }
            }
        }
        Ok(Some(sender))
    }

    async fn member(
        &self,
        tenant: TenantId,
        column: MatchColumn,
        sender: &str,
    ) -> Result<Arc<Member>, Refusal> {
        let key = match column {
            MatchColumn::Phone => identity::phone_key(sender),
            MatchColumn::Email => identity::email_key(sender),
            MatchColumn::ExternalId => identity::text_key(sender),
        };
        let key = key.ok_or(Refusal::SenderDenied)?;
        let load = async || {
            let member = members::find(&self.store, tenant, column, &key).await?;
            Ok::<_, recado_store::StoreError>(member.map(|member| (tenant, Arc::new(member))))
        };
        let found = self.members.get((tenant, column, hash(&key)), load).await;
        let found = found.map_err(Refusal::Lookup)?;
        found.map(|(_, member)| member).ok_or(Refusal::SenderDenied)
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

/// Tells the context who writes. `userName` never reaches a prompt (seed 000).
fn introduce(member: &Member, context: &mut Map<String, Value>) {
    context.insert("userId".into(), member.id.to_string().into());
    context.insert("userName".into(), member.name.clone().into());
}

fn hash(key: &str) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(key).into()
}
