//! JSON numbers by their value.

use std::cmp::Ordering;

use serde_json::Number;

/// The order of two numbers, exact even between a whole number beyond 2^53 and a fraction, where a
/// comparison as `f64` would call neighbours equal and give no total order to sort by.
pub(crate) fn compare(a: &Number, b: &Number) -> Ordering {
    let ((whole_a, rest_a), (whole_b, rest_b)) = (parts(a), parts(b));
    whole_a
        .cmp(&whole_b)
        .then_with(|| rest_a.partial_cmp(&rest_b).unwrap_or(Ordering::Equal))
        // What is beyond `i128` has been cut to its limit, and differs here at the latest.
        .then_with(|| a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal))
}

/// The whole part and the rest of a number.
fn parts(number: &Number) -> (i128, f64) {
    match (number.as_i128(), number.as_f64()) {
        (Some(whole), _) => (whole, 0.0),
        (None, Some(float)) => {
            #[expect(clippy::cast_possible_truncation, reason = "cutting is what is wanted")]
            let whole = float.trunc() as i128;
            (whole, float.fract())
        }
        (None, None) => (0, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = Number> {
        let near = (-3_i64..4, any::<bool>(), 0_u32..64).prop_map(|(add, float, power)| {
            let whole = (1_i64 << power.min(62)) + add;
            #[expect(clippy::cast_precision_loss, reason = "neighbours are what is tested")]
            let number = Number::from_f64(whole as f64).filter(|_| float);
            number.unwrap_or_else(|| Number::from(whole))
        });
        let float = any::<f64>().prop_filter_map("JSON has no NaN", Number::from_f64);
        prop_oneof![near, float, any::<i64>().prop_map(Number::from)]
    }

    #[test]
    fn neighbours_are_told_apart_and_kinds_are_not() {
        let parse = |text: &str| text.parse::<Number>().unwrap();
        let order = |a, b| compare(&parse(a), &parse(b));
        assert_eq!(order("9007199254740993", "9007199254740992"), Ordering::Greater);
        assert_eq!(order("9007199254740993", "9007199254740992.0"), Ordering::Greater);
        assert_eq!(order("18446744073709551615", "18446744073709551614"), Ordering::Greater);
        assert_eq!(order("1", "1.0"), Ordering::Equal);
        assert_eq!(order("0", "-0.0"), Ordering::Equal);
        assert_eq!(order("-1.5", "-1"), Ordering::Less);
        assert_eq!(order("1e300", "1e301"), Ordering::Less);
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in number(), b in number(), c in number()) {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
        }
    }
}
