//! What is a mark, what is none, and what is left of each.

mod any;
mod whatsapp;

use super::*;

#[test]
fn marks_go_and_what_they_mark_stays() {
    let cases = [
        ("# Title\n\nText **bold** and *it* and ~~old~~.", "Title\n\nText bold and it and old."),
        ("Title\n=====\nText", "Title\nText"),
        ("`let a = b * c * d;` and ``a`b``", "let a = b * c * d; and a`b"),
        ("> quoted\n> twice\n\nafter", "quoted\ntwice\n\nafter"),
        ("a\n\n---\n\nb", "a\n\nb"),
        ("soft\nbreak  \nhard\\\nend", "soft\nbreak\nhard\nend"),
        ("one<br>two<br/>\nthree", "one\ntwo\nthree"),
        ("\\*not emphasis\\*", "*not emphasis*"),
        ("a &amp; b &lt; &#42;c&#42; &copy;", "a & b < *c* ©"),
        ("不是**重点**的", "不是重点的"),
    ];
    for (marked, plain) in cases {
        assert_eq!(strip(marked), plain, "{marked}");
    }
}

#[test]
fn what_is_no_mark_stays() {
    for text in [
        "2 * 3 * 4 = 24",
        "2*3*4 = 24, 2**3**4, a*b and c*d",
        "snake_case_name and _a_b __c__d",
        "see https://x.com/a_b_c/_d_/*e*/f~g~h?i=*j* now",
        "www.x.io/*b* or https://bare.io/_a_*b*",
        "__init__.py has __all__ and **NOTE:**text",
        "https://x/_foo and bar_",
        "R$ 1.500,00 (10%) #hashtag @user 5 > 3 & 2 < 4",
        "Olá!\nTudo bem?\n\nAté 👋🏽",
        "",
    ] {
        assert_eq!(strip(text), text);
    }
    assert_eq!(strip("**https://x.com/a_b**, *http://y*"), "https://x.com/a_b, http://y");
    assert_eq!(strip("**https://x/_a_**"), "https://x/_a_");
}

#[test]
fn links_say_where_they_lead() {
    let cases = [
        ("[our *site*](https://x.y/z)", "our site (https://x.y/z)"),
        ("[https://x.y](https://x.y/)", "https://x.y"),
        ("<https://x.y>, <a@b.c>", "https://x.y, a@b.c"),
        (
            "![a cat](https://x/cat.png) ![](https://x/dog.png)",
            "a cat (https://x/cat.png) https://x/dog.png",
        ),
        ("[a][1]\n\n[1]: https://x", "a (https://x)"),
        ("[**x**](https://x)\n- [y](https://y)", "x (https://x)\n- y (https://y)"),
    ];
    for (marked, plain) in cases {
        assert_eq!(strip(marked), plain, "{marked}");
    }
}

#[test]
fn lists_keep_their_shape() {
    let marked = "Itens:\n* um\n* **dois**\n    * dentro\n      mais\n    * outro\n* três\n\nFim";
    let plain = "Itens:\n- um\n- dois\n  - dentro\n    mais\n  - outro\n- três\n\nFim";
    assert_eq!(strip(marked), plain);
    let marked = "3) a\n4) b\n\n   para\n\n5) c\n   - [x] done\n   - [ ] open";
    assert_eq!(strip(marked), "3. a\n4. b\n\n   para\n\n5. c\n   - [x] done\n   - [ ] open");
    assert_eq!(strip("- \n- b\n- - c"), "- \n- b\n- - c");
}

#[test]
fn code_is_kept_to_the_letter() {
    let code = "fn main() {\n\n    a *= b_c_d; // **x**\n}";
    assert_eq!(strip(&format!("Veja:\n```rust\n{code}\n```\nfim")), format!("Veja:\n{code}\nfim"));
    assert_eq!(strip("a\n\n    *code*\n      more\n\nb"), "a\n\n*code*\n  more\n\nb");
    assert_eq!(strip("- a\n  ```\n  x\n    y\n  ```\n- b"), "- a\n  x\n    y\n- b");
    assert_eq!(strip("a\n```\n```\nb"), "a\nb");
}

#[test]
fn tables_are_readable() {
    let marked = "Preços\n\n| Item | R$ |\n|---|--:|\n| **Um** | 1,00 |\n| | 2<br>3 |\n\nFim";
    assert_eq!(strip(marked), "Preços\n\nItem | R$\nUm | 1,00\n | 2 3\n\nFim");
}

#[test]
fn html_stays() {
    assert_eq!(strip("a <b>c</b>"), "a <b>c</b>");
    assert_eq!(strip("<div>\n*x*\n</div>\n\nb"), "<div>\n*x*\n</div>\n\nb");
}

#[test]
fn footnotes_are_read_by_their_numbers() {
    let marked = "Text[^1] and[^b].\n\n[^1]: **One**\n[^b]: Two\n\n    more\n\n[^none]";
    assert_eq!(strip(marked), "Text[1] and[b].\n\n[1] One\n[b] Two\n\nmore\n\n[^none]");
}
