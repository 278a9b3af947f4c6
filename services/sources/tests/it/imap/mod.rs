//! Mailboxes of a real Dovecot, and of servers that misbehave.

mod misbehaving;

use std::fs;

use chrono::TimeDelta;
use recado_http::guard::Authorities;
use recado_messages::Inbound;
use recado_service::config::Destinations;
use recado_store::secrets;
use recado_store::sources::SourceStatus;
use recado_testkit::servers::MAIL_PASSWORD as PASSWORD;
use recado_testkit::{TestMail, mail, wait_for};
use recado_types::TriggerId;
use serde_json::{Value, json};

use crate::running::{SOON, System, TENANT, near};

const SECRET: &str = "MAILBOX";

/// A trigger that reads a mailbox; `imap` says how.
fn reading(address: &str, mut imap: Value) -> Value {
    imap["secret_ref"] = json!(SECRET);
    json!({
        "email": {"address": address, "imap": imap},
        // One session, so that the queue keeps the order of the mailbox.
        "session_strategy": {"mode": "shared"},
        "context_mapping": {"subject": "$.subject"},
    })
}

fn written(id: &str, headers: &str) -> String {
    format!(
        "From: Ana <ana@client.example>\r\nTo: support@acme.example\r\nSubject: Order {id}\r\n\
         Message-ID: <{id}@client.example>\r\n{headers}\r\nWhere is {id}?\r\n"
    )
}

/// The same, with much attached: it comes in many pieces.
fn large(id: &str) -> String {
    let (head, text) = written(id, "Content-Type: multipart/mixed; boundary=b\r\n")
        .split_once("\r\n\r\n")
        .map(|(head, text)| (head.to_owned(), text.to_owned()))
        .unwrap();
    let attached = ("QUJD".repeat(19) + "\r\n").repeat(40_000);
    format!(
        "{head}\r\n\r\n--b\r\n\r\n{text}--b\r\nContent-Type: application/pdf\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{attached}--b--\r\n"
    )
}

/// How many mails of machines were left out in this process.
fn n_loops() -> f64 {
    let labels = [("kind", "imap"), ("reason", "mail_loop")];
    recado_metrics::value("recado_sources_left_out_total", &labels).unwrap_or_default()
}

fn texts(messages: &[Inbound]) -> Vec<&str> {
    messages.iter().map(|message| message.text.as_str()).collect()
}

fn asked(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| format!("Subject: Order {id}\n\nWhere is {id}?")).collect()
}

/// The names of the mails in a mailbox that were looked at.
fn n_seen(servers: &TestMail, mailbox: &str) -> usize {
    let current = servers.dir().join("mail").join(mailbox).join("Maildir/cur");
    let files = fs::read_dir(current).into_iter().flatten().flatten();
    files.filter(|file| file.file_name().to_string_lossy().ends_with('S')).count()
}

impl System {
    async fn wait_for_source(
        &self,
        trigger: TriggerId,
        what: &str,
        is_so: impl Fn(&SourceStatus) -> bool,
    ) -> SourceStatus {
        let level = async || Some(self.source(trigger).await).filter(&is_so);
        let waited = wait_for(what, SOON, level).await;
        let status = self.source(trigger).await;
        waited.unwrap_or_else(|error| panic!("{error}: {status:?}"))
    }

    /// Waits until a mailbox is read.
    async fn wait_until_read(&self, trigger: TriggerId) -> SourceStatus {
        let is_read =
            |it: &SourceStatus| it.is_held && it.position.is_some() && it.error_code.is_none();
        self.wait_for_source(trigger, "a mailbox that is read", is_read).await
    }

    /// Waits until it fails so, and lets the time for the next try come.
    async fn wait_until_failing(&self, trigger: TriggerId, code: &str) -> SourceStatus {
        let fails = |it: &SourceStatus| !it.is_held && it.error_code.as_deref() == Some(code);
        let status = self.wait_for_source(trigger, code, fails).await;
        self.clock.advance(TimeDelta::minutes(6));
        status
    }

