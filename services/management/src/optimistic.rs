//! Changing what others may change at the same time.

use recado_http::{ApiError, Problem};

/// How often a change is tried again on top of somebody else's.
const MAX_ATTEMPTS: usize = 16;

/// Repeats `attempt` (read, change, write if unchanged) until it says what it saved. `None` says
/// that somebody else was faster: then the change is made again, on top of theirs.
///
/// # Errors
/// Those of `attempt`, and 409 when others keep being faster.
pub(crate) async fn until_saved<T>(
    mut attempt: impl AsyncFnMut() -> Result<Option<T>, ApiError>,
) -> Result<T, ApiError> {
    for _ in 0..MAX_ATTEMPTS {
        if let Some(saved) = attempt().await? {
            return Ok(saved);
        }
    }
    Err(ApiError::new(Problem::Conflict, "too many changes at the same time; try again"))
}

/// What a change of what the client has `seen` means if it found nothing to change: somebody else
/// was faster, so it is made again; or, if the client named no version, there is nothing.
///
/// # Errors
/// 404 as `not_found` says.
pub(crate) fn unless_stale<T, V>(
    seen: Option<V>,
    not_found: Problem,
) -> Result<Option<T>, ApiError> {
    match seen {
        Some(_changed_meanwhile) => Ok(None),
        None => Err(not_found.into()),
    }
}
