//! What is sent.

use recado_testkit::receiver::{Receiver, Script};
use reqwest::Method;

use super::{at, client, get};
use crate::guard::Outbound;

#[tokio::test]
async fn a_request_says_who_we_are_and_asks_for_nothing_compressed() {
    let receiver = Receiver::doing(Script::status(200));
    client().send(get(at(&receiver, "/a?b=c"))).await.unwrap();
    let request = &receiver.received()[0];
    assert!(request.header("user-agent").unwrap().starts_with("Recado/"));
    assert_eq!((&*request.path, &*request.query), ("/a", "b=c"));
    for absent in ["accept-encoding", "referer", "cookie", "expect", "te", "upgrade"] {
        assert_eq!(request.header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn a_body_is_sent_with_its_length() {
    let receiver = Receiver::doing(Script::status(200));
    let request = Outbound::new(Method::POST, at(&receiver, "/")).json(&["olá"]).unwrap();
    client().send(request).await.unwrap();
    let request = &receiver.received()[0];
    assert_eq!(request.text(), r#"["olá"]"#);
    assert_eq!(request.header("content-length"), Some("8"));
    assert_eq!(request.header("transfer-encoding"), None);
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
