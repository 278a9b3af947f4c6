//! Bodies of POST and PATCH, judged as a whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use recado_http::ApiError;
use recado_store::event_endpoints::{EventEndpoint, EventEndpointDraft};
use recado_types::address;
use recado_types::event_type::EVENT_TYPES;
use recado_types::shape::{ObjectReader, Problems};
use serde_json::Value;

use crate::failure::invalid;

/// The longest name, in characters.
pub(super) const MAX_NAME: usize = 128;
/// The longest address, in characters: as long as that of a callback.
pub(super) const MAX_URL: usize = 2_048;
/// The longest secret, in characters: `whsec_` and 64 bytes in base64 are fewer.
pub(super) const MAX_SECRET: usize = 128;
/// What Standard Webhooks says a secret has, in bytes.
pub(super) const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What an event endpoint is besides what can be given.
const READ_ONLY: [&str; 8] = [
    "id",
    "disabled_code",
    "disabled_message",
    "disabled_at",
    "failing_since",
    "previous_secret_expires_at",
    "created_at",
    "updated_at",
];

/// A new event endpoint, and its secret if one is given.
pub(super) fn read_new(body: &Value) -> Result<(EventEndpointDraft, Option<String>), ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        fields.required("name");
        let name = read_name(&mut fields);
        fields.required("url");
        let url = read_url(&mut fields);
        let agent_id = fields.parsed("agent_id");
        let event_types = read_event_types(&mut fields).unwrap_or_default();
        let enabled = fields.boolean("enabled");
        let secret = read_secret(&mut fields);
        fields.read_only(&READ_ONLY);
        fields.done();
        let (name, url) = (name?, url?);
        Some((EventEndpointDraft { agent_id, name, url, event_types, enabled }, secret))
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("what is missing is a problem"))
}

/// An event endpoint with what a patch says of it. What it does not say of `enabled` is left as it
/// is then, which may not be as it was read.
pub(super) fn patched(
    current: EventEndpoint,
    body: &Value,
) -> Result<EventEndpointDraft, ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).map(|mut fields| {
        for kept in ["name", "url", "enabled"] {
            if fields.is_null(kept) {
                fields.refuse(kept, "cannot be taken away");
            }
        }
        let name = read_name(&mut fields).unwrap_or(current.name);
        let url = read_url(&mut fields).unwrap_or(current.url);
        let for_all = fields.is_null("agent_id");
        let agent_id = fields.parsed("agent_id").or(current.agent_id.filter(|_| !for_all));
        let all = fields.is_null("event_types").then(Vec::new);
        let event_types = read_event_types(&mut fields).or(all).unwrap_or(current.event_types);
        let enabled = fields.boolean("enabled");
        if fields.any("secret").is_some() {
            fields.refuse("secret", "is changed by rotate-secret");
        }
        fields.read_only(&READ_ONLY);
        fields.done();
        EventEndpointDraft { agent_id, name, url, event_types, enabled }
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("anything but an object is a problem"))
}

fn read_name(fields: &mut ObjectReader<'_>) -> Option<String> {
    fields.name("name", MAX_NAME).map(str::to_owned)
}

/// Where it leads is judged when something is sent there.
fn read_url(fields: &mut ObjectReader<'_>) -> Option<String> {
    const KEY: &str = "url";
    let text = fields.string(KEY, 1..=MAX_URL)?;
    fields.accept(KEY, address::parse(text))?;
    Some(text.to_owned())
}

fn read_event_types(fields: &mut ObjectReader<'_>) -> Option<Vec<String>> {
    const KEY: &str = "event_types";
    let given = fields.strings(KEY, 0..=EVENT_TYPES.len(), MAX_NAME)?;
    for (index, word) in given.iter().enumerate() {
        if !EVENT_TYPES.contains(word) {
            let reason = format!("must be one of: {}", EVENT_TYPES.join(", "));
            fields.refuse(&format!("{KEY}[{index}]"), reason);
        } else if given[..index].contains(word) {
            fields.refuse(&format!("{KEY}[{index}]"), "is named twice");
        }
    }
    Some(given.into_iter().map(str::to_owned).collect())
}

