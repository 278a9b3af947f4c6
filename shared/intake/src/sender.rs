//! Who wrote, and may they? Decided before anything that costs.
//!
//! A team's directory has to be asked by whoever knows it: [`judge`] says what, and
//! [`Asked::is`] takes the answer.

use recado_types::identity;
use recado_types::trigger::{MatchColumn, SenderRule};
use serde_json::{Map, Value};

use crate::channel::Incoming;
use crate::message::{exact_text, value_at};
use crate::refusal::Refusal;
use crate::trigger::CompiledTrigger;

/// The longest identity that is looked at, in bytes.
const MAX_IDENTITY: usize = 512;

/// Whether a sender is let in, as far as that can be told without looking anything up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It is; who it is, if that can be told.
    Admitted(Option<String>),
    /// Only if it is a member.
    Ask(Asked),
}

/// A sender who is let in if the team's directory knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// By which identifier.
    pub column: MatchColumn,
    /// The identifier, in the one way that it is spelled in the directory.
    pub key: String,
    sender: String,
    resolve_user: bool,
}

/// Who wrote `incoming`, or an error if the trigger does not let them in.
///
/// # Errors
/// When the sender is denied, or cannot be told and has to be.
pub fn judge(
    trigger: &CompiledTrigger,
    incoming: &Incoming,
    context: &Map<String, Value>,
) -> Result<Judged, Refusal> {
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
        return Ok(Judged::Admitted(sender));
    }
    let Some(sender) = sender.filter(|sender| sender.len() <= MAX_IDENTITY) else {
        let field = access.identity_field.as_ref().map_or("sender".to_owned(), ToString::to_string);
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
            let (column, resolve_user) = (*match_column, *resolve_user);
            let key = key_of(column, &sender).ok_or(Refusal::SenderDenied)?;
            return Ok(Judged::Ask(Asked { column, key, sender, resolve_user }));
        }
    }
    Ok(Judged::Admitted(Some(sender)))
}

fn key_of(column: MatchColumn, sender: &str) -> Option<String> {
    match column {
        MatchColumn::Phone => identity::phone_key(sender),
        MatchColumn::Email => identity::email_key(sender),
        MatchColumn::ExternalId => identity::text_key(sender),
    }
}

impl Asked {
    /// It is the member `id`, who is called `name`: who wrote.
    ///
    /// With `resolve_user`, the context is told who it is: what the team's directory says replaces
    /// what the payload claims. `userName` never reaches a prompt (seed 000).
    pub fn is(self, id: String, name: &str, context: &mut Map<String, Value>) -> String {
        if self.resolve_user {
            context.insert("userId".into(), id.into());
            context.insert("userName".into(), name.into());
        }
        self.sender
    }
}
