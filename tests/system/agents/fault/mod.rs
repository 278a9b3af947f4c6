//! Runners are killed while agents are at work: what was done is not done again, and what was in
//! doubt is done under the same key.

mod kills;
mod two_runners;
