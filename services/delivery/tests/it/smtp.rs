//! Answers by mail: a real server, and a provider that misbehaves.

use recado_testkit::servers::MAIL_PASSWORD;
use recado_testkit::smtp::{Does, SmtpStub};
use recado_testkit::{mail, wait_for};
use recado_types::TriggerId;
use serde_json::{Value, json};

use crate::running::{SOON, Setup, System};

const OWN: &str = "support@acme.example";
const ANA: &str = "ana@customer.example";

/// What the sender's mail has left in the context.
fn thread() -> Value {
    json!({
        "message_id": "<q-1@customer.example>",
        "references": ["<q-0@customer.example>"],
        "subject": "Olá, my order",
        "reply_to": {"address": ANA, "name": "Ana"},
    })
}

/// A trigger whose answers go by mail.
async fn trigger(system: &System, smtp: Value, split: &Value) -> TriggerId {
    let config = json!({
        "email": {"address": OWN, "smtp": smtp},
        "auth": {"type": "none"},
        "execution": {"split_config": split},
    });
    system.trigger_of(&config).await
}

/// In the clear, at a port of this machine, tried again at once.
fn at(port: u16) -> Value {
    json!({
        "host": "127.0.0.1", "port": port, "tls": "none", "timeout_ms": 5_000,
        "retry": {"max_attempts": 5, "initial_delay_ms": 100, "max_delay_ms": 200},
    })
}

fn in_pieces() -> Value {
    json!({
        "enabled": true, "max_chunk_size": 100, "chunk_strategy": "length", "numbering": false,
        "inter_chunk_delay_ms": 0,
    })
}

const ATTEMPTS: &str = "SELECT string_agg(concat_ws(' ', chunk_index, attempt, status_code, \
                        error_code), ', ' ORDER BY chunk_index, attempt) FROM attempts";