/// A secret of the caller's: `whsec_` and 24 to 64 bytes in base64. The reason does not repeat it.
pub(super) fn read_secret(fields: &mut ObjectReader<'_>) -> Option<String> {
    const KEY: &str = "secret";
    let text = fields.string(KEY, 1..=MAX_SECRET)?;
    let key = text.strip_prefix("whsec_").and_then(|encoded| BASE64.decode(encoded).ok());
    if key.is_none_or(|key| !SECRET_BYTES.contains(&key.len())) {
        let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
        fields.refuse(KEY, format!("must be `whsec_` and {least} to {most} bytes in base64"));
        return None;
    }
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    const AGENT: &str = "00000000-0000-0000-0000-000000000001";

    fn new() -> Value {
        json!({"name": "audit", "url": "https://hooks.example.com/recado"})
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = new();
        body[field] = value;
        body
    }

    fn endpoint() -> EventEndpoint {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        EventEndpoint {
            id: AGENT.parse().unwrap(),
            agent_id: Some(AGENT.parse().unwrap()),
            name: "audit".into(),
            url: "https://hooks.example.com/".into(),
            event_types: vec!["error".into()],
            enabled: false,
            disabled_code: Some("gone".into()),
            disabled_message: None,
            disabled_at: Some(now),
            failing_since: Some(now),
            previous_secret_expires_at: None,
            created_at: now,
            updated_at: now,
        }
    }

    #[test]
    fn a_name_and_an_address_are_enough() {
        let (draft, secret) = read_new(&new()).unwrap();
        assert_eq!((draft.agent_id, draft.enabled, secret), (None, None, None));
        assert!(draft.event_types.is_empty());
        for word in EVENT_TYPES {
            assert!(read_new(&with("event_types", json!([word]))).is_ok(), "{word}");
        }
    }

    #[test]
    fn secrets_have_24_to_64_bytes() {
        for n_bytes in [24, 32, 64] {
            let secret = format!("whsec_{}", BASE64.encode(vec![7; n_bytes]));
            let read = read_new(&with("secret", json!(secret))).unwrap();
            assert_eq!(read.1, Some(secret));
        }
        for bad in [
            format!("whsec_{}", BASE64.encode([7; 23])),
            format!("whsec_{}", BASE64.encode([7; 65])),
            BASE64.encode([7; 32]),
            "whsec_".into(),
            "whsec_!".into(),
        ] {
            let error = read_new(&with("secret", json!(bad))).unwrap_err();
            assert!(error.message().starts_with("secret: must be"), "{bad}");
        }
    }

    #[test]
    fn every_mistake_is_refused() {
        for bad in [
            json!({}),
            json!([]),
            with("name", json!("")),
            with("name", json!("a".repeat(129))),
            with("url", json!("ftp://x.example.com")),
            with("url", json!("https://ana:secret@x.example.com")),
            with("url", json!("/relative")),
            with("url", json!("https:x.example.com")),
            with("url", json!("https://x.example.com/\r\n")),
            with("url", json!("https://x.example.com/{{name}}")),
            with("url", json!(" https://x.example.com")),
            with("agent_id", json!("x")),
            with("event_types", json!(["tool_called", "tool_called"])),
            with("event_types", json!(["no_such"])),
            with("event_types", json!("error")),
            with("enabled", json!("yes")),
            with("disabled_at", json!(null)),
            with("x", json!(1)),
        ] {
            assert!(read_new(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_patch_keeps_what_it_does_not_name() {
        let same = patched(endpoint(), &json!({})).unwrap();
        assert_eq!(same.agent_id, endpoint().agent_id);
        assert_eq!((same.event_types, same.enabled), (vec!["error".to_owned()], None));
        let reset = json!({"agent_id": null, "event_types": null, "enabled": true});
        let reset = patched(endpoint(), &reset).unwrap();
        assert_eq!((reset.agent_id, reset.event_types.len(), reset.enabled), (None, 0, Some(true)));
        for bad in [
            json!({"name": null}),
            json!({"url": null}),
            json!({"enabled": null}),
            json!({"secret": "whsec_x"}),
            json!({"id": AGENT}),
            json!(1),
        ] {
            assert!(patched(endpoint(), &bad).is_err(), "{bad}");
        }
    }
}
