//! From a body to a provider that can be saved, or to all that is wrong with it.

use chrono::{DateTime, Utc};
use recado_http::ApiError;
use recado_store::providers::Provider;
use recado_types::ProviderId;
use recado_types::agent::ModelName;
use recado_types::provider::ProviderKind;
use recado_types::shape::{ObjectReader, Problems};
use serde_json::{Value, json};
use url::Url;

use crate::failure::invalid;
use crate::http::schema::{about, choice, entries, number, object, or, patch, secret_ref, text};

const MAX_NAME: usize = 64;
const MAX_URL: usize = 2_048;
const MAX_SECRET_NAME: usize = 128;
const MAX_PRICED_MODELS: usize = 200;
const MAX_MODEL_NAME: usize = 200;
/// No model costs more for a million tokens, in US dollars.
const MAX_PRICE: f64 = 1_000_000.0;

/// What a provider is besides what can be given.
const READ_ONLY: [&str; 3] = ["id", "created_at", "updated_at"];

/// What the body of a POST looks like.
pub(super) fn new_schema() -> Value {
    let mut name = text(1, MAX_NAME);
    name["pattern"] = "^[a-z0-9_-]*$".into();
    name["not"] = json!({ "const": ModelName::BUILTIN });
    let url =
        "What its paths are appended to: up to and without `/chat/completions` or `/messages`.";
    object(
        &["name", "kind", "base_url"],
        [
            ("name", about(name, "What models begin with: `openai` of `openai.gpt-4.1`.")),
            ("kind", choice(kinds())),
            ("base_url", about(text(1, MAX_URL), url)),
            ("secret_ref", secret_ref()),
            ("prices", or(prices_schema(), json!({}))),
        ],
    )
}

pub(super) fn new_example() -> Value {
    json!({
        "name": "openai",
        "kind": "openai_compatible",
        "base_url": "https://api.openai.com/v1",
        "secret_ref": "OPENAI_KEY",
        "prices": {
            "gpt-4.1": {
                "input_per_million_usd": 2.0,
                "output_per_million_usd": 8.0,
                "cached_input_per_million_usd": 0.5,
            },
        },
    })
}

/// What the body of a PATCH looks like.
pub(super) fn patch_schema() -> Value {
    patch(&new_schema(), &["base_url", "prices"], &["base_url", "secret_ref", "prices"])
}

pub(super) fn patch_example() -> Value {
    json!({ "secret_ref": "OPENAI_KEY_2" })
}

pub(super) fn kinds() -> Vec<&'static str> {
    ProviderKind::BY_NAME.iter().map(|(name, _)| *name).collect()
}

/// What a price table looks like.
pub(super) fn prices_schema() -> Value {
    let price = || number(0.0, MAX_PRICE);
    let of_model = object(
        &["input_per_million_usd", "output_per_million_usd"],
        [
            ("input_per_million_usd", price()),
            ("output_per_million_usd", price()),
            ("cached_input_per_million_usd", price()),
        ],
    );
    let mut prices = entries(&of_model, MAX_PRICED_MODELS);
    prices["propertyNames"] = text(1, MAX_MODEL_NAME);
    about(prices, "What a million tokens cost, by the name of the model.")
}

/// Of the body of a POST.
pub(super) fn read_new(
    body: &Value,
    id: ProviderId,
    now: DateTime<Utc>,
) -> Result<Provider, ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        let name = fields.required_string("name", 1..=MAX_NAME);
        if name.is_some_and(|name| !is_name(name)) {
            let expected = "may have small letters, digits, `_` and `-`, and is not `builtin`";
            fields.refuse("name", expected);
        }
        fields.required("kind");
        let kind = fields.choice("kind", &ProviderKind::BY_NAME);
        fields.required("base_url");
        let base_url = read_base_url(&mut fields);
        let secret_ref = fields.string("secret_ref", 1..=MAX_SECRET_NAME).map(str::to_owned);
        let prices = read_prices(&mut fields).unwrap_or_else(|| json!({}));
        fields.read_only(&READ_ONLY);
        fields.done();
        Some(Provider {
            id,
            name: name?.to_owned(),
            kind: kind?.as_str().to_owned(),
            base_url: base_url?,
            secret_ref,
            prices,
            created_at: now,
            updated_at: now,
        })
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("what is missing is a problem"))
}

