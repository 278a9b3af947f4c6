//! Twilio: `{"code": 21617, "message": …, "status": 400}`, or the message with its `sid`.

use super::failure::Failure;

const TWILIO: &str = "Twilio";

/// What an error of Twilio means; `None` for those whose status says enough.
pub(super) fn failure(code: u64) -> Option<Failure> {
    Some(match code {
        21_602 | 21_617 | 21_619 | 21_658 => Failure::body_invalid(
            "Twilio takes 1 to 1,600 characters a message: check `Body` in `body_template`, and \
             cut long answers with `split_config` or `max_length`",
        ),
        63_016 => Failure::outside_messaging_window(),
        // 21611: ten hours' worth of messages wait for this sender already.
        20_429 | 21_611 | 63_017 | 63_018 => Failure::rate_limited(TWILIO),
        // Between one sender and one recipient, to end loops.
        14_107 => Failure::recipient_rate_limited(TWILIO),
        30_454 | 63_038 => Failure::daily_limit_reached(TWILIO),
        21_211 | 21_604 | 21_614 | 63_003 | 63_024 => Failure::recipient_invalid(TWILIO),
        21_610 => Failure::recipient_unsubscribed(TWILIO),
        21_612 => Failure::recipient_unreachable(TWILIO),
        21_408 | 21_608 => Failure::recipient_not_allowed(TWILIO),
        21_212 | 21_603 | 21_606 | 63_007 => Failure::sender_invalid(TWILIO),
        20_003 => Failure::credentials_rejected(TWILIO),
        20_005 => Failure::account_restricted(TWILIO),
        _ => return None,
    })
}
