//! What holds of any text.

use proptest::prelude::*;

use super::super::*;

/// Texts in which nothing is a mark.
fn plain_text() -> impl Strategy<Value = String> {
    let line = "[A-Za-zé字👋]{1,8}( [a-z0-9é!?,.:;%$()]{1,8}| [*] [0-9]|_[a-z]{1,4}| https://x\\.y/_[a-z]_/){0,6}";
    prop::collection::vec(line, 1..6).prop_map(|lines| lines.join("\n"))
}

fn any_markdown() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[-*_~`#>|\\[\\]()!<&;\\\\ \t\n1.xé👋:/^\0\r]{1,12}",
        "[a-z]{1,6}",
        Just("\n```\n".to_owned()),
        Just("\n- ".to_owned()),
        Just("\n> ".to_owned()),
        Just("\n| a | b |\n|---|---|\n".to_owned()),
        Just("[a](https://x.y)".to_owned()),
        Just("\n[^1]: a\n\n[^1]".to_owned()),
        Just("&#0;&amp;".to_owned()),
        "\\PC{1,5}",
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

#[test]
fn no_text_takes_long() {
    let repeated = |unit: &str| unit.repeat(100_000 / unit.len());
    let units = [
        "[",
        "![",
        "](",
        "*",
        "*a",
        "*a ",
        "*a a*",
        "_a_",
        "__a",
        "~a~",
        "`a`",
        "<",
        "<a ",
        "<!--",
        "<?",
        "<![CDATA[",
        ">",
        "- ",
        "1. ",
        "&",
        "|",
        "\\*",
        "[^a]",
        "[^a]: b\n\n",
        "    a\n\n",
        "\t",
        "a\n=\n",
        "\\*x\\* ",
        "**a *b*** _c_ ~d~ `e` ",
        "a*b_c~d",
        "。",
        "\u{301}",
        "[a]: b\n",
    ];
    let mut texts: Vec<String> = units.into_iter().map(repeated).collect();
    texts.extend([
        format!("{}{}", repeated("- "), repeated("\n")),
        format!("{}a{}", "- ".repeat(60), repeated("\nb")),
        format!("{}a\n{}", "> ".repeat(60), repeated("> b\n")),
        format!("[a]: {}\n\n{}", repeated("x"), repeated("[a]")),
        format!("{}\n{}\n{}", repeated("|a"), repeated("|-"), repeated("|\n")),
        format!("{}{}", repeated("!["), repeated("](u)")),
        (1..400).map(|n| "`".repeat(n) + " ").collect(),
        (0..300).map(|n| " ".repeat(2 * n) + "- a\n").collect::<String>() + &repeated("\n") + "x",
    ]);
    for text in texts {
        for done in [strip(&text), to_whatsapp(&text)] {
            assert!(done.len() <= text.len() * MAX_GROWTH + MAX_EXTRA);
        }
    }
}

#[test]
fn what_nests_too_deep_is_left_as_it_is() {
    let deep = format!("{}**a**", "> ".repeat(MAX_NESTING + 1));
    assert_eq!(strip(&deep), deep);
    assert_eq!(to_whatsapp(&deep), deep);
    assert_eq!(strip(&format!("{}**a**", "> ".repeat(MAX_NESTING))), "a");
    assert_eq!(strip(&"-".repeat(MAX_NESTING * 2)), "");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn text_without_marks_is_left_alone(text in plain_text()) {
        prop_assert_eq!(strip(&text), text.as_str());
        prop_assert_eq!(to_whatsapp(&text), text.as_str());
    }

    #[test]
    fn anything_can_be_read(text in any_markdown()) {
        for done in [strip(&text), to_whatsapp(&text)] {
            prop_assert!(!done.contains('\0'));
            prop_assert!(done.len() <= text.len() * MAX_GROWTH + MAX_EXTRA);
        }
    }

    #[test]
    fn words_survive(words in prop::collection::vec("[a-zé]{1,6}", 1..12), mark in "[*]{1,3}|_{1,3}|~{1,2}|`{1,2}") {
        let marked: Vec<String> = words.iter().map(|w| format!("{mark}{w}{mark}")).collect();
        let plain = strip(&marked.join(" "));
        for word in &words {
            prop_assert!(plain.contains(word.as_str()), "{plain}");
        }
    }
}
