//! Every way of spelling a closed address, and servers that misbehave.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use reqwest::Method;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::*;

fn closed(url: &str) -> Option<ForbiddenDestination> {
    let url = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    Guard::new(Vec::new()).with_plain_http(true).check_url(&url).err()
}

#[test]
fn loopback_is_closed_however_it_is_spelt() {
    for host in [
        "127.0.0.1",
        "127.0.0.1.",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "0x7f.1",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "0",
        "0.0.0.0",
        "127.255.255.254",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "a.localhost",
        "good.com\t@127.0.0.1",
        "12\n7.0.0.1",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:8080/x");
            let why = closed(&url);
            let expected = [ForbiddenDestination::NotPublic, ForbiddenDestination::UserInfo];
            assert!(why.is_some_and(|why| expected.contains(&why)), "{url}: {why:?}");
        }
    }
    for url in
        [r"http:\\127.0.0.1", "http:127.0.0.1", r"http://127.0.0.1\@good.com/", "http:/127.1"]
    {
        assert_eq!(closed(url), Some(ForbiddenDestination::NotPublic), "{url}");
    }
}

#[test]
fn private_and_special_addresses_are_closed() {
    for host in [
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "198.18.0.1",
        "192.88.99.1",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[100::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[5f00::1]",
        "[4000::1]",
        "[::ffff:169.254.169.254]",
        "[::ffff:10.0.0.1]",
        "[2002:a00:1::]",
        "[64:ff9b::a9fe:a9fe]",
        "[fec0::1]",
    ] {
        let url = format!("https://{host}/");
        assert_eq!(closed(&url), Some(ForbiddenDestination::NotPublic), "{url}");
    }
}

#[test]
fn public_addresses_and_names_are_open() {
    for url in [
        "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json",
        "https://93.184.216.34/",
        "https://172.32.0.1/",
        "https://100.128.0.1:8443/",
        "https://[2606:4700::1111]/",
        "https://[2a00:1450:4001::1]:443/",
        "http://8.8.8.8:80/",
        "https://localhost.example.com/",
    ] {
        assert_eq!(closed(url), None, "{url}");
    }
}

#[test]
fn other_schemes_user_names_and_ports_are_closed() {
    assert_eq!(closed("gopher://127.0.0.1:6379/"), Some(ForbiddenDestination::Scheme));
    assert_eq!(closed("file:///etc/passwd"), Some(ForbiddenDestination::Scheme));
    assert_eq!(closed("ftp://example.com/"), Some(ForbiddenDestination::Scheme));
    assert_eq!(closed("https://user@example.com/"), Some(ForbiddenDestination::UserInfo));
    assert_eq!(closed("https://:pw@example.com/"), Some(ForbiddenDestination::UserInfo));
    assert_eq!(closed("http://good.com@127.0.0.1/"), Some(ForbiddenDestination::UserInfo));
    assert_eq!(closed("https://example.com:25/"), Some(ForbiddenDestination::Port));
    assert_eq!(closed("https://example.com:22/"), Some(ForbiddenDestination::Port));
}

#[test]
fn plain_http_is_for_opened_networks() {
    let guard = Guard::new(vec!["10.1.0.0/16".parse().unwrap()]);
    let check = |url: &str| guard.check_url(&Url::parse(url).unwrap());
    assert_eq!(check("http://10.1.2.3/"), Ok(()));
    assert_eq!(check("http://[::ffff:10.1.2.3]/"), Ok(()));
    assert_eq!(check("https://10.1.2.3/"), Ok(()));
    assert_eq!(check("http://10.2.0.1/"), Err(ForbiddenDestination::NotPublic));
    assert_eq!(check("http://8.8.8.8/"), Err(ForbiddenDestination::PlainHttp));
    // Its address is not known yet: the resolver decides.
    assert_eq!(check("http://erp.internal/"), Ok(()));
    let strict = Guard::new(Vec::new());
    let url = Url::parse("http://example.com/").unwrap();
    assert_eq!(strict.check_url(&url), Err(ForbiddenDestination::PlainHttp));
}

proptest! {
    #[test]
    fn an_address_inside_another_is_no_better(bits: u32) {
        let inner = Ipv4Addr::from_bits(bits);
        let mapped = IpAddr::from(inner.to_ipv6_mapped());
        prop_assert_eq!(is_public(canonical(mapped)), is_public(inner.into()));
        for prefix in [0x0064_ff9b_u128 << 96, 0x2002 << 112] {
            let shift = if prefix >> 112 == 0x2002 { 80 } else { 0 };
            let translated = Ipv6Addr::from_bits(prefix | u128::from(bits) << shift);
            prop_assert!(!is_public(translated.into()));
        }
    }

    #[test]
    fn what_the_standard_library_calls_local_is_closed(bits: u32) {
        let address = Ipv4Addr::from_bits(bits);
        let local = address.is_private()
            || address.is_loopback()
            || address.is_link_local()
            || address.is_multicast()
            || address.is_broadcast()
            || address.is_documentation()
            || address.is_unspecified();
        prop_assert!(!local || !is_public(address.into()));
    }
}

/// A client that may reach this machine.
fn client() -> GuardedClient {
    let loopback = ["127.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap());
    GuardedClient::new(Guard::new(loopback.to_vec())).unwrap()
}

/// A server that gives each connection to `behave`, once its request's headers have come.
async fn server<F, B>(behave: F) -> (Url, TaskTracker)
where
    F: Fn(TcpStream, String) -> B + Send + 'static,
    B: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let tasks = TaskTracker::new();
    let connections = tasks.clone();
    tasks.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                let Ok(1..) = socket.read_buf(&mut request).await else { return };
            }
            connections.spawn(behave(socket, String::from_utf8_lossy(&request).into_owned()));
        }
    });
    (url, tasks)
}

