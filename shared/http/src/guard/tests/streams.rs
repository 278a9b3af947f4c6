//! Answers that are read while they come, and protocols that make requests of their own.

use std::time::{Duration, Instant};

use recado_testkit::receiver::{Receiver, Script};
use recado_testkit::stub::Reply;

use super::{LONG, SHORT, at, client, get, until_left_alone};
use crate::guard::{ForbiddenDestination, Phase, SendError, Streamed};

/// Reads a streamed body to its end, or until it fails.
async fn drain(streamed: &mut Streamed) -> Result<Vec<u8>, SendError> {
    let mut body = Vec::new();
    while let Some(chunk) = streamed.chunk().await? {
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[tokio::test]
async fn a_streamed_body_is_handed_over_while_it_comes() {
    let receiver = Receiver::doing(Script::ok_of(6).then_send("one").then_hang());
    let mut streamed = client().send_streaming(get(at(&receiver, "/")), LONG).await.unwrap();
    assert_eq!(streamed.status, 200);
    assert_eq!(streamed.chunk().await.unwrap().unwrap(), "one");
    assert_eq!(receiver.n_open(), 1);
    drop(streamed);
    until_left_alone(&receiver).await;
}

#[tokio::test]
async fn a_streamed_body_is_read_to_its_end() {
    let script = Script::ok_of(6).then_send("one").then_pause(SHORT / 3).then_send("two");
    let receiver = Receiver::doing(script);
    let mut streamed = client().send_streaming(get(at(&receiver, "/")), LONG).await.unwrap();
    assert_eq!(drain(&mut streamed).await.unwrap(), b"onetwo");
    assert!(!streamed.truncated());
}

#[tokio::test]
async fn a_streamed_body_may_begin_late_but_not_pause() {
    let script = Script::ok_of(1_000).then_pause(SHORT * 2).then_send("a word").then_hang();
    let receiver = Receiver::doing(script);
    let begun = Instant::now();
    let mut streamed = client().send_streaming(get(at(&receiver, "/")), SHORT).await.unwrap();
    assert_eq!(streamed.chunk().await.unwrap().unwrap(), "a word");
    let error = drain(&mut streamed).await.unwrap_err();
    assert!(
        matches!(error, SendError::Timeout { phase: Phase::Body(status) } if status == 200),
        "{error:?}"
    );
    assert!(begun.elapsed() < LONG / 2);
}

#[tokio::test]
async fn a_streamed_body_that_drips_ends_at_the_deadline() {
    let receiver = Receiver::doing(Script::drip(SHORT / 10));
    let request = get(at(&receiver, "/")).timeout(SHORT);
    let mut streamed = client().send_streaming(request, LONG).await.unwrap();
    let error = drain(&mut streamed).await.unwrap_err();
    assert!(matches!(error, SendError::Timeout { phase: Phase::Body(_) }), "{error:?}");
}

#[tokio::test]
async fn an_endless_stream_is_read_up_to_the_limit() {
    let receiver = Receiver::doing(Script::flood());
    let request = get(at(&receiver, "/")).max_body_bytes(100_000);
    let mut streamed = client().send_streaming(request, LONG).await.unwrap();
    assert_eq!(drain(&mut streamed).await.unwrap().len(), 100_000);
    assert!(streamed.truncated());
    drop(streamed);
    until_left_alone(&receiver).await;
}

#[tokio::test]
async fn a_stream_goes_only_where_the_guard_lets_it() {
    let url = "https://169.254.169.254/latest".parse().unwrap();
    let error = client().send_streaming(get(url), LONG).await.unwrap_err();
    assert!(matches!(error, SendError::Forbidden(ForbiddenDestination::NotPublic)), "{error:?}");
}

#[tokio::test]
async fn a_transport_gives_up_on_a_stream_that_says_nothing() {
    let head = "HTTP/1.1 200 \r\ncontent-type: text/event-stream\r\n\r\n: hi\n\n";
    let receiver = Receiver::doing(Script::send(head).then_hang());
    let url = at(&receiver, "/");
    let client = client().transport_for(&url).unwrap();
    let mut stream = client.get(url).send().await.unwrap();
    assert_eq!(stream.chunk().await.unwrap().unwrap(), ": hi\n\n");
    // The clock jumps to whatever somebody waits for.
    tokio::time::pause();
    let silence = tokio::time::timeout(Duration::from_hours(1), stream.chunk()).await;
    assert!(silence.expect("the client gives up first").unwrap_err().is_timeout());
}

#[tokio::test]
async fn a_transport_follows_no_redirect() {
    let target = Receiver::doing(Script::status(200));
    let redirect = Reply::text(307, "").with_header("location", &target.url());
    let receiver = Receiver::doing(Script::answer(&redirect));
    let url = at(&receiver, "/");
    let answer = client().transport_for(&url).unwrap().get(url).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), target.n_connections()), (307, 0));
}
