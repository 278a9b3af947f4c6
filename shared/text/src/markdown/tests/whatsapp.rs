//! What `WhatsApp` gets, and what it makes of it.

use proptest::prelude::*;

use super::super::*;

#[test]
fn marks_become_those_of_whatsapp() {
    let cases = [
        ("**a** __B c__ *c* _d_ ***e*** ~~f~~ `g`", "*a* *B c* _c_ _d_ *_e_* ~f~ ```g```"),
        ("# Title\n\nText\n\n## **Sub** *it*", "*Title*\n\nText\n\n*Sub _it_*"),
        ("Title\n=====\nText", "*Title*\nText"),
        ("* a\n* **b**\n    1. c", "- a\n- *b*\n  1. c"),
        ("> a **b\n> c** d\n\nend", "> a *b*\n> *c* d\n\nend"),
        ("> a\n>\n> > b", "> a\n\n> b"),
        ("[a **b**](https://x.y/_z_)", "a *b* (https://x.y/_z_)"),
        ("![cat](https://x/c.png)", "cat (https://x/c.png)"),
        ("| **A** | B |\n|---|---|\n| c | *d* |", "*A* | B\nc | _d_"),
        ("- [x] **a**\n- [ ] b", "- [x] *a*\n- [ ] b"),
        ("a &amp; b &lt; c", "a & b < c"),
    ];
    for (marked, expected) in cases {
        assert_eq!(to_whatsapp(marked), expected, "{marked}");
    }
}

#[test]
fn code_stands_between_fences_without_a_language() {
    let cases = [
        ("a\n```rust\nlet _a_ = *b*;\n\n  c\n```\nd", "a\n```\nlet _a_ = *b*;\n\n  c\n```\nd"),
        ("a\n\n    *x*\n\nb", "a\n\n```\n*x*\n```\n\nb"),
        ("- a\n  ```\n  x\n    y\n  ```\n- b", "- a\n  ```\n  x\n    y\n  ```\n- b"),
        ("a\n```\n```\nb", "a\nb"),
        ("> a\n> ```\n> x\n> ```", "> a\n```\nx\n```"),
        // What would close the fence has none around it.
        ("````\n```\nx\n```\n````", "```\nx\n```"),
        ("`` a`b `` and `  `", "a`b and   "),
    ];
    for (marked, expected) in cases {
        assert_eq!(to_whatsapp(marked), expected, "{marked}");
    }
}

#[test]
fn marks_hug_words_and_end_with_their_line() {
    let cases = [
        ("**a\nb**", "*a*\n*b*"),
        ("***a* b**", "*_a_ b*"),
        ("a** b **c", "a** b **c"),
        ("**a `b` c**", "*a* ```b``` *c*"),
        ("**https://x.y/a_b**", "https://x.y/a_b"),
        ("**see https://x.y now**", "*see* https://x.y *now*"),
        ("**[our site](https://x.y)**", "*our site* (https://x.y)"),
        // In the middle of a word they would be shown.
        ("un**believ**able **a**b", "unbelievable ab"),
        ("**1**, **2**; (*3*)", "*1*, *2*; (_3_)"),
        ("*a **b*** c", "_a *b*_ c"),
        ("**!**", "!"),
    ];
    for (marked, expected) in cases {
        assert_eq!(to_whatsapp(marked), expected, "{marked}");
    }
}

