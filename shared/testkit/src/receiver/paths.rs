//! Scripts by path.

use std::time::Duration;

use serde_json::json;

use super::Script;
use crate::stub::{Reply, Request};

/// What happens to `request`: the table of [`super::Receiver::by_path`].
pub(super) fn script_of(request: &Request) -> Script {
    const HEADER: &str = "x-more: of the same\r\n";
    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    match request.path.as_str() {
        "/hang" => Script::hang(),
        "/close" => Script::close(),
        "/reset" => Script::reset(),
        "/half" => Script::ok_of(100).then_send("half").then_close(),
        "/drip" => Script::drip(Duration::from_secs(1)),
        "/flood" => Script::flood(),
        "/headers" => Script::send("HTTP/1.1 200 OK\r\n").then_repeat(HEADER, Duration::ZERO),
        // Reading these is more work than writing them, and other tests run on this machine.
        "/continue" => Script::default().then_repeat(CONTINUE, Duration::from_millis(1)),
        "/junk" => Script::send("\0\x01 this is no HTTP \u{fffd}\r\n\r\n").then_close(),
        path => match path.strip_prefix("/status/").and_then(|status| status.parse().ok()) {
            Some(status) => Script::answer(&with_headers(status, &request.query)),
            None => Script::answer(&Reply::json(200, &json!({"received": true}))),
        },
    }
}

fn with_headers(status: u16, query: &str) -> Reply {
    let fields = url::form_urlencoded::parse(query.as_bytes());
    fields.fold(Reply::text(status, ""), |reply, (name, value)| reply.with_header(&name, &value))
}
