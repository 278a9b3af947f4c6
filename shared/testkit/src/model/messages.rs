//! `POST /v1/messages`, as Anthropic's API has it, whole or as a stream.

use serde_json::{Value, json};

use super::chat::{Chat, Message, ToolCall, Turn, Usage, event, pieces};
use crate::stub::Reply;

/// Reads a request into the words of chat completions; `None` if the real API would refuse it.
pub(super) fn chat(body: &Value) -> Option<Chat> {
    body["max_tokens"].as_u64()?;
    let mut messages = Vec::new();
    if let Some(system) = texts(&body["system"]) {
        messages.push(message("system", Some(system)));
    }
    let said = body["messages"].as_array()?;
    let roles: Vec<&str> = said.iter().filter_map(|message| message["role"].as_str()).collect();
    let alternate = roles.windows(2).all(|pair| pair[0] != pair[1]);
    if roles.len() != said.len() || roles.first() != Some(&"user") || !alternate {
        return None;
    }
    for (role, said) in roles.iter().zip(said) {
        read_message(role, &said["content"], &mut messages)?;
    }
    Some(Chat {
        model: body["model"].as_str()?.to_owned(),
        messages,
        tools: body.get("tools").cloned(),
        tool_choice: body.get("tool_choice").cloned(),
        stream: body["stream"] == true,
        stream_options: None,
    })
}

fn message(role: &str, content: Option<String>) -> Message {
    Message { role: role.to_owned(), content, ..Message::default() }
}

fn read_message(role: &str, content: &Value, messages: &mut Vec<Message>) -> Option<()> {
    let mut said = message(role, texts(content));
    for block in content.as_array().into_iter().flatten() {
        match block["type"].as_str()? {
            "text" if block["text"] != "" => {}
            "tool_use" => said.tool_calls.push(ToolCall {
                id: block["id"].as_str()?.to_owned(),
                name: block["name"].as_str()?.to_owned(),
                arguments: Value::Object(block["input"].as_object()?.clone()).to_string(),
            }),
            "tool_result" => messages.push(Message {
                tool_call_id: Some(block["tool_use_id"].as_str()?.to_owned()),
                ..message("tool", texts(&block["content"]))
            }),
            _ => return None,
        }
    }
    if said.content.is_some() || !said.tool_calls.is_empty() {
        messages.push(said);
    }
    Some(())
}

/// A string, or the text blocks of an array.
fn texts(content: &Value) -> Option<String> {
    if let Value::String(text) = content {
        return Some(text.clone());
    }
    let texts = content.as_array()?.iter().filter_map(|block| block["text"].as_str());
    Some(texts.collect::<String>()).filter(|text| !text.is_empty())
}

pub(super) fn reply(chat: &Chat, turn: &Turn, usage: Usage) -> Reply {
    if chat.stream {
        Reply::new(200, "text/event-stream; charset=utf-8", stream(chat, turn, usage))
    } else {
        Reply::json(200, &whole(chat, turn, usage))
    }
}

fn whole(chat: &Chat, turn: &Turn, usage: Usage) -> Value {
    let text = (!turn.text.is_empty()).then(|| json!({"type": "text", "text": turn.text}));
    let calls = turn.tool_calls.iter().map(|call| {
        let input: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
        json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input})
    });
    let mut message = empty(chat, usage);
    message["content"] = text.into_iter().chain(calls).collect();
    message["stop_reason"] = json!(stop_reason(turn));
    message["usage"]["output_tokens"] = json!(usage.completion_tokens);
    message
}

fn stream(chat: &Chat, turn: &Turn, usage: Usage) -> String {
    let mut events = vec![json!({"type": "message_start", "message": empty(chat, usage)})];
    events.push(json!({"type": "ping"}));
    let mut index = 0;
    let mut block = |start: Value, deltas: Vec<Value>| {
        events.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
        events.extend(
            deltas.into_iter().map(
                |delta| json!({"type": "content_block_delta", "index": index, "delta": delta}),
            ),
        );
        events.push(json!({"type": "content_block_stop", "index": index}));
        index += 1;
    };
    if !turn.text.is_empty() {
        let deltas = pieces(&turn.text);
        let deltas = deltas.iter().map(|piece| json!({"type": "text_delta", "text": piece}));
        block(json!({"type": "text", "text": ""}), deltas.collect());
    }
    for call in &turn.tool_calls {
        let start = json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}});
        let deltas = pieces(&call.arguments);
        let deltas =
            deltas.iter().map(|piece| json!({"type": "input_json_delta", "partial_json": piece}));
        block(start, deltas.collect());
    }
    events.push(json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason(turn), "stop_sequence": null},
        "usage": {"output_tokens": usage.completion_tokens},
    }));
    events.push(json!({"type": "message_stop"}));
    events.iter().map(|data| event(data["type"].as_str(), data)).collect()
}

fn empty(chat: &Chat, usage: Usage) -> Value {
    json!({
        "id": format!("msg_{}", uuid::Uuid::new_v4().simple()),
        "type": "message", "role": "assistant", "model": chat.model,
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {
            "input_tokens": usage.prompt_tokens, "output_tokens": 1,
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        },
    })
}

fn stop_reason(turn: &Turn) -> &'static str {
    if turn.tool_calls.is_empty() { "end_turn" } else { "tool_use" }
}
