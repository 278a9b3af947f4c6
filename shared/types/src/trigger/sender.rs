//! `sender_access`: who may write, decided before anything that costs; and `rate_limit`: how much.

use std::collections::BTreeSet;

use crate::field_path::FieldPath;
use crate::identity;
use crate::shape::ObjectReader;

/// The most identifiers of a whitelist.
const MAX_IDENTIFIERS: usize = 10_000;
/// The longest of them, in characters.
const MAX_IDENTIFIER: usize = 256;

/// Who may write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderAccess {
    /// Where a sender's identity stands: in the context by its whole name, or in the payload by
    /// its path. `None` leaves it to the channel.
    pub identity_field: Option<FieldPath>,
    /// What it has to be.
    pub rule: SenderRule,
}

/// What a sender's identity has to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SenderRule {
    /// Anybody may write.
    #[default]
    Any,
    /// An active member of the tenant's team.
    Members {
        /// By which of their identifiers members are found.
        match_column: MatchColumn,
        /// Whether the context is told who it is.
        resolve_user: bool,
    },
    /// One of these, in the form of [`identity::any_key`].
    Whitelist(BTreeSet<String>),
}

/// An identifier of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchColumn {
    /// The telephone number, in the form of [`identity::phone_key`].
    Phone,
    /// The address, in the form of [`identity::email_key`].
    Email,
    /// Whatever another system calls the member.
    ExternalId,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Any,
    Members,
    Whitelist,
}

impl SenderAccess {
    /// `may_omit_identity` is for channels that know their senders.
    pub(super) fn read(reader: &mut ObjectReader<'_>, may_omit_identity: bool) -> Self {
        let Some(mut fields) = reader.object("sender_access") else { return Self::default() };
        let modes =
            [("any", Mode::Any), ("members", Mode::Members), ("whitelist", Mode::Whitelist)];
        if fields.any("mode").is_none() {
            fields.refuse("mode", "is required");
        }
        let mode = fields.choice("mode", &modes).unwrap_or(Mode::Any);
        let identity_field = fields.parsed("identity_field");
        if mode != Mode::Any && identity_field.is_none() && !may_omit_identity {
            fields.refuse("identity_field", "is required to tell senders apart");
        }
        let columns = [
            ("phone", MatchColumn::Phone),
            ("email", MatchColumn::Email),
            ("external_id", MatchColumn::ExternalId),
        ];
        let match_column = fields.choice("match_column", &columns).unwrap_or(MatchColumn::Phone);
        let resolve_user = fields.boolean("resolve_user").unwrap_or(false);
        let identifiers = fields.strings("identifiers", 0..=MAX_IDENTIFIERS, MAX_IDENTIFIER);
        if mode == Mode::Whitelist && identifiers.is_none() {
            fields.refuse("identifiers", "is required with mode `whitelist`");
        }
        let mut keys = BTreeSet::new();
        for identifier in identifiers.unwrap_or_default() {
            match identity::any_key(identifier) {
                Some(key) => drop(keys.insert(key)),
                None => fields.refuse(
                    "identifiers",
                    "must be telephone numbers, addresses or names without control characters",
                ),
            }
        }
        fields.done();
        let rule = match mode {
            Mode::Any => SenderRule::Any,
            Mode::Members => SenderRule::Members { match_column, resolve_user },
            Mode::Whitelist => SenderRule::Whitelist(keys),
        };
        Self { identity_field, rule }
    }
}

/// How many messages a trigger takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// Of everybody, in a minute.
    pub per_minute: Option<u32>,
    /// Of one sender, in a minute.
    pub per_sender_per_minute: Option<u32>,
}

impl RateLimit {
    /// The most that can be configured: no installation comes near it.
    const MAX: u32 = 1_000_000;

    pub(super) fn read(reader: &mut ObjectReader<'_>) -> Self {
        let Some(mut fields) = reader.object("rate_limit") else { return Self::default() };
        let limit = Self {
            per_minute: fields.integer("per_minute", 1..=Self::MAX),
            per_sender_per_minute: fields.integer("per_sender_per_minute", 1..=Self::MAX),
        };
        fields.done();
        limit
    }
}