#[tokio::test]
async fn an_answer_is_in_the_thread_of_the_mail_and_goes_by_tls_with_a_login() {
    let (system, mail) = (System::new().await, mail().await);
    system.add_secret("MAIL", &format!("{OWN}:{MAIL_PASSWORD}")).await;
    let trust = Setup { authority: Some(mail.ca_pem()), ..Setup::default() };
    let instance = system.start_with(&trust);
    for (session, tls, port) in
        [(1, "starttls", mail.smtp_port()), (2, "implicit", mail.smtps_port())]
    {
        let smtp = json!({
            "host": "127.0.0.1", "port": port, "tls": tls, "secret_ref": "MAIL",
            "from_name": "Acme Support",
        });
        let trigger = trigger(&system, smtp, &Value::Null).await;
        let context = json!({"_email": thread()});
        let delivery = system.answer_in(trigger, session, "It is on its way.", &context).await;
        system.wait_until("delivered", delivery).await;
        let mails = mail.received(ANA);
        let mail = String::from_utf8(mails.last().unwrap().clone()).unwrap().replace('\r', "");
        for line in [
            format!("X-Test-Session: tls=true; user={OWN}; from={OWN}"),
            format!("Message-ID: <{delivery}-1@acme.example>"),
            "In-Reply-To: <q-1@customer.example>".to_owned(),
            "Auto-Submitted: auto-replied".to_owned(),
            "It is on its way.".to_owned(),
        ] {
            assert!(mail.lines().any(|it| it == line), "{tls}: {line} in {mail}");
        }
        assert!(mail.contains("<q-0@customer.example>") && mail.contains("Acme Support"));
        let kept = "SELECT string_agg(status_code || ' ' || provider_id, ',') FROM attempts \
                    JOIN chunks USING (delivery_id, chunk_index) WHERE delivery_id";
        let kept = system.text(&format!("{kept} = '{delivery}'")).await;
        assert_eq!(kept, format!("250 <{delivery}-1@acme.example>"));
    }
    instance.stop().await;
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_or_that_speaks_no_tls_is_sent_no_password() {
    let (system, mail) = (System::new().await, mail().await);
    let plain = SmtpStub::start(|_| Does::Usual);
    // Whoever sits between us and a server could say more in the clear than it did.
    let more = SmtpStub::start(|line| match line.verb {
        "EHLO" => Does::Says("250-stub.test\r\n250 STARTTLS".to_owned()),
        "STARTTLS" => Does::Says("220 Go on\r\n250 AUTH PLAIN".to_owned()),
        _ => Does::Usual,
    });
    system.add_secret("MAIL", &format!("{OWN}:{MAIL_PASSWORD}")).await;
    let instance = system.start();
    for (session, port, code) in [
        (1, mail.smtp_port(), "invalid_certificate"),
        (2, plain.port(), "smtp_tls_unavailable"),
        (3, more.port(), "connection_failed"),
    ] {
        let smtp = json!({
            "host": "127.0.0.1", "port": port, "secret_ref": "MAIL", "retry": {"max_attempts": 1},
        });
        let trigger = trigger(&system, smtp, &Value::Null).await;
        let context = json!({"_email": thread()});
        let delivery = system.answer_in(trigger, session, "x", &context).await;
        system.wait_until("failed", delivery).await;
        assert_eq!(system.error_code(delivery).await, code);
    }
    assert!(mail.received(ANA).is_empty() && plain.mails().is_empty());
    instance.stop().await;
}

#[tokio::test]
async fn a_passing_refusal_is_tried_again_as_the_same_mail_and_a_final_one_ends_the_rest() {
    let system = System::new().await;
    let provider = SmtpStub::start(|line| match (line.connection, line.verb) {
        (1, "RCPT") => Does::Says("451 4.7.1 greylisted".to_owned()),
        // In doubt: it has the mail, and does not say so.
        (2, "END") => Does::HangsUp,
        (4, "RCPT") => Does::Says("550 5.1.1 nobody of that name".to_owned()),
        _ => Does::Usual,
    });
    let trigger = trigger(&system, at(provider.port()), &in_pieces()).await;
    let context = json!({"_email": thread()});
    let delivery = system.answer_in(trigger, 1, &"x".repeat(300), &context).await;
    let instance = system.start();
    system.wait_until("failed", delivery).await;
    instance.stop().await;
    assert_eq!(system.chunks(delivery).await, "sent failed skipped");
    assert_eq!(
        system.text(ATTEMPTS).await,
        "0 1 451 smtp_unavailable, 0 2 connection_failed, 0 3 250, 1 1 550 smtp_rejected"
    );
    let id = format!("Message-ID: <{delivery}-1@acme.example>");
    let mails = provider.mails();
    assert!(mails.len() == 2 && mails[0] == mails[1] && mails[0].contains(&id), "{mails:?}");
}

#[tokio::test]
async fn a_server_that_is_killed_between_two_mails_gets_the_rest_when_it_is_back() {
    let (system, mut mail) = (System::new().await, mail().await);
    let mut smtp = at(mail.smtp_port());
    smtp["retry"] = json!({"max_attempts": 10, "initial_delay_ms": 500});
    let split = json!({
        "enabled": true, "max_chunk_size": 100, "chunk_strategy": "length", "numbering": false,
        "inter_chunk_delay_ms": 900,
    });
    let trigger = trigger(&system, smtp, &split).await;
    let context = json!({"_email": thread()});
    let delivery = system.answer_in(trigger, 1, &"x".repeat(300), &context).await;
    let instance = system.start();
    let first = async || (!mail.received(ANA).is_empty()).then_some(());
    wait_for("the first mail", SOON, first).await.unwrap();
    mail.kill().unwrap();
    let failed = "SELECT count(*) FROM attempts WHERE error_code = 'connect_failed'";
    let in_vain = async || (system.count(failed).await > 0).then_some(());
    wait_for("an attempt in vain", SOON, in_vain).await.unwrap();
    mail.restart().await.unwrap();
    system.wait_until("delivered", delivery).await;
    instance.stop().await;
    let sent = mail.received(ANA);
    let ids: Vec<_> = (1..=3)
        .map(|n| format!("<{delivery}-{n}@acme.example>"))
        .filter(|id| sent.iter().any(|mail| String::from_utf8_lossy(mail).contains(id)))
        .collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
}

#[tokio::test]
async fn what_cannot_be_reached_or_answered_fails_and_says_why() {
    let system = System::new().await;
    let provider = SmtpStub::start(|_| Does::Usual);
    let trigger = trigger(&system, at(provider.port()), &Value::Null).await;
    let context = json!({"_email": thread()});
    let private = system.answer_in(trigger, 1, "x", &context).await;
    let instance = system.start_with(&Setup { may_reach_loopback: false, ..Setup::default() });
    system.wait_until("failed", private).await;
    assert_eq!(system.error_code(private).await, "forbidden_destination");
    instance.stop().await;

    let no_mail = system.answer_in(trigger, 2, "x", &json!({})).await;
    let mut nobody = thread();
    nobody["reply_to"] = Value::Null;
    let nobody = system.answer_in(trigger, 3, "x", &json!({"_email": nobody})).await;
    system.let_requests_go_to(&["mail.example.com"]).await;
    let elsewhere = system.answer_in(trigger, 4, "x", &context).await;
    let instance = system.start();
    for (delivery, code) in [
        (no_mail, "missing_value"),
        (nobody, "recipient_invalid"),
        (elsewhere, "destination_not_allowed"),
    ] {
        system.wait_until("failed", delivery).await;
        assert_eq!(system.error_code(delivery).await, code);
    }
    instance.stop().await;
    assert_eq!(provider.n_connections(), 0);
}

#[tokio::test]
async fn a_provider_that_repeats_the_login_has_no_secret_kept() {
    let system = System::new().await;
    let provider = SmtpStub::start(|line| match line.verb {
        "AUTH" => Does::Says(format!("535 5.7.8 no: {} or canary-k3y-9", line.text)),
        _ => Does::Usual,
    });
    system.add_secret("MAIL", &format!("{OWN}:canary-k3y-9")).await;
    let mut smtp = at(provider.port());
    smtp["secret_ref"] = json!("MAIL");
    let trigger = trigger(&system, smtp, &Value::Null).await;
    let delivery = system.answer_in(trigger, 1, "x", &json!({"_email": thread()})).await;
    let instance = system.start();
    system.wait_until("failed", delivery).await;
    instance.stop().await;
    assert_eq!(system.error_code(delivery).await, "smtp_auth_failed");
    let kept = system.text("SELECT string_agg(row_to_json(attempts)::text, ' ') FROM attempts");
    let kept = kept.await;
    assert!(kept.contains("[hidden]") && !kept.contains("canary"), "{kept}");
    // `canary-k3y` in Base64, at each place where it can begin.
    for part in ["Y2FuYXJ5", "NhbmFye", "jYW5hcn"] {
        assert!(!kept.contains(part), "{kept}");
    }
}

#[tokio::test]
async fn a_provider_that_is_silent_is_given_up_in_time() {
    let system = System::new().await;
    let provider = SmtpStub::start(|line| match (line.connection, line.verb) {
        (1, "MAIL") => Does::IsSilent,
        (2, "CONNECT") => Does::Says(format!("220-{}\r\n220 x", "x".repeat(300_000))),
        _ => Does::Usual,
    });
    let mut smtp = at(provider.port());
    smtp["timeout_ms"] = json!(1_000);
    let trigger = trigger(&system, smtp, &Value::Null).await;
    let delivery = system.answer_in(trigger, 1, "x", &json!({"_email": thread()})).await;
    let instance = system.start();
    system.wait_until("delivered", delivery).await;
    instance.stop().await;
    assert_eq!(system.text(ATTEMPTS).await, "0 1 timeout, 0 2 connection_failed, 0 3 250");
}
