//! Executions: admitting messages into them, claiming them, finishing them, waiting for them.

mod admit;
mod claim;
mod finish;
mod outcome;
mod waiting;

pub use admit::{Admitted, admit};
pub use claim::{Claimed, History, Turn, claim, give_back};
pub use finish::{Finish, Finished, LlmCall, Outcome, finish};
pub use outcome::{EndedExecution, outcome};
pub use waiting::Waiting;
