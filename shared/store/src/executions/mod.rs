//! Executions: admitting messages into them, claiming them, writing down what they do, ending
//! them, waiting for them.

mod admit;
mod claim;
mod events_due;
mod finish;
mod journal;
mod outcome;
mod start;
mod supersede;
mod waiting;

pub(crate) use admit::ADMISSION_LOCK;
pub use admit::{Admitted, admit, admit_traced};
pub use claim::{claim, give_back};
pub use events_due::{EndedRun, events_published, with_events_due};
pub use finish::{
    Conclusion, Finish, Finished, Outcome, ParentAnswer, Totals, finish, finish_all,
    finished_before,
};
pub use journal::{
    Delegation, LlmCall, NewToolCall, NewWindow, ToolResult, delegate, expire_approvals,
    record_results, record_turn, record_window,
};
pub use outcome::{EndedExecution, outcome};
pub use start::{
    Claimed, ClaimedAgent, History, Parent, PastCall, PastToolCall, PastWindow, Purpose, RunTrace,
    SessionStatus, ToolCallStatus, Turn, Window,
};
pub use supersede::{Superseded, supersede};
pub use waiting::Waiting;
