//! Long texts made short, and saying so.

/// Cuts `text` so that it has at most `most` bytes, the remark that it was cut included, and never
/// within a character. Whether it had to is the answer.
pub(super) fn cut(text: &mut String, most: usize) -> bool {
    if text.len() <= most {
        return false;
    }
    let remark = remark(most);
    let keep = text.floor_char_boundary(most.saturating_sub(remark.len()));
    text.truncate(keep);
    if remark.len() <= most {
        text.push_str(&remark);
    }
    true
}

/// What stands at the end of a text that was cut.
pub(super) fn remark(most: usize) -> String {
    format!("\n[cut after {most} bytes]")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_is_left_alone() {
        let mut text = "olá".to_owned();
        assert!(!cut(&mut text, 4));
        assert_eq!(text, "olá");
    }

    #[test]
    fn what_does_not_fit_says_so() {
        let mut text = "x".repeat(1_000);
        assert!(cut(&mut text, 256));
        assert_eq!(text.len(), 256);
        assert!(text.ends_with("x\n[cut after 256 bytes]"), "{text}");
    }

    proptest! {
        #[test]
        fn no_text_is_longer_than_it_may_be(text in "\\PC{0,80}", most in 0_usize..100) {
            let mut cut_text = text.clone();
            let was_cut = cut(&mut cut_text, most);
            prop_assert!(cut_text.len() <= most);
            prop_assert_eq!(was_cut, text.len() > most);
        }
    }
}
