//! The requests of every provider, and what is none.

use proptest::prelude::*;
use recado_types::trigger::email::MailProvider::{Mailgun, Postmark, Raw, Sendgrid};
use serde_json::json;

use super::*;
use crate::LoopReason;
use crate::parse;

const MAIL: &str = "From: Ana <ana@b.example>\r\nTo: desk@acme.example\r\n\
    Subject: =?utf-8?q?Pre=C3=A7o?=\r\nMessage-ID: <1@b.example>\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\r\nQuanto custa?\r\n-- \r\nAna\r\n";
const MULTIPART: Option<&str> = Some("multipart/form-data; boundary=\"xYz\"");
const ENCODED: Option<&str> = Some("application/x-www-form-urlencoded");
const JSON: Option<&str> = Some("application/json; charset=utf-8");

/// A field each; a name with `;` in it goes on in the disposition.
fn multipart(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let (name, more) = name.split_once(';').unwrap_or((name, ""));
        let more = if more.is_empty() { String::new() } else { format!(";{more}") };
        let head =
            format!("--xYz\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--xYz--\r\n");
    body
}

fn encoded(fields: &[(&str, &str)]) -> Vec<u8> {
    let pairs = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    pairs.into_bytes()
}

fn postmark() -> serde_json::Value {
    json!({
        "FromName": "Ana, da Silva", "MessageStream": "inbound", "From": "ana@b.example",
        "FromFull": {"Email": "ana@b.example", "Name": "Ana, da Silva", "MailboxHash": ""},
        "To": "desk@acme.example",
        "ToFull": [{"Email": "desk@acme.example", "Name": "", "MailboxHash": "x"}],
        "Cc": "", "CcFull": [], "Bcc": "", "BccFull": [],
        "OriginalRecipient": "hash@inbound.postmarkapp.com",
        "ReplyTo": "Ana <ana.2@b.example>", "Subject": "Re: Preço",
        "MessageID": "73e6d360-66eb-11e1-8e72-a8904824019b",
        "Date": "Fri, 1 Aug 2014 16:45:32 -0400", "MailboxHash": "",
        "TextBody": "Quanto custa?\n\nOn 1 May, desk <desk@acme.example> wrote:\n> Olá\n",
        "HtmlBody": "<p>Quanto custa?</p>", "StrippedTextReply": "Quanto custa?", "Tag": "",
        "Headers": [{"Name": "Message-ID", "Value": "<1@b.example>"},
                    {"Name": "In-Reply-To", "Value": "<0@acme.example>"},
                    {"Name": "X-Spam-Status", "Value": "No"}],
        "Attachments": [{"Name": "a/b.txt", "Content": "not base64 \u{0}", "ContentType": "text/plain",
                         "ContentLength": 45, "ContentID": ""}],
    })
}

#[test]
fn a_mail_is_posted_as_it_is() {
    for content_type in
        [None, Some("message/rfc822"), Some("text/plain"), Some("application/octet-stream")]
    {
        assert_eq!(read(Raw, content_type, MAIL.as_bytes()), Ok(parse(MAIL.as_bytes())));
    }
    assert_eq!(read(Raw, JSON, b"{}"), Err(FormError::ContentType("message/rfc822")));
    assert!(matches!(read(Raw, None, b"hello"), Err(FormError::NoMail(_))));
    assert!(matches!(read(Raw, None, b""), Err(FormError::NoMail(_))));
}

