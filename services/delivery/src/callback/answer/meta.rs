//! Meta's Graph API: `{"error": {"message", "type", "code", …}}`, or `{"messages": [{"id"}]}`.
//!
//! Only `code` counts, as Meta asks: statuses vary, and texts and subcodes are going away.

use super::failure::Failure;

const META: &str = "Meta";
const WHATSAPP: &str = "WhatsApp";

/// What an error of the Graph API means; `None` for those whose status says enough.
pub(super) fn failure(code: u64) -> Option<Failure> {
    Some(match code {
        100 | 131_008 | 131_009 | 131_051 => Failure::body_invalid(
            "Meta does not take the message as it is: a text has 1 to 4,096 characters, so cut \
             long answers with `split_config` or `max_length`, and check the fields of \
             `body_template`",
        ),
        131_047 => Failure::outside_messaging_window(),
        4 | 80_007 | 130_429 | 131_048 => Failure::rate_limited(META),
        131_056 => Failure::recipient_rate_limited(WHATSAPP),
        131_021 => Failure::recipient_invalid(WHATSAPP),
        131_026 => Failure::recipient_unreachable(WHATSAPP),
        131_030 => Failure::recipient_not_allowed(WHATSAPP),
        131_050 => Failure::recipient_unsubscribed(WHATSAPP),
        33 | 133_010 => Failure::sender_invalid(WHATSAPP),
        0 | 3 | 10 | 190 | 200..=299 | 131_005 => Failure::credentials_rejected(META),
        368 | 131_031 | 131_042 => Failure::account_restricted(META),
        1 | 2 | 131_000 | 131_016 | 131_057 => Failure::channel_unavailable(META),
        _ => return None,
    })
}
