//! What waiting senders are told, format by format, and that no text breaks a format.

use actix_web::HttpResponse;
use actix_web::body::MessageBody;
use actix_web::http::header::CONTENT_TYPE;
use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;
use recado_text::units::{ELLIPSIS, utf16_len};
use recado_types::trigger::ChunkStrategy;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

const FAMILY: &str = "👨‍👩‍👧‍👦";
const EMPTY_TWIML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>";

/// An answer in one piece, as far as the format lets it.
fn whole(format: ResponseFormat) -> ResponseAdapter {
    ResponseAdapter { format, split_messages: false, max_messages: 10 }
}

fn in_paragraphs(format: ResponseFormat, max_messages: u32) -> ResponseAdapter {
    ResponseAdapter { format, split_messages: true, max_messages }
}

fn numbered(max_chunk_size: u32) -> SplitConfig {
    SplitConfig {
        max_chunk_size,
        max_chunks: 50,
        strategy: ChunkStrategy::Sentence,
        numbering: true,
        inter_chunk_delay_ms: 500,
    }
}

fn ended(response: &str) -> AgentReply<'_> {
    AgentReply {
        trigger_id: TriggerId(Uuid::from_u128(1)),
        agent_id: AgentId(Uuid::from_u128(2)),
        execution_id: ExecutionId(Uuid::from_u128(3)),
        session_id: SessionId(Uuid::from_u128(4)),
        response,
        total_tokens: Some(1_250),
        latency_ms: 15_234,
    }
}

/// The body of an answer, which is a 200 with the format's content type.
fn body(adapter: ResponseAdapter, split: Option<&SplitConfig>, ended: &AgentReply<'_>) -> String {
    let response = HttpResponse::from(reply(&ReplyShape { adapter: &adapter, split }, ended));
    assert_eq!(response.status(), 200);
    let expected = match adapter.format {
        ResponseFormat::Twiml => "text/xml",
        _ => "application/json",
    };
    assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), expected);
    let bytes = response.into_body().try_into_bytes().expect("a body at hand");
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json_body(adapter: ResponseAdapter, split: Option<&SplitConfig>, response: &str) -> Value {
    serde_json::from_str(&body(adapter, split, &ended(response))).unwrap()
}

/// The messages of a TwiML document, which is checked.
fn messages(adapter: ResponseAdapter, split: Option<&SplitConfig>, text: &str) -> Vec<String> {
    let xml = body(adapter, split, &ended(text));
    for c in xml.chars() {
        let allowed =
            matches!(u32::from(c), 0x9 | 0xA | 0x20..=0xD7FF | 0xE000..=0xFFFD | 0x1_0000..);
        assert!(allowed, "{c:?} in XML");
    }
    let xml =
        xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").expect("a declaration");
    let mut reader = Reader::from_str(xml);
    reader.config_mut().enable_all_checks(true);
    let mut open: Vec<String> = Vec::new();
    let mut messages: Vec<String> = Vec::new();
    let write = |open: &[String], messages: &mut Vec<String>, text: &str| {
        assert_eq!(open, ["Response", "Message"], "where {text:?} stands");
        messages.last_mut().unwrap().push_str(text);
    };
    loop {
        match reader.read_event().expect("well-formed XML") {
            Event::Start(tag) => {
                open.push(tag.name().as_ref().to_owned());
                if open.len() > 1 {
                    messages.push(String::new());
                }
                assert_eq!(open, ["Response", "Message"][..open.len().min(2)]);
            }
            Event::End(_) => assert!(open.pop().is_some()),
            Event::Text(text) => write(&open, &mut messages, &text.xml10_content()),
            Event::GeneralRef(entity) => {
                let numeric = entity.resolve_char_ref().unwrap().map(String::from);
                let named = || resolve_xml_entity(&entity).map(str::to_owned);
                write(&open, &mut messages, &numeric.or_else(named).expect("one of XML's own"));
            }
            Event::Eof => break,
            other => panic!("{other:?} in TwiML"),
        }
    }
    assert!(open.is_empty() && xml.starts_with("<Response>") && xml.ends_with("</Response>"));
    messages
}

