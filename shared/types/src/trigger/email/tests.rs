//! What a mailbox may be, and every mistake by its path.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::shape::Problems;
use crate::trigger::TriggerType;
use crate::trigger::schema::config_schema_of;

fn read(email: &Value) -> Result<Email, Vec<(String, String)>> {
    let (problems, value) = (Problems::default(), json!({"email": email}));
    let mut reader = ObjectReader::new(&value, "trigger_config", &problems).unwrap();
    let email = Email::read(&mut reader);
    reader.done();
    let in_words = |found: Vec<crate::shape::FieldProblem>| {
        found.into_iter().map(|it| (it.path, it.reason)).collect()
    };
    problems.finish(email).map(|email| email.expect("there is no mistake")).map_err(in_words)
}

fn paths(email: &Value) -> Vec<String> {
    read(email).unwrap_err().into_iter().map(|(path, _)| path).collect()
}

/// Every field that there is.
fn complete() -> Value {
    json!({
        "address": "Support@Acme.example",
        "aliases": ["help@acme.example", "o'hara+desk@bücher.example"],
        "http": {"provider": "mailgun"},
        "imap": {"host": "imap.acme.example", "port": 1143, "tls": "starttls",
                 "secret_ref": "MAILBOX", "mailbox": "Entrada/Vendas", "start": "beginning",
                 "mark_seen": false},
        "smtp": {"host": "[::1]", "port": 2525, "tls": "none", "secret_ref": "SENDER",
                 "from_name": "Acme Suporte", "timeout_ms": 1_000,
                 "retry": {"max_attempts": 5}},
        "keep_quotes": true,
    })
}

#[test]
fn every_field_is_read() {
    let email = read(&complete()).unwrap();
    assert_eq!(email.address.to_string(), "Support@acme.example");
    assert_eq!(email.aliases[1].to_string(), "o'hara+desk@xn--bcher-kva.example");
    assert_eq!(email.http, Some(MailProvider::Mailgun));
    assert!(email.keep_quotes);
    let imap = email.imap.as_ref().unwrap();
    assert_eq!((imap.host.to_string().as_str(), imap.port), ("imap.acme.example", 1143));
    assert_eq!(
        (imap.tls, imap.start, imap.mark_seen),
        (Tls::Starttls, MailboxStart::Beginning, false)
    );
    assert_eq!(imap.mailbox, "Entrada/Vendas");
    let smtp = email.smtp.as_ref().unwrap();
    assert_eq!((smtp.host.to_string().as_str(), smtp.port, smtp.tls), ("[::1]", 2525, Tls::None));
    assert_eq!((smtp.timeout_ms, smtp.retry.max_attempts), (1_000, 5));
    assert_eq!(smtp.from_name.as_deref(), Some("Acme Suporte"));
    assert_eq!(
        email.secret_refs(),
        [
            ("email.imap.secret_ref".to_owned(), "MAILBOX"),
            ("email.smtp.secret_ref".to_owned(), "SENDER")
        ]
    );
}

#[test]
fn the_schema_describes_what_is_read() {
    let schema = config_schema_of(TriggerType::Email);
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    let fits = |email: &Value| schema.is_valid(&json!({"email": email}));
    assert!(fits(&complete()) && fits(&json!({"address": "a@b"})));
    for path in [
        "/address",
        "/aliases",
        "/aliases/0",
        "/http",
        "/http/provider",
        "/imap/host",
        "/imap/port",
        "/imap/tls",
        "/imap/secret_ref",
        "/imap/mailbox",
        "/imap/start",
        "/imap/mark_seen",
        "/smtp/host",
        "/smtp/port",
        "/smtp/tls",
        "/smtp/secret_ref",
        "/smtp/from_name",
        "/smtp/timeout_ms",
        "/smtp/retry",
        "/smtp/retry/max_attempts",
        "/keep_quotes",
    ] {
        let mut wrong = complete();
        *wrong.pointer_mut(path).unwrap() = json!(["\r\n"]);
        assert!(!fits(&wrong) && read(&wrong).is_err(), "{path}");
    }
    for path in ["", "/http", "/imap", "/smtp", "/smtp/retry"] {
        let mut wrong = complete();
        wrong.pointer_mut(path).unwrap()["typo"] = json!(1);
        assert!(!fits(&wrong) && read(&wrong).is_err(), "{path}");
    }
}

