//! Dead letters over the API: each tenant's own, and nobody's if it cannot be told whose.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::select;
use lapin::ConnectionProperties;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use recado_broker::topology::{INBOUND, definitions};
use recado_http::auth::Role;
use recado_types::{DeadLetterId, TenantId};
use serde_json::{Value, json};

use crate::server::Server;

const ACCEPTED_AT: u64 = 1_795_000_000;

/// Puts the `n`-th message of a tenant among the dead letters, and gives its id.
pub(crate) async fn bury(server: &Server, tenant: TenantId, n: u64) -> String {
    let body = json!({
        "message": {
            "tenant_id": tenant,
            "text": format!("message {n}"),
            "context": {"token": "canary", "userName": "Ana"},
        },
    });
    put(server, n, &body.to_string()).await
}

async fn put(server: &Server, n: u64, body: &str) -> String {
    let (admin, vhost) = (server.vhost.admin(), server.vhost.name());
    admin.import(vhost, &definitions()).await.unwrap();
    let message_id = format!("m-{n}");
    let properties = json!({
        "message_id": message_id,
        "type": "message.received",
        "timestamp": ACCEPTED_AT + n,
        "headers": {
            "recado-reason": "failed", "recado-error": "no such trigger", "recado-attempts": 3,
        },
    });
    let queue = INBOUND.dead_letter_queue();
    admin.put(vhost, &queue, &properties, body).await.unwrap();
    DeadLetterId::derived(INBOUND.name, &message_id, body.as_bytes()).to_string()
}

async fn listed(server: &Server, query: &str) -> Value {
    let answer = server.get(&format!("/api/dead-letters{query}")).await;
    answer.data(200);
    answer.body
}

#[tokio::test]
async fn a_dead_letter_is_listed_shown_and_redriven() {
    let server = Server::start().await;
    let id = bury(&server, server.ours, 1).await;
    let list = listed(&server, "").await;
    let expected = json!({
        "id": id,
        "queue": "buffer.inbound",
        "reason": "failed",
        "attempts": 3,
        "times_dead_lettered": 1,
        "message_id": "m-1",
        "kind": "message.received",
        "published_at": "2026-11-18T11:06:41Z",
        "size_bytes": list["data"][0]["size_bytes"],
        "tenant_id": server.ours,
        "trace_id": null,
    });
    assert_eq!(list["data"], json!([expected]));
    assert_eq!(list["more"], false);

    let path = format!("/api/dead-letters/{id}");
    let shown = server.get(&path).await;
    assert!(!shown.text.contains("no such trigger"), "that is the operator's: {}", shown.text);
    let body = &shown.data(200)["body"]["message"];
    assert_eq!(body["text"], "message 1");
    assert_eq!(body["context"], json!({"token": "[redacted]", "userName": "Ana"}));

    server.post(&format!("{path}/redrive"), &json!({})).await;
    assert_eq!(listed(&server, "").await["data"], json!([]));
    for (method, path) in [("GET", &path), ("DELETE", &path), ("POST", &format!("{path}/redrive"))]
    {
        let answer = server.call_as((server.ours, Role::Editor), method, path, None).await;
        assert_eq!((answer.status, answer.code()), (404, "dead_letter_not_found"), "{method}");
    }
}

#[tokio::test]
async fn only_the_oldest_are_listed_if_so_many_are_wanted() {
    let server = Server::start().await;
    let mut ids = Vec::new();
    for n in 1..=3 {
        ids.push(bury(&server, server.ours, n).await);
    }
    let list = listed(&server, "?limit=2&queue=buffer.inbound").await;
    let shown: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(shown, ids[..2]);
    assert_eq!(list["more"], true);
    let elsewhere = listed(&server, "?queue=delivery.requests").await;
    assert_eq!(elsewhere["data"], json!([]));
    assert_eq!(server.delete(&format!("/api/dead-letters/{}", ids[0])).await.status, 200);
    let list = listed(&server, "").await;
    assert_eq!(list["data"][0]["id"], json!(ids[1]));
    for bad in ["limit=0", "limit=101", "queue=nobodys", "cursor=x"] {
        let refused = server.get(&format!("/api/dead-letters?{bad}")).await;
        assert_eq!(refused.paths(), [bad.split_once('=').unwrap().0], "{bad}");
    }
}

