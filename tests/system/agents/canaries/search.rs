//! Where a canary may be found, and in which forms.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use recado_testkit::app::TestApp;
use recado_testkit::sql;
use serde_json::json;

/// The forms in which a value may be found, whatever stands around it.
pub(super) fn forms(value: &str) -> Vec<String> {
    let mut forms = vec![value.to_owned(), url_encoded(value), hex::encode(value)];
    forms.push(json!(value).to_string().trim_matches('"').to_owned());
    for n_before in 0..3 {
        let form = in_base64(value, n_before);
        forms.push(form.replace('+', "-").replace('/', "_"));
        forms.push(form);
    }
    // The half after the colon is the secret one.
    forms.extend(value.split_once(':').map(|(_, password)| password.to_owned()));
    forms
}

/// The part of a longer text's Base64 that depends on `value` alone, when so many bytes are before
/// it (but for multiples of 3).
fn in_base64(value: &str, n_before: usize) -> String {
    let text = BASE64.encode([&"\0".repeat(n_before), value].concat());
    let begin = (n_before * 8).div_ceil(6);
    let end = (n_before + value.len()) * 8 / 6;
    text[begin..end].to_owned()
}

pub(super) fn url_encoded(value: &str) -> String {
    value.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

/// Panics if a canary is in `text`, in any form.
pub(super) fn assert_silent<'c>(
    place: &str,
    text: &str,
    canaries: impl IntoIterator<Item = &'c str>,
) {
    let lower = text.to_lowercase();
    for canary in canaries {
        for form in forms(canary) {
            if let Some(at) = lower.find(&form.to_lowercase()) {
                let from = lower.floor_char_boundary(at.saturating_sub(300));
                let to = lower.ceil_char_boundary((at + form.len() + 100).min(lower.len()));
                panic!("{canary} is in {place}: {}", &lower[from..to]);
            }
        }
    }
}

/// All rows of all tables as text; bytes are in hex.
pub(super) async fn dump(app: &TestApp) -> anyhow::Result<Vec<(String, String)>> {
    sql::connected(&app.database_url(), async |client| {
        let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
        let mut dumped = Vec::new();
        for table in client.query(tables, &[]).await? {
            let table: String = table.try_get(0)?;
            let rows = format!("SELECT coalesce(string_agg(t::text, chr(10)), '') FROM {table} t");
            dumped.push((table, client.query_one(&rows, &[]).await?.try_get(0)?));
        }
        anyhow::Ok(dumped)
    })
    .await
}
