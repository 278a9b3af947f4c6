//! The HTTP client of tests: it goes where they tell it, which is loopback.

use std::time::Duration;

/// Longer than anything a test waits for on purpose.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A client that goes anywhere, honours no proxy and follows no redirect.
#[expect(clippy::disallowed_methods, reason = "the guarded client refuses loopback")]
#[expect(clippy::missing_panics_doc, reason = "nothing in this configuration can be refused")]
pub fn http_client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("nothing in this configuration can be refused")
}
