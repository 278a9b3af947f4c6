//! What is to be read letter by letter, whatever Markdown would see in it: bare URLs, and
//! identifiers as in `__init__.py`.

use std::ops::Range;

use crate::urls;

/// All of them in `text`: disjoint and in order.
pub(crate) fn find_all(text: &str) -> Vec<Range<usize>> {
    let urls = urls::find_all(text);
    let is_in_url = |place: &Range<usize>| {
        let next = urls.partition_point(|url| url.end <= place.start);
        urls.get(next).is_some_and(|url| url.start < place.end)
    };
    let mut found: Vec<_> = dunders(text).filter(|place| !is_in_url(place)).collect();
    found.extend(urls);
    found.sort_unstable_by_key(|place| place.start);
    found
}

/// Words such as `__all__`. Those who mean bold write `**all**`, models without exception.
fn dunders(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    let words = text.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter_map(move |whole| {
        let start = at;
        at += whole.len();
        let word = whole.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_');
        is_dunder(word).then(|| start..start + word.len())
    })
}

fn is_dunder(word: &str) -> bool {
    let name = word.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    name.is_some_and(|name| {
        !name.is_empty()
            && !name.starts_with('_')
            && !name.ends_with('_')
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        find_all(text).into_iter().map(|place| &text[place]).collect()
    }

    #[test]
    fn identifiers_between_double_underscores_are_literal() {
        let text = "é __init__.py, (__all__) a__b__ __B__ __a b__ ___a___ ____ __a__b__c__";
        assert_eq!(found(text), ["__init__", "__all__", "__a__b__c__"]);
        assert_eq!(found("__a__ https://x.y/__b__/c"), ["__a__", "https://x.y/__b__/c"]);
    }
}
