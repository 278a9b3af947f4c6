//! `callback.retry`.

use crate::shape::ObjectReader;

/// When a failed request is made again: exponential, with jitter, honouring `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many requests at the most, 1 to 10.
    pub max_attempts: u32,
    /// The first pause, 100 to 60,000 ms; each next one is twice as long.
    pub initial_delay_ms: u32,
    /// Where the pauses stop growing, 100 to 3,600,000 ms. A receiver may ask for a longer one.
    pub max_delay_ms: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 3, initial_delay_ms: 1_000, max_delay_ms: 60_000 }
    }
}

impl RetryPolicy {
    /// For mail servers: many make strangers wait for minutes (greylisting, RFC 6647), and nobody
    /// expects a mail within seconds. Six tries within half an hour.
    pub(in crate::trigger) const FOR_MAILS: Self =
        Self { max_attempts: 6, initial_delay_ms: 60_000, max_delay_ms: 3_600_000 };

    pub(in crate::trigger) fn read(reader: &mut ObjectReader<'_>) -> Self {
        Self::read_or(reader, Self::default())
    }

    /// Like [`Self::read`], with other values where none are given.
    pub(in crate::trigger) fn read_or(reader: &mut ObjectReader<'_>, default: Self) -> Self {
        let Some(mut fields) = reader.object("retry") else { return default };
        let max_attempts = fields.integer("max_attempts", 1..=10).unwrap_or(default.max_attempts);
        let initial_delay_ms = fields.integer("initial_delay_ms", 100..=60_000);
        let max_delay_ms =
            fields.integer("max_delay_ms", 100..=3_600_000).unwrap_or(default.max_delay_ms);
        if initial_delay_ms.is_some_and(|initial| initial > max_delay_ms) {
            fields.refuse(
                "initial_delay_ms",
                format!("must not be longer than `max_delay_ms`, which is {max_delay_ms}"),
            );
        }
        fields.done();
        let initial_delay_ms =
            initial_delay_ms.unwrap_or(default.initial_delay_ms.min(max_delay_ms));
        Self { max_attempts, initial_delay_ms, max_delay_ms }
    }
}
