//! A claimed source's trigger, ready to make messages.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use recado_intake::auth::Keys;
use recado_intake::{CompiledTrigger, Owner};
use recado_store::sources::{ClaimedSource, SourceFailure};
use recado_types::trigger::TriggerConfig;

/// A quota may be raised at any time: it is asked for again after this.
const LOOK_AT_QUOTA_AFTER: TimeDelta = TimeDelta::minutes(1);

/// The trigger; or why it cannot be worked.
pub(crate) fn compiled(
    claimed: &ClaimedSource,
    now: DateTime<Utc>,
) -> Result<CompiledTrigger, SourceFailure> {
    let config = TriggerConfig::parse(&claimed.trigger_config).map_err(|problems| {
        let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        let message = format!("the trigger's configuration is wrong: {}", paths.join(", "));
        SourceFailure { code: "trigger_invalid", message, at: now }
    })?;
    let owner = Owner {
        id: claimed.lease.trigger_id,
        tenant_id: claimed.tenant_id,
        project_id: claimed.project_id,
        agent_id: claimed.agent_id,
        enabled: true,
    };
    // Nobody signs anything here.
    Ok(CompiledTrigger::new(owner, config, Keys::default(), HashMap::new()))
}

/// Whether the tenant may have more messages; if not, why, and when to look again.
pub(crate) fn within_quota(
    claimed: &ClaimedSource,
    now: DateTime<Utc>,
) -> Result<(), (SourceFailure, DateTime<Utc>)> {
    match &claimed.over_quota {
        Some(over) if over.until > now => {
            let message = "the tenant's quota is used up; it goes on when there is one again";
            let failure =
                SourceFailure { code: "quota_exceeded", message: message.to_owned(), at: now };
            Err((failure, over.until.min(now + LOOK_AT_QUOTA_AFTER)))
        }
        _ => Ok(()),
    }
}

/// What is ours and not the tenant's: it is over for all of them at the same moment.
pub(crate) const BROKER_UNAVAILABLE: &str = "broker_unavailable";
pub(crate) const INTERNAL_ERROR: &str = "internal_error";

/// When to try again what has failed so often in a row: after 1 s, 2 s, 4 s, … up to 5 minutes, or
/// 8 s if the fault is ours: nothing may count as missed because of a pause that was too long.
pub(crate) fn try_again_at(failure_count: u32, code: &str, now: DateTime<Utc>) -> DateTime<Utc> {
    let longest = if matches!(code, BROKER_UNAVAILABLE | INTERNAL_ERROR) { 8 } else { 300 };
    let seconds = 1_i64.checked_shl(failure_count.min(16)).unwrap_or(longest);
    now + TimeDelta::seconds(seconds.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_those_that_are_our_fault_stay_short() {
        let seconds = |count, code| {
            let now = DateTime::UNIX_EPOCH;
            (try_again_at(count, code, now) - now).num_seconds()
        };
        let tenants = [0, 1, 2, 8, 9, 200].map(|count| seconds(count, "secret_missing"));
        assert_eq!(tenants, [1, 2, 4, 256, 300, 300]);
        let ours = [0, 3, 4, 200].map(|count| seconds(count, BROKER_UNAVAILABLE));
        assert_eq!(ours, [1, 8, 8, 8]);
        // Nothing is missed because of such a pause.
        assert!(TimeDelta::seconds(8) < recado_types::trigger::schedule::MISSED_AFTER);
    }
}
