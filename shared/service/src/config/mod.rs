//! Configuration: read from the environment, once, when the process starts.
//!
//! A [`Settings`] type reads its variables through a [`Reader`], which notes what is wrong and
//! goes on, so that one restart shows every mistake. No mistake repeats a value, because any value
//! may be a secret. Variables with our prefix that nobody reads are mistakes too: they are typing
//! errors. What is read is known from the readers themselves ([`Names`]), so that the list of
//! variables cannot drift from the code.
//!
//! A variable that is set to nothing counts as not set: container tools cannot tell the two apart.

mod env;
mod groups;
mod names;
mod reader;
mod secret;
#[cfg(test)]
mod tests;

pub use env::{Env, MapEnv, ProcessEnv};
pub use groups::{Amqp, Destinations, Postgres, Redis, Telemetry};
pub use names::{Fallback, Names, Variable};
pub use reader::Reader;
pub use secret::{Secret, SecretString, SecretUrl};

/// What every variable of ours begins with.
pub const PREFIX: &str = "RECADO_";

/// Something that can be read from the environment.
pub trait Settings: Sized {
    /// Reads every variable before judging any; `None` means that `read` has noted a mistake.
    ///
    /// Which variables are read must not depend on their values: [`Names::of`] finds out by
    /// reading from an empty environment.
    fn read(read: &mut Reader<'_>) -> Option<Self>;
}

/// For a role that needs no settings of its own.
impl Settings for () {
    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(())
    }
}

impl<A: Settings, B: Settings> Settings for (A, B) {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let (a, b) = (A::read(read), B::read(read));
        Some((a?, b?))
    }
}

/// Reads `S`, and looks for variables of ours that are not in `known`.
///
/// # Errors
/// Every mistake, by name.
pub fn load<S: Settings>(env: &dyn Env, known: &Names) -> Result<S, ConfigError> {
    let mut read = Reader::new(env);
    let settings = S::read(&mut read);
    read.refuse_unknown(known);
    read.finish_with(settings)
}

/// Everything that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.listed())]
pub struct ConfigError {
    /// In the order of the variables' names; at least one.
    pub mistakes: Vec<Mistake>,
}

impl ConfigError {
    fn listed(&self) -> String {
        let count = self.mistakes.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        let lines = self.mistakes.iter().map(|mistake| format!("\n  {mistake}"));
        format!("the configuration has {count} {noun}:{}", lines.collect::<String>())
    }
}

/// What is wrong with one variable. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The variable.
    pub name: String,
    /// What was expected of it, for an operator.
    pub reason: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.reason)
    }
}
