//! Mails as they come, from `corpus/`: what is made of each is in `snapshots/`.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{LoopReason, Mail, Mailbox, Thread, parse};

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut mails: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
        })
        .collect();
    mails.sort();
    mails
}

fn of_corpus(name: &str) -> Vec<u8> {
    let found = corpus().into_iter().find(|(it, _)| it == name);
    found.unwrap_or_else(|| panic!("there is no {name}.eml")).1
}

fn is_own(address: &str) -> bool {
    address.eq_ignore_ascii_case("support@acme.example")
}

/// Holds for whatever anybody sends.
fn is_within_bounds(mail: &Mail) -> Result<(), TestCaseError> {
    let payload = mail.payload();
    prop_assert!(mail.text.len() <= 256 * 1_024 && mail.whole_text.len() <= 256 * 1_024);
    prop_assert!(mail.subject.chars().count() <= 998);
    prop_assert!(mail.to.len() <= 50 && mail.cc.len() <= 50 && mail.references.len() <= 50);
    prop_assert!(mail.attachments.len() <= 50.min(mail.attachment_count));
    prop_assert!(mail.text.is_empty() == mail.whole_text.is_empty());
    is_clean(&payload)?;
    is_clean(&json!([mail.question(), mail.provider_id(), mail.thread(), mail.whole_text]))?;
    let thread = mail.thread();
    prop_assert_eq!(serde_json::from_value::<Thread>(json!(thread)).unwrap(), thread);
    Ok(())
}

fn is_clean(value: &Value) -> Result<(), TestCaseError> {
    match value {
        Value::String(text) => {
            let bad = |char: char| char.is_control() && char != '\n' && char != '\t';
            prop_assert!(!text.contains(bad), "{:?}", text);
            Ok(())
        }
        Value::Array(values) => values.iter().try_for_each(is_clean),
        Value::Object(fields) => fields.values().try_for_each(is_clean),
        _ => Ok(()),
    }
}

#[test]
fn every_awkward_mail_is_understood() {
    let mails = corpus();
    assert!(mails.len() >= 25, "{}", mails.len());
    for (name, raw) in mails {
        let mail = parse(&raw);
        is_within_bounds(&mail).unwrap();
        let made = json!({
            "payload": mail.payload(),
            "whole_text": mail.whole_text,
            "question": mail.question(),
            "references": mail.references,
            "loop": mail.loop_reason(is_own).map(LoopReason::as_str),
        });
        insta::assert_json_snapshot!(name, made);
    }
}

#[test]
fn a_large_attachment_is_listed_and_not_kept() {
    let line = format!("{}\r\n", "QUFB".repeat(19));
    let lines = 20 * 1_024 * 1_024 / 57;
    let mail = format!(
        "From: ana@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\n\r\nSee the film.\r\n\
         --b\r\nContent-Type: video/mp4; name=film.mp4\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}--b--\r\n",
        line.repeat(lines)
    );
    let mail = parse(mail.as_bytes());
    assert_eq!((mail.text.as_str(), mail.truncated), ("See the film.", false));
    assert_eq!(mail.attachments[0].name.as_deref(), Some("film.mp4"));
    assert_eq!(mail.attachments[0].size, 57 * lines as u64);
    assert!(mail.payload().to_string().len() < 1_000);
}

#[test]
fn a_long_text_is_cut_and_says_so() {
    let mail = parse(format!("From: a@b\n\n{}", "é\n".repeat(200_000)).as_bytes());
    assert!(mail.truncated && mail.text.len() > 256 * 1_024 - 8);
    is_within_bounds(&mail).unwrap();
    let mail = parse(format!("From: a@b\nSubject: {}\n\nx", "é".repeat(2_000)).as_bytes());
    assert_eq!((mail.subject.chars().count(), mail.truncated), (998, false));
}

/// Each of these took a careless reader the square of its length, or the stack of its thread.
#[test]
fn no_mail_takes_more_than_its_length() {
    let plain = "From: a@b\nContent-Type: text/plain\n\n";
    let html = "From: a@b\nContent-Type: text/html\n\n";
    let mixed = "From: a@b\nContent-Type: multipart/mixed; boundary=b\n\n";
    for (head, piece) in [
        (html, "<"),
        (html, "<a b='"),
        (html, "<!--"),
        (html, "<script>"),
        (html, "<blockquote>a"),
        (html, "<div style=display:none>"),
        (html, "&"),
        (html, "&#1"),
        (plain, "On 1 May a@b "),
        (plain, "On 1\n"),
        (plain, "From:\n"),
        (plain, "> \n"),
        (plain, "\n"),
        (mixed, "--b\n"),
        (mixed, "--b\nContent-Type: multipart/mixed; boundary=never\n\n"),
        (mixed, "--b\nContent-Type: message/rfc822\n\n"),
        ("", "Content-Type: message/rfc822\n\n"),
        ("", "Content-Type: multipart/digest; boundary=b\n\n--b\n"),
        ("Subject: ", "=?utf-8?q?"),
        ("From: ", "("),
        ("To: ", "<a@b>,"),
        ("To: ", ":;"),
        ("References: ", "<a@b>"),
        ("Content-Type: a/b", ";a*0*=''%"),
        ("", "Subject: a\n"),
        ("", "\n"),
    ] {
        let mail = format!("{head}{}", piece.repeat(256 * 1_024 / piece.len()));
        is_within_bounds(&parse(mail.as_bytes())).unwrap();
    }
}

