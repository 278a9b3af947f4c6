//! Nobody changes what they have not seen: `ETag` and `If-Match`.

use recado_http::auth::Role;
use serde_json::{Value, json};

use crate::server::{Answer, Server};

/// A kind of resource: where it is made, with what, and a change of it that changes something
/// every time.
struct Kind {
    path: &'static str,
    new: Value,
    method: &'static str,
    change: fn(usize) -> Value,
}

fn kinds() -> [Kind; 8] {
    let http = json!({"url": "https://api.example.com"});
    [
        Kind {
            path: "/api/agents",
            new: json!({"name": "a", "model": "builtin.echo", "system_prompt": ""}),
            method: "PATCH",
            change: |n| json!({"name": format!("a{n}")}),
        },
        Kind {
            path: "/api/tools",
            new: json!({"name": "t", "kind": "http", "config": http}),
            method: "PATCH",
            change: |n| json!({"name": format!("t{n}")}),
        },
        Kind {
            path: "/api/providers",
            new: json!({"name": "p", "kind": "anthropic", "base_url": "https://api.example.com"}),
            method: "PATCH",
            change: |n| json!({"base_url": format!("https://api{n}.example.com")}),
        },
        Kind {
            path: "/api/secrets",
            new: json!({"name": "S", "value": "v"}),
            method: "PUT",
            change: |n| json!({"value": format!("v{n}")}),
        },
        Kind {
            path: "/api/projects",
            new: json!({"name": "p"}),
            method: "PATCH",
            change: |n| json!({"name": format!("p{n}")}),
        },
        Kind {
            path: "/api/members",
            new: json!({"name": "Ana", "external_id": "E-7"}),
            method: "PATCH",
            change: |n| json!({"name": format!("Ana {n}")}),
        },
        Kind {
            path: "/api/apps",
            new: json!({"name": "a"}),
            method: "PATCH",
            change: |n| json!({"name": format!("a{n}")}),
        },
        Kind {
            path: "/api/event-endpoints",
            new: json!({"name": "e", "url": "https://hooks.example.com"}),
            method: "PATCH",
            change: |n| json!({"name": format!("e{n}")}),
        },
    ]
}

async fn matching(
    server: &Server,
    method: &str,
    path: &str,
    tag: &str,
    n: Option<Value>,
) -> Answer {
    let bearer = format!("Bearer {}", server.token(server.ours, Role::Owner));
    let headers = [("authorization", bearer.as_str()), ("if-match", tag)];
    server.send(method, path, &headers, n.as_ref()).await
}

fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_neither_changed_nor_deleted() {
    let server = Server::start().await;
    for Kind { path, new, method, change } in kinds() {
        let made = server.post(path, &new).await;
        made.data(201);
        let path = made.headers["location"].to_str().unwrap().to_owned();
        let first = tag(&made);
        assert_eq!(tag(&server.get(&path).await), first, "{path}");

        let changed = matching(&server, method, &path, &first, Some(change(1))).await;
        changed.data(200);
        let second = tag(&changed);
        assert_ne!(second, first, "{path}");
        assert_eq!(tag(&server.get(&path).await), second, "{path}");

        let late = matching(&server, method, &path, &first, Some(change(2))).await;
        assert_eq!((late.status, late.code()), (412, "precondition_failed"), "{path}");
        let late = matching(&server, "DELETE", &path, &first, None).await;
        assert_eq!((late.status, late.code()), (412, "precondition_failed"), "{path}");
        assert_eq!(tag(&server.get(&path).await), second, "{path}");
        let unquoted = matching(&server, method, &path, "7", Some(change(2))).await;
        assert_eq!(unquoted.paths(), ["If-Match"]);

        let any = matching(&server, method, &path, "*", Some(change(3))).await;
        any.data(200);
        let either = format!("{second}, {}", tag(&any));
        let deleted = matching(&server, "DELETE", &path, &either, None).await;
        assert_eq!(deleted.body, json!({"success": true}), "{path}: {deleted:?}");
        assert_eq!(server.get(&path).await.status, 404, "{path}");
        let gone = matching(&server, "DELETE", &path, "*", None).await;
        assert_eq!(gone.status, 404, "{path}: {gone:?}");
    }
}

#[tokio::test]
async fn a_change_that_changes_nothing_makes_no_version() {
    let server = Server::start().await;
    let path = format!("/api/agents/{}", server.agent().await);
    let before = tag(&server.get(&path).await);
    assert_eq!(tag(&server.patch(&path, &json!({})).await), before);
    assert_eq!(before, "\"1\"", "it is the version");
}
