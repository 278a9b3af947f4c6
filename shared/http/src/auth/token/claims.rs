//! What a token says, and what it has to say.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use recado_types::TenantId;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Number, Value};

use super::ClaimNames;
use crate::auth::{Identity, Member, OPERATOR, Role};

/// How much the clocks of two machines may differ.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);

/// Longer ones than any identity provider gives: `sub` has at most 255 characters in `OpenID`.
const MAX_SUBJECT_BYTES: usize = 1_024;

/// From 1970 to 9999. What is beyond is no time that somebody meant, but one in milliseconds, say.
const TIMES: Range<i64> = 0..253_402_300_800;

/// Everything that stands in a token whose signature was checked, and nothing of it believed yet.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
    #[serde(deserialize_with = "seconds")]
    exp: i64,
    #[serde(default, deserialize_with = "some_seconds")]
    pub(super) nbf: Option<i64>,
    /// Says nothing to us, but has to be a time if it is there.
    #[serde(rename = "iat", default, deserialize_with = "some_seconds")]
    _iat: Option<i64>,
    #[serde(flatten)]
    ours: Map<String, Value>,
}

/// One or several (RFC 7519, 4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// What is expected of every token.
pub(super) struct Expected {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) claims: ClaimNames,
}

impl Expected {
    /// Whom the claims are about, if they are what is expected `now`.
    pub(super) fn identity(&self, claims: Claims, now: DateTime<Utc>) -> Option<Identity> {
        let is_for_us = claims.iss == self.issuer && claims.aud.contains(&self.audience);
        // It is written into logs and rows as it is.
        let has_subject = !claims.sub.is_empty()
            && claims.sub.len() <= MAX_SUBJECT_BYTES
            && !claims.sub.contains(char::is_control);
        if !is_for_us || !has_subject || !claims.is_current(now) {
            return None;
        }
        let role = claims.ours.get(&self.claims.role)?.as_str()?;
        let tenant = claims.ours.get(&self.claims.tenant);
        match tenant {
            None => (role == OPERATOR).then_some(Identity::Operator { subject: claims.sub }),
            Some(tenant) => {
                let tenant: TenantId = tenant.as_str()?.parse().ok()?;
                let role: Role = role.parse().ok()?;
                Some(Identity::Member(Member { tenant, subject: claims.sub, role }))
            }
        }
    }
}

impl Claims {
    fn is_current(&self, now: DateTime<Utc>) -> bool {
        let (earliest, latest) = ((now - LEEWAY).timestamp(), (now + LEEWAY).timestamp());
        self.nbf.is_none_or(|nbf| nbf <= latest) && earliest < self.exp
    }
}

impl Audience {
    fn contains(&self, ours: &str) -> bool {
        match self {
            Self::One(audience) => audience == ours,
            Self::Several(audiences) => audiences.iter().any(|audience| audience == ours),
        }
    }
}

/// A `NumericDate`, which may have a fraction (RFC 7519, 2); whole seconds are enough.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = Number::deserialize(deserializer)?;
    #[expect(clippy::cast_possible_truncation, reason = "a time is cut to its second, or to range")]
    let whole = || number.as_f64().map(|seconds| seconds.floor() as i64);
    let time = number.as_i64().or_else(whole).filter(|seconds| TIMES.contains(seconds));
    time.ok_or_else(|| de::Error::custom("not a time"))
}

/// One that may be missing.
fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    seconds(deserializer).map(Some)
}
