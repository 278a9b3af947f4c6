//! Where variables come from: the process's environment, or a map.

use std::collections::BTreeMap;

/// A set of named texts.
pub trait Env {
    /// The value of `name`; `None` if it is not set.
    fn var(&self, name: &str) -> Option<String>;

    /// All names that are set.
    fn names(&self) -> Vec<String>;
}

/// The environment that the process was started with.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnv;

#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
impl Env for ProcessEnv {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect()
    }
}

/// An environment that is written by hand: for tests, and for `recado dev`, which adds the
/// addresses of the servers it has started to what the process was given.
#[derive(Clone, Default)]
pub struct MapEnv(BTreeMap<String, String>);

impl MapEnv {
    /// A copy of `env`, to be changed.
    pub fn copy_of(env: &dyn Env) -> Self {
        env.names().into_iter().filter_map(|name| Some((name.clone(), env.var(&name)?))).collect()
    }

    /// Sets `name`, or replaces what it was set to.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }
}

impl Env for MapEnv {
    fn var(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for MapEnv {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for MapEnv {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

/// Names only: any value may be a secret.
impl std::fmt::Debug for MapEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
