//! Receivers that misbehave: each is told apart, and none can hold us up.

use std::time::{Duration, Instant};

use recado_testkit::receiver::{Receiver, Script, refusing_url};
use recado_testkit::stub::Reply;
use tokio::net::TcpListener;
use url::Url;

use super::{LONG, SHORT, at, client, get, until_left_alone};
use crate::guard::{Answer, GuardedClient, Phase, SendError, retry_after};

/// What comes of one request to a receiver that does this. Whatever comes of it, it is not later
/// than the request's time, and the connection is not kept.
async fn result_of(
    client: &GuardedClient,
    script: Script,
    timeout: Duration,
) -> Result<Answer, SendError> {
    let receiver = Receiver::doing(script);
    let begun = Instant::now();
    let result = client.send(get(at(&receiver, "/")).timeout(timeout)).await;
    assert!(begun.elapsed() < timeout + LONG / 2, "{result:?} after {:?}", begun.elapsed());
    until_left_alone(&receiver).await;
    result
}

/// Fails unless the connection is what failed, and it was not the time that was over.
async fn assert_refused(client: &GuardedClient, what: &str, script: Script) {
    let error = result_of(client, script, LONG).await.expect_err(what);
    assert!(matches!(error, SendError::Io(_)), "{what}: {error:?}");
    assert!(error.is_retryable() && error.code() == "connection_failed", "{what}");
}

/// Fails unless the connection failed in the body of a 200.
async fn assert_broken_off(client: &GuardedClient, what: &str, script: Script) {
    let error = result_of(client, script, LONG).await.expect_err(what);
    let is_broken_off = matches!(&error, SendError::Body { status, .. } if *status == 200);
    assert!(is_broken_off && error.begun_status().is_some(), "{what}: {error:?}");
    assert!(error.is_retryable() && error.code() == "connection_failed", "{what}");
}

/// Fails unless the time was over before an answer had begun.
async fn assert_no_answer(client: &GuardedClient, what: &str, script: Script) {
    let error = result_of(client, script, SHORT).await.expect_err(what);
    let in_time = matches!(error, SendError::Timeout { phase: Phase::Answer });
    assert!(in_time && error.is_retryable() && error.code() == "timeout", "{what}: {error:?}");
}

#[tokio::test]
async fn who_does_not_answer_is_given_up() {
    let client = client();
    assert_no_answer(&client, "silence", Script::hang()).await;
    let first_words = "HTTP/1.1 200 OK\r\nx-begun: ";
    assert_no_answer(&client, "half a head", Script::send(first_words).then_hang()).await;
    let drip = Script::send(first_words).then_repeat("x", SHORT / 20);
    assert_no_answer(&client, "a head that drips", drip).await;
    // As fast as a debug build reads them: a flood is read in pieces of 50 MB between two looks at
    // the clock, which takes an optimised build a fraction of a second and this one half a minute.
    let often = Duration::from_millis(1);
    let promises = Script::default().then_repeat("HTTP/1.1 100 Continue\r\n\r\n", often);
    assert_no_answer(&client, "100 Continue for ever", promises).await;
    let hints = Script::default().then_repeat("HTTP/1.1 103 Early\r\na: b\r\n\r\n", often);
    assert_no_answer(&client, "early hints for ever", hints).await;
}

/// As a machine that was unplugged, or a process that was stopped: the connection is there, and
/// nobody reads.
#[tokio::test]
async fn who_is_not_there_any_more_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let big = vec![b'x'; 8 << 20];
    let request = get(url).body("text/plain", big).timeout(SHORT);
    let error = client().send(request).await.unwrap_err();
    assert!(matches!(error, SendError::Timeout { phase: Phase::Answer }), "{error:?}");
}