#[test]
fn raw_says_what_seed_000_says() {
    let ended = ended("Found **5**...");
    let told = |ended| -> Value {
        serde_json::from_str(&body(whole(ResponseFormat::Raw), None, ended)).unwrap()
    };
    let mut expected = json!({
        "success": true,
        "trigger_id": ended.trigger_id,
        "agent_id": ended.agent_id,
        "agent_response": "Found **5**...",
        "execution_id": ended.execution_id,
        "session_id": ended.session_id,
        "usage": {"total_tokens": 1250},
        "latency_ms": 15234,
    });
    assert_eq!(told(&ended), expected);
    expected["usage"]["total_tokens"] = Value::Null;
    assert_eq!(told(&AgentReply { total_tokens: None, ..ended }), expected);
}

#[test]
fn raw_repeats_the_response_in_paragraphs_if_asked() {
    let text = "One:\n\n1. a\n2. b\n\n\nEnd\n";
    let told = |adapter| json_body(adapter, None, text);
    let all = told(in_paragraphs(ResponseFormat::Raw, 3));
    assert_eq!(all["messages"], json!(["One:", "1. a\n2. b", "End"]));
    let some = told(in_paragraphs(ResponseFormat::Raw, 2));
    assert_eq!(some["messages"], json!(["One:", "1. a\n2. b\n…"]));
    assert_eq!(some["agent_response"], text, "nothing is lost here");
    assert_eq!(told(whole(ResponseFormat::Raw)).get("messages"), None);
}

#[test]
fn ebarn_is_a_list_of_paragraphs_if_asked() {
    let text = "Found 2:\n\n1. A - $5\n2. B - $3\n\nMore?";
    let told = |adapter| json_body(adapter, None, text);
    let entry = |message: &str| json!({"message": message, "type": "text"});
    assert_eq!(
        told(in_paragraphs(ResponseFormat::Ebarn, 10)),
        json!([entry("Found 2:"), entry("1. A - $5\n2. B - $3"), entry("More?")])
    );
    assert_eq!(
        told(in_paragraphs(ResponseFormat::Ebarn, 2)),
        json!([entry("Found 2:"), entry("1. A - $5\n2. B - $3\n\nMore?")])
    );
    assert_eq!(told(whole(ResponseFormat::Ebarn)), json!([entry(text)]));
    assert_eq!(json_body(whole(ResponseFormat::Ebarn), None, " \n"), json!([]));
}

#[test]
fn a_split_config_decides_sizes_and_max_messages_how_many() {
    let text = "Uma frase de tamanho médio. ".repeat(40);
    for adapter in [whole, |format| in_paragraphs(format, 10)] {
        let raw = json_body(adapter(ResponseFormat::Raw), Some(&numbered(200)), &text);
        let ebarn = json_body(adapter(ResponseFormat::Ebarn), Some(&numbered(200)), &text);
        let twiml = messages(adapter(ResponseFormat::Twiml), Some(&numbered(200)), &text);
        assert_eq!(raw["messages"], json!(twiml));
        assert_eq!(raw["messages"][6], ebarn[6]["message"]);
        assert!(twiml[0].starts_with("(1/7)\nUma frase") && utf16_len(&twiml[0]) <= 200);
    }
    let few = ResponseAdapter { max_messages: 2, ..whole(ResponseFormat::Ebarn) };
    let told = json_body(few, Some(&numbered(200)), &text);
    assert_eq!(told.as_array().unwrap().len(), 2);
    assert!(told[1]["message"].as_str().unwrap().ends_with(ELLIPSIS));
    let fewer = SplitConfig { max_chunks: 1, ..numbered(200) };
    assert_eq!(json_body(few, Some(&fewer), &text).as_array().unwrap().len(), 1);
}

#[test]
fn slack_and_teams_get_one_message() {
    assert_eq!(
        json_body(whole(ResponseFormat::Slack), None, "*Olá*"),
        json!({"response_type": "in_channel", "text": "*Olá*"})
    );
    let shouted = json_body(whole(ResponseFormat::Slack), None, "<!here> <https://a.b|link>");
    assert_eq!(shouted["text"], json!("&lt;!here> <https://a.b|link>"));
    assert_eq!(
        json_body(whole(ResponseFormat::Teams), None, "**Olá**"),
        json!({"type": "message", "text": "**Olá**"})
    );
}

