//! What there is, for people: each family as it was defined.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Label;

static FAMILIES: Mutex<BTreeMap<&'static str, Family>> = Mutex::new(BTreeMap::new());

/// A metric, with all its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// What Prometheus calls it.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// What it says.
    pub help: &'static str,
    /// What tells its series apart.
    pub labels: Vec<Label>,
    /// The upper bounds of a histogram.
    pub buckets: Vec<f64>,
}

/// All families that were defined so far, by name.
pub fn catalogue() -> Vec<Family> {
    families().values().cloned().collect()
}

pub(crate) fn note(family: Family) {
    families().insert(family.name, family);
}

fn families() -> MutexGuard<'static, BTreeMap<&'static str, Family>> {
    FAMILIES.lock().unwrap_or_else(PoisonError::into_inner)
}
