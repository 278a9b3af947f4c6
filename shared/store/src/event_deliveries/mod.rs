//! Events on their way to the endpoints that want them: what has to be sent, and every attempt
//! made to send it.
//!
//! An event is recorded once for each endpoint that wants it ([`record`]), claimed with everything
//! that sending it needs ([`claim`]), and what came of the attempt is written down together with
//! what follows for the endpoint ([`record_attempts`]): that it has to be left alone for a while,
//! that it works again, or that it is disabled.
//!
//! A row is leased by itself, for longer than an attempt can take; a lease that runs out needs
//! nobody to sweep it, for the row is simply due again. Time is the database's, as for lanes.

mod attempts;
mod claim;
mod record;

pub use attempts::{AfterAttempt, Disabled, EventAttempt, record_attempts};
pub use claim::{Caps, Claimed, claim};
pub use record::{NewEvent, record};

/// The `error_code` of what was recorded while its endpoint was disabled.
pub const ENDPOINT_DISABLED: &str = "endpoint_disabled";
/// The `disabled_code` of an endpoint that answered 410.
pub const GONE: &str = "gone";
/// The `disabled_code` of an endpoint for which an event was given up after 5 days without success.
pub const FAILING_FOR_5_DAYS: &str = "failing_for_5_days";
