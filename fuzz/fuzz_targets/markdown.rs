//! Markdown: any text is taken, and what comes out keeps what `recado_text::markdown` promises.
//!
//! Input: the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use recado_text::markdown::{MAX_EXTRA, MAX_GROWTH, strip, to_whatsapp};

fuzz_target!(|text: &str| {
    for done in [strip(text), to_whatsapp(text)] {
        assert!(!done.contains('\0'));
        assert!(done.len() <= text.len() * MAX_GROWTH + MAX_EXTRA);
    }
    if is_plain(text) {
        assert_eq!(strip(text), text);
        assert_eq!(to_whatsapp(text), text);
    }
});

/// Whether there is nothing in it that could mean anything.
fn is_plain(text: &str) -> bool {
    let is_quiet = |c: char| c.is_alphabetic() || matches!(c, ' ' | ',' | '?' | '/' | '%');
    text.split('\n')
        .all(|line| line.trim() == line && !line.is_empty() && line.chars().all(is_quiet))
}
