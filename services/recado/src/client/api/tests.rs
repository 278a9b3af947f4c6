//! The client beside a server that does what it is told.

use recado_service::config::SecretString;
use recado_testkit::stub::{Fault, Reply, Request, Stub};
use serde_json::json;

use super::*;

fn api(stub: &Stub) -> Api {
    let base = Url::parse(&stub.url()).unwrap();
    let credential = SecretString::new("a-token".into());
    Api::new(Connection { base, credential }).unwrap()
}

/// A list of 250 numbers, as the API gives them.
fn numbers(request: &Request) -> Reply {
    let parameter = |name: &str| {
        let mut pairs = url::form_urlencoded::parse(request.query.as_bytes());
        pairs.find(|(key, _)| key == name).and_then(|(_, value)| value.parse::<usize>().ok())
    };
    let (from, limit) = (parameter("cursor").unwrap_or(0), parameter("limit").unwrap_or(20));
    let until = (from + limit).min(250);
    let next = (until < 250).then(|| until.to_string());
    let data: Vec<usize> = (from..until).collect();
    let pagination = json!({"limit": limit, "next_cursor": next});
    Reply::json(200, &json!({"success": true, "data": data, "pagination": pagination}))
}

fn data(body: Value) -> Value {
    Answer { body, etag: None }.into_data()
}

#[test]
fn an_answer_is_its_data_with_what_stands_beside_it() {
    let one = json!({"success": true, "data": {"id": 1}, "webhook_url": "u"});
    assert_eq!(data(one), json!({"id": 1, "webhook_url": "u"}));
    let list = json!({"success": true, "data": [1], "pagination": {"limit": 1}});
    assert_eq!(data(list), json!([1]));
    assert_eq!(data(json!({"success": true, "execution": {}})), json!({"execution": {}}));
}

#[test]
fn what_is_put_into_an_address_stays_in_its_place() {
    let base = Url::parse("https://x/recado").unwrap();
    let url = address(&base, &["api", "a/../b?c", "#"], &[("text", "ção & more")]);
    let expected = "https://x/recado/api/a%2F..%2Fb%3Fc/%23?text=%C3%A7%C3%A3o+%26+more";
    assert_eq!(url.as_str(), expected);
    let root = Url::parse("http://127.0.0.1:1").unwrap();
    assert_eq!(address(&root, &["api", "agents"], &[]).as_str(), "http://127.0.0.1:1/api/agents");
}

#[tokio::test]
async fn a_list_is_read_page_by_page_as_far_as_it_is_wanted() {
    let stub = Stub::start(numbers);
    for (limit, n, more, n_requests) in
        [(30, 30, true, 1), (230, 230, true, 3), (900, 250, false, 3)]
    {
        let before = stub.count();
        let listed =
            api(&stub).list(&["api", "triggers"], &[("status", "x")], limit).await.unwrap();
        let expected: Vec<Value> = (0..n).map(Value::from).collect();
        assert_eq!((listed.entries, listed.more), (expected, more), "{limit}");
        assert_eq!(stub.count() - before, n_requests, "{limit}");
    }
    assert!(stub.received().iter().all(|it| it.query.contains("status=x")));
}

#[tokio::test]
async fn a_busy_server_is_asked_again_under_the_same_key() {
    let made = |_: &Request| Reply::json(201, &json!({"success": true, "data": {"id": "1"}}));
    let stub = Stub::start(made);
    stub.fail_next(2, &Fault::retry_after(503, 0));
    api(&stub).post(&["api", "agents"], &json!({"name": "A"})).await.unwrap();
    let keys: Vec<Option<String>> =
        stub.received().iter().map(|it| it.header("idempotency-key").map(str::to_owned)).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    api(&stub).post(&["api", "agents"], &json!({"name": "A"})).await.unwrap();
    let other = stub.received()[3].header("idempotency-key").map(str::to_owned);
    assert_ne!(other, keys[0], "another request is another one");
    assert!(stub.received().iter().all(|it| it.header("authorization") == Some("Bearer a-token")));

    // A server that is always busy is given up, and so is one that wants to be left alone.
    stub.fail_always(Fault::retry_after(429, 0));
    let failure = api(&stub).get(&["api", "agents"]).await.unwrap_err();
    assert!(failure.is_passing(), "{failure}");
    assert_eq!(stub.count(), 4 + MAX_ATTEMPTS);
    stub.fail_always(Fault::retry_after(503, 3_600));
    assert!(api(&stub).get(&["api", "agents"]).await.unwrap_err().is_passing());
    assert_eq!(stub.count(), 5 + MAX_ATTEMPTS);
}

#[tokio::test]
async fn a_change_names_the_version_that_it_is_of() {
    let stub = Stub::start(|_| {
        let answer = Reply::json(200, &json!({"success": true, "data": {"id": "1"}}));
        answer.with_header("ETag", "\"7\"")
    });
    let (etag, _) = api(&stub).get(&["api", "agents", "1"]).await.unwrap().into_parts();
    api(&stub).patch(&["api", "agents", "1"], etag, &json!({})).await.unwrap();
    api(&stub).patch(&["api", "agents", "1"], None, &json!({})).await.unwrap();
    let sent: Vec<Option<String>> =
        stub.received().iter().map(|it| it.header("if-match").map(str::to_owned)).collect();
    assert_eq!(sent, [None, Some("\"7\"".to_owned()), None]);
}

#[tokio::test]
async fn what_is_not_the_api_is_said_to_be_none() {
    for reply in [Reply::text(200, "hello"), Reply::json(404, &json!({"detail": "x"}))] {
        let stub = Stub::start(move |_| reply.clone());
        let failure = api(&stub).get(&["api", "agents"]).await.unwrap_err().to_string();
        assert!(failure.contains("is not the API"), "{failure}");
        assert!(!failure.contains("a-token"), "{failure}");
    }
    let refused = json!({"success": false, "error": "agent_not_found", "message": "none"});
    let stub = Stub::start(move |_| Reply::json(404, &refused));
    let failure = api(&stub).get(&["api", "agents", "1"]).await.unwrap_err();
    assert!(failure.is_not_found(), "{failure}");
    // A credential is shown to nobody else.
    let elsewhere = Stub::start(|_| Reply::json(200, &json!({})));
    let url = elsewhere.url();
    let stub = Stub::start(move |_| Reply::text(307, "").with_header("Location", &url));
    assert!(api(&stub).get(&["api", "agents"]).await.is_err());
    assert_eq!(elsewhere.count(), 0);
}
