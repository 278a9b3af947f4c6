//! No value changes the document around it.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn parse(text: &str) -> Result<XmlTemplate, String> {
    XmlTemplate::parse(text).map_err(|error| error.to_string())
}

fn values(value: &str) -> Map<String, Value> {
    Map::from_iter([("v".to_owned(), json!(value))])
}

fn rendered(template: &str, value: &str) -> String {
    parse(template).unwrap().render(&values(value)).unwrap()
}

/// The text of the element and its attribute, as a receiver's parser gives them.
fn read_back(document: &str) -> (String, String) {
    let mut reader = Reader::from_str(document);
    let (mut text, mut attribute) = (String::new(), String::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) => {
                let only = tag.attributes().next().unwrap().unwrap();
                attribute =
                    only.normalized_value(quick_xml::XmlVersion::Implicit1_0).unwrap().into();
            }
            Event::Text(piece) => text.push_str(&piece.xml10_content()),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().unwrap() {
                Some(c) => text.push(c),
                None => text.push_str(resolve_xml_entity(&reference).unwrap()),
            },
            Event::End(_) => {}
            Event::Eof => return (text, attribute),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn values_are_escaped_and_the_templates_own_text_is_not() {
    let template =
        r#"<?xml version="1.0" encoding="UTF-8"?><m to="{{v}}"><b/>{{v}} &amp; {{v}}</m>"#;
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?><m to="&lt;&amp;&quot;&apos;"><b/>&lt;&amp;&quot;&apos; &amp; &lt;&amp;&quot;&apos;</m>"#;
    assert_eq!(rendered(template, "<&\"'"), expected);
}

#[test]
fn characters_that_xml_does_not_have_are_left_out() {
    assert_eq!(rendered("<m>{{v}}</m>", "a\0\u{1}\u{B}\u{FFFE}b\u{1F600}"), "<m>ab\u{1F600}</m>");
}

#[test]
fn a_value_is_never_read_as_a_template() {
    assert_eq!(rendered("<m>{{v}}</m>", "{{v}}"), "<m>{{v}}</m>");
}

#[test]
fn what_is_well_formed_is_taken() {
    for text in [
        "<a/>",
        "<a>\u{E000}{{v}}</a>",
        "<!-- hello --><ns:a xmlns:ns='urn:x'>{{v}}<![CDATA[<raw>]]></ns:a>\n",
        "<a b='{{v}}' c=\"x {{v}}\">&#x41;&lt;{{v}}<b>{{v}}</b></a>",
    ] {
        assert_eq!(parse(text).err(), None, "{text}");
    }
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for text in [
        "",
        "hello",
        "<a>",
        "<a></b>",
        "</a>",
        "<a/><b/>",
        "<a/>text",
        "text<a/>",
        "<a b=c/>",
        "<a b='1' b='2'/>",
        "<a b='<'/>",
        "<a>&nbsp;</a>",
        "<a>&</a>",
        "<a>& b</a>",
        "<a b='&nope;'/>",
        "<a>&#0;</a>",
        "<a>]]></a>",
        "<a><!-- -- --></a>",
        "<1/>",
        "<a 1='2'/>",
        "<!DOCTYPE a><a/>",
        "<a/><?php x?>",
        "<a>\u{1}</a>",
        "&amp;<a/>",
        "<a/><?xml version='1.0'?>",
        "<?xml version='1.0' encoding='latin1'?><a/>",
        "<a",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn placeholders_stand_where_escaping_holds_a_value() {
    for text in [
        "<{{v}}/>",
        "<a {{v}}='1'/>",
        "<a {{v}}/>",
        "<a b={{v}}/>",
        "<a><!-- {{v}} --></a>",
        "<a><![CDATA[{{v}}]]></a>",
        "<a/>{{v}}",
        "<a>&{{v}};</a>",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn no_value_breaks_out(value in "[<>&\"'\\]\\[!\\-;#a \t\r\n\\PC]{0,24}") {
        let document = rendered("<m to='{{v}}'>{{v}}</m>", &value);
        let expected: String = value.chars().filter(|&c| is_xml_char(c)).collect();
        prop_assert_eq!(read_back(&document), (expected.clone(), expected));
    }

    #[test]
    fn any_text_is_judged_without_a_panic(text in "[<>/&;a='\"!\\-\\[\\]{}? ]{0,40}") {
        drop(XmlTemplate::parse(&text));
    }
}
