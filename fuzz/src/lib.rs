//! What the fuzz targets have in common.

pub mod json;
pub mod request;

#[path = "../../shared/testkit/src/providers.rs"]
pub mod providers;
#[path = "../../shared/testkit/src/twilio/signature.rs"]
pub mod twilio;

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::Path;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The stack of the threads that a request runs on.
pub const STACK: usize = 2 << 20;

/// Runs `check` of `input` on a thread with a stack of `bytes`: the main thread's would hide an
/// overflow. That ends the process before libFuzzer can save the input, so it is in
/// `artifacts/last-input` beforehand.
pub fn on_a_stack_of(bytes: usize, input: &[u8], check: impl FnOnce() + Send) {
    remember(input).expect("artifacts/last-input can be written");
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(bytes).spawn_scoped(scope, check);
        // A panic in it has aborted the process already.
        let _ended = thread.expect("a thread starts").join();
    });
}

/// One file, written over and over: opening it each time would take longer than most inputs do.
fn remember(input: &[u8]) -> io::Result<()> {
    static LAST: LazyLock<io::Result<File>> = LazyLock::new(|| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts");
        fs::create_dir_all(&directory)?;
        File::create(directory.join("last-input"))
    });
    let mut file = LAST.as_ref().map_err(|error| io::Error::from(error.kind()))?;
    file.rewind()?;
    file.write_all(input)?;
    file.set_len(input.len() as u64)
}

/// A key that an input cannot hold a signature of, since it changes with every bit of the input.
pub fn key_for(input: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix("a key that nobody knows").chain_update(input).finalize().into()
}

/// [`key_for`] in base64.
pub fn secret_for(input: &[u8]) -> String {
    STANDARD.encode(key_for(input))
}

/// Whether there is a U+0000 anywhere in `value`.
pub fn holds_nul(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value))
        }
    }
}

/// How deep arrays and objects nest in `value`; 0 for anything else.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// How many fields all objects in `value` have together.
pub fn fields(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(fields).sum(),
        Value::Object(object) => object.len() + object.values().map(fields).sum::<usize>(),
        _ => 0,
    }
}

/// Whether `part` is somewhere in `value`.
pub fn contains(value: &Value, part: &Value) -> bool {
    value == part
        || match value {
            Value::Array(items) => items.iter().any(|item| contains(item, part)),
            Value::Object(object) => object.values().any(|field| contains(field, part)),
            _ => false,
        }
}
