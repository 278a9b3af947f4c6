//! How many tokens a text is to a model.
//!
//! `OpenAI`'s vocabularies are public, and counted with exactly. Other providers keep theirs to
//! themselves; for them the newest of `OpenAI`'s is close enough to decide when a conversation has
//! to be shortened (which is all that is decided with it: what is paid for is what they count).
//!
//! A vocabulary takes tens of megabytes and counting takes time, so neither is touched as long as
//! a conversation is small: a token has at least one byte.
//!
//! A long text is counted in slices. A token that a cut falls into counts as several, which is no
//! more than there are slices; and there is text that the counting gives up on if it is long.

use recado_types::agent::ModelName;
use tiktoken_rs::{CoreBPE, bpe_for_model, o200k_base_singleton};

use crate::model::ChatMessage;

/// What a message costs besides its text, about.
const PER_MESSAGE: usize = 4;
/// The most bytes that are counted at once: some milliseconds' work. A run of a million spaces is
/// more than the regular expressions of the vocabularies can take.
const SLICE: usize = 64 * 1024;

/// No conversation has more tokens than this.
pub(crate) fn upper_bound(texts: &[String]) -> usize {
    texts.iter().map(|text| text.len() + PER_MESSAGE).sum()
}

/// The tokens of each text. Takes a while for long ones: runs on threads for that, and leaves them
/// between two slices; whoever gives up waiting does not keep one busy for longer than a slice.
pub(crate) async fn count(model: &ModelName, texts: Vec<String>) -> Vec<usize> {
    let mut counted = Vec::with_capacity(texts.len());
    for text in texts {
        let mut tokens = PER_MESSAGE;
        for slice in slices(&text) {
            let model = model.model.clone();
            tokens += counted_or_bound(slice, move |slice| {
                vocabulary_of(&model).encode_ordinary(slice).len()
            })
            .await;
        }
        counted.push(tokens);
    }
    counted
}

/// What `count` makes of `slice`, or the most that it can be if `count` panics.
async fn counted_or_bound(
    slice: &str,
    count: impl FnOnce(&str) -> usize + Send + 'static,
) -> usize {
    let (bound, slice) = (slice.len(), slice.to_owned());
    tokio::task::spawn_blocking(move || count(&slice)).await.unwrap_or(bound)
}

/// `text` in pieces of at most [`SLICE`] bytes.
fn slices(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (slice, after) = rest.split_at(rest.floor_char_boundary(SLICE));
        rest = after;
        (!slice.is_empty()).then_some(slice)
    })
}

fn vocabulary_of(model: &str) -> &'static CoreBPE {
    bpe_for_model(model).unwrap_or_else(|_unknown| o200k_base_singleton())
}

/// All the text of a message, as far as it costs tokens.
pub(crate) fn text_of(message: &ChatMessage) -> String {
    match message {
        ChatMessage::System(text) | ChatMessage::User(text) => text.clone(),
        ChatMessage::Assistant { text, tool_calls } => {
            let calls = tool_calls.iter().map(|call| format!("\n{} {}", call.name, call.arguments));
            text.clone() + &calls.collect::<String>()
        }
        ChatMessage::Tool { content, .. } => content.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model(name: &str) -> ModelName {
        name.parse().unwrap()
    }

    #[tokio::test]
    async fn a_model_counts_with_its_own_vocabulary() {
        let text = || vec!["Olá, preciso de ajuda com o contrato número 42.".to_owned()];
        let new = count(&model("openai.gpt-4o"), text()).await[0];
        let old = count(&model("openai.gpt-4"), text()).await[0];
        assert!(new < old, "{new} {old}");
        assert_eq!(count(&model("acme.some-model"), text()).await[0], new);
    }

    #[tokio::test]
    async fn no_text_has_more_tokens_than_the_bound() {
        for text in
            ["", "a", "日本語のテキスト", "🙂🙃", "{\"a\": [1, 2, 3]}", "\u{0}\u{1}\r\n\t  "]
        {
            let texts = vec![text.to_owned()];
            let bound = upper_bound(&texts);
            assert!(count(&model("openai.gpt-4o"), texts).await[0] <= bound, "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_text_that_is_nothing_but_spaces_is_counted() {
        let texts = vec![format!("{}x", " ".repeat(1_100_000))];
        let bound = upper_bound(&texts);
        let counted = count(&model("openai.gpt-4o"), texts).await[0];
        assert!((1_000..bound).contains(&counted), "{counted}");
    }

    #[tokio::test]
    async fn what_cannot_be_counted_is_what_it_is_at_most() {
        assert_eq!(counted_or_bound("12345", |_| panic!("on purpose")).await, 5);
    }

    proptest! {
        #[test]
        fn slices_are_the_text(text in "[aé日🙂]{0,40}", times in 0_usize..4_000) {
            let text = text.repeat(times);
            let slices: Vec<&str> = slices(&text).collect();
            prop_assert!(slices.iter().all(|slice| slice.len() <= SLICE));
            prop_assert_eq!(slices.concat(), text);
        }
    }
}
