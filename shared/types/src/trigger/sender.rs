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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::trigger::TriggerConfig;
    use crate::trigger::tests::problems_of;

    #[test]
    fn the_sender_access_of_the_seed_is_accepted_unchanged() {
        let config = TriggerConfig::parse(&json!({
            "sender_access": {"mode": "members", "identity_field": "From", "match_column": "phone",
                              "resolve_user": true}
        }));
        let access = config.unwrap().sender_access;
        let rule = SenderRule::Members { match_column: MatchColumn::Phone, resolve_user: true };
        assert_eq!(access.rule, rule);
        assert_eq!(access.identity_field.unwrap().to_string(), "From");
    }

    #[test]
    fn a_list_that_nobody_reads_is_refused() {
        let cases = [
            (
                "any",
                json!({"identifiers": ["+5511999990000"]}),
                "identifiers: belongs to mode `whitelist`",
            ),
            ("any", json!({"match_column": "email"}), "match_column: belongs to mode `members`"),
            ("whitelist", json!({"resolve_user": true}), "resolve_user: belongs to mode `members`"),
            ("members", json!({"identifiers": []}), "identifiers: belongs to mode `whitelist`"),
        ];
        for (mode, more, expected) in cases {
            let mut access = json!({"mode": mode, "identity_field": "from"});
            if mode == "whitelist" {
                access["identifiers"] = json!(["ana"]);
            }
            access.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let problems = problems_of(&json!({"sender_access": access}));
            assert_eq!(problems, [format!("trigger_config.sender_access.{expected}")]);
        }
        let without_mode = json!({"sender_access": {"identifiers": ["ana"]}});
        assert_eq!(problems_of(&without_mode), ["trigger_config.sender_access.mode: is required"]);
    }

    #[test]
    fn senders_are_told_apart_by_something() {
        let knowing =
            ["meta_whatsapp", "github", "slack", "teams", "twilio_sms", "twilio_whatsapp"];
        let unknowing = ["generic", "stripe", "standard_webhooks", "svix", ""];
        let channel_of = |kind: &str| match kind {
            "" => Value::Null,
            "generic" => json!({"type": kind}),
            "twilio_sms" | "twilio_whatsapp" => json!({"type": kind, "auth": {"secret_ref": "T"}}),
            _ => json!({"type": kind, "signing_secret_ref": "S"}),
        };
        let config = |kind: &str, access: Value| {
            json!({"channel": channel_of(kind), "execution": {"mode": "async"},
                   "sender_access": access, "rate_limit": {"per_sender_per_minute": 3}})
        };
        let path = |problem: &String| problem.split_once(": ").unwrap().0.to_owned();
        for mode in [json!("members"), json!("any")] {
            for kind in knowing {
                let parsed = TriggerConfig::parse(&config(kind, json!({"mode": mode})));
                assert!(parsed.is_ok(), "{kind} {mode}: {parsed:?}");
            }
            for kind in unknowing {
                let named = json!({"mode": mode, "identity_field": "from"});
                assert!(TriggerConfig::parse(&config(kind, named)).is_ok(), "{kind} {mode}");
                let problems = problems_of(&config(kind, json!({"mode": mode})));
                let access = (mode == "members").then_some("sender_access.identity_field");
                let expected = access.into_iter().chain(["rate_limit.per_sender_per_minute"]);
                let expected: Vec<String> =
                    expected.map(|path| format!("trigger_config.{path}")).collect();
                assert_eq!(
                    problems.iter().map(path).collect::<Vec<_>>(),
                    expected,
                    "{kind} {mode}"
                );
            }
        }
        let misspelled =
            json!({"channel": {"type": "metta"}, "sender_access": {"mode": "members"}});
        let paths: Vec<String> = problems_of(&misspelled).iter().map(path).collect();
        assert_eq!(paths, ["trigger_config.channel.type"]);
    }

    #[test]
    fn a_whitelist_holds_identities_in_one_spelling() {
        let access = |access: Value| TriggerConfig::parse(&json!({"sender_access": access}));
        let config = access(json!({
            "mode": "whitelist", "identity_field": "from",
            "identifiers": ["whatsapp:+55 (11) 99999-0000", "Ana@Example.com", "bot-7"]
        }));
        let SenderRule::Whitelist(keys) = config.unwrap().sender_access.rule else { panic!() };
        for sender in ["+551199990000", "5511999990000", "ana@example.com", " bot-7 "] {
            assert!(keys.contains(&identity::any_key(sender).unwrap()), "{sender}");
        }
        for stranger in ["-5511999990000", "55119999900.00", "005511999990000", "bot7"] {
            assert!(!keys.contains(&identity::any_key(stranger).unwrap()), "{stranger}");
        }
        let problems = access(json!({"mode": "whitelist"})).unwrap_err();
        let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "trigger_config.sender_access.identity_field",
                "trigger_config.sender_access.identifiers"
            ]
        );
    }
}
