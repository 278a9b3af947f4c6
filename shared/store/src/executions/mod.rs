//! Executions: admitting messages into them, claiming them, finishing them.

mod admit;
mod claim;
mod finish;

pub use admit::{Admitted, admit};
pub use claim::{Claimed, History, Turn, claim, give_back};
pub use finish::{Finish, Finished, LlmCall, Outcome, finish};
