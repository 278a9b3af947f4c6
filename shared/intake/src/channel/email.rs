//! Mails, by HTTP and by IMAP.
//!
//! What a mail says is for [`recado_mail`] to find out. A mail that was sent by a machine is not
//! answered: two machines would go on for ever (RFC 3834).

use actix_web::http::header::CONTENT_TYPE;
use recado_mail::form::{self, FormError};
use recado_mail::{LoopReason, Mail};
use recado_types::hidden::MAIL_THREAD;
use recado_types::identity::email_key;
use recado_types::trigger::Email;
use recado_types::trigger::email::MailProvider;
use serde_json::{Map, Value, json};

use super::{Arrival, Channel, Incoming, Says, success};
use crate::auth::Received;
use crate::refusal::Refusal;

/// How many attachments stand in for the text of a mail that has none.
const MAX_DESCRIBED: usize = 10;

/// What stands in for a mail that says nothing at all: its sender may be told so.
const NOTHING: &str = "[empty mail]";

/// The adapter of triggers of the type `email`, for mails that are posted.
#[derive(Debug)]
pub(super) struct PostedMails(pub(super) Email);

impl Channel for PostedMails {
    /// Mail providers sign nothing that is known here; the native signature is checked with the
    /// `webhook_secret`.
    fn is_authentic(&self, _request: &Received<'_>) -> bool {
        false
    }

    fn interpret(&self, request: &Received<'_>, payload: Value) -> Result<Arrival, Refusal> {
        // A mail that is tried may be given as it is understood.
        if !payload.is_null() {
            return Ok(Arrival::Messages(vec![understood(payload)]));
        }
        // Those of a mailbox, which are tried as well, are what they are.
        let provider = self.0.http.unwrap_or(MailProvider::Raw);
        let content_type = request.headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let mail = form::read(provider, content_type, request.body).map_err(refused)?;
        match incoming(&self.0, mail) {
            Ok(incoming) => Ok(Arrival::Messages(vec![incoming])),
            Err(reason) => {
                tracing::info!(mail.loop_reason = %reason, "a mail of a machine is not answered");
                Ok(Arrival::Notice(success()))
            }
        }
    }

    /// One mail; but what is wrong with it stays wrong, and its provider would send it for days, or
    /// tell whoever wrote it that it cannot be delivered.
    fn sends_batches(&self) -> bool {
        true
    }
}

fn refused(error: FormError) -> Refusal {
    match error {
        FormError::ContentType(_) => Refusal::UnsupportedType,
        FormError::Malformed(_) | FormError::NoMail(_) => {
            Refusal::MalformedBody { reason: error.to_string(), position: None }
        }
    }
}

/// The message that a mail to `email` is.
///
/// # Errors
/// When it must not be answered.
pub fn incoming(email: &Email, mail: Mail) -> Result<Incoming, LoopReason> {
    if let Some(reason) = mail.loop_reason(|address| email.is_own(address)) {
        return Err(reason);
    }
    let mail = mail.keeping_quotes(email.keep_quotes);
    let thread = serde_json::to_value(mail.thread()).expect("it is texts");
    let described = described(&mail);
    Ok(Incoming {
        provider_id: Some(mail.provider_id()),
        says: Says::Text(question(&mail, &described)),
        description: Some(if described.is_empty() { NOTHING.to_owned() } else { described }),
        sender: mail.from.as_ref().map(|from| from.address.clone()),
        hidden: Map::from_iter([(MAIL_THREAD.to_owned(), thread)]),
        ..Incoming::of(mail.payload())
    })
}

/// What the agent is asked; of a mail without a text, what is attached is part of it.
fn question(mail: &Mail, described: &str) -> String {
    let asked = mail.question();
    if asked.is_empty() || described.is_empty() || !mail.text.is_empty() {
        return asked;
    }
    format!("{asked}\n\n{described}")
}

/// What is attached, one a line: what stands in for the text of a mail that has none.
fn described(mail: &Mail) -> String {
    let line =
        |it: &recado_mail::Attachment| super::described(&it.content_type, it.name.as_deref());
    let lines: Vec<String> = mail.attachments.iter().take(MAX_DESCRIBED).map(line).collect();
    lines.join("\n")
}