async fn write(socket: &mut TcpStream, text: &str) -> bool {
    socket.write_all(text.as_bytes()).await.is_ok()
}

fn get(url: Url) -> Outbound {
    Outbound::new(Method::GET, url).timeout(Duration::from_secs(10))
}

#[tokio::test]
async fn an_answer_is_read_and_the_request_says_who_we_are() {
    let (url, _tasks) = server(async |mut socket, request: String| {
        let answer = if request.contains("user-agent: Recado/") { "yes" } else { "no" };
        write(
            &mut socket,
            &format!("HTTP/1.1 418 \r\ncontent-length: {}\r\n\r\n{answer}", answer.len()),
        )
        .await;
    })
    .await;
    let answer = client().send(get(url)).await.unwrap();
    assert_eq!(answer.status, 418);
    assert_eq!((&answer.body[..], answer.truncated), (&b"yes"[..], false));
}

#[tokio::test]
async fn a_name_that_leads_to_a_closed_address_is_not_connected_to() {
    let (url, _tasks) = server(async |_, _| panic!("connected")).await;
    let elsewhere = GuardedClient::new(Guard::new(vec!["10.0.0.0/8".parse().unwrap()])).unwrap();
    // Not `localhost` itself, which is refused before it is resolved: this is about the resolver.
    let resolver =
        resolver::GuardedResolver { guard: elsewhere.guard().clone(), transport: Transport::Plain };
    let found = reqwest::dns::Resolve::resolve(&resolver, "localhost".parse().unwrap()).await;
    let why = found.err().unwrap();
    assert_eq!(why.downcast_ref(), Some(&ForbiddenDestination::NotPublic));
    let error = elsewhere.send(get(url)).await.unwrap_err();
    assert!(matches!(error, SendError::Forbidden(ForbiddenDestination::NotPublic)), "{error:?}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (target, _target_tasks) = server(async |_, _| panic!("the redirect was followed")).await;
    let location = target.to_string();
    let (url, _tasks) = server(move |mut socket, _| {
        let answer = format!("HTTP/1.1 308 \r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        async move {
            write(&mut socket, &answer).await;
        }
    })
    .await;
    let answer = client().send(get(url)).await.unwrap();
    assert_eq!(answer.status, 308);
    assert_eq!(answer.headers["location"], target.as_str());
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let (url, _tasks) = server(async |_socket, _| std::future::pending().await).await;
    let begun = Instant::now();
    let error = client().send(get(url).timeout(Duration::from_millis(300))).await.unwrap_err();
    assert!(matches!(error, SendError::Timeout { phase: Phase::Answer }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_body_that_drips_is_given_up_and_its_status_is_told() {
    let (url, _tasks) = server(async |mut socket, _| {
        write(&mut socket, "HTTP/1.1 200 \r\ncontent-length: 1000\r\n\r\n").await;
        while write(&mut socket, ".").await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let error = client().send(get(url).timeout(Duration::from_millis(400))).await.unwrap_err();
    assert!(
        matches!(error, SendError::Timeout { phase: Phase::Body(status) } if status == 200),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_endless_body_is_read_up_to_the_limit() {
    let (url, _tasks) = server(async |mut socket, _| {
        let billion = "HTTP/1.1 200 \r\ncontent-length: 1000000000\r\n\r\n";
        write(&mut socket, billion).await;
        let chunk = "x".repeat(64 * 1024);
        while write(&mut socket, &chunk).await {}
    })
    .await;
    let begun = Instant::now();
    let answer = client().send(get(url).max_body_bytes(20_000)).await.unwrap();
    assert_eq!((answer.body.len(), answer.truncated), (20_000, true));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// Reads a streamed body to its end, or until it fails.
async fn drain(streamed: &mut Streamed) -> Result<Vec<u8>, SendError> {
    let mut body = Vec::new();
    while let Some(chunk) = streamed.chunk().await? {
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_streamed_body_is_handed_over_while_it_comes() {
    let (go_on, told) = tokio::sync::oneshot::channel::<()>();
    let told = Arc::new(tokio::sync::Mutex::new(Some(told)));
    let (url, _tasks) = server(move |mut socket, _| {
        let told = Arc::clone(&told);
        async move {
            write(&mut socket, "HTTP/1.1 200 \r\ncontent-length: 6\r\n\r\none").await;
            let told = told.lock().await.take().unwrap();
            told.await.unwrap();
            write(&mut socket, "two").await;
        }
    })
    .await;
    let mut streamed = client().send_streaming(get(url), LONG).await.unwrap();
    assert_eq!(streamed.status, 200);
    assert_eq!(streamed.chunk().await.unwrap().unwrap(), "one");
    go_on.send(()).unwrap();
    assert_eq!(drain(&mut streamed).await.unwrap(), b"two");
    assert!(!streamed.truncated());
}

#[tokio::test]
async fn a_streamed_body_may_begin_late_but_not_pause() {
    let idle = Duration::from_millis(200);
    let (url, _tasks) = server(async |mut socket, _| {
        write(&mut socket, "HTTP/1.1 200 \r\ncontent-length: 1000\r\n\r\n").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        write(&mut socket, "a word").await;
        std::future::pending::<()>().await;
    })
    .await;
    let begun = Instant::now();
    let mut streamed = client().send_streaming(get(url), idle).await.unwrap();
    assert_eq!(streamed.chunk().await.unwrap().unwrap(), "a word");
    let error = drain(&mut streamed).await.unwrap_err();
    assert!(
        matches!(error, SendError::Timeout { phase: Phase::Body(status) } if status == 200),
        "{error:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_streamed_body_that_drips_ends_at_the_deadline() {
    let (url, _tasks) = server(async |mut socket, _| {
        write(&mut socket, "HTTP/1.1 200 \r\ncontent-length: 1000\r\n\r\n").await;
        while write(&mut socket, ".").await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let request = get(url).timeout(Duration::from_millis(400));
    let mut streamed = client().send_streaming(request, LONG).await.unwrap();
    let error = drain(&mut streamed).await.unwrap_err();
    assert!(matches!(error, SendError::Timeout { phase: Phase::Body(_) }), "{error:?}");
}

#[tokio::test]
async fn an_endless_stream_is_read_up_to_the_limit() {
    let (url, _tasks) = server(async |mut socket, _| {
        write(&mut socket, "HTTP/1.1 200 \r\ncontent-length: 1000000000\r\n\r\n").await;
        let chunk = "x".repeat(64 * 1024);
        while write(&mut socket, &chunk).await {}
    })
    .await;
    let request = get(url).max_body_bytes(100_000);
    let mut streamed = client().send_streaming(request, LONG).await.unwrap();
    assert_eq!(drain(&mut streamed).await.unwrap().len(), 100_000);
    assert!(streamed.truncated());
}

#[tokio::test]
async fn a_stream_goes_only_where_the_guard_lets_it() {
    let url = "https://169.254.169.254/latest".parse().unwrap();
    let error = client().send_streaming(get(url), LONG).await.unwrap_err();
    assert!(matches!(error, SendError::Forbidden(ForbiddenDestination::NotPublic)), "{error:?}");
}

/// A certificate for 127.0.0.1 that nobody has vouched for, and its key: good for this test only.
const CERTIFICATE: &str = "\
    MIIBjzCCATagAwIBAgIUW6A7NPH2sJo4XtBMrsQu3sQP9IMwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJbG9j\
    YWxob3N0MCAXDTI2MTEyMTIyMDQzMloYDzIxMjYxMDI4MjIwNDMyWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3Qw\
    WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARTQm14ErCL19CxpeKiyVC7ZkSb+VfH7M2rPe0mSXd7CPjrYN+t\
    cgh3rzr/vEjARi1EkhtRv3s4CcbQvLBGjJKXo2QwYjAdBgNVHQ4EFgQUh7yKnVKIUSoCfXMF4IxsGsxwOqkw\
    HwYDVR0jBBgwFoAUh7yKnVKIUSoCfXMF4IxsGsxwOqkwDwYDVR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/\
    AAABMAoGCCqGSM49BAMCA0cAMEQCIHzKC1W5JK0C/Zk8KPd/ZJnAwdIKTcFYFbSrW92fpJ08AiBfmmYHsaTM\
    uh847YMowVgD+8w1v+JWOccHsru2DmP1IQ==";
const KEY: &str = "\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg457N3S70CG5FZ6QGnd50VZeqBTma0N19a9Yh\
    qCIuS5yhRANCAARTQm14ErCL19CxpeKiyVC7ZkSb+VfH7M2rPe0mSXd7CPjrYN+tcgh3rzr/vEjARi1EkhtR\
    v3s4CcbQvLBGjJKX";

/// Speaks TLS to one client, whatever comes of it.
fn untrusted_server() -> Url {
    let decode = |text: &str| BASE64_STANDARD.decode(text).unwrap();
    let key = PrivatePkcs8KeyDer::from(decode(KEY));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![decode(CERTIFICATE).into()], key.into())
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let _ = StreamOwned::new(connection, socket).read(&mut [0; 64]);
    });
    url
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_sent_nothing() {
    let error = client().send(get(untrusted_server())).await.unwrap_err();
    assert!(matches!(error, SendError::Tls(_)), "{error:?}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_broken_connection_is_retryable_and_tells_no_address() {
    let (mut url, _tasks) = server(async |socket, _| drop(socket)).await;
    url.set_query(Some("token=hunter2"));
    let broken = client().send(get(url.clone())).await.unwrap_err();
    assert!(matches!(broken, SendError::Io(_)), "{broken:?}");

    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    url.set_port(Some(unused.local_addr().unwrap().port())).unwrap();
    drop(unused);
    let refused = client().send(get(url)).await.unwrap_err();
    assert!(matches!(refused, SendError::Connect(_)), "{refused:?}");
    for error in [broken, refused] {
        assert!(error.is_retryable());
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_transport_gives_up_on_a_stream_that_says_nothing() {
    let (url, _tasks) = server(async |mut socket, _| {
        let head = "HTTP/1.1 200 \r\ncontent-type: text/event-stream\r\n\r\n: hi\n\n";
        write(&mut socket, head).await;
        std::future::pending::<()>().await;
    })
    .await;
    let client = client().transport_for(&url).unwrap();
    let mut stream = client.get(url).send().await.unwrap();
    assert_eq!(stream.chunk().await.unwrap().unwrap(), ": hi\n\n");
    // The clock jumps to whatever somebody waits for.
    tokio::time::pause();
    let silence = tokio::time::timeout(Duration::from_hours(1), stream.chunk()).await;
    assert!(silence.expect("the client gives up first").unwrap_err().is_timeout());
}

#[test]
fn a_header_cannot_be_smuggled_in() {
    let request = || Outbound::new(Method::POST, "https://example.com".parse().unwrap());
    let error = request().bearer("hunter2\r\nX-Admin: 1").unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"));
    assert!(request().header("x-a", "b\nc").is_err());
    assert!(request().header("x a", "b").is_err());
    let sent = request().basic("sid", "hunter2").json(&["hunter2"]).unwrap();
    assert!(!format!("{sent:?}").contains("hunter2"));
    assert_eq!(sent.headers["authorization"], "Basic c2lkOmh1bnRlcjI=");
}
