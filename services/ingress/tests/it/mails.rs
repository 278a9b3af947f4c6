//! Mails that providers post.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use recado_messages::Inbound;
use recado_store::members::{self, Identifier, MemberDraft, Saved};
use recado_testkit::wait_for;
use recado_types::{MemberId, SessionId, TriggerId, identity};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::requests::{Answered, Sender, answered};
use crate::running::{Running, SOON};

const ANA: &str = "ana@client.example";
const FORM: &str = "multipart/form-data; boundary=xYz";

/// A trigger whose mails come from this provider and from people of the team.
fn posted_by(provider: &str) -> Value {
    json!({
        "email": {"address": "support@acme.example", "http": {"provider": provider}},
        "auth": {"type": "api_key"},
        "context_mapping": {"subject": "$.subject", "files": "$.attachment_count"},
        "sender_access": {"mode": "members", "match_column": "email", "resolve_user": true},
    })
}

/// A mail, with a Subject that would like to be a header of its own in the answer.
fn raw(from: &str, more: &str) -> String {
    format!(
        "From: Ana <{from}>\r\nTo: support@acme.example\r\nMessage-ID: <1@client.example>\r\n\
         Subject: =?utf-8?q?Onde=0D=0ABcc:_all@client.example?=\r\n{more}\r\n\
         Onde est\u{e1}?\r\n\r\nOn 1 May, support wrote:\r\n> Ol\u{e1}\r\n"
    )
}

/// A form with one field.
fn form(name: &str, value: &str) -> String {
    format!(
        "--xYz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n--xYz--\r\n"
    )
}

fn postmark(mail: &str) -> String {
    let (_, from) = mail.split_once('<').unwrap();
    let (from, _) = from.split_once('>').unwrap();
    json!({
        "FromFull": {"Email": from, "Name": "Ana"}, "From": from,
        "ToFull": [{"Email": "support@acme.example", "Name": ""}],
        "Subject": "Onde\r\nBcc: all@client.example",
        "TextBody": "Onde est\u{e1}?\n\nOn 1 May, support wrote:\n> Ol\u{e1}\n",
        "Headers": [{"Name": "Message-ID", "Value": "<1@client.example>"},
                    {"Name": "Auto-Submitted",
                     "Value": if mail.contains("auto-replied") { "auto-replied" } else { "no" }}],
        "Attachments": [],
    })
    .to_string()
}

/// As the provider posts this mail: the type and the body.
fn as_posted(provider: &str, mail: &str) -> (&'static str, String) {
    match provider {
        "sendgrid" => (FORM, form("email", mail)),
        "mailgun" => (FORM, form("body-mime", mail)),
        "postmark" => ("application/json", postmark(mail)),
        _ => ("message/rfc822", mail.to_owned()),
    }
}

fn basic(key: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("recado:{key}")))
}

async fn post(sender: &Sender, key: &str, content_type: &str, body: String) -> Answered {
    let request = sender.request().header("Content-Type", content_type);
    answered(request.header("Authorization", basic(key)).body(body)).await
}

/// What is told of a mail that becomes no message.
fn assert_left_out(answer: &Answered) {
    let body = r#"{"success":true}"#;
    assert_eq!(answer.essence(), (200, Some("application/json"), body));
}

async fn add_ana(running: &Running) -> MemberId {
    let key = identity::email_key(ANA).unwrap();
    let draft = MemberDraft {
        name: "Ana Souza".into(),
        phone: None,
        email: Some(Identifier { shown: ANA.into(), key }),
        external_id: None,
        active: true,
    };
    let id: MemberId = running.fresh_id();
    let saved = members::create(&running.store, running.tenant, id, &draft, running.now()).await;
    assert!(matches!(saved, Ok(Saved::Saved(_))), "{saved:?}");
    id
}