/// A mail as a dry run may give it: what paths look into.
fn understood(mut payload: Value) -> Incoming {
    let sender = super::text_at(&payload, "/from/address").and_then(email_key);
    if let (Some(fields), Some(sender)) = (payload.as_object_mut(), sender) {
        fields.entry("sender").or_insert_with(|| sender.into());
    }
    let text_at = |pointer| super::text_at(&payload, pointer).unwrap_or_default();
    let (subject, text) = (text_at("/subject"), text_at("/text"));
    let is_reply = payload.get("in_reply_to").is_some_and(Value::is_string);
    let asked = match (subject.is_empty() || is_reply, text) {
        (true, text) => text.to_owned(),
        (false, text) => format!("Subject: {subject}\n\n{text}").trim_end().to_owned(),
    };
    let mailbox = |name| payload.get(name).filter(|it: &&Value| it.is_object());
    let thread = json!({
        "message_id": payload["message_id"],
        "subject": subject,
        "reply_to": mailbox("reply_to").or_else(|| mailbox("from")),
    });
    Incoming {
        provider_id: Some(text_at("/message_id").to_owned()).filter(|id| !id.is_empty()),
        says: Says::Text(asked),
        description: Some(NOTHING.to_owned()),
        sender: Some(text_at("/from/address").to_owned()).filter(|it| !it.is_empty()),
        hidden: Map::from_iter([(MAIL_THREAD.to_owned(), thread)]),
        ..Incoming::of(payload)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use recado_types::trigger::{TriggerConfig, TriggerType};

    use super::*;
    use crate::channel::tests::Request;
    use crate::channel::{Secrets, adapter};

    fn posted_by(provider: &str) -> Arc<dyn Channel> {
        let email = json!({
            "address": "support@acme.example", "aliases": ["help@acme.example"],
            "http": {"provider": provider},
        });
        let config = TriggerConfig::parse_as(TriggerType::Email, &json!({ "email": email }));
        adapter(&config.expect("the test's configuration is valid"), &Secrets::default())
    }

    fn arrival(mail: &str) -> Arrival {
        let request = Request::post(mail).header("Content-Type", "message/rfc822");
        posted_by("raw").interpret(&request.received(), Value::Null).unwrap()
    }

    fn message(mail: &str) -> Incoming {
        match arrival(mail) {
            Arrival::Messages(messages) => messages.into_iter().next().unwrap(),
            Arrival::Notice(answer) => panic!("{answer:?}"),
        }
    }

    fn text(mail: &str) -> String {
        match message(mail).says {
            Says::Text(text) => text,
            Says::Payload => panic!("all of it"),
        }
    }

    const PDF: &str = "Content-Type: application/pdf; name=order.pdf\r\n\
        Content-Disposition: attachment; filename=order.pdf\r\n\r\n%PDF";

    #[test]
    fn a_mail_is_a_message() {
        let mail = "From: Ana <Ana@client.example>\r\nSubject: Re: Order\r\n\
            Message-ID: <2@client.example>\r\nReferences: <1@acme.example>\r\n\r\n\
            Where is it?\r\n\r\n> We have it.\r\n";
        let message = message(mail);
        assert_eq!(message.says, Says::Text("Where is it?".to_owned()));
        assert_eq!(message.sender.as_deref(), Some("Ana@client.example"));
        assert!(message.provider_id.unwrap().starts_with("<2@client.example>/"));
        assert_eq!(message.payload["thread_id"], "<1@acme.example>");
        let thread = &message.hidden[MAIL_THREAD];
        assert_eq!(thread["reply_to"]["address"], "Ana@client.example");
        assert_eq!(thread["references"], json!(["<1@acme.example>"]));
    }

    #[test]
    fn a_mail_without_a_text_says_what_is_attached_or_that_it_is_empty() {
        let attached = format!("From: ana@client.example\r\nSubject: Order\r\n{PDF}");
        assert_eq!(text(&attached), "Subject: Order\n\n[application/pdf] order.pdf");
        let alone = format!("From: ana@client.example\r\n{PDF}");
        let alone = message(&alone);
        assert_eq!(alone.says, Says::Text(String::new()));
        assert_eq!(alone.description.as_deref(), Some("[application/pdf] order.pdf"));
        let empty = message("From: ana@client.example\r\n\r\n  \r\n");
        assert_eq!(empty.description.as_deref(), Some("[empty mail]"));
        assert_eq!(text("From: ana@client.example\r\nSubject: Order\r\n\r\n"), "Subject: Order");
    }

    #[test]
    fn a_mail_of_nobody_has_no_sender() {
        let message = message("Subject: Scan\r\n\r\nOne page.\r\n");
        assert_eq!((message.sender, &message.payload["from"]), (None, &Value::Null));
    }

    #[test]
    fn loops_are_answered_with_nothing_but_success() {
        for headers in [
            "From: ana@client.example\r\nAuto-Submitted: auto-replied",
            "From: HELP@acme.example",
            "From: ana@client.example\r\nReply-To: support@acme.example",
            "From: MAILER-DAEMON@client.example",
        ] {
            let Arrival::Notice(answer) = arrival(&format!("{headers}\r\n\r\nOut of office.\r\n"))
            else {
                panic!("{headers}");
            };
            assert_eq!(
                (answer.status.as_u16(), answer.body.as_str()),
                (200, r#"{"success":true}"#)
            );
        }
    }

    #[test]
    fn what_is_no_mail_of_the_provider_is_refused() {
        let refusal = |provider: &str, content_type: &str, body: &str| {
            let request = Request::post(body).header("Content-Type", content_type);
            let refused = posted_by(provider).interpret(&request.received(), Value::Null);
            refused.expect_err(body).code()
        };
        assert_eq!(refusal("raw", "application/json", "{}"), "unsupported_media_type");
        assert_eq!(
            refusal("postmark", "message/rfc822", "From: a@b.c\r\n\r\n"),
            "unsupported_media_type"
        );
        assert_eq!(refusal("postmark", "application/json", "{"), "malformed_body");
        assert_eq!(refusal("mailgun", "application/json", "{}"), "unsupported_media_type");
        assert_eq!(refusal("raw", "message/rfc822", "hello"), "malformed_body");
    }
}