#[tokio::test]
async fn who_asks_again_at_once_is_told_the_same_and_one_look_is_made() {
    let server = Server::start().await;
    let (first, others) = (bury(&server, server.ours, 1).await, (server.theirs, Role::Viewer));
    assert_eq!(listed(&server, "").await["data"][0]["id"], json!(first));
    bury(&server, server.ours, 2).await;
    // Whoever it is, and whatever they ask for.
    for _ in 0..3 {
        assert_eq!(listed(&server, "?limit=100").await["data"].as_array().unwrap().len(), 1);
        let list = server.call_as(others, "GET", "/api/dead-letters", None).await;
        assert_eq!(list.data(200), &json!([]));
    }
    let both = async || {
        let n_listed = listed(&server, "").await["data"].as_array().unwrap().len();
        (n_listed == 2).then_some(())
    };
    recado_testkit::wait_for("the next look", Duration::from_secs(10), both).await.unwrap();
}

#[tokio::test]
async fn while_somebody_else_looks_the_others_are_told_that_it_is_so() {
    let server = Server::start().await;
    let id = bury(&server, server.ours, 1).await;
    let path = format!("/api/dead-letters/{id}");
    let turn = hold_the_turn(&server).await;
    // Of a tenant's two, one waits for its turn and the other does not even begin to.
    let (one, other) = (pin!(server.get(&path)), pin!(server.get(&path)));
    let (refused, waits) = select(one, other).await.factor_first();
    assert_eq!((refused.status, refused.code()), (503, "dead_letters_busy"));
    assert!(refused.headers.contains_key("retry-after"));
    turn.close(200, "done".into()).await.unwrap();
    waits.await.data(200);
}

/// What somebody has who looks at dead letters, for as long as this is open.
async fn hold_the_turn(server: &Server) -> lapin::Connection {
    let connecting =
        lapin::Connection::connect(server.vhost.url(), ConnectionProperties::default());
    let connection = connecting.await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let name = "recado.dead-letters.turn".into();
    channel.queue_declare(name, exclusive, FieldTable::default()).await.unwrap();
    connection
}

#[tokio::test]
async fn what_is_not_ours_is_not_there_for_us() {
    let server = Server::start().await;
    let theirs = bury(&server, server.theirs, 1).await;
    let nobodys = put(&server, 2, "{\"message\": ").await;
    let both_json = json!({"messages": [{"tenant_id": server.ours}, {"tenant_id": server.theirs}]});
    let both = put(&server, 3, &both_json.to_string()).await;
    let ours = bury(&server, server.ours, 4).await;

    let list = listed(&server, "").await;
    let shown: Vec<_> = list["data"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(shown, [&json!(ours)]);
    for id in [theirs, nobodys, both, "no-id".to_owned()] {
        let path = format!("/api/dead-letters/{id}");
        let redrive = format!("{path}/redrive");
        for (method, path) in [("GET", &path), ("DELETE", &path), ("POST", &redrive)] {
            let answer = server.call_as((server.ours, Role::Owner), method, path, None).await;
            assert_eq!((answer.status, answer.code()), (404, "dead_letter_not_found"), "{method}");
        }
    }
    let them = (server.theirs, Role::Owner);
    let list = server.call_as(them, "GET", "/api/dead-letters", None).await;
    assert_eq!(list.data(200).as_array().unwrap().len(), 1, "it is still there: {list:?}");
}

#[tokio::test]
async fn without_the_broker_everything_else_works() {
    // Nobody listens there, and yet it has started: it was ready.
    let server = Server::start_with_broker(Some("amqp://127.0.0.1:1")).await;
    let agent = server.agent().await;
    let id = "01930000-0000-7000-8000-000000000000";
    let path = format!("/api/dead-letters/{id}");
    let redrive = format!("{path}/redrive");
    let operations =
        [("GET", "/api/dead-letters"), ("GET", &path), ("DELETE", &path), ("POST", &redrive)];
    for (method, path) in operations {
        let answer = server.call_as((server.ours, Role::Owner), method, path, None).await;
        assert_eq!((answer.status, answer.code()), (503, "broker_unavailable"), "{method} {path}");
        assert!(answer.headers.contains_key("retry-after"));
        assert!(!answer.text.contains("127.0.0.1"), "{}", answer.text);
    }
    assert_eq!(server.get(&format!("/api/agents/{agent}")).await.status, 200);
}
