//! Sources alone, between a real database and a real broker, under clocks that tests move.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod db_event;
mod imap;
mod running;
mod schedule;
