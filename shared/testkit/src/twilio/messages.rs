//! Twilio's Messages API: `POST /2010-04-01/Accounts/{sid}/Messages.json`.

use std::ops::Deref;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use recado_clock::{Clock, SystemClock};
use serde_json::json;
use uuid::Uuid;

use crate::stub::{Received, Reply, Request, Stub};

/// Twilio's limit for every channel, in UTF-16 code units.
const BODY_LIMIT: usize = 1600;

/// The Messages API with a history; faults are planned through [`Stub`].
#[derive(Debug)]
pub struct Messages {
    stub: Stub,
    account: Account,
}

/// A message that Twilio was asked to send.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its place among all requests, 1 for the first.
    pub seq: u64,
    /// When the request was read, since the stub was started.
    pub at: Duration,
    /// The recipient, as in `whatsapp:+5511999990000`.
    pub to: String,
    /// The sender.
    pub from: String,
    /// The text.
    pub body: String,
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
}

#[derive(Debug, Clone)]
struct Account {
    sid: String,
    auth_token: String,
}

impl Messages {
    /// Starts the API for one account.
    pub fn start(account_sid: &str, auth_token: &str) -> Self {
        let account = Account { sid: account_sid.to_owned(), auth_token: auth_token.to_owned() };
        let served = account.clone();
        Self { stub: Stub::start(move |request| served.reply(request)), account }
    }

    /// Where messages are posted to: the callback's URL.
    pub fn messages_url(&self) -> String {
        format!("{}{}", self.stub.url(), self.account.path())
    }

    /// The credentials as they stand in a secret: `<AccountSID>:<AuthToken>`.
    pub fn credentials(&self) -> String {
        self.account.credentials()
    }

    /// Every message it was asked to send, accepted or not, in order.
    pub fn sent(&self) -> Vec<Sent> {
        self.sent_after(0)
    }

    /// What it was asked to send after the request numbered `seq`.
    pub fn sent_after(&self, seq: u64) -> Vec<Sent> {
        self.stub.received_after(seq).iter().map(Sent::of).collect()
    }

    /// The messages that it accepted: what the recipients have seen, and how often.
    pub fn accepted(&self) -> Vec<Sent> {
        self.sent().into_iter().filter(Sent::was_accepted).collect()
    }
}

impl Sent {
    /// Whether Twilio took the message over.
    pub fn was_accepted(&self) -> bool {
        self.status == Some(201)
    }

    /// Whether Twilio said no, so that nobody got the message.
    pub fn was_refused(&self) -> bool {
        self.status.is_some_and(|status| status != 201)
    }

    fn of(received: &Received) -> Self {
        let field = |name| received.field(name).unwrap_or_default();
        Self {
            seq: received.seq,
            at: received.at,
            to: field("To"),
            from: field("From"),
            body: field("Body"),
            idempotency_key: received.header("idempotency-key").map(str::to_owned),
            status: received.answered.map(|answered| answered.status),
        }
    }
}

impl Account {
    fn path(&self) -> String {
        format!("/2010-04-01/Accounts/{}/Messages.json", self.sid)
    }

    fn credentials(&self) -> String {
        format!("{}:{}", self.sid, self.auth_token)
    }

    fn reply(&self, request: &Request) -> Reply {
        if request.method != "POST" || request.path != self.path() {
            return refusal(404, 20404, "The requested resource was not found");
        }
        let expected = format!("Basic {}", STANDARD.encode(self.credentials()));
        if request.header("authorization") != Some(expected.as_str()) {
            return refusal(401, 20003, "Authenticate")
                .with_header("WWW-Authenticate", r#"Basic realm="Twilio API""#);
        }
        let field = |name| request.field(name).filter(|value| !value.is_empty());
        let Some(to) = field("To") else {
            return refusal(400, 21604, "A 'To' phone number is required.");
        };
        let Some(from) = field("From") else {
            return refusal(400, 21603, "A 'From' phone number is required.");
        };
        match field("Body") {
            Some(body) if body.encode_utf16().count() <= BODY_LIMIT => {
                self.created(&to, &from, &body)
            }
            Some(_) => refusal(
                400,
                21617,
                "The concatenated message body exceeds the 1600 character limit",
            ),
            None => refusal(400, 21617, "Message body is required."),
        }
    }

    fn created(&self, to: &str, from: &str, body: &str) -> Reply {
        let sid = format!("SM{}", Uuid::new_v4().simple());
        let account = &self.sid;
        let now = SystemClock::default().now().to_rfc2822();
        let uri = format!("/2010-04-01/Accounts/{account}/Messages/{sid}.json");
        let media = format!("/2010-04-01/Accounts/{account}/Messages/{sid}/Media.json");
        let message = json!({
            "account_sid": account,
            "api_version": "2010-04-01",
            "body": body,
            "date_created": now,
            "date_sent": null,
            "date_updated": now,
            "direction": "outbound-api",
            "error_code": null,
            "error_message": null,
            "from": from,
            "messaging_service_sid": null,
            "num_media": "0",
            "num_segments": "1",
            "price": null,
            "price_unit": null,
            "sid": sid,
            "status": "queued",
            "subresource_uris": {"media": media},
            "to": to,
            "uri": uri,
        });
        Reply::json(201, &message)
    }
}

impl Deref for Messages {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.stub
    }
}

fn refusal(status: u16, code: u32, message: &str) -> Reply {
    let error = json!({
        "code": code,
        "message": message,
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "status": status,
    });
    Reply::json(status, &error)
}
