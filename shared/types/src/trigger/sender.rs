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

impl Mode {
    const ALL: [(&'static str, Self); 3] =
        [("any", Self::Any), ("members", Self::Members), ("whitelist", Self::Whitelist)];

    /// The fields that only one mode reads, with that mode and its name.
    const OWN_FIELDS: [(&'static str, Self, &'static str); 3] = [
        ("match_column", Self::Members, "members"),
        ("resolve_user", Self::Members, "members"),
        ("identifiers", Self::Whitelist, "whitelist"),
    ];
}

impl SenderAccess {
    /// `channel_knows_senders`: whether senders can be told apart without an `identity_field`.
    pub(super) fn read(reader: &mut ObjectReader<'_>, channel_knows_senders: bool) -> Self {
        let Some(mut fields) = reader.object("sender_access") else { return Self::default() };
        let mode = fields.required("mode").and_then(|_| fields.choice("mode", &Mode::ALL));
        let has_identity_field = fields.any("identity_field").is_some();
        // In mode `any` it is for the limit of one sender.
        let identity_field = fields.parsed("identity_field");
        let needs_identity = matches!(mode, Some(Mode::Members | Mode::Whitelist));
        if needs_identity && !has_identity_field && !channel_knows_senders {
            fields.refuse(
                "identity_field",
                "is required: only some channels know who writes by themselves",
            );
        }
        refuse_fields_of_other_modes(&mut fields, mode);
        let rule = match mode {
            Some(Mode::Members) => read_members(&mut fields),
            Some(Mode::Whitelist) => read_whitelist(&mut fields),
            Some(Mode::Any) | None => SenderRule::Any,
        };
        fields.done();
        Self { identity_field, rule }
    }
}

/// A list that nobody reads would look as if it kept people out.
fn refuse_fields_of_other_modes(fields: &mut ObjectReader<'_>, mode: Option<Mode>) {
    for (key, owner, name) in Mode::OWN_FIELDS {
        let is_there = fields.any(key).is_some();
        if is_there && mode.is_some_and(|mode| mode != owner) {
            fields.refuse(key, format!("belongs to mode `{name}`"));
        }
    }
}

fn read_members(fields: &mut ObjectReader<'_>) -> SenderRule {
    let columns = [
        ("phone", MatchColumn::Phone),
        ("email", MatchColumn::Email),
        ("external_id", MatchColumn::ExternalId),
    ];
    SenderRule::Members {
        match_column: fields.choice("match_column", &columns).unwrap_or(MatchColumn::Phone),
        resolve_user: fields.boolean("resolve_user").unwrap_or(false),
    }
}

fn read_whitelist(fields: &mut ObjectReader<'_>) -> SenderRule {
    const KEY: &str = "identifiers";
    if fields.any(KEY).is_none() {
        fields.refuse(KEY, "is required with mode `whitelist`");
    }
    let identifiers = fields.strings(KEY, 0..=MAX_IDENTIFIERS, MAX_IDENTIFIER).unwrap_or_default();
    let mut keys = BTreeSet::new();
    for identifier in identifiers {
        match identity::any_key(identifier) {
            Some(key) => drop(keys.insert(key)),
            None => fields.refuse(
                KEY,
                "must be telephone numbers, addresses or names without control characters",
            ),
        }
    }
    SenderRule::Whitelist(keys)
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

    /// `knows_senders`: whether the channel or `sender_access` says who writes.
    pub(super) fn read(reader: &mut ObjectReader<'_>, knows_senders: bool) -> Self {
        let Some(mut fields) = reader.object("rate_limit") else { return Self::default() };
        let limit = Self {
            per_minute: fields.integer("per_minute", 1..=Self::MAX),
            per_sender_per_minute: fields.integer("per_sender_per_minute", 1..=Self::MAX),
        };
        if limit.per_sender_per_minute.is_some() && !knows_senders {
            fields.refuse(
                "per_sender_per_minute",
                "needs `sender_access.identity_field`: nothing says who writes, so nobody would \
                 be limited",
            );
        }
        fields.done();
        limit
    }
}