#[test]
fn what_is_left_out_is_as_usual() {
    let email = read(&json!({"address": "a@b"})).unwrap();
    assert_eq!(email.http, Some(MailProvider::Raw));
    assert_eq!((email.imap, email.smtp, email.keep_quotes), (None, None, false));

    let email = read(&json!({
        "address": "a@b.example",
        "imap": {"host": "10.0.0.1", "secret_ref": "S"},
        "smtp": {"host": "mail.b.example"},
    }));
    let email = email.unwrap();
    assert_eq!(email.http, None);
    assert_eq!(email.secret_refs().len(), 1);
    let (imap, smtp) = (email.imap.unwrap(), email.smtp.unwrap());
    assert_eq!((imap.port, imap.tls, imap.mailbox.as_str()), (993, Tls::Implicit, "INBOX"));
    assert_eq!((imap.start, imap.mark_seen), (MailboxStart::Now, true));
    assert_eq!((smtp.port, smtp.tls, smtp.timeout_ms), (587, Tls::Starttls, 15_000));
    assert_eq!(smtp.retry, RetryPolicy::FOR_MAILS);

    for (tls, imap_port, smtp_port) in
        [("implicit", 993, 465), ("starttls", 143, 587), ("none", 143, 25)]
    {
        let email = read(&json!({
            "address": "a@b",
            "imap": {"host": "h", "secret_ref": "S", "tls": tls},
            "smtp": {"host": "h", "tls": tls},
        }));
        let email = email.unwrap();
        let ports = (email.imap.unwrap().port, email.smtp.unwrap().port);
        assert_eq!(ports, (imap_port, smtp_port), "{tls}");
    }
}

#[test]
fn every_mistake_is_named_at_once() {
    let found = paths(&json!({
        "address": "Acme <a@b>",
        "aliases": ["a@b", "a@b\r\nBcc: x@y"],
        "http": {"provider": "fax"},
        "imap": {"host": "imap.b:993", "port": 0, "tls": "yes", "mailbox": "a\nb", "start": 1,
                 "mark_seen": "no", "password": "x"},
        "smtp": {"port": 65_536, "from_name": "a\r\nb", "timeout_ms": 1, "secret_ref": "",
                 "retry": {"max_attempts": 0}},
        "keep_quotes": 1,
        "typo": 1,
    }));
    let expected = [
        "address",
        "aliases[1]",
        "http.provider",
        "imap.host",
        "imap.mailbox",
        "imap.mark_seen",
        "imap.password",
        "imap.port",
        "imap.secret_ref",
        "imap.start",
        "imap.tls",
        "keep_quotes",
        "smtp.from_name",
        "smtp.host",
        "smtp.port",
        "smtp.retry.max_attempts",
        "smtp.secret_ref",
        "smtp.timeout_ms",
        "typo",
    ];
    let mut found: Vec<&str> =
        found.iter().filter_map(|path| path.strip_prefix("trigger_config.email.")).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(paths(&json!({})), ["trigger_config.email.address"]);
    assert_eq!(paths(&json!("a@b")), ["trigger_config.email"]);
    let many = vec!["a@b"; 21];
    assert_eq!(paths(&json!({"address": "a@b", "aliases": many})).len(), 1);
}

#[test]
fn an_address_is_what_every_server_takes() {
    let local = "a".repeat(64);
    for good in ["a@b", "a.b+c@d-e.example", "Ana_1@EXAMPLE.com", &format!("{local}@b")] {
        assert!(good.parse::<MailAddress>().is_ok(), "{good}");
    }
    let domain = vec!["a".repeat(60); 4].join(".");
    for bad in [
        "",
        "@",
        "a",
        "a@",
        "@b",
        "a@b@c",
        "a b@c",
        " a@b",
        "a@b ",
        "a@b.",
        "a@.b",
        "a@b..c",
        ".a@b",
        "a.@b",
        "a..b@c",
        "\"a b\"@c",
        "a@[127.0.0.1]",
        "a@127.0.0.1",
        "a@-b",
        "a@b%2ec",
        "a\0@b",
        "a@b\r\n",
        "a@b\nBcc:c",
        "ação@b",
        "<a@b>",
        "a(x)@b",
        &format!("a{local}@b"),
        &format!("abcdefghijk@{domain}"),
    ] {
        assert!(bad.parse::<MailAddress>().is_err(), "{bad:?}");
    }
}

#[test]
fn own_addresses_are_known_however_they_are_written() {
    let email = read(&complete()).unwrap();
    for own in [
        "support@acme.example",
        " SUPPORT@ACME.EXAMPLE ",
        "Help@acme.example",
        "o'hara+desk@BÜCHER.example",
        "O'Hara+desk@xn--bcher-kva.example",
    ] {
        assert!(email.is_own(own), "{own}");
    }
    for other in [
        "",
        "@",
        "support",
        "support@acme.example.com",
        "support+x@acme.example",
        "x@[",
        "@acme.example",
    ] {
        assert!(!email.is_own(other), "{other}");
    }
}

proptest! {
    #[test]
    fn an_address_that_is_taken_is_one_line_and_itself(text in "[a-zA-Z0-9.@ü\r\n\0<> \"-]{0,12}") {
        if let Ok(address) = text.parse::<MailAddress>() {
            let shown = address.to_string();
            prop_assert!(shown.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(shown.parse(), Ok(address.clone()));
            let email = read(&json!({"address": shown})).unwrap();
            prop_assert!(email.is_own(&text));
        }
    }
}
