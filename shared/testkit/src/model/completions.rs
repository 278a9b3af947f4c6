//! `POST /v1/chat/completions`, whole or as a stream.

use serde_json::{Value, json};

use super::chat::{Chat, ToolCall, Turn, Usage, event, pieces};
use crate::stub::Reply;

pub(super) fn reply(chat: &Chat, turn: &Turn, usage: Usage) -> Reply {
    if chat.stream {
        Reply::new(200, "text/event-stream; charset=utf-8", stream(chat, turn, usage))
    } else {
        Reply::json(200, &completion(chat, turn, usage))
    }
}

fn completion(chat: &Chat, turn: &Turn, usage: Usage) -> Value {
    let mut message = json!({"role": "assistant", "content": turn.text, "refusal": null});
    if !turn.tool_calls.is_empty() {
        message["content"] = content(turn);
        message["tool_calls"] = turn.tool_calls.iter().map(tool_call).collect();
    }
    json!({
        "id": format!("chatcmpl-{}", uuid::Uuid::new_v4().simple()),
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": chat.model,
        "choices": [{
            "index": 0,
            "message": message,
            "logprobs": null,
            "finish_reason": finish_reason(turn),
        }],
        "usage": counted(usage),
    })
}

fn stream(chat: &Chat, turn: &Turn, usage: Usage) -> String {
    let id = format!("chatcmpl-{}", uuid::Uuid::new_v4().simple());
    let mut text = String::new();
    let mut chunk = |choices: Value, usage: Value| {
        text.push_str(&event(
            None,
            &json!({
                "id": id, "object": "chat.completion.chunk", "created": 1_760_000_000,
                "model": chat.model, "choices": choices, "usage": usage,
            }),
        ));
    };
    let nothing_yet = if turn.tool_calls.is_empty() { json!("") } else { Value::Null };
    let mut deltas = vec![json!({"role": "assistant", "content": nothing_yet, "refusal": null})];
    deltas.extend(pieces(&turn.text).iter().map(|piece| json!({"content": piece})));
    for (index, call) in turn.tool_calls.iter().enumerate() {
        let mut begun = tool_call(call);
        begun["index"] = json!(index);
        begun["function"]["arguments"] = json!("");
        deltas.push(json!({"tool_calls": [begun]}));
        deltas.extend(pieces(&call.arguments).iter().map(
            |piece| json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}),
        ));
    }
    for delta in deltas {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": null});
        chunk(json!([choice]), Value::Null);
    }
    let end = json!({
        "index": 0, "delta": {}, "logprobs": null, "finish_reason": finish_reason(turn),
    });
    chunk(json!([end]), Value::Null);
    let options = chat.stream_options.as_ref();
    if options.is_some_and(|options| options["include_usage"] == true) {
        chunk(json!([]), counted(usage));
    }
    text + "data: [DONE]\n\n"
}

fn tool_call(call: &ToolCall) -> Value {
    json!({
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    })
}

fn content(turn: &Turn) -> Value {
    if turn.text.is_empty() { Value::Null } else { json!(turn.text) }
}

fn finish_reason(turn: &Turn) -> &'static str {
    if turn.tool_calls.is_empty() { "stop" } else { "tool_calls" }
}

fn counted(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    })
}
