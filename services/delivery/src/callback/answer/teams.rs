//! Teams: a webhook answers 200 with `1`, or with a sentence that has the real status in it.

use super::failure::Failure;

const TEAMS: &str = "Teams";
const FAILED: &str = "Webhook message delivery failed with error:";
const STATUS: &str = "HTTP error ";

/// What the body of a webhook says is wrong.
pub(super) fn failure(body: &str) -> Option<Failure> {
    let error = body.trim_start().strip_prefix(FAILED)?;
    Some(match status(error) {
        Some(400 | 413) => Failure::body_invalid(
            "Teams does not take the message as it is: cards have at most 28 KB, so cut long \
             answers with `split_config` or `max_length`, and check the fields of `body_template`",
        ),
        Some(429) => Failure::rate_limited(TEAMS),
        Some(status @ 300..) => Failure::of_inner_status(status),
        _ => Failure::message_refused(TEAMS),
    })
}

fn status(error: &str) -> Option<u16> {
    let (_, rest) = error.split_once(STATUS)?;
    rest.get(..3)?.parse().ok()
}