    async fn replace_secret(&self, value: &str) {
        let now = self.now();
        secrets::replace(&self.store, TENANT, SECRET, value, None, now).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn each_mail_becomes_one_message_in_order_whoever_reads_it_and_dies() {
    let (system, servers) = tokio::join!(System::at("2026-11-22T09:00:00Z"), mail());
    let [mine, all] = ["mine@acme.example", "all@acme.example"];
    for mailbox in [mine, all] {
        servers.deliver(mailbox, written("old", "")).await.unwrap();
    }
    // Every address has a mailbox: whoever logs in reads their own.
    system.add_secret("MINE", &format!("{mine}:{PASSWORD}")).await;
    system.add_secret(SECRET, &format!("{all}:{PASSWORD}")).await;
    let mut from_now = reading(mine, json!({"host": "127.0.0.1", "port": servers.imaps_port()}));
    from_now["email"]["imap"]["secret_ref"] = json!("MINE");
    let from_now = system.trigger(from_now).await;
    let from_beginning = system
        .trigger(reading(
            all,
            json!({
                "host": "127.0.0.1", "port": servers.imap_port(), "tls": "starttls",
                "start": "beginning", "mark_seen": false,
            }),
        ))
        .await;

    let authorities = Authorities::from_pem(servers.ca_pem().as_bytes()).unwrap();
    let destinations = || Destinations { authorities: authorities.clone(), ..near() };
    let (first, second) = (system.start_with(destinations()), system.start_with(destinations()));
    system.wait_until_read(from_now).await;
    system.wait_for(from_beginning, 1).await;
    for (id, headers) in [("1", ""), ("machine", "Auto-Submitted: auto-replied\r\n"), ("2", "")] {
        for mailbox in [mine, all] {
            servers.deliver(mailbox, written(id, headers)).await.unwrap();
        }
    }
    system.wait_for(from_beginning, 3).await;
    system.wait_for(from_now, 2).await;
    let is_over = |it: &SourceStatus| it.position.as_ref().is_some_and(|it| it["last_uid"] == 4);
    for trigger in [from_now, from_beginning] {
        system.wait_for_source(trigger, "the last mail", is_over).await;
    }
    assert_eq!(system.n_published(), 5, "nothing is published twice by two that are well");

    // Whichever it held, the other one goes on.
    first.kill();
    for mailbox in [mine, all] {
        servers.deliver(mailbox, written("3", "")).await.unwrap();
    }
    system.wait_for(from_beginning, 4).await;
    system.wait_for(from_now, 3).await;
    second.stop().await;
    for mailbox in [mine, all] {
        servers.deliver(mailbox, large("4")).await.unwrap();
    }
    let third = system.start_with(destinations());
    let all_messages = system.wait_for(from_beginning, 5).await;
    let my_messages = system.wait_for(from_now, 4).await;
    assert_eq!(texts(&all_messages), asked(&["old", "1", "2", "3", "4"]));
    assert_eq!(texts(&my_messages), asked(&["1", "2", "3", "4"]));
    let context = &my_messages[0].context;
    assert_eq!(context["subject"], "Order 1");
    assert_eq!(context["_email"]["message_id"], "<1@client.example>");
    let is_over = |it: &SourceStatus| it.position.as_ref().is_some_and(|it| it["last_uid"] == 6);
    for trigger in [from_now, from_beginning] {
        system.wait_for_source(trigger, "the last mail", is_over).await;
    }
    third.stop().await;
    assert_eq!((n_seen(&servers, mine), n_seen(&servers, all)), (5, 0));
    assert!(n_loops() >= 2.0, "{}", n_loops());
}

#[tokio::test]
async fn a_mailbox_that_fails_says_why_and_goes_on_where_it_was() {
    let (system, mut servers) = tokio::join!(System::at("2026-11-22T09:00:00Z"), mail());
    let address = "support@acme.example";
    let good = format!("{address}:{PASSWORD}");
    system.add_secret(SECRET, &good).await;
    let imap = || json!({"host": "127.0.0.1", "port": servers.imap_port(), "tls": "none"});
    let trigger = system.trigger(reading(address, imap())).await;
    let mut elsewhere = imap();
    elsewhere["mailbox"] = json!("Entw\u{fc}rfe \"&\" mehr");
    let missing = system.trigger(reading(address, elsewhere)).await;
    let unknown = json!({"host": "127.0.0.1", "port": servers.imaps_port()});
    let unknown = system.trigger(reading(address, unknown)).await;

    let public = system.start_with(Destinations { allow_private: Vec::new(), ..near() });
    system.wait_until_failing(trigger, "forbidden_destination").await;
    public.stop().await;

    let instance = system.start();
    system.wait_until_read(trigger).await;
    let status = system.wait_until_failing(missing, "mailbox_not_found").await;
    assert!(status.error_message.unwrap().contains("Entw"), "what the server says is told");

    system.wait_until_failing(unknown, "invalid_certificate").await;

    // What is held with the old password is let go of at once.
    let wrong = "an \"odd\" \\ wrong password";
    system.replace_secret(&format!("{address}:{wrong}")).await;
    let status = system.wait_until_failing(trigger, "imap_auth_failed").await;
    let message = status.error_message.unwrap();
    assert!(message.contains("Authentication failed") && !message.contains("odd"), "{message}");
    servers.deliver(address, written("1", "")).await.unwrap();
    system.replace_secret(&good).await;
    system.clock.advance(TimeDelta::minutes(6));
    system.wait_for(trigger, 1).await;
    let status = system.wait_until_read(trigger).await;
    assert_eq!((status.error_message, status.failing_since), (None, None));

    servers.kill().unwrap();
    let lost = |it: &SourceStatus| {
        matches!(it.error_code.as_deref(), Some("connection_lost" | "connect_failed"))
    };
    system.wait_for_source(trigger, "a lost connection", lost).await;
    let before = system.source(trigger).await.position.unwrap();

    // As if the mailbox had been made anew, from a copy of it.
    let mailbox = servers.dir().join("mail").join(address).join("Maildir");
    for file in fs::read_dir(&mailbox).unwrap().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name == "dovecot-uidlist" || name.starts_with("dovecot.index") {
            fs::remove_file(file.path()).unwrap();
        }
    }
    servers.restart().await.unwrap();
    servers.deliver(address, written("2", "")).await.unwrap();
    system.clock.advance(TimeDelta::minutes(6));
    let messages = system.wait_for(trigger, 2).await;
    let status = system.wait_until_read(trigger).await;
    assert_ne!(status.position.unwrap()["uid_validity"], before["uid_validity"]);
    servers.deliver(address, written("3", "")).await.unwrap();
    system.wait_for(trigger, 3).await;
    instance.stop().await;
    assert_eq!(texts(&messages), asked(&["1", "2"]));
    assert_eq!(texts(&system.messages(trigger)), asked(&["1", "2", "3"]));
}