#[tokio::test]
async fn who_hangs_up_is_told_from_who_is_not_there() {
    let client = client();
    assert_refused(&client, "an orderly end", Script::close()).await;
    assert_refused(&client, "an RST", Script::reset()).await;

    let mut url: Url = refusing_url().parse().unwrap();
    url.set_query(Some("token=hunter2"));
    let refused = client.send(get(url)).await.unwrap_err();
    assert!(matches!(refused, SendError::Connect(_)) && refused.is_retryable(), "{refused:?}");
    assert!(!format!("{refused:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told_with_its_status() {
    let client = client();
    let half = || Script::ok_of(100).then_send("half");
    assert_broken_off(&client, "an end in the middle", half().then_close()).await;
    // An RST overtakes what was not read yet.
    let reset = half().then_pause(SHORT).then_reset();
    assert_broken_off(&client, "an RST in the middle", reset).await;
}

#[tokio::test]
async fn an_error_tells_no_address() {
    for script in [Script::close(), Script::ok_of(100).then_close()] {
        let receiver = Receiver::doing(script);
        let error = client().send(get(at(&receiver, "/hunter2?token=hunter2"))).await.unwrap_err();
        let told = format!("{error:?} {error}");
        assert!(!told.contains("hunter2") && !told.contains("127.0.0.1"), "{told}");
    }
}

#[tokio::test]
async fn a_body_that_drips_is_given_up_and_its_status_is_told() {
    let client = client();
    for script in [
        Script::drip(SHORT / 20),
        Script::ok_of(10).then_hang(),
        Script::send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n").then_hang(),
    ] {
        let error = result_of(&client, script, SHORT).await.unwrap_err();
        assert!(
            matches!(error, SendError::Timeout { phase: Phase::Body(status) } if status == 200),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_gigabyte_is_read_up_to_the_limit() {
    let client = client();
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let until_close = "HTTP/1.1 200 OK\r\n\r\n";
    for script in [
        Script::flood(),
        Script::send(chunked).then_repeat(chunk, Duration::ZERO),
        Script::send(until_close).then_repeat("x".repeat(0x10000), Duration::ZERO),
    ] {
        let answer = result_of(&client, script, LONG).await.unwrap();
        assert_eq!((answer.body.len(), answer.truncated), (20_000, true));
    }
}

#[tokio::test]
async fn endless_heads_are_given_up_long_before_the_time_is_over() {
    let client = client();
    let head = || Script::send("HTTP/1.1 200 OK\r\n");
    let headers = head().then_repeat("x-more: of the same\r\n", Duration::ZERO);
    assert_refused(&client, "headers for ever", headers).await;
    let header = head().then_send("x-long: ").then_repeat("x".repeat(1_024), Duration::ZERO);
    assert_refused(&client, "one header for ever", header).await;
    let reason = Script::send("HTTP/1.1 200 ").then_repeat("OK ".repeat(1_024), Duration::ZERO);
    assert_refused(&client, "a reason for ever", reason).await;
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
    assert_refused(&client, "101 headers", Script::send(many)).await;
}

#[tokio::test]
async fn what_is_no_http_is_no_answer() {
    let client = client();
    for junk in [
        "hello",
        "<html>an answer of HTTP/0.9</html>\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 99 OK\r\n\r\n",
        "HTTP/7.3 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\na\0b: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n0123456789",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    ] {
        assert_refused(&client, junk, Script::send(junk).then_close()).await;
    }
}

#[tokio::test]
async fn chunks_that_are_none_are_refused() {
    let client = client();
    let chunked = |body: &str| {
        Script::send(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}"))
    };
    for body in ["x\r\n", "-1\r\n", "10000000000000000\r\n", "2\r\nabc\r\n", "\r\n\r\n"] {
        assert_broken_off(&client, body, chunked(body).then_close()).await;
    }
    let extension = chunked("1;").then_repeat("x".repeat(1_024), Duration::ZERO);
    assert_broken_off(&client, "an extension for ever", extension).await;
    let trailers = chunked("0\r\n").then_repeat("x-more: of the same\r\n", Duration::ZERO);
    assert_broken_off(&client, "trailers for ever", trailers).await;
}

/// Else whoever answers one request could answer another one's in advance.
#[tokio::test]
async fn what_follows_an_answer_is_not_taken_for_the_next_ones() {
    let receiver = Receiver::start(|request| match &*request.path {
        "/first" => Script::send(
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
        ),
        _ => Script::answer(&Reply::text(200, "genuine")),
    });
    let client = client();
    for _ in 0..20 {
        let first = client.send(get(at(&receiver, "/first"))).await.unwrap();
        assert_eq!(&first.body[..], b"ok");
        match client.send(get(at(&receiver, "/second"))).await {
            Ok(second) => assert_eq!(&second.body[..], b"genuine"),
            Err(error) => assert!(matches!(error, SendError::Io(_)), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_compressed_body_stays_compressed() {
    let client = client();
    let bomb = b"\x1f\x8b\x08\0\0\0\0\0\0\x03 as it was sent".to_vec();
    for encoding in ["gzip", "br", "deflate", "zstd"] {
        let reply = Reply::new(200, "text/plain", bomb.clone());
        let script = Script::answer(&reply.with_header("content-encoding", encoding)).then_close();
        let answer = result_of(&client, script, LONG).await.unwrap();
        assert_eq!(&answer.body[..], bomb, "{encoding}");
        assert_eq!(answer.headers["content-encoding"], encoding);
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let client = client();
    let target = Receiver::doing(Script::status(200));
    let receiver = Receiver::by_path();
    for status in [300, 301, 302, 303, 307, 308] {
        let path = format!("/status/{status}?location={}", target.url());
        let answer = client.send(get(at(&receiver, &path))).await.unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["location"], target.url());
    }
    assert_eq!((receiver.received().len(), target.n_connections()), (6, 0));
}

#[tokio::test]
async fn a_status_is_an_answer_whatever_it_is() {
    let client = client();
    let receiver = Receiver::by_path();
    for status in [200, 204, 304, 400, 401, 407, 408, 410, 421, 425, 429, 500, 503, 599, 999] {
        let path = format!("/status/{status}");
        let answer = client.send(get(at(&receiver, &path))).await.unwrap();
        assert_eq!(answer.status, status);
    }
    // Nothing is sent twice, not even where HTTP would let a client.
    assert_eq!(receiver.received().len(), 15);
    let switching = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    let answer = result_of(&client, Script::send(switching).then_hang(), LONG).await.unwrap();
    assert_eq!(answer.status, 101);
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_told_in_both_forms() {
    let client = client();
    let receiver = Receiver::by_path();
    let date = "date=Sun, 06 Nov 1994 08:49:37 GMT";
    for (query, pause) in [
        ("retry-after=37".to_owned(), Some(Duration::from_secs(37))),
        (format!("{date}&retry-after=Sun, 06 Nov 1994 08:51:37 GMT"), Some(Duration::from_mins(2))),
        (format!("{date}&retry-after=Sun, 06 Nov 1994 08:49:36 GMT"), None),
        ("retry-after=soon".to_owned(), None),
        (String::new(), None),
    ] {
        let path = format!("/status/429?{query}");
        let answer = client.send(get(at(&receiver, &path))).await.unwrap();
        assert_eq!(answer.status, 429);
        assert_eq!(retry_after(&answer.headers), pause, "{query}");
    }
}

#[tokio::test]
async fn the_scripts_of_paths_are_what_they_say() {
    let (client, receiver) = (client(), Receiver::by_path());
    for (path, code) in [
        ("/hang", "timeout"),
        ("/close", "connection_failed"),
        ("/reset", "connection_failed"),
        ("/half", "connection_failed"),
        ("/drip", "timeout"),
        ("/headers", "connection_failed"),
        ("/continue", "timeout"),
        ("/junk", "connection_failed"),
    ] {
        let request = get(at(&receiver, path)).timeout(SHORT);
        let error = client.send(request).await.unwrap_err();
        assert_eq!(error.code(), code, "{path}: {error:?}");
    }
    assert!(client.send(get(at(&receiver, "/flood"))).await.unwrap().truncated);
    assert_eq!(client.send(get(at(&receiver, "/else"))).await.unwrap().status, 200);
}
