//! How long somebody wants to be left alone.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// The pause that an answer asks for in `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3).
///
/// A date is reckoned from the answer's own `Date`, since clocks differ; without one it tells
/// nothing. Nothing, too, if it is over or malformed; what does not fit is a very long time.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    pause(headers, None)
}

/// As [`retry_after`], for those who keep a clock: in an answer without a `Date`, a date is reckoned
/// from `now`.
pub fn asked_pause(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    pause(headers, Some(now))
}

fn pause(headers: &HeaderMap, now: Option<DateTime<Utc>>) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?;
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean "not in your lifetime"; whoever waits has a limit.
        return Some(Duration::from_secs(value.parse().unwrap_or(u32::MAX.into())));
    }
    let answered = text(headers, &DATE).and_then(http_date).or(now)?;
    (http_date(value)? - answered).to_std().ok()
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The form that is sent today and the two obsolete ones that have to be understood.
fn http_date(value: &str) -> Option<DateTime<Utc>> {
    const FORMS: [&str; 3] =
        ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let date = FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())?;
    Some(date.and_utc())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    const ANSWERED: &str = "Sun, 06 Nov 1994 08:49:00 GMT";

    fn read(asked: &str, answered: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(asked).ok()?);
        if let Some(answered) = answered {
            headers.insert(DATE, HeaderValue::from_str(answered).unwrap());
        }
        retry_after(&headers)
    }

    #[test]
    fn every_form_is_read() {
        for asked in [
            "37",
            " 37 ",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(read(asked, Some(ANSWERED)), Some(Duration::from_secs(37)), "{asked}");
        }
        for asked in ["", "-1", "1.5", "soon", "Sun, 06 Nov 1994 08:48:37 GMT"] {
            assert_eq!(read(asked, Some(ANSWERED)), None, "{asked}");
        }
        assert!(read("99999999999999999999999", None) > Some(Duration::from_hours(24)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT", None), None, "nobody knows when it is");
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn who_keeps_a_clock_reckons_from_it_where_the_answer_has_no_date() {
        let now = http_date(ANSWERED).unwrap();
        let asked = |answered: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            let at = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
            headers.insert(RETRY_AFTER, at);
            headers.extend(answered.map(|date| (DATE, HeaderValue::from_static(date))));
            asked_pause(&headers, now)
        };
        assert_eq!(asked(None), Some(Duration::from_secs(37)));
        assert_eq!(asked(Some("whenever")), Some(Duration::from_secs(37)));
        // Theirs is seven seconds ahead of ours.
        let theirs = Some("Sun, 06 Nov 1994 08:49:07 GMT");
        assert_eq!(asked(theirs), Some(Duration::from_secs(30)));
        assert_eq!(asked_pause(&HeaderMap::new(), now), None);
    }

    proptest! {
        #[test]
        fn nonsense_is_survived(asked in ".{0,40}") {
            read(&asked, Some(ANSWERED));
        }
    }
}
