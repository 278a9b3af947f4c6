//! Slack: 200 with `{"ok": false, "error": "msg_too_long"}`, or `{"ok": true, "ts": …}`. An incoming
//! webhook answers with one word: `ok`, or the error, with a status that says so too.

use super::failure::Failure;

const SLACK: &str = "Slack";
/// The longest error that can be one of Slack's.
const MAX_WORD: usize = 64;

/// Whether it has the form of Slack's errors.
pub(super) fn is_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=MAX_WORD).contains(&text.len()) && text.bytes().all(plain)
}

/// What an error of Slack means, if it is known.
fn failure(error: &str) -> Option<Failure> {
    Some(match error {
        "msg_too_long"
        | "msg_blocks_too_long"
        | "no_text"
        | "invalid_blocks"
        | "invalid_blocks_format"
        | "invalid_payload" => Failure::body_invalid(
            "Slack does not take the message as it is: a text has 1 to 40,000 characters, the \
             texts of blocks fewer, so cut long answers with `split_config` or `max_length`, and \
             check the fields of `body_template`",
        ),
        "ratelimited" | "rate_limited" | "message_limit_exceeded" => Failure::rate_limited(SLACK),
        "channel_not_found" | "user_not_found" | "is_archived" | "channel_is_archived" => {
            Failure::recipient_invalid(SLACK)
        }
        "not_in_channel" | "restricted_action" | "action_prohibited" => {
            Failure::recipient_not_allowed(SLACK)
        }
        "invalid_auth"
        | "not_authed"
        | "token_revoked"
        | "token_expired"
        | "account_inactive"
        | "missing_scope"
        | "not_allowed_token_type"
        | "no_permission"
        | "access_denied"
        | "invalid_token"
        | "no_service" => Failure::credentials_rejected(SLACK),
        "internal_error"
        | "fatal_error"
        | "service_unavailable"
        | "request_timeout"
        | "rollup_error" => Failure::channel_unavailable(SLACK),
        _ => return None,
    })
}

/// What an error means that came with a status that says what kind it is. Other systems use the
/// same words, so one only says more precisely what the status says already.
pub(super) fn failure_with(status: u16, error: &str) -> Option<Failure> {
    failure(error).filter(|failure| failure.refines(status))
}

/// What the error of a `{"ok": false}` with 200 means, which is a failure whatever it is.
pub(super) fn failure_not_ok(error: &str) -> Failure {
    failure(error).unwrap_or_else(|| Failure::message_refused(SLACK))
}
