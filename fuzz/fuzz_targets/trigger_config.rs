//! Configurations: any JSON is refused with reasons or is a trigger, which lets no stranger in and
//! makes bounded messages of whatever payload.
//!
//! Input: two JSON texts after each other, a `trigger_config` and a payload. Anything else says how
//! to change one of the seeds.

#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use recado_fuzz::request::NOW;
use recado_fuzz::{STACK, holds_nul, json, on_a_stack_of, secret_for};
use recado_intake::fuzzing::{Request, Trigger};
use recado_types::trigger::TriggerConfig;
use serde_json::Value;

const SEEDS: [&str; 6] = [
    include_str!("../seeds/trigger_config/erp"),
    include_str!("../seeds/trigger_config/generic"),
    include_str!("../seeds/trigger_config/generic_body"),
    include_str!("../seeds/trigger_config/generic_schema"),
    include_str!("../seeds/trigger_config/generic_transform"),
    include_str!("../seeds/trigger_config/twilio"),
];
/// The longest text that a message may have, and the largest context, which is counted roughly.
const MAX_TEXT: usize = 1 << 20;
const MAX_CONTEXT: usize = 2 * 256 * 1024;

fuzz_target!(|data: &[u8]| on_a_stack_of(STACK, data, || check(data)));

fn check(data: &[u8]) {
    let (config, payload) = two_values(data).unwrap_or_else(|| changed_seed(data));
    // Neither is ever met: the database has no U+0000, and ingress refuses it in a body.
    if holds_nul(&config) || holds_nul(&payload) {
        return;
    }
    let parsed = TriggerConfig::parse(&config);
    let config = match parsed {
        Err(problems) => {
            assert!((1..=64).contains(&problems.len()));
            for problem in problems {
                assert!(problem.path.starts_with("trigger_config"), "{problem:?}");
                assert!(!problem.reason.is_empty(), "{problem:?}");
            }
            return;
        }
        Ok(parsed) => parsed,
    };
    for (path, name) in config.secret_refs() {
        assert!(path.starts_with("trigger_config.") && !name.is_empty());
    }
    let trigger = Trigger::new(config, &secret_for(data));
    let headers = [("Content-Type", "application/json"), ("X-Signature", "00"), ("X-Token", "0")];
    let body = payload.to_string();
    let request = Request::new("/?signature=00", &headers, body.as_bytes(), NOW);
    assert!(!trigger.is_authentic(&request));
    let messages = trigger.messages(&request, payload.clone());
    assert_eq!(messages, trigger.messages(&request, payload));
    for message in messages.into_iter().flatten().flatten() {
        assert!(!message.text.trim().is_empty() && message.text.len() <= MAX_TEXT);
        let context = Value::Object(message.context);
        assert!(!message.text.contains('\0') && !holds_nul(&context));
        assert!(context.to_string().len() <= MAX_CONTEXT);
    }
}

fn two_values(data: &[u8]) -> Option<(Value, Value)> {
    let mut values = serde_json::Deserializer::from_slice(data).into_iter::<Value>();
    let config = values.next()?.ok().filter(Value::is_object)?;
    Some((config, values.next()?.ok()?))
}

fn changed_seed(data: &[u8]) -> (Value, Value) {
    let mut bytes = Unstructured::new(data);
    let seed = SEEDS[bytes.choose_index(SEEDS.len()).unwrap_or_default()];
    let (config, payload) = two_values(seed.as_bytes()).expect("a seed holds two values");
    let config = json::changed(config, &mut bytes);
    (config, json::changed(payload, &mut bytes))
}
