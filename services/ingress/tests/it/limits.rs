//! Each limit, at it and over it.

use std::fmt::Display;
use std::time::Duration;

use futures_util::stream;
use reqwest::Body;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::requests::{answered, open};
use crate::running::{Running, SOON};

#[tokio::test]
async fn a_body_may_be_as_large_as_the_limit_however_it_is_sent() {
    let running = Running::start_with(|limits| limits.max_body = 10_000).await;
    let sender = running.sender(running.trigger(open()).await);
    for (size, status) in [(9_999, 202), (10_000, 202), (10_001, 413), (3_000_000, 413)] {
        let whole = sender.post("text/plain", "x".repeat(size)).await;
        assert_eq!(whole.status, status, "{size}");
        let pieces = "x".repeat(size).into_bytes();
        let pieces: Vec<_> =
            pieces.chunks(1_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
        let chunked = Body::wrap_stream(stream::iter(pieces));
        let answer = sender.post("text/plain", chunked).await;
        assert_eq!(answer.status, status, "{size} in chunks");
        if status == 413 {
            assert_eq!(answer.error(), "payload_too_large");
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn a_message_may_be_as_large_as_the_broker_takes_it() {
    let running = Running::start_with(|limits| limits.max_body = 16 << 20).await;
    let sender = running.sender(running.trigger(open()).await);
    let answer = sender.post("text/plain", "x".repeat(9 << 20)).await;
    assert_eq!((answer.status, answer.error().as_str()), (413, "payload_too_large"));
    assert_eq!(answer.header("retry-after"), None, "it will not get smaller");
    assert_eq!(sender.post("text/plain", "hello").await.status, 202);
    running.stop().await;
}

/// Writes `sent`, then nothing more, and returns everything until the server hangs up.
async fn converse(running: &Running, sent: &str) -> String {
    let address = running.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(SOON, reading).await.expect("the server hangs up").unwrap();
    answer
}

#[tokio::test]
async fn slow_clients_are_let_go() {
    let running = Running::start_with(|limits| {
        limits.head_timeout = Duration::from_secs(1);
        limits.body_timeout = Duration::from_millis(300);
    })
    .await;
    let trigger = running.trigger(open()).await;
    let head = format!("POST /api/triggers/webhook/{trigger} HTTP/1.1\r\nHost: x\r\n");

    let without_end = converse(&running, &head).await;
    assert!(without_end.starts_with("HTTP/1.1 408 "), "{without_end}");
    let body = format!("{head}Content-Type: text/plain\r\nContent-Length: 10\r\n\r\nhalf");
    let without_body = converse(&running, &body).await;
    assert!(without_body.starts_with("HTTP/1.1 408 "), "{without_body}");
    assert!(without_body.contains("request_timeout"), "{without_body}");
    running.stop().await;
}

#[tokio::test]
async fn a_head_is_bounded() {
    let running = Running::start().await;
    let sender = running.sender(running.trigger(open()).await);
    let mut request = sender.request().header("content-type", "text/plain").body("a");
    for n in 0..80 {
        request = request.header(format!("x-{n}"), "1");
    }
    assert_eq!(answered(request).await.status, 202);
    let mut request = sender.request().body("a");
    for n in 0..120 {
        request = request.header(format!("x-{n}"), "1");
    }
    assert_eq!(answered(request).await.status, 431);
    let huge = sender.request().header("x-huge", "x".repeat(200_000)).body("a").send().await;
    assert!(huge.is_err() || huge.is_ok_and(|answer| answer.status().is_client_error()));
    running.stop().await;
}

/// The bytes that count: those of names and values, without what stands between them.
#[tokio::test]
async fn headers_may_be_as_large_as_the_limit() {
    let running = Running::start_with(|limits| limits.max_headers = 1_000).await;
    let trigger = running.trigger(open()).await;
    let others = [
        ("host", "x".to_owned()),
        ("connection", "close".to_owned()),
        ("content-type", "text/plain".to_owned()),
        ("content-length", "1".to_owned()),
    ];
    let size: usize = others.iter().map(|(name, value)| name.len() + value.len()).sum();
    for (wanted, status) in [(999, 202), (1_000, 202), (1_001, 431)] {
        let filler = ("x-filler", "x".repeat(wanted - size - "x-filler".len()));
        let lines = others.iter().chain([&filler]);
        let lines: Vec<_> = lines.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let lines = lines.concat();
        let request = format!("POST /api/triggers/webhook/{trigger} HTTP/1.1\r\n{lines}\r\na");
        let answer = converse(&running, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{wanted}: {answer}");
        assert_eq!(answer.contains("headers_too_large"), status == 431, "{answer}");
    }
    running.stop().await;
}

#[tokio::test]
async fn json_may_nest_sixty_four_levels_and_have_twenty_thousand_fields() {
    let running = Running::start().await;
    let sender = running.sender(running.trigger(open()).await);
    for (depth, status) in [(63, 202), (64, 202), (65, 400), (127, 400), (500_000, 400)] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            if open.len() * depth > 1_000_000 {
                continue;
            }
            let body = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let answer = sender.post("application/json", body).await;
            assert_eq!(answer.status, status, "{depth} {open}: {}", answer.body);
        }
    }
    for (n, status) in [(19_999, 202), (20_000, 202), (20_001, 400)] {
        // Over all objects, wherever they are.
        let (here, there) = (n / 2, n - n / 2);
        let fields = |n: usize| (0..n).map(|n| format!(r#""{n}":1"#)).collect::<Vec<_>>().join(",");
        let body = format!("[{{{}}},{{{}}}]", fields(here), fields(there));
        let answer = sender.post("application/json", body).await;
        assert_eq!(answer.status, status, "{n}: {}", answer.body);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_form_may_have_a_thousand_fields() {
    let running = Running::start().await;
    let sender = running.sender(running.trigger(open()).await);
    for (n, status) in [(999, 202), (1_000, 202), (1_001, 400)] {
        let form = vec!["a=1"; n].join("&");
        let answer = sender.post("application/x-www-form-urlencoded", form).await;
        assert_eq!(answer.status, status, "{n}");
    }
    running.stop().await;
}

/// A head of a request to `trigger` whose body has `length` bytes.
fn head(trigger: impl Display, length: usize) -> String {
    format!(
        "POST /api/triggers/webhook/{trigger} HTTP/1.1\r\nHost: x\r\n\
         Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// Were it read first, `converse` would give up sooner.
#[tokio::test]
async fn a_body_for_nobody_is_not_waited_for() {
    let running = Running::start_with(|limits| limits.body_timeout = 2 * SOON).await;
    let answer = converse(&running, &head(Uuid::nil(), 1_000_000)).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    running.stop().await;
}

/// However the body is sent: `converse` ends when the server hangs up.
#[tokio::test]
async fn a_body_that_nobody_reads_and_that_never_ends_is_cut_off() {
    let running = Running::start_with(|limits| limits.max_body = 10).await;
    let trigger = running.trigger(open()).await;
    let chunked = |id: &dyn Display| {
        format!(
            "POST /api/triggers/webhook/{id} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n\
             Transfer-Encoding: chunked\r\n\r\n14\r\nxxxxxxxxxxxxxxxxxxxx\r\n"
        )
    };
    for (request, status) in [(chunked(&Uuid::nil()), 404), (chunked(&trigger), 413)] {
        let answer = converse(&running, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    running.stop().await;
}

/// Reads one answer: its status, and whether the server goes on with the connection.
async fn read_answer(stream: &mut BufStream<TcpStream>) -> (u16, bool) {
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let start = head.len();
        assert_ne!(stream.read_line(&mut head).await.unwrap(), 0, "cut off: {head}");
        let line = head[start..].to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    stream.read_exact(&mut vec![0; length]).await.unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, !head.to_ascii_lowercase().contains("connection: close"))
}

#[tokio::test]
async fn a_connection_is_usable_or_closed_after_a_body_for_nobody() {
    let running = Running::start().await;
    let trigger = running.trigger(open()).await;
    for length in [0, 10, 30_000, 100_000, 900_000] {
        let address = running.url.trim_start_matches("http://");
        let mut stream = BufStream::new(TcpStream::connect(address).await.unwrap());
        let refused = format!("{}{}", head(Uuid::nil(), length), "x".repeat(length));
        stream.write_all(refused.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let (status, is_kept) = read_answer(&mut stream).await;
        assert_eq!(status, 404, "{length}");
        if is_kept {
            let next = format!("{}hello", head(trigger, 5));
            stream.write_all(next.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            assert_eq!(read_answer(&mut stream).await.0, 202, "after {length}");
        } else {
            let mut rest = Vec::new();
            let reading = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await;
            reading.expect("the server hangs up").unwrap();
            assert!(rest.is_empty(), "{length}: {rest:?}");
        }
    }
    running.stop().await;
}