#[test]
fn slack_and_teams_get_all_that_fits() {
    for (format, limit) in [(ResponseFormat::Slack, 40_000), (ResponseFormat::Teams, 27_972)] {
        let fits = "a".repeat(limit);
        assert_eq!(json_body(whole(format), None, &fits)["text"], json!(fits));
        let cut = json_body(whole(format), None, &format!("{fits}a"));
        assert!(cut["text"].as_str().unwrap().ends_with("a…"));
        // Not one person is taken out of a family.
        let cut = json_body(whole(format), None, &FAMILY.repeat(4_000));
        let families = cut["text"].as_str().unwrap().strip_suffix(ELLIPSIS).unwrap();
        assert_eq!(families, FAMILY.repeat(families.len() / FAMILY.len()));
    }
}

#[test]
fn twilio_gets_plain_text() {
    let xml =
        body(whole(ResponseFormat::Twiml), None, &ended("**R&D** <\"5\" > '3'>\u{b}\u{fffe}"));
    assert_eq!(
        xml,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>\
         <Message>R&amp;D &lt;&quot;5&quot; &gt; &apos;3&apos;&gt;</Message></Response>"
    );
    for nothing in ["", " \n ", "\u{1}\u{ffff}", "&#1;"] {
        assert_eq!(body(whole(ResponseFormat::Twiml), None, &ended(nothing)), EMPTY_TWIML);
    }
}

#[test]
fn twilio_gets_a_long_answer_in_messages_that_it_sends() {
    let paragraph = "Uma frase de tamanho médio. ".repeat(40).trim_end().to_owned();
    let text = [&*paragraph; 3].join("\n\n");
    let all = messages(whole(ResponseFormat::Twiml), None, &text);
    assert_eq!(all, [&*paragraph; 3]);
    let few = ResponseAdapter { max_messages: 2, ..whole(ResponseFormat::Twiml) };
    let some = messages(few, None, &text);
    assert!(some.len() == 2 && some[1].ends_with(ELLIPSIS) && utf16_len(&some[1]) <= 1_600);
    // A configured size that Twilio does not take is not obeyed.
    let large = SplitConfig { numbering: false, ..numbered(50_000) };
    let some = messages(whole(ResponseFormat::Twiml), Some(&large), &text);
    assert!(some.len() > 1 && some.iter().all(|it| utf16_len(it) <= 1_600));
    let endless = messages(whole(ResponseFormat::Twiml), None, &"palavra ".repeat(2_000));
    let units: usize = endless.iter().map(|it| utf16_len(it)).sum();
    assert!(units <= 4_096 && endless.last().unwrap().ends_with(ELLIPSIS));
}

/// Texts with everything in them that a format could stumble over.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Zé字]{1,40}",
        2 => "[ \r\n\t.]{1,4}",
        2 => "[&<>\"'\\\\#;\\]!\\[-]{1,6}",
        1 => "[\u{0}-\u{1f}\u{7f}-\u{9f}\u{fffd}-\u{ffff}]{1,3}",
        1 => Just("&amp;&#1;&#x0;]]><!--<![CDATA[</Message>".to_owned()),
        1 => "[`*_~#|>-]{1,4}",
        1 => Just(FAMILY.repeat(30)),
        1 => any::<String>(),
    ];
    let text = prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat());
    (text, prop_oneof![3 => Just(1), 1 => 2usize..60]).prop_map(|(text, times)| text.repeat(times))
}

fn any_shape(
    format: ResponseFormat,
) -> impl Strategy<Value = (ResponseAdapter, Option<SplitConfig>)> {
    let strategy = prop_oneof![
        Just(ChunkStrategy::Paragraph),
        Just(ChunkStrategy::Sentence),
        Just(ChunkStrategy::Length),
    ];
    let sizes = (strategy, 100u32..=3_000, 1u32..=50, any::<bool>()).prop_map(
        |(strategy, max_chunk_size, max_chunks, numbering)| SplitConfig {
            max_chunk_size,
            max_chunks,
            strategy,
            numbering,
            inter_chunk_delay_ms: 0,
        },
    );
    let adapter = (any::<bool>(), 1u32..=50).prop_map(move |(split_messages, max_messages)| {
        ResponseAdapter { format, split_messages, max_messages }
    });
    (adapter, prop::option::of(sizes))
}

