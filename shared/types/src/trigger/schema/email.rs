//! `email`.

use serde_json::{Value, json};

use super::callback;
use super::pieces::{about, boolean, choice, integer, object, or, secret_ref, text};
use crate::trigger::RetryPolicy;

pub(super) fn schema() -> Value {
    let aliases = json!({
        "type": "array", "items": address(), "maxItems": 20,
        "description": "Further addresses of its own.",
    });
    let own = "The trigger's own address: answers come from it, mails from it are refused.";
    let keep_quotes = "Whether the agent also sees what a mail quotes, and its signature.";
    let schema = object(
        &["address"],
        [
            ("address", about(address(), own)),
            ("aliases", aliases),
            ("http", http()),
            ("imap", imap()),
            ("smtp", smtp()),
            ("keep_quotes", about(or(boolean(), false), keep_quotes)),
        ],
    );
    about(schema, "The mailbox that is read, and how answers are sent.")
}

fn address() -> Value {
    let mut address = text(3, 254);
    address["pattern"] = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[^@\s]+$".into();
    address
}

fn http() -> Value {
    let provider = choice(["raw", "sendgrid", "mailgun", "postmark"]);
    let about_it = "Mails are posted to the trigger's URL, in this form. Without `imap` they are, \
                    in form `raw` unless another is named.";
    about(object(&[], [("provider", or(provider, "raw"))]), about_it)
}

fn imap() -> Value {
    let user = about(secret_ref(), "The name of a secret that holds `user:password`.");
    let start = about(or(choice(["now", "beginning"]), "now"), "Where reading it begins.");
    let seen = about(or(boolean(), true), "Whether mails that are taken are marked as seen.");
    let schema = object(
        &["host", "secret_ref"],
        [
            ("host", host()),
            ("port", about(integer(1, 65_535), "993 with TLS from the start, else 143.")),
            ("tls", tls("implicit")),
            ("secret_ref", user),
            ("mailbox", or(text(1, 255), "INBOX")),
            ("start", start),
            ("mark_seen", seen),
        ],
    );
    about(schema, "A mailbox that is read.")
}

fn smtp() -> Value {
    let user = "The name of a secret that holds `user:password`; without it nobody logs in.";
    let ports = "587 with STARTTLS, 465 with TLS from the start, else 25.";
    let schema = object(
        &["host"],
        [
            ("host", host()),
            ("port", about(integer(1, 65_535), ports)),
            ("tls", tls("starttls")),
            ("secret_ref", about(secret_ref(), user)),
            ("from_name", about(text(1, 128), "The name beside the address of answers.")),
            ("timeout_ms", or(integer(1_000, 60_000), 15_000)),
            ("response_transform", callback::response_transform()),
            ("retry", callback::retry(RetryPolicy::FOR_MAILS)),
        ],
    );
    about(schema, "How answers are sent. Without it, by `execution.callback` or not at all.")
}

fn host() -> Value {
    let mut host = text(1, 255);
    host["pattern"] = r"^[^\s/@%]+$".into();
    about(host, "A host, without scheme and port.")
}

fn tls(usual: &str) -> Value {
    let tls = or(choice(["implicit", "starttls", "none"]), usual);
    about(tls, "When the connection becomes private; `none` is for private networks.")
}
