//! Answers as a parser of mails reads them, and what must not get into one.

use chrono::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::mail::Mailbox as Correspondent;
use crate::parse;

fn ana() -> Correspondent {
    Correspondent { address: "ana@b.example".into(), name: Some("Ana, \"A\" Maria".into()) }
}

fn thread() -> Thread {
    Thread {
        message_id: Some("<2@b.example>".into()),
        references: vec!["<1@b.example>".into()],
        subject: "Preço".into(),
        reply_to: Some(ana()),
    }
}

fn written(
    from_name: Option<&str>,
    thread: &Thread,
    id: &str,
    text: &str,
) -> Result<Written, AnswerError> {
    let from: MailAddress = "desk@acme.example".parse().unwrap();
    let date = Utc.with_ymd_and_hms(2026, 3, 4, 10, 0, 0).unwrap();
    write(&Answer { from: &from, from_name, thread, message_id: id, date, text })
}

/// The header, a line each, unfolded.
fn header(written: &Written) -> Vec<String> {
    let text = String::from_utf8(written.bytes.clone()).unwrap();
    let (header, _) = text.split_once("\r\n\r\n").unwrap();
    header.replace("\r\n ", " ").split("\r\n").map(str::to_owned).collect()
}

#[test]
fn an_answer_stays_in_the_thread_and_says_what_it_is() {
    let written =
        written(Some("Acme Suporte"), &thread(), "<a/1@acme.example>", "Olá!\r\n.\r\n").unwrap();
    insta::assert_snapshot!(
        String::from_utf8(written.bytes.clone()).unwrap().replace("\r\n", "\n")
    );
    assert_eq!(written.envelope.from().unwrap().to_string(), "desk@acme.example");
    let to: Vec<String> = written.envelope.to().iter().map(ToString::to_string).collect();
    assert_eq!(to, ["ana@b.example"]);

    let read = parse(&written.bytes);
    assert_eq!(read.message_id.as_deref(), Some("<a/1@acme.example>"));
    assert_eq!(read.in_reply_to.as_deref(), Some("<2@b.example>"));
    assert_eq!(read.references, ["<1@b.example>", "<2@b.example>"]);
    assert_eq!(read.subject, "Re: Preço");
    assert_eq!(read.from.unwrap().name.as_deref(), Some("Acme Suporte"));
    assert_eq!(read.to, [ana()]);
    assert_eq!(read.whole_text, "Olá!\n.");
    let again = parse(&written.bytes).loop_reason(|_| false);
    assert_eq!(again, Some(crate::LoopReason::AutoSubmitted));
}

#[test]
fn the_same_answer_is_written_in_the_same_way() {
    let write = || written(None, &thread(), "<a@b>", "x").unwrap().bytes;
    assert_eq!(write(), write());
}

#[test]
fn re_is_said_once() {
    for (about, expected) in [
        ("Hi", "Re: Hi"),
        ("RE: re: RES: AW:Hi", "Re: Hi"),
        ("Report: x", "Re: Report: x"),
        ("", "Re:"),
        ("a\r\nBcc: x@y", "Re: a Bcc: x@y"),
    ] {
        assert_eq!(subject(about), expected, "{about}");
    }
}

#[test]
fn of_many_earlier_mails_the_first_and_the_last_are_named() {
    let references = (0..60).map(|n| format!("<{n}@b>")).collect();
    let long = format!("<{}@b>", "a".repeat(950));
    let thread = Thread { references, message_id: Some(long), ..thread() };
    let read = parse(&written(None, &thread, "<a@b>", "x").unwrap().bytes);
    assert_eq!(read.references.len(), MAX_REFERENCES);
    assert_eq!((read.references[0].as_str(), read.references[1].as_str()), ("<0@b>", "<41@b>"));
    assert_eq!(read.in_reply_to, None);
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let to = |address: &str| Thread {
        reply_to: Some(Correspondent { address: address.into(), name: None }),
        ..Thread::default()
    };
    assert!(matches!(
        written(None, &Thread::default(), "<a@b>", ""),
        Err(AnswerError::NoRecipient)
    ));
    for bad in ["", "a", "@", "a@", "ação@b", "a b@c", "a>b@c", "a@b\r\nRCPT TO:<x@y>", "a@b>c"] {
        let refused = written(None, &to(bad), "<a@b>", "");
        assert!(matches!(refused, Err(AnswerError::Recipient)), "{bad:?}");
    }
    for bad in ["", "a@b", "<a@b>\r\nBcc: x@y", "<a b@c>"] {
        let refused = written(None, &thread(), bad, "");
        assert!(matches!(refused, Err(AnswerError::MessageId)), "{bad:?}");
    }
    let written = written(None, &to("Ana@Bücher.example"), "<a@b>", "").unwrap();
    assert_eq!(written.envelope.to()[0].to_string(), "Ana@xn--bcher-kva.example");
}

const NAMES: [&str; 12] = [
    "From:",
    "To:",
    "Date:",
    "Subject:",
    "Message-ID:",
    "In-Reply-To:",
    "References:",
    "Auto-Submitted:",
    "X-Auto-Response-Suppress:",
    "MIME-Version:",
    "Content-Type:",
    "Content-Transfer-Encoding:",
];

/// Texts that try to end a line, or are too long for one.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\r\n\0\t <>@:;,\"\\\\a-cBCé=?]{0,60}",
        "(a|é|=\\?utf-8\\?q\\?=0A\\?=| ){0,3}\r?\nBcc: x@y\r\n\r\nbody",
        "[aé]{900,2000}",
    ]
}

proptest! {
    #[test]
    fn nothing_is_put_into_a_header(
        from_name in prop::option::of(hostile()),
        name in prop::option::of(hostile()),
        subject in hostile(),
        ids in prop::collection::vec(prop_oneof![hostile(), "<[a-c@<> \r\n]{1,9}>"], 0..4),
        text in hostile(),
    ) {
        let thread = Thread {
            message_id: ids.first().cloned(),
            references: ids.clone(),
            subject,
            reply_to: Some(Correspondent { address: "ana@b.example".into(), name }),
        };
        let written = written(from_name.as_deref(), &thread, "<a@b>", &text).unwrap();
        let mut names = Vec::new();
        for line in header(&written) {
            let known = NAMES.into_iter().find(|name| line.starts_with(name));
            prop_assert!(known.is_some(), "{}", line);
            names.extend(known);
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(names.len(), count);
        for line in written.bytes.split(|byte| *byte == b'\n') {
            prop_assert!(line.len() <= 999 && line.is_ascii() && !line.contains(&0));
        }
        prop_assert_eq!(written.envelope.to().len(), 1);
    }

    #[test]
    fn every_text_arrives(text in "[ -~éç👋\n.]{0,200}") {
        let written = written(None, &thread(), "<a@b>", &text).unwrap();
        let read = parse(&written.bytes);
        let plain = |text: &str| text.trim().to_owned();
        prop_assert_eq!(plain(&read.whole_text), plain(&text));
    }
}