fn without_space(text: &str) -> String {
    text.split_whitespace().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn twiml_is_well_formed_and_within_twilios_limits(
        text in any_text(),
        (adapter, split) in any_shape(ResponseFormat::Twiml),
    ) {
        let messages = messages(adapter, split.as_ref(), &text);
        prop_assert!(messages.len() <= adapter.max_messages as usize);
        let size = split.map_or(1_600, |split| split.max_chunk_size.min(1_600)) as usize;
        for message in &messages {
            prop_assert!(!message.trim().is_empty() && utf16_len(message) <= size);
        }
    }

    #[test]
    fn a_text_survives_in_twiml(text in any::<String>()) {
        let transformed = transform(&text, &Transform::derived_from(ResponseFormat::Twiml));
        let allowed = |c: &char| !matches!(u32::from(*c), 0..=8 | 0xB | 0xC | 0xE..=0x1F | 0xFFFE | 0xFFFF);
        let expected: String = transformed.text.chars().filter(allowed).collect();
        prop_assume!(utf16_len(&expected) <= 1_600);
        let expected = Some(expected.trim_end().to_owned()).filter(|text| !text.is_empty());
        let messages = messages(whole(ResponseFormat::Twiml), None, &text);
        prop_assert_eq!(messages, Vec::from_iter(expected));
    }

    #[test]
    fn words_survive_in_several_messages(
        words in prop::collection::vec("[a-z<&é字\"']{1,30}[.]?(\n\n)?", 1..150),
    ) {
        let text = words.join(" ");
        let messages = messages(whole(ResponseFormat::Twiml), None, &text);
        let told = without_space(&messages.concat());
        let plain = transform(&text, &Transform::derived_from(ResponseFormat::Twiml));
        prop_assert_eq!(told, without_space(&plain.text));
    }

    #[test]
    fn ebarn_is_a_list_that_loses_nothing(
        text in any_text(),
        (adapter, split) in any_shape(ResponseFormat::Ebarn),
    ) {
        let told = json_body(adapter, split.as_ref(), &text);
        let entries: Vec<&str> =
            told.as_array().unwrap().iter().map(|it| it["message"].as_str().unwrap()).collect();
        let most = if adapter.split_messages || split.is_some() { adapter.max_messages } else { 1 };
        prop_assert!(entries.len() <= most as usize);
        if let Some(split) = split {
            let size = split.max_chunk_size as usize;
            prop_assert!(entries.iter().all(|entry| utf16_len(entry) <= size));
        } else {
            prop_assert_eq!(without_space(&entries.concat()), without_space(&text));
        }
    }

    #[test]
    fn raw_holds_the_text_itself(
        text in any_text(),
        (adapter, split) in any_shape(ResponseFormat::Raw),
    ) {
        let told = json_body(adapter, split.as_ref(), &text);
        prop_assert_eq!(&told["agent_response"], &json!(text));
        let messages = told.get("messages").map(|messages| messages.as_array().unwrap().len());
        prop_assert_eq!(messages.is_some(), adapter.split_messages || split.is_some());
        prop_assert!(messages.is_none_or(|count| count <= adapter.max_messages as usize));
    }

    #[test]
    fn slack_and_teams_take_any_text(text in any_text()) {
        let slack = json_body(whole(ResponseFormat::Slack), None, &text);
        let told = slack["text"].as_str().unwrap();
        prop_assert!(utf16_len(told) <= 40_000);
        prop_assert!(told == text.replace("<!", "&lt;!") || told.ends_with(ELLIPSIS));

        let teams = body(whole(ResponseFormat::Teams), None, &ended(&text));
        prop_assert!(teams.len() <= 28_000);
        let teams: Value = serde_json::from_str(&teams).unwrap();
        let told = teams["text"].as_str().unwrap();
        prop_assert!(told == text || told.ends_with(ELLIPSIS));
    }
}
