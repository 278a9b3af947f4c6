//! Executions: admitting messages into them, claiming them, finishing them.

mod admit;
mod claim;
mod finish;

pub use admit::{Admitted, admit};
pub use claim::{Claimed, Turn, claim};
pub use finish::{Finish, Finished, LlmCall, Outcome, finish};
