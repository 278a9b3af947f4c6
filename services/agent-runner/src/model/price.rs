//! What a call costs, by the provider's price table.

use serde_json::Value;

use super::Reply;

const PER_MILLION: f64 = 1_000_000.0;

/// `None` if the table does not have the model, or the provider did not count.
pub(super) fn cost_usd(prices: &Value, model: &str, reply: &Reply) -> Option<f64> {
    let price = prices.get(model)?;
    let of = |name: &str| price.get(name).and_then(Value::as_f64);
    let (input_price, output_price) = (of("input_per_million_usd")?, of("output_per_million_usd")?);
    let cached_price = of("cached_input_per_million_usd").unwrap_or(input_price);
    let cached = reply.cached_input_tokens.unwrap_or(0);
    let fresh = reply.input_tokens?.saturating_sub(cached).max(0);
    let cost = count(fresh) * input_price
        + count(cached) * cached_price
        + count(reply.output_tokens?) * output_price;
    Some(cost / PER_MILLION)
}

#[expect(clippy::cast_precision_loss, reason = "counts of tokens are far below 2^52")]
fn count(tokens: i64) -> f64 {
    tokens as f64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reply() -> Reply {
        Reply {
            input_tokens: Some(1_000),
            output_tokens: Some(500),
            cached_input_tokens: Some(400),
            ..Reply::default()
        }
    }

    #[test]
    fn cached_tokens_have_a_price_of_their_own() {
        let prices = json!({"m": {
            "input_per_million_usd": 2.0, "output_per_million_usd": 8.0,
            "cached_input_per_million_usd": 0.5
        }});
        let cost = cost_usd(&prices, "m", &reply()).unwrap();
        assert!((cost - (600.0 * 2.0 + 400.0 * 0.5 + 500.0 * 8.0) / 1e6).abs() < 1e-12);
    }

    #[test]
    fn an_unknown_model_has_no_price() {
        assert_eq!(cost_usd(&json!({}), "m", &reply()), None);
    }
}
