//! What people do to executions from outside: cancel them, decide on their tool calls, suspend
//! their sessions; and how an execution that waits gives its lane back without missing it.
//!
//! An execution that waits holds nothing: [`park`] parks its lane, and who ends the wait wakes it.
//! No wake-up is lost, because both hold the lane's row lock from their first statement on:
//!
//! * If the waker comes first, the one who parks waits for its commit and then looks, in a
//!   statement of its own with a snapshot of its own: there is nothing left to wait for, and the
//!   lane is due at once.
//! * If the one who parks comes first, the waker finds the lane parked, and makes it due.
//!
//! That is also the order in which everybody locks who writes down what was done in a lane: lanes
//! (in the order of their sessions), then what belongs to them. So nobody waits in a circle.
//!
//! A wake-up more than needed does no harm: whoever works the lane finds nothing to do and parks
//! it again, which does not count as an attempt.

mod cancel;
mod decide;
mod park;
mod poll;
mod session;

pub use cancel::{Cancellation, request_cancel};
pub use decide::{Decision, Ruling, Verdict, decide};
pub use park::park;
pub use poll::{Stop, StopReason, Watched, poll};
pub use session::{SessionChange, hand_off, resume, suspend};

/// How often the messages of a session may be taken over from a run that they interrupt: a sender
/// who never stops writing gets an answer nevertheless.
pub const MAX_SUPERSEDES: i32 = 5;

/// How many agents may stand below another: as deep as a walk down from an execution goes. One
/// more than `depth` permits, so that a change of that limit is no gap here.
const MAX_DEPTH: i32 = 8;
