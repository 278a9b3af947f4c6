//! The agent runner alone, between a real database, a real broker and a model that misbehaves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod conflicts;
mod housekeeping;
mod news;
mod running;
