//! Tools and a model that tell everything that they were told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use recado_testkit::model::{Chat, Turn};
use recado_testkit::stub::{Reply, Request, Stub};
use serde_json::{Value, json};

use crate::agents::{posting, with};

/// An MCP server that tells whoever asks how it was asked, in its answers and in the descriptions of
/// its tools.
pub(super) fn telltale(request: &Request) -> Reply {
    let Some(message) = request.json() else { return Reply::text(405, "") };
    if message["id"].is_null() {
        return Reply::text(202, "");
    }
    let told = json!(request.headers).to_string();
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "telltale", "version": "1"},
        }),
        "tools/list" => json!({"tools": [{
            "name": "tell", "description": told, "inputSchema": {"type": "object"},
        }]}),
        _ => json!({"content": [{"type": "text", "text": told}]}),
    };
    Reply::json(200, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}))
}

/// The tools, each of which is sent some of what it must not tell.
pub(super) fn echoes(tool: &Stub) -> Vec<(&'static str, Value)> {
    let open = json!({"type": "object"});
    let hidden = json!({
        "headers": {"X-Host": "${context.host}", "X-Token": "${context.token}"},
        "query": {
            "sid": "${context._sid}", "token": "${context.token}",
            "customer": "${context.customer}",
        },
        "defaults_from_context": {"body.secret": "token"},
    });
    let key_in = |place: &str| json!({"type": "api_key", "secret_ref": "API_KEY", "name": "key", "in": place});
    let auths = [
        ("bearer", json!({"type": "bearer", "secret_ref": "BEARER"})),
        ("basic", json!({"type": "basic", "secret_ref": "BASIC"})),
        ("header_key", key_in("header")),
        ("query_key", key_in("query")),
    ];
    let made = |(name, auth): (&'static str, Value)| {
        (name, posting(tool, "/echo", &open, &with(hidden.clone(), &json!({"auth": auth}))))
    };
    let mut tools: Vec<_> = auths.into_iter().map(made).collect();
    let failing =
        with(hidden.clone(), &json!({"auth": {"type": "bearer", "secret_ref": "BEARER"}}));
    tools.push(("failing", posting(tool, "/fail", &open, &failing)));
    tools
}

/// Tells everything that it was told, in all the ways that it can think of.
pub(super) fn echo(request: &Request) -> Reply {
    let told = json!({
        "query": request.query, "headers": request.headers, "body": request.text(),
        "in_base64": BASE64.encode(request.text()),
        "as_a_text": json!(request.headers).to_string(),
        "reversed_case": request.text().to_uppercase(),
    });
    Reply::json(if request.path == "/fail" { 500 } else { 200 }, &told)
}

/// Calls every tool that there is, then one that there is not, and says all that it was told.
pub(super) fn chatter(chat: &Chat) -> Turn {
    let tools = chat.tools.as_ref().and_then(Value::as_array).into_iter().flatten();
    let names = tools.filter_map(|tool| tool["function"]["name"].as_str());
    match chat.turn() {
        0 => {
            let said = json!({"said": chat.input()});
            names.fold(Turn::default(), |turn, name| turn.and_call(name, &said))
        }
        1 => Turn::call("nobody", &json!({"said": chat.results()})),
        _ => {
            let told = chat.messages.iter().filter_map(|message| message.content.as_deref());
            Turn::say(told.collect::<Vec<_>>().join("\n"))
        }
    }
}
