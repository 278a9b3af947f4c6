//! What is served: the document, the page, and the operations as they are documented.

use std::collections::BTreeSet;

use super::{METHODS, PUBLIC_URL, document, operations};
use crate::server::Server;

const NOBODY: &str = "01930000-0000-7000-8000-000000000000";

/// A path that is well-formed, whatever is in braces.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{version}" => "1",
        part if part.starts_with('{') => NOBODY,
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn the_server_has_the_operations_of_its_document_and_no_others() {
    let server = Server::start().await;
    let answer = server.send("GET", "/openapi.json", &[], None).await;
    assert_eq!((answer.status, &answer.body), (200, &document(PUBLIC_URL)));
    let items = answer.body["paths"].as_object().unwrap().iter();
    let ours = items.filter(|(_, item)| item.get("servers").is_none());
    for (path, item) in ours {
        let documented = METHODS.into_iter().filter(|method| item.get(*method).is_some());
        let documented: BTreeSet<&str> = documented.collect();
        for method in METHODS {
            let answer = server.send(&method.to_uppercase(), &filled(path), &[], None).await;
            if documented.contains(method) {
                assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
            } else {
                assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
                let allowed = answer.headers["allow"].to_str().unwrap().to_lowercase();
                let allowed: BTreeSet<&str> = allowed.split(", ").collect();
                let head = documented.contains("get").then_some("head");
                let expected: BTreeSet<&str> = documented.iter().copied().chain(head).collect();
                assert_eq!(allowed, expected, "{method} {path}");
            }
        }
    }
    the_document_is_sent_once(&server, answer.headers["etag"].to_str().unwrap()).await;
    the_page_needs_nobody_else(&server).await;
}

async fn the_document_is_sent_once(server: &Server, tag: &str) {
    for (known, status) in [(tag, 304), ("\"x\", W/\"y\"", 200), ("*", 304)] {
        let answer = server.send("GET", "/openapi.json", &[("if-none-match", known)], None).await;
        assert_eq!((answer.status, answer.text.is_empty()), (status, status == 304), "{known}");
        assert_eq!(answer.headers["etag"], tag);
    }
    for method in ["POST", "DELETE", "OPTIONS"] {
        let answer = server.send(method, "/openapi.json", &[], None).await;
        assert_eq!((answer.status, answer.code()), (405, "method_not_allowed"), "{method}");
        assert_eq!(answer.headers["allow"], "GET, HEAD");
    }
}

async fn the_page_needs_nobody_else(server: &Server) {
    let page = server.send("GET", "/docs", &[], None).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("//"), "{policy}");
    assert!(!page.text.contains("//"), "the page names another address");

    let quoted = page.text.split('"').filter(|text| text.starts_with("docs/"));
    let parts: Vec<&str> = quoted.collect();
    assert_eq!(parts.len(), 4);
    for part in parts {
        let answer = server.send("GET", &format!("/{part}"), &[], None).await;
        assert_eq!(answer.status, 200, "{part}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        let kind = if part.contains("css") { "text/css" } else { "text/javascript" };
        assert_eq!(answer.headers["content-type"].to_str().unwrap(), kind);
    }
    let other = server.send("GET", "/docs/../openapi.json", &[], None).await;
    assert_eq!(other.status, 200, "the client resolves it");
    for nothing in ["/docs/", "/docs/x", "/docs/%2e%2e", "/docs/swagger-ui.js"] {
        let answer = server.send("GET", nothing, &[], None).await;
        assert_eq!((answer.status, answer.code()), (404, "not_found"), "{nothing}");
    }
}

#[test]
fn what_ingress_serves_says_where() {
    let document = document(PUBLIC_URL);
    let tagged = operations(&document)
        .filter(|(_, _, operation)| operation["tags"][0] == "Ingress (another address)");
    let paths: BTreeSet<&str> = tagged.map(|(_, path, _)| path).collect();
    assert_eq!(paths.len(), 3);
    let url = |path: &&str| document["paths"][*path]["servers"][0]["url"].clone();
    assert!(paths.iter().all(|path| url(path) == PUBLIC_URL));
}
