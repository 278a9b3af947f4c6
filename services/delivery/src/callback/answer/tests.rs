//! What each channel's answers come to.

use proptest::prelude::*;
use recado_http::guard::{Guard, GuardedClient, Outbound, Phase};
use recado_testkit::receiver::{Receiver, Script};
use recado_types::trigger::TriggerConfig;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::*;

/// What follows from an answer, as the tests below say it.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    /// It failed, for good.
    Refused,
    /// It is tried again, and the destination is to blame.
    Fault,
    /// It is tried again, and only this recipient has to wait.
    Waits,
}

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: body.to_owned().into(),
        truncated: false,
    }
}

fn read_now(answer: Answer) -> Report {
    read(Ok(answer), &StatusSet::default(), &SentSecret::default(), DateTime::UNIX_EPOCH)
}

fn code(report: &Report) -> &str {
    &report.problem.as_ref().unwrap().code
}

/// The code, and what follows.
fn judged(status: u16, body: &str) -> (String, Then) {
    let report = read_now(answer(status, body));
    let then = match (report.outcome, report.is_destination_fault()) {
        (Outcome::Refused, false) => Then::Refused,
        (Outcome::Unsettled { .. }, true) => Then::Fault,
        (Outcome::Unsettled { .. }, false) => Then::Waits,
        other => panic!("{other:?} of {body}"),
    };
    (code(&report).to_owned(), then)
}

fn success(statuses: &Value) -> StatusSet {
    let config = json!({
        "auth": {"type": "none"},
        "query_extraction": {"mode": "full_body"},
        "session_strategy": {"mode": "ephemeral"},
        "execution": {
            "mode": "async", "callback": {"url": "https://x.y", "success_status": statuses},
        },
    });
    TriggerConfig::parse(&config).unwrap().execution.callback.unwrap().success
}

