//! An answer as a trigger wants it: transformed, and cut.

use recado_text::split::{Split, split};
use recado_text::transform::transform;
use recado_types::trigger::{Callback, Execution, Transform};

/// Makes chunks of a response. Without a `split_config` it is one, and of a blank one there are
/// none.
pub fn of(response: &str, execution: &Execution, callback: &Callback) -> Split {
    transformed(response, execution, &callback.transform)
}

/// The same for an answer that does not travel by a callback.
pub fn transformed(response: &str, execution: &Execution, by: &Transform) -> Split {
    let transformed = transform(response, by);
    let cut = match &execution.split {
        Some(config) => split(&transformed.text, config),
        None if transformed.text.trim().is_empty() => {
            Split { chunks: Vec::new(), truncated: false }
        }
        None => Split { chunks: vec![transformed.text.into_owned()], truncated: false },
    };
    Split { truncated: cut.truncated || transformed.truncated, ..cut }
}
