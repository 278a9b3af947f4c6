//! The secrets that an agent's tools use, for as long as an execution runs.

use std::collections::HashMap;
use std::fmt;

/// Secrets by their names. `Debug` shows the names only.
#[derive(Default)]
pub(super) struct Secrets(HashMap<String, String>);

impl Secrets {
    /// The value of a secret.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Everything that must not be shown: the values and, of those with a colon in them, what
    /// comes after it too, because it may be a password.
    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        self.0.values().flat_map(|value| {
            let password = value.split_once(':').map(|(_user, password)| password);
            [Some(value.as_str()), password].into_iter().flatten()
        })
    }
}

impl From<HashMap<String, String>> for Secrets {
    fn from(secrets: HashMap<String, String>) -> Self {
        Self(secrets)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