#[test]
fn a_question_has_the_subject_unless_it_is_an_answer() {
    let question =
        |header: &str, text: &str| parse(format!("{header}\n\n{text}\n").as_bytes()).question();
    assert_eq!(question("From: a@b\nSubject: Price", "How much?"), "Subject: Price\n\nHow much?");
    assert_eq!(question("Subject: Re: Price\nIn-Reply-To: <a@b>", "And now?"), "And now?");
    assert_eq!(question("Subject: Re: Price\nIn-Reply-To: <a@b>", ""), "Subject: Re: Price");
    assert_eq!(question("From: a@b", "How much?"), "How much?");
    assert_eq!(question("From: a@b", ""), "");
}

#[test]
fn quotes_are_kept_where_they_are_wanted() {
    let mail = parse(&of_corpus("gmail_reply"));
    let (id, text) = (mail.provider_id(), mail.text.clone());
    let keeping = mail.clone().keeping_quotes(true);
    assert!(keeping.text.contains("> Seu pedido") && !text.contains('>'));
    assert_eq!(mail.keeping_quotes(false).text, text);
    // It is the same mail however it is read.
    assert_eq!(keeping.provider_id(), id);
}

#[test]
fn a_mail_is_told_from_others_by_what_it_says() {
    let id =
        |header: &str, text: &str| parse(format!("{header}\n\n{text}").as_bytes()).provider_id();
    let mail = id("Message-ID: <1@b>\nFrom: a@b\nSubject: s", "t");
    assert_eq!(mail, id("Received: by x\nMessage-ID: <1@b>\nFrom: a@b\nSubject: s", "t\r\n"));
    let (begin, hash) = mail.split_once('/').unwrap();
    assert_eq!((begin, hash.len()), ("<1@b>", 16));
    for other in [
        id("Message-ID: <1@b>\nFrom: c@b\nSubject: s", "t"),
        id("Message-ID: <1@b>\nFrom: a@b\nSubject: t", "t"),
        id("Message-ID: <1@b>\nFrom: a@b\nSubject: s", "u"),
        id("Message-ID: <1@b>\nFrom: a@b\nSubject: st", ""),
        id("Message-ID: <2@b>\nFrom: a@b\nSubject: s", "t"),
        id("From: a@b\nSubject: s", "t"),
    ] {
        assert_ne!(mail, other);
    }
    assert_eq!(id("From: a@b\nSubject: s", "t"), hash);
}

#[test]
fn what_an_answer_needs_travels_with_the_message() {
    let thread = parse(&of_corpus("gmail_reply")).thread();
    assert_eq!(
        json!(thread),
        json!({
            "message_id": "<1.ana@b.example>",
            "references": ["<root@b.example>", "<0@acme.example>"],
            "subject": "Re: Pedido 123",
            "reply_to": {"address": "ana@b.example", "name": "Ana Souza"},
        })
    );
    let sparse: Thread =
        serde_json::from_value(json!({"message_id": null, "reply_to": null})).unwrap();
    assert_eq!(sparse, Thread::default());
    let thread = parse(b"In-Reply-To: <0@b>\nReply-To: c@d\nFrom: a@b\n\nx").thread();
    assert_eq!(thread.references, ["<0@b>"]);
    assert_eq!(thread.reply_to, Some(Mailbox { address: "c@d".into(), name: None }));
    let many: String = (0..60).map(|n| format!("<{n}@b>")).collect::<Vec<_>>().join(" ");
    let thread = parse(format!("References: {many}\n\nx").as_bytes()).thread();
    assert_eq!(thread.references.len(), 19);
    assert_eq!(
        (thread.references[0].as_str(), thread.references[18].as_str()),
        ("<0@b>", "<59@b>")
    );
}

/// A mail of the corpus with some of its bytes changed, taken out or put in again.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let mails: Vec<Vec<u8>> = corpus().into_iter().map(|(_, raw)| raw).collect();
    let edit =
        (any::<prop::sample::Index>(), 0_usize..60, prop::collection::vec(any::<u8>(), 0..6));
    (prop::sample::select(mails), prop::collection::vec(edit, 1..8)).prop_map(|(mut raw, edits)| {
        for (at, length, bytes) in edits {
            let at = at.index(raw.len() + 1);
            let end = (at + length).min(raw.len());
            raw.splice(at..end, bytes);
        }
        raw
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_mail(raw in prop::collection::vec(any::<u8>(), 0..600)) {
        is_within_bounds(&parse(&raw))?;
    }

    #[test]
    fn a_damaged_mail_is_still_one(raw in mutated()) {
        is_within_bounds(&parse(&raw))?;
    }

    #[test]
    fn any_header_is_read(
        name in prop::sample::select(vec![
            "From", "To", "Subject", "Date", "References", "Content-Type", "Content-Disposition",
            "Content-Type: text/plain; charset", "Auto-Submitted", "List-Id",
        ]),
        value in "([ -~é\t]|=\\?(utf-8|utf-7|gb18030)\\?[qb]\\?|\\?=|\r\n |<a@b>|;a\\*[0-9]*\\*?=''%){0,40}",
        body in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut raw = format!("{name}: {value}\r\n\r\n").into_bytes();
        raw.extend(body);
        is_within_bounds(&parse(&raw))?;
    }

    #[test]
    fn any_page_is_read(html in "(<[a-z!/]{0,3}[ -~]{0,9}>|<(div|blockquote|style|pre|li)( style='display:none')?>|</[a-z]{1,3}|[ -~é]|&[a-z#0-9]{1,6};|-- \n|> ){0,60}") {
        let mail = parse(format!("From: a@b\nContent-Type: text/html\n\n{html}").as_bytes());
        is_within_bounds(&mail)?;
    }
}