#[test]
fn the_channels_name_for_the_message_is_kept() {
    for (body, id) in [
        (r#"{"sid": "SM123", "status": "queued", "error_code": null}"#, Some("SM123")),
        (r#"{"messages": [{"id": "wamid.X"}]}"#, Some("wamid.X")),
        (r#"{"ok": true, "ts": "1503435956.000247"}"#, Some("1503435956.000247")),
        (r#"{"ts": "1503435956.000247"}"#, None),
        (r#"{"messages": [], "sid": 7}"#, None),
        ("[1]", None),
        ("ok", None),
        ("1", None),
    ] {
        let report = read_now(answer(200, body));
        assert_eq!((report.provider_id.as_deref(), &report.problem), (id, &None), "{body}");
        assert_eq!(report.body.as_deref(), Some(body));
    }
}

#[test]
fn twilios_errors_are_explained() {
    use Then::{Fault, Refused, Waits};
    for (status, twilio, expected, then) in [
        (400, 21_617, "message_body_invalid", Refused),
        (400, 21_658, "message_body_invalid", Refused),
        (400, 63_016, "outside_messaging_window", Refused),
        (429, 20_429, "rate_limited", Fault),
        (400, 63_018, "rate_limited", Fault),
        (400, 14_107, "recipient_rate_limited", Waits),
        (429, 14_107, "recipient_rate_limited", Waits),
        (429, 63_038, "daily_limit_reached", Fault),
        (400, 21_211, "recipient_invalid", Refused),
        (400, 21_614, "recipient_invalid", Refused),
        (400, 63_024, "recipient_invalid", Refused),
        (400, 21_610, "recipient_unsubscribed", Refused),
        (400, 21_612, "recipient_unreachable", Refused),
        (403, 21_408, "recipient_not_allowed", Refused),
        (400, 21_606, "sender_invalid", Refused),
        (401, 20_003, "credentials_rejected", Refused),
        (400, 99_999, "http_400", Refused),
        (503, 20_500, "http_503", Fault),
    ] {
        let body = format!(r#"{{"code": {twilio}, "message": "…", "status": {status}}}"#);
        assert_eq!(judged(status, &body), (expected.to_owned(), then), "{twilio}");
    }
}

#[test]
fn metas_errors_are_explained_whatever_their_status() {
    use Then::{Fault, Refused, Waits};
    for (status, meta, expected, then) in [
        (400, 100, "message_body_invalid", Refused),
        (400, 131_051, "message_body_invalid", Refused),
        (400, 131_047, "outside_messaging_window", Refused),
        (400, 4, "rate_limited", Fault),
        (400, 80_007, "rate_limited", Fault),
        (403, 130_429, "rate_limited", Fault),
        (400, 131_048, "rate_limited", Fault),
        (400, 131_056, "recipient_rate_limited", Waits),
        (401, 190, "credentials_rejected", Refused),
        (401, 0, "credentials_rejected", Refused),
        (403, 10, "credentials_rejected", Refused),
        (403, 230, "credentials_rejected", Refused),
        (400, 131_026, "recipient_unreachable", Refused),
        (400, 131_030, "recipient_not_allowed", Refused),
        (400, 131_031, "account_restricted", Refused),
        (400, 131_000, "channel_unavailable", Fault),
        (400, 131_016, "channel_unavailable", Fault),
        (400, 2, "channel_unavailable", Fault),
        (400, 132_000, "http_400", Refused),
        (500, 132_000, "http_500", Fault),
    ] {
        let error = json!({"message": "(#1) …", "type": "OAuthException", "code": meta,
            "error_data": {"details": "…"}, "fbtrace_id": "A"});
        let body = json!({"error": error}).to_string();
        assert_eq!(judged(status, &body), (expected.to_owned(), then), "{meta}");
    }
}

#[test]
fn slacks_errors_are_explained_though_they_come_with_200() {
    use Then::{Fault, Refused};
    for (error, expected, then) in [
        ("msg_too_long", "message_body_invalid", Refused),
        ("msg_blocks_too_long", "message_body_invalid", Refused),
        ("no_text", "message_body_invalid", Refused),
        ("ratelimited", "rate_limited", Fault),
        ("channel_not_found", "recipient_invalid", Refused),
        ("is_archived", "recipient_invalid", Refused),
        ("not_in_channel", "recipient_not_allowed", Refused),
        ("invalid_auth", "credentials_rejected", Refused),
        ("token_expired", "credentials_rejected", Refused),
        ("missing_scope", "credentials_rejected", Refused),
        ("internal_error", "channel_unavailable", Fault),
        ("service_unavailable", "channel_unavailable", Fault),
        ("something_new", "message_refused", Refused),
    ] {
        let body = json!({"ok": false, "error": error, "ts": "1.2"}).to_string();
        assert_eq!(judged(200, &body), (expected.to_owned(), then), "{error}");
        assert_eq!(read_now(answer(200, &body)).provider_id, None);
    }
    // Incoming webhooks say it in one word.
    assert_eq!(judged(410, "channel_is_archived").0, "recipient_invalid");
    assert_eq!(judged(403, "action_prohibited").0, "recipient_not_allowed");
    assert_eq!(judged(404, "not found").0, "http_404");
}

/// Other systems say the same words, with a status that tells whether it will pass.
#[test]
fn a_word_of_slack_only_refines_a_status() {
    for (status, word, expected) in [
        (503, "access_denied", ("http_503", Then::Fault)),
        (500, "invalid_token", ("http_500", Then::Fault)),
        (503, "ratelimited", ("http_503", Then::Fault)),
        (503, "something_new", ("http_503", Then::Fault)),
        (429, "no_permission", ("rate_limited", Then::Fault)),
        (429, "message_limit_exceeded", ("rate_limited", Then::Fault)),
        (408, "channel_not_found", ("http_408", Then::Fault)),
        (400, "internal_error", ("http_400", Then::Refused)),
        (404, "rate_limited", ("http_404", Then::Refused)),
        (302, "invalid_auth", ("redirected", Then::Refused)),
        (403, "access_denied", ("credentials_rejected", Then::Refused)),
        (404, "no_service", ("credentials_rejected", Then::Refused)),
    ] {
        for body in [word.to_owned(), json!({"ok": false, "error": word}).to_string()] {
            let (code, then) = judged(status, &body);
            assert_eq!((&*code, then), expected, "{status} {body}");
        }
    }
}

#[test]
fn teams_is_taken_at_its_word_and_not_at_its_status() {
    use Then::{Fault, Refused};
    for (status, expected, then) in [
        ("400", "message_body_invalid", Refused),
        ("413", "message_body_invalid", Refused),
        ("429", "rate_limited", Fault),
        ("500", "http_500", Fault),
        ("403", "http_403", Refused),
        ("of its own", "message_refused", Refused),
        ("é", "message_refused", Refused),
    ] {
        let body = format!(
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP \
             error {status} with ContextId tcid=0,server=x,cv=y"
        );
        assert_eq!(judged(200, &body), (expected.to_owned(), then), "{status}");
    }
}

#[test]
fn what_only_looks_like_a_channels_error_is_none() {
    for body in [
        r#"{"ok": false}"#,
        r#"{"ok": false, "error": "Something went wrong"}"#,
        r#"{"ok": false, "error": {"code": 4}}"#,
        r#"{"code": 21617}"#,
        r#"{"error": {"type": "OAuthException", "code": 190}}"#,
        "internal_error",
    ] {
        assert_eq!(read_now(answer(200, body)).outcome, Outcome::Accepted, "{body}");
    }
    for body in [r#"{"error": {"code": 4}}"#, r#"{"error": {"code": "4", "type": "x"}}"#] {
        assert_eq!(judged(400, body).0, "http_400", "{body}");
    }
}

#[test]
fn a_status_that_is_a_success_is_one_whatever_else() {
    let read = |status, body, statuses: Value| {
        read(
            Ok(answer(status, body)),
            &success(&statuses),
            &SentSecret::default(),
            DateTime::UNIX_EPOCH,
        )
    };
    for status in [404, 409, 429] {
        let report = read(status, r#"{"code": 21617}"#, json!(["4xx"]));
        assert_eq!((report.outcome, &report.problem), (Outcome::Accepted, &None), "{status}");
        assert!(!report.is_destination_fault());
    }
    let report = read(200, "", json!([202]));
    assert_eq!((report.outcome, code(&report)), (Outcome::Refused, "http_200"));
    assert!(!report.is_destination_fault());
    let report = read(503, "", json!(["2xx", "4xx"]));
    assert_eq!(report.outcome, Outcome::Unsettled { retry_after: None });
}

#[test]
fn an_answer_without_a_useful_body_is_named_by_its_status() {
    for (status, expected) in
        [(301, "redirected"), (401, "http_401"), (429, "rate_limited"), (503, "http_503")]
    {
        let report = read_now(answer(status, "<html>"));
        assert_eq!((code(&report), report.status_code), (expected, Some(status)));
        assert_eq!(report.is_destination_fault(), matches!(status, 429 | 503));
    }
}

#[test]
fn retry_after_is_passed_on() {
    for (status, body) in
        [(429, ""), (400, r#"{"error": {"type": "OAuthException", "code": 131056}}"#)]
    {
        let mut busy = answer(status, body);
        busy.headers.insert(RETRY_AFTER, HeaderValue::from_static("30"));
        assert_eq!(read_now(busy).retry_after(), Some(Duration::from_secs(30)));
    }
    assert_eq!(read_now(answer(200, "")).retry_after(), None);
    // A date is reckoned from the receiver's clock, and from ours if it shows none.
    let mut busy = answer(503, "");
    busy.headers.insert(RETRY_AFTER, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:37 GMT"));
    assert_eq!(read_now(busy.clone()).retry_after(), Some(Duration::from_secs(37)));
    busy.headers.insert(DATE, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:30 GMT"));
    assert_eq!(read_now(busy).retry_after(), Some(Duration::from_secs(7)));
}

#[test]
fn a_body_is_kept_as_a_text_that_can_be_stored() {
    let mut strange = answer(200, "");
    strange.body = [&[0, 0xFF], "é".repeat(20_000).as_bytes()].concat().into();
    let body = read_now(strange).body.unwrap();
    assert!(body.len() <= MAX_KEPT_BODY && !body.contains('\0'));
    assert_eq!(read_now(answer(204, "")).body, None);
}

#[test]
fn a_body_that_is_not_whole_is_kept_and_not_read() {
    let mut cut = answer(400, r#"{"code": 21617}"#);
    cut.truncated = true;
    let report = read_now(cut);
    assert_eq!((code(&report), report.body.is_some()), ("http_400", true));
    let padded = format!(r#"{{"code": 21617, "x": "{}"}}"#, "x".repeat(MAX_KEPT_BODY));
    assert_eq!(code(&read_now(answer(400, &padded))), "http_400");
}

#[test]
fn no_answer_may_mend_itself_and_a_late_body_is_none() {
    let timeout = |phase| {
        read(
            Err(SendError::Timeout { phase }),
            &StatusSet::default(),
            &SentSecret::default(),
            DateTime::UNIX_EPOCH,
        )
    };
    for phase in [Phase::Answer, Phase::Connect] {
        let report = timeout(phase);
        assert_eq!(report.outcome, Outcome::Unsettled { retry_after: None });
        assert_eq!((code(&report), report.is_destination_fault()), ("timeout", true));
    }
    // The message was taken: sending it again would double it.
    let report = timeout(Phase::Body(StatusCode::CREATED));
    assert_eq!((report.outcome, report.status_code), (Outcome::Accepted, Some(201)));
    assert!(!report.is_destination_fault());
}

/// As a body that is late: the receiver took the message, or did not, before its answer broke off.
#[tokio::test]
async fn of_an_answer_that_breaks_off_the_status_decides() {
    let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let client = GuardedClient::new(guard).unwrap();
    for (status, outcome) in [
        (200, Outcome::Accepted),
        (410, Outcome::Refused),
        (503, Outcome::Unsettled { retry_after: None }),
    ] {
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: 100\r\n\r\nhalf");
        let receiver = Receiver::doing(Script::send(head).then_close());
        let url = receiver.url().parse().unwrap();
        let result = client.send(Outbound::new(Method::POST, url)).await;
        assert!(matches!(result, Err(SendError::Body { .. })), "{result:?}");
        let report =
            read(result, &StatusSet::default(), &SentSecret::default(), DateTime::UNIX_EPOCH);
        assert_eq!((report.outcome, report.status_code), (outcome, Some(status)));
        assert_eq!(report.is_destination_fault(), status == 503);
    }
}

#[test]
fn a_forbidden_destination_stays_forbidden_and_is_not_to_blame() {
    let forbidden = recado_http::guard::ForbiddenDestination::NotPublic;
    let error = Err(SendError::Forbidden(forbidden));
    let report = read(error, &StatusSet::default(), &SentSecret::default(), DateTime::UNIX_EPOCH);
    assert_eq!((report.outcome, code(&report)), (Outcome::Refused, "forbidden_destination"));
    assert!(!report.is_destination_fault());
}

proptest! {
    #[test]
    fn no_message_repeats_what_was_answered(
        status in 100u16..600, word in "[a-z]{12,20}", code in 0u32..140_000,
    ) {
        for body in [
            json!({"code": code, "message": word}).to_string(),
            json!({"error": {"type": word, "code": code, "message": word}}).to_string(),
            json!({"ok": false, "error": word}).to_string(),
            format!("Webhook message delivery failed with error: HTTP error {word}"),
            word.clone(),
        ] {
            let report = read_now(answer(status, &body));
            if let Some(problem) = report.problem {
                prop_assert!(!problem.message.contains(&word), "{}", problem.message);
                prop_assert!(!problem.code.contains(&word), "{}", problem.code);
            }
        }
    }

    #[test]
    fn any_body_is_read(status in 100u16..600, body in "\\PC{0,80}") {
        read_now(answer(status, &body));
    }
}
