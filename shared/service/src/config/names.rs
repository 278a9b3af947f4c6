//! Which variables there are, found out by reading them.

use std::collections::BTreeMap;

use super::{Env, MapEnv, Mistake, PREFIX, Reader, Settings};

/// Names that differ by more than this are not taken for a typing error of each other.
const LIKELY_TYPO: usize = 3;

/// A variable, as its reader describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds when it is not set.
    pub default: Fallback,
}

/// What holds when a variable is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fallback {
    /// It must be set.
    Required,
    /// The feature is off, or the list is empty.
    Nothing,
    /// This value.
    Value(String),
}

/// The variables that a set of settings reads.
#[derive(Debug, Clone, Default)]
pub struct Names(BTreeMap<&'static str, Variable>);

impl Names {
    /// The variables of `S`.
    pub fn of<S: Settings>() -> Self {
        Self::default().and::<S>()
    }

    /// Adds the variables of `S`.
    #[must_use]
    pub fn and<S: Settings>(mut self) -> Self {
        let nothing = MapEnv::default();
        let mut read = Reader::new(&nothing);
        // What it answers does not matter: it was asked in order to see what it asks for.
        let _ = S::read(&mut read);
        self.0.extend(read.variables().map(|variable| (variable.name, variable.clone())));
        self
    }

    /// Adds a variable that is read elsewhere, for example by the command line.
    #[must_use]
    pub fn and_name(mut self, name: &'static str) -> Self {
        self.0.insert(name, Variable { name, default: Fallback::Nothing });
        self
    }

    /// All variables, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Variable> {
        self.0.values()
    }

    /// Adds everything that `other` knows.
    pub(crate) fn extend<'a>(&mut self, other: impl Iterator<Item = &'a Variable>) {
        self.0.extend(other.map(|variable| (variable.name, variable.clone())));
    }

    /// The variables of ours in `env` that are not among these.
    pub(crate) fn unknown(&self, env: &dyn Env) -> Vec<Mistake> {
        let ours = env.names().into_iter().filter(|name| name.starts_with(PREFIX));
        ours.filter(|name| !self.0.contains_key(name.as_str()))
            .map(|name| Mistake { reason: self.suggestion(&name), name })
            .collect()
    }

    fn suggestion(&self, name: &str) -> String {
        let nearest = self.0.keys().map(|known| (distance(name, known), *known)).min();
        match nearest {
            Some((distance, known)) if distance <= LIKELY_TYPO => {
                format!("is not a variable of Recado; did you mean {known}?")
            }
            _ => "is not a variable of Recado".into(),
        }
    }
}

/// The least number of insertions, removals and replacements between two texts (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(l != r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distance_counts_single_edits() {
        assert_eq!(distance("RECADO_LOG", "RECADO_LOG"), 0);
        assert_eq!(distance("RECADO_LGO", "RECADO_LOG"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