#[test]
fn sendgrid_posts_the_mail() {
    let envelope = br#"{"to":["desk@acme.example"],"from":"ana@b.example"}"#;
    let body = multipart(&[("envelope", envelope), ("email", MAIL.as_bytes()), ("SPF", b"pass")]);
    let mail = read(Sendgrid, MULTIPART, &body).unwrap();
    let whole = parse(MAIL.as_bytes());
    assert_eq!(mail.provider_id(), whole.provider_id());
    assert_eq!(mail, whole);

    let body = multipart(&[("envelope", br#"{"from":""}"#), ("email", MAIL.as_bytes())]);
    let mail = read(Sendgrid, MULTIPART, &body).unwrap();
    assert_eq!(mail.loop_reason(|_| false), Some(LoopReason::Notice));
}

#[test]
fn sendgrid_posts_what_it_has_parsed() {
    let headers = "Message-ID: <1@b.example>\nReferences: <0@b.example>\nSubject: Preço\n\
        From: Ana <ana@b.example>\nContent-Type: multipart/mixed; boundary=gone\n";
    let body = multipart(&[
        ("headers", headers.as_bytes()),
        ("to", b"Desk <desk@acme.example>"),
        ("from", b"Ana <ana@b.example>"),
        ("subject", "Preço".as_bytes()),
        ("text", b"Pre\xe7o?\r\n> old"),
        ("html", b"<p>no</p>"),
        ("charsets", br#"{"to":"UTF-8","text":"iso-8859-1","html":"utf-8"}"#),
        ("attachments", b"1"),
        ("attachment-info", br#"{"attachment1":{"filename":"f.pdf","type":"application/pdf"}}"#),
        (
            "attachment1; filename=\"../f.pdf\"\r\nContent-Type: application/pdf; x=y",
            b"%PDF\r\n\x00",
        ),
    ]);
    let mail = read(Sendgrid, MULTIPART, &body).unwrap();
    assert_eq!((mail.subject.as_str(), mail.text.as_str()), ("Preço", "Preço?"));
    assert_eq!(mail.whole_text, "Preço?\n> old");
    assert_eq!(mail.to[0].address, "desk@acme.example");
    assert_eq!(mail.thread_id(), Some("<0@b.example>"));
    let [attachment] = mail.attachments.as_slice() else { panic!("{:?}", mail.attachments) };
    assert_eq!(attachment.name.as_deref(), Some(".._f.pdf"));
    assert_eq!((attachment.content_type.as_str(), attachment.size), ("application/pdf", 7));
}

#[test]
fn sendgrid_posts_html_alone() {
    let body = multipart(&[("from", b"ana@b.example"), ("html", b"<p>a</p><p>b</p>")]);
    assert_eq!(read(Sendgrid, MULTIPART, &body).unwrap().text, "a\n\nb");
}

#[test]
fn mailgun_posts_the_mail() {
    for sender in ["ana@b.example", ""] {
        let body = encoded(&[("sender", sender), ("recipient", "d@a"), ("body-mime", MAIL)]);
        let mail = read(Mailgun, ENCODED, &body).unwrap();
        assert_eq!(mail.text, "Quanto custa?");
        assert_eq!(mail.loop_reason(|_| false).is_some(), sender.is_empty());
    }
    let body = multipart(&[("body-mime", MAIL.as_bytes())]);
    assert_eq!(read(Mailgun, MULTIPART, &body), Ok(parse(MAIL.as_bytes())));
}

#[test]
fn mailgun_posts_what_it_has_parsed() {
    let headers = json!([
        ["Message-Id", "<1@b.example>"],
        ["Subject", "Preço"],
        ["Auto-Submitted", "auto-replied"]
    ]);
    let headers = headers.to_string();
    let fields = [
        ("sender", "bounce+ana=b@b.example"),
        ("from", "Ana <ana@b.example>"),
        ("To", "desk@acme.example"),
        ("subject", "Preço"),
        ("body-plain", "Quanto?\r\n\r\nAna\r\n> old"),
        ("stripped-text", "Quanto?"),
        ("stripped-signature", "Ana"),
        ("body-html", "<p>Quanto?</p>"),
        ("message-headers", headers.as_str()),
        ("attachment-count", "2"),
    ];
    let mail = read(Mailgun, ENCODED, &encoded(&fields)).unwrap();
    assert_eq!(
        (mail.text.as_str(), mail.whole_text.as_str()),
        ("Quanto?", "Quanto?\n\nAna\n> old")
    );
    assert_eq!(mail.from.as_ref().unwrap().address, "ana@b.example");
    assert_eq!(mail.to[0].address, "desk@acme.example");
    assert_eq!(mail.message_id.as_deref(), Some("<1@b.example>"));
    assert_eq!(mail.loop_reason(|_| false), Some(LoopReason::AutoSubmitted));
    assert_eq!((mail.attachments.len(), mail.attachment_count), (0, 2));

    let mut fields: Vec<(&str, &[u8])> =
        fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    fields.push(("attachment-1; filename=\"=?utf-8?q?=C3=A9.txt?=\"", b"abc"));
    fields.push(("attachments", br#"[{"name":"s.txt","content-type":"text/plain","size":9}]"#));
    let mail = read(Mailgun, MULTIPART, &multipart(&fields)).unwrap();
    let names: Vec<_> = mail.attachments.iter().map(|it| it.name.as_deref()).collect();
    assert_eq!(names, [Some("é.txt"), Some("s.txt")]);
    assert_eq!(mail.attachment_count, 2);
}

#[test]
fn postmark_posts_json() {
    let mail = read(Postmark, JSON, postmark().to_string().as_bytes()).unwrap();
    assert_eq!(mail.from.as_ref().unwrap().name.as_deref(), Some("Ana, da Silva"));
    assert_eq!(mail.reply_to.as_ref().unwrap().address, "ana.2@b.example");
    assert_eq!((mail.to.len(), mail.cc.len()), (1, 0));
    assert_eq!((mail.subject.as_str(), mail.text.as_str()), ("Re: Preço", "Quanto custa?"));
    assert!(mail.whole_text.contains("> Olá"));
    assert_eq!(mail.message_id.as_deref(), Some("<1@b.example>"));
    assert_eq!(mail.thread_id(), Some("<0@acme.example>"));
    assert_eq!(mail.date.unwrap().to_rfc3339(), "2014-08-01T16:45:32-04:00");
    assert_eq!(mail.attachments[0].name.as_deref(), Some("a_b.txt"));
    assert_eq!(mail.attachments[0].size, 45);

    let mut with_raw = postmark();
    with_raw["RawEmail"] = MAIL.into();
    let mail = read(Postmark, JSON, with_raw.to_string().as_bytes());
    assert_eq!(mail, Ok(parse(MAIL.as_bytes())));

    let sparse = json!({"From": "ana@b.example", "FromFull": null, "Headers": null});
    let mail = read(Postmark, JSON, sparse.to_string().as_bytes()).unwrap();
    assert_eq!(mail.from.unwrap().address, "ana@b.example");
}

#[test]
fn what_no_provider_sends_is_refused() {
    for (provider, content_type, body) in [
        (Sendgrid, ENCODED, "a=b"),
        (Sendgrid, None, ""),
        (Mailgun, JSON, "{}"),
        (Postmark, MULTIPART, ""),
        (Postmark, None, "{}"),
    ] {
        let refused = read(provider, content_type, body.as_bytes());
        assert!(matches!(refused, Err(FormError::ContentType(_))), "{provider:?}");
    }
    for (provider, content_type, body) in [
        (Sendgrid, Some("multipart/form-data"), "--\r\n"),
        (Sendgrid, MULTIPART, "nothing"),
        (Postmark, JSON, "{"),
        (Postmark, JSON, "[]"),
        (Postmark, JSON, r#"{"From": {"secret": 1}}"#),
    ] {
        let refused = read(provider, content_type, body.as_bytes()).unwrap_err();
        assert!(matches!(refused, FormError::Malformed(_)), "{provider:?}");
        assert!(!refused.to_string().contains("secret"));
    }
    for (provider, content_type, body) in
        [(Mailgun, ENCODED, "a=b"), (Mailgun, ENCODED, ""), (Postmark, JSON, "{}")]
    {
        let refused = read(provider, content_type, body.as_bytes());
        assert!(matches!(refused, Err(FormError::NoMail(_))), "{provider:?}");
    }
}

proptest! {
    #[test]
    fn no_body_breaks_it(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            "(--xYz(--)?\r\n|Content-Disposition: form-data; name=(text|email|headers|attachment1)(; filename=a)?\r\n|\r\n|From: a@b\r\n|[a-z=&%{}\"\\[\\]]{1,8}){0,20}"
                .prop_map(String::into_bytes),
        ],
        content_type in prop::sample::select(vec![None, MULTIPART, ENCODED, JSON]),
    ) {
        for provider in [Raw, Sendgrid, Mailgun, Postmark] {
            if let Ok(mail) = read(provider, content_type, &body) {
                prop_assert!(!mail.payload().to_string().contains("\\u0000"));
            }
        }
    }
}