/// Of the body of a PATCH, on top of what is there.
pub(super) fn patched(
    current: Provider,
    body: &Value,
    now: DateTime<Utc>,
) -> Result<Provider, ApiError> {
    let problems = Problems::default();
    let patched = ObjectReader::new(body, "", &problems).map(|mut fields| {
        for kept in ["base_url", "prices"] {
            if fields.is_null(kept) {
                fields.refuse(kept, "cannot be taken away");
            }
        }
        let base_url = read_base_url(&mut fields).unwrap_or(current.base_url);
        let removed = fields.is_null("secret_ref");
        let secret_ref = fields.string("secret_ref", 1..=MAX_SECRET_NAME).map(str::to_owned);
        let secret_ref = if removed { None } else { secret_ref.or(current.secret_ref) };
        let prices = read_prices(&mut fields).unwrap_or(current.prices);
        // Models are named after their provider: another name would cut the agents off.
        fields.read_only(&["name", "kind"]);
        fields.read_only(&READ_ONLY);
        fields.done();
        Provider { base_url, secret_ref, prices, updated_at: now, ..current }
    });
    problems.finish(()).map_err(invalid)?;
    Ok(patched.expect("anything but an object is a problem"))
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    name.chars().all(plain) && name != ModelName::BUILTIN
}

/// Without its last slash, so that a path can be appended.
fn read_base_url(fields: &mut ObjectReader<'_>) -> Option<String> {
    let text = fields.string("base_url", 1..=MAX_URL)?;
    let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"));
    let url = fields.accept("base_url", url)?;
    if !matches!(url.scheme(), "http" | "https") {
        fields.refuse("base_url", "must begin with https:// or http://");
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        fields.refuse("base_url", "must not hold a user name or password; use `secret_ref`");
        return None;
    }
    if url.query().is_some() || url.fragment().is_some() {
        fields.refuse("base_url", "must have no query and no fragment");
        return None;
    }
    Some(url.as_str().trim_end_matches('/').to_owned())
}

fn read_prices(fields: &mut ObjectReader<'_>) -> Option<Value> {
    let prices = fields.any("prices")?;
    for (model, price) in fields.entries("prices", MAX_PRICED_MODELS) {
        let shown: String = model.chars().take(64).collect();
        let path = fields.path_of(&format!("prices.{shown}"));
        if model.is_empty() || model.len() > MAX_MODEL_NAME {
            fields.problems().add(&path, "is no model's name");
        }
        let Some(mut price) = ObjectReader::new(price, &path, fields.problems()) else { continue };
        price.required("input_per_million_usd");
        price.required("output_per_million_usd");
        for amount in
            ["input_per_million_usd", "output_per_million_usd", "cached_input_per_million_usd"]
        {
            let is_price =
                |value: &Value| value.as_f64().is_some_and(|usd| (0.0..=MAX_PRICE).contains(&usd));
            if price.any(amount).is_some_and(|value| !is_price(value)) {
                price.refuse(amount, format!("must be a number from 0 to {MAX_PRICE}"));
            }
        }
        price.done();
    }
    Some(prices.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(body: &Value) -> Result<Provider, ApiError> {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        read_new(body, "00000000-0000-0000-0000-000000000001".parse().unwrap(), now)
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = json!({
            "name": "openai", "kind": "openai_compatible", "base_url": "https://api.example.com/v1/",
        });
        body[field] = value;
        body
    }

    #[test]
    fn a_base_url_is_kept_without_its_last_slash() {
        assert_eq!(
            new(&with("secret_ref", json!("KEY"))).unwrap().base_url,
            "https://api.example.com/v1"
        );
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (field, value) in [
            ("name", json!("builtin")),
            ("name", json!("Open AI")),
            ("kind", json!("other")),
            ("base_url", json!("ftp://api.example.com")),
            ("base_url", json!("https://key@api.example.com")),
            ("base_url", json!("https://api.example.com?key=1")),
            ("base_url", json!("nowhere")),
            ("prices", json!({"m": {"input_per_million_usd": 1}})),
            ("prices", json!({"m": {"input_per_million_usd": -1, "output_per_million_usd": 1}})),
            ("prices", json!({"m": {"input_per_million_usd": 1, "output_per_million_usd": "1"}})),
            ("prices", json!([])),
            ("unknown", json!(1)),
        ] {
            assert!(new(&with(field, value.clone())).is_err(), "{field}: {value}");
        }
        let price = json!({"input_per_million_usd": 2.5, "output_per_million_usd": 10,
                           "cached_input_per_million_usd": 0.5});
        assert!(new(&with("prices", json!({"gpt-4.1": price}))).is_ok());
        assert_eq!(new(&with("kind", json!("anthropic"))).unwrap().kind, "anthropic");
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let current = new(&with("secret_ref", json!("KEY"))).unwrap();
        let now = current.updated_at;
        let same = patched(current.clone(), &json!({}), now).unwrap();
        assert_eq!(same, current);
        let keyless = patched(current.clone(), &json!({"secret_ref": null}), now).unwrap();
        assert_eq!(keyless.secret_ref, None);
        assert!(patched(current.clone(), &json!({"name": "other"}), now).is_err());
        assert!(patched(current, &json!({"base_url": null}), now).is_err());
    }
}
