//! What the checker says, so that a person can see what happened.

use std::collections::BTreeSet;
use std::fmt;

use super::Log;

/// Where messages are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// What an agent was given.
    Input,
    /// What came back.
    Callback,
}

/// A broken promise. `message` is a token, `key` identifies an execution or a callback.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are explained by Display and by the enum's own line")]
pub enum Violation {
    /// Acknowledged, and never seen.
    Lost { place: Place, session: String, message: String, key: String },
    /// Seen in two executions, under two idempotency keys, or two times in one text.
    Twice { place: Place, session: String, message: String, keys: [String; 2] },
    /// Nobody posted that.
    Invented { place: Place, session: String, text: String },
    /// Seen in a session it was not posted to.
    Mixed { place: Place, message: String, session: String, seen_in: String },
    /// `first` was acknowledged before `second` was sent, but comes after it.
    Reordered { place: Place, session: String, first: String, second: String },
    /// One key stands for two things.
    KeyReused { place: Place, session: String, key: String },
    /// A callback was repeated after the next one had been made.
    RepeatedLate { session: String, key: String },
    /// A chunk that does not follow the one before it.
    ChunksBroken { session: String, key: String, chunk: (u32, u32), previous: Option<(u32, u32)> },
}

/// All violations of a history, with what happened in the sessions they are about.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Violations {
    /// In no particular order; never empty.
    pub found: Vec<Violation>,
    pub(super) timeline: Timeline,
}

/// How much there was to judge, in a history without violations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Messages sent; retries are not counted.
    pub n_posted: usize,
    /// Those that were answered with a 2xx.
    pub n_acknowledged: usize,
    /// Messages that are in an input.
    pub n_executed: usize,
    /// Inputs seen, repeated ones included.
    pub n_inputs: usize,
    /// Inputs seen before: model calls that were in doubt.
    pub n_repeated_inputs: usize,
    /// Callbacks seen, repeated ones included.
    pub n_callbacks: usize,
    /// Callbacks seen before: those that were in doubt.
    pub n_repeated_callbacks: usize,
    /// Messages out of order, where redelivery excuses that.
    pub n_reordered: usize,
}

impl Violation {
    /// The session it is about.
    pub fn session(&self) -> &str {
        match self {
            Self::Lost { session, .. }
            | Self::Twice { session, .. }
            | Self::Invented { session, .. }
            | Self::Mixed { session, .. }
            | Self::Reordered { session, .. }
            | Self::KeyReused { session, .. }
            | Self::RepeatedLate { session, .. }
            | Self::ChunksBroken { session, .. } => session,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Callback => "callback",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { place, session, message, key } => {
                write!(
                    f,
                    "lost: {message} ({key}) of {session} was acknowledged, but is in no {place}"
                )
            }
            Self::Twice { place, session, message, keys: [first, second] } => {
                write!(f, "twice: {message} of {session} is in the {place}s {first} and {second}")
            }
            Self::Invented { place, session, text } => {
                write!(f, "invented: an {place} of {session} holds what nobody posted: {text:?}")
            }
            Self::Mixed { place, message, session, seen_in } => {
                write!(f, "mixed: {message} of {session} is in an {place} of {seen_in}")
            }
            Self::Reordered { place, session, first, second } => {
                write!(f, "reordered: in the {place}s of {session}, {first} comes after {second}")
            }
            Self::KeyReused { place, session, key } => {
                write!(f, "key reused: two {place}s, one of {session}, have the key {key}")
            }
            Self::RepeatedLate { session, key } => {
                write!(f, "repeated late: callback {key} of {session} came again after the next")
            }
            Self::ChunksBroken { session, key, chunk: (i, n), previous } => {
                write!(f, "chunks broken: callback {key} of {session} is ({i}/{n})")?;
                match previous {
                    Some((i, n)) => write!(f, " after ({i}/{n})"),
                    None => write!(f, " and the first of its session"),
                }
            }
        }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 20;
        writeln!(f, "{} violations:", self.found.len())?;
        for violation in self.found.iter().take(SHOWN) {
            writeln!(f, "  {violation}")?;
        }
        if self.found.len() > SHOWN {
            writeln!(f, "  and {} more", self.found.len() - SHOWN)?;
        }
        write!(f, "{}", self.timeline)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages posted, {} acknowledged, {} executed in {} inputs ({} repeated), \
             {} callbacks ({} repeated), {} reordered",
            self.n_posted,
            self.n_acknowledged,
            self.n_executed,
            self.n_inputs,
            self.n_repeated_inputs,
            self.n_callbacks,
            self.n_repeated_callbacks,
            self.n_reordered,
        )
    }
}

/// What happened, step by step, in the first few sessions with a violation.
#[derive(Debug, Clone)]
pub(super) struct Timeline(Vec<(String, Vec<String>)>);

impl Timeline {
    pub(super) fn of(log: &Log, violations: &[Violation]) -> Self {
        const SESSIONS: usize = 3;
        let sessions: BTreeSet<&str> = violations.iter().map(Violation::session).collect();
        let sessions = sessions.into_iter().take(SESSIONS);
        Self(sessions.map(|session| (session.to_owned(), steps(log, session))).collect())
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STEPS: usize = 60;
        for (session, steps) in &self.0 {
            writeln!(f, "what happened in {session}:")?;
            for step in steps.iter().take(STEPS) {
                writeln!(f, "  {step}")?;
            }
            if steps.len() > STEPS {
                writeln!(f, "  and {} more steps", steps.len() - STEPS)?;
            }
        }
        Ok(())
    }
}

fn steps(log: &Log, session: &str) -> Vec<String> {
    let mut steps: Vec<(u64, String)> = Vec::new();
    for (token, post) in log.posts.iter().filter(|(_, post)| post.session == session) {
        steps.push((post.sent, format!("posted {token} ({})", post.key)));
        if let Some(at) = post.acknowledged {
            steps.push((at, format!("acknowledged {token}")));
        }
    }
    for (what, sightings) in [("input", &log.inputs), ("callback", &log.callbacks)] {
        for seen in sightings.iter().filter(|seen| seen.session == session) {
            steps.push((seen.at, format!("{what} {} [{}]", seen.key, seen.tokens.join(" "))));
        }
    }
    steps.sort();
    steps.into_iter().map(|(at, step)| format!("{at:>6} {step}")).collect()
}