#[tokio::test]
async fn a_mail_is_the_same_message_whoever_posts_it() {
    let running = Running::start().await;
    let ana = add_ana(&running).await;
    let (_, key) = running.api_key(running.tenant).await;
    let key = key.expose().to_owned();
    let queue = running.requested();
    let mut triggers = Vec::new();
    for provider in ["raw", "sendgrid", "mailgun", "postmark"] {
        let trigger: TriggerId = running.trigger(posted_by(provider)).await;
        let sender = running.sender(trigger);
        let send = async |mail: &str| {
            let (content_type, body) = as_posted(provider, mail);
            post(&sender, &key, content_type, body).await
        };
        let (content_type, body) = as_posted(provider, &raw(ANA, ""));
        let stranger = post(&sender, "rk_of_nobody", content_type, body.clone()).await;
        assert_eq!((stranger.status, stranger.error()), (401, "invalid_api_key".into()));
        let other = if provider == "raw" { "application/json" } else { "message/rfc822" };
        let refused = post(&sender, &key, other, body).await;
        assert_eq!(refused.status, 415, "{provider}");

        // What cannot become a message would be sent again for days.
        assert_left_out(&send(&raw("eve@client.example", "")).await);
        assert_left_out(&send(&raw(ANA, "Auto-Submitted: auto-replied\r\n")).await);
        let first = send(&raw(ANA, "")).await;
        assert_eq!(first.status, 200, "{provider}: {}", first.body);
        assert_eq!(first.json()["status"], "accepted");
        assert_eq!(send(&raw(ANA, "")).await.essence(), first.essence());

        triggers.push(trigger);
    }
    // A retry may be published too, under the same id.
    let messages = wait_for("a message of each", SOON, async || {
        let mut all: Vec<Inbound> = queue.all().into_iter().flat_map(|it| it.messages).collect();
        all.dedup_by_key(|message| message.id);
        (all.len() == triggers.len()).then_some(all)
    });
    let messages = messages.await.unwrap();
    running.stop().await;
    for (message, trigger) in messages.iter().zip(triggers) {
        assert_eq!(message.trigger_id, trigger);
        assert_eq!(message.text, "Subject: Onde Bcc: all@client.example\n\nOnde est\u{e1}?");
        let session = SessionId::derived(message.tenant_id, trigger, &[ANA]);
        assert_eq!(message.session_id, session);
        let context = &message.context;
        assert_eq!(context["subject"], "Onde Bcc: all@client.example");
        assert_eq!((&context["files"], &context["userName"]), (&json!(0), &json!("Ana Souza")));
        assert_eq!(context["userId"], json!(ana.to_string()));
        let thread = &context["_email"];
        assert_eq!(thread["message_id"], "<1@client.example>");
        assert_eq!(thread["reply_to"]["address"], ANA);
        assert_eq!(thread["subject"], "Onde Bcc: all@client.example");
    }
    assert!(queue.all().len() <= 8, "each and its retry, and nothing else");
}

/// A mail with so many bytes attached.
fn with_attachment(size: usize) -> String {
    let attached = "QUJD".repeat(19) + "\r\n";
    let attached = attached.repeat(size.div_ceil(attached.len()));
    format!(
        "From: {ANA}\r\nTo: support@acme.example\r\nMessage-ID: <{size}@client.example>\r\n\
         Subject: Contract\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\n\r\nPlease sign.\r\n--b\r\nContent-Type: application/pdf\r\n\
         Content-Disposition: attachment; filename=contract.pdf\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{attached}\r\n--b--\r\n"
    )
}

#[tokio::test]
async fn a_large_mail_is_a_small_message_and_few_are_read_at_a_time() {
    let running = Running::start_with(|limits| {
        limits.max_mail = 24 << 20;
        limits.max_mails = 1;
    })
    .await;
    let (_, key) = running.api_key(running.tenant).await;
    let key = key.expose().to_owned();
    let mut config = posted_by("raw");
    config["sender_access"] = json!({"mode": "any"});
    let trigger = running.trigger(config).await;
    let sender = running.sender(trigger);
    let queue = running.requested();

    let large = with_attachment(20 << 20);
    assert_eq!(post(&sender, &key, "message/rfc822", large).await.status, 200);
    let message = queue.next().await.messages.remove(0);
    assert_eq!(message.text, "Subject: Contract\n\nPlease sign.");
    assert_eq!(message.context["files"], 1);
    assert!(serde_json::to_string(&message).unwrap().len() < 2_000, "{message:?}");
    let too_large = post(&sender, &key, "message/rfc822", with_attachment(25 << 20)).await;
    assert_eq!((too_large.status, too_large.error()), (413, "payload_too_large".into()));

    // One that is large comes slowly, and has the only place; a stranger's has none.
    let mail = with_attachment(2 << 20);
    let (begin, end) = mail.split_at(100);
    let slow = async |key: &str| {
        let address = running.url.trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST /api/triggers/webhook/{trigger} HTTP/1.1\r\nHost: {address}\r\n\
             Connection: close\r\nAuthorization: {}\r\nContent-Type: message/rfc822\r\n\
             Content-Length: {}\r\n\r\n{begin}",
            basic(key),
            mail.len(),
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    let mut strangers = slow("rk_of_nobody").await;
    let mut told = String::new();
    strangers.read_to_string(&mut told).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 401"), "{told}");
    let mut first = slow(&key).await;
    let busy = wait_for("a mail that finds no place", SOON, async || {
        let answer = post(&sender, &key, "message/rfc822", with_attachment(1 << 20)).await;
        // It came while another one of these had the place, and was told so.
        if first.try_read(&mut [0]).is_ok() {
            first = slow(&key).await;
        }
        (answer.status == 503).then_some(answer)
    });
    let busy = busy.await.unwrap();
    assert_eq!(busy.error(), "unavailable");
    assert!(busy.header("retry-after").is_some());
    // What is small needs none.
    assert_eq!(post(&sender, &key, "message/rfc822", raw(ANA, "")).await.status, 200);
    first.write_all(end.as_bytes()).await.unwrap();
    let mut told = String::new();
    first.read_to_string(&mut told).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    assert_eq!(post(&sender, &key, "message/rfc822", mail.clone()).await.status, 200);
    running.stop().await;
}