#[test]
fn what_is_no_mark_is_not_taken_for_one() {
    for text in [
        "2 * 3 * 4 = 24, 2*3*4, 5* and ~6",
        "snake_case_name, a_b",
        "see https://x.com/a_b_c/_d_/*e*/f~g~h?i=*j* now",
        "www.x.io/*b* or https://bare.io/_a_*b*",
        "https://bare.io/_a_*b*",
        "__init__.py has __all__",
        "R$ 1.500,00 (10%) #hashtag @user 5 > 3 & 2 < 4",
    ] {
        assert_eq!(to_whatsapp(text), text);
    }
    let cases = [
        ("\\*a\\* \\_b\\_ \\~c\\~", "∗a∗ ＿b＿ ∼c∼"),
        ("**a\\* b**", "*a∗ b*"),
        ("`*a*` \\*b", "```*a*``` *b"),
        // A run is replaced as a whole.
        ("**NOTE:**text", "∗∗NOTE:∗∗text"),
        ("__f__g", "＿＿f＿＿g"),
        // Right after our mark, which would end there.
        ("x *~é\n_ *1\néa~*", "x _~é~_\n_~＿ *1~_\n_~éa~_"),
        ("**\\* a**", "*∗ a*"),
    ];
    for (marked, expected) in cases {
        assert_eq!(to_whatsapp(marked), expected, "{marked}");
    }
}

/// What is shown of `line` as far as is known: see the head of `whatsapp.rs`.
fn shown(line: &str) -> String {
    let chars: Vec<char> = line.chars().collect();
    let mut shown = String::new();
    show(&chars, 0..chars.len(), &mut shown);
    shown.replace('∗', "*").replace('＿', "_").replace('∼', "~")
}

fn show(line: &[char], place: std::ops::Range<usize>, shown: &mut String) {
    let is = |at: Option<usize>, test: fn(char) -> bool| {
        at.and_then(|at| line.get(at)).is_some_and(|c| test(*c))
    };
    let is_mono = |at: usize| line[at..place.end].starts_with(&['`'; 3]);
    // Nothing between fences is a mark.
    let is_code = |at: usize| (place.start..at).filter(|at| is_mono(*at)).count() % 2 == 1;
    let mut at = place.start;
    while at < place.end {
        let mark = line[at];
        if is_mono(at)
            && let Some(end) = (at + 4..place.end).find(|end| is_mono(*end))
        {
            shown.extend(&line[at + 3..end]);
            at = end + 3;
            continue;
        }
        let opens = matches!(mark, '*' | '_' | '~')
            && !is(at.checked_sub(1), char::is_alphanumeric)
            && is(Some(at + 1), |c| !c.is_whitespace());
        let closes = |end: &usize| {
            line[*end] == mark
                && !is_code(*end)
                && is(end.checked_sub(1), |c| !c.is_whitespace())
                && !is(Some(end + 1), char::is_alphanumeric)
        };
        if opens && let Some(end) = (at + 2..place.end).find(closes) {
            show(line, at + 1..end, shown);
            at = end + 1;
        } else {
            shown.push(mark);
            at += 1;
        }
    }
}

fn any_inline() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zé1]{1,4}",
        3 => "[ ,.()!-]{1,2}",
        1 => "\\\\[*_~]",
        1 => "[*_~]{1,3}",
        1 => "\\*\\*[a-z ]{1,6}\\*\\*",
        1 => "(\\*|_)[a-z ,]{1,6}(\\*|_)",
        1 => "~~[a-z* ]{1,6}~~",
        1 => "\\*\\*\\*[a-z]{1,3}\\* [a-z_]{1,4}\\*\\*",
        1 => "`[a-z*_ ]{1,6}`",
        1 => Just("\n".to_owned()),
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| format!("x {}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    /// No mark of ours is left to be seen, and none of the text's is taken for one.
    #[test]
    fn whatsapp_shows_the_text_without_marks(marked in any_inline()) {
        let rendered = to_whatsapp(&marked);
        let plain = strip(&marked);
        // They are sent as they are, so that they can be copied.
        prop_assume!(crate::literals::find_all(&plain).is_empty());
        if !rendered.contains("```\n") && !rendered.contains("\n> ") {
            let seen: Vec<String> = rendered.lines().map(shown).collect();
            prop_assert_eq!(seen.join("\n"), plain.trim_end_matches('\n'), "{}", rendered);
        }
    }
}
