//! What a mail says, within bounds.

use chrono::{DateTime, FixedOffset};
use recado_types::identity::email_key;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::clean;
use crate::loops::{self, LoopReason, Signs};

/// How many ids of earlier mails travel with a mail to its answer: with its own they are 20.
const MAX_THREAD: usize = 19;
/// The longest name of somebody, in characters.
const MAX_NAME: usize = 255;

/// A mail.
///
/// No text of it has control characters (but line breaks and tabs in [`Self::text`]), and each has
/// a bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    /// Its id, `<…@…>`, if it has one that can be sent back.
    pub message_id: Option<String>,
    /// The mail that it answers.
    pub in_reply_to: Option<String>,
    /// The mails before it, the first one first; at most 50.
    pub references: Vec<String>,
    /// Who wrote it.
    pub from: Option<Mailbox>,
    /// Where answers are wanted, if not there.
    pub reply_to: Option<Mailbox>,
    /// To whom, at most 50.
    pub to: Vec<Mailbox>,
    /// And to whom else, at most 50.
    pub cc: Vec<Mailbox>,
    /// At most 998 characters, on one line.
    pub subject: String,
    /// When it says that it was sent.
    pub date: Option<DateTime<FixedOffset>>,
    /// What is new in it, at most 256 KiB: see [`Self::keeping_quotes`].
    pub text: String,
    /// Everything it says, at most 256 KiB.
    pub whole_text: String,
    /// The first 50 of what is attached.
    pub attachments: Vec<Attachment>,
    /// How much is attached.
    pub attachment_count: usize,
    /// Whether its text had to be cut.
    pub truncated: bool,
    pub(crate) signs: Signs,
}

/// Somebody who sends and gets mails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// The address, as it was written.
    pub address: String,
    /// The name beside it, at most 255 characters.
    pub name: Option<String>,
}

/// Something attached. What it holds is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// The name of the file, at most 255 characters, without separators of paths.
    pub name: Option<String>,
    /// Its media type, in lower case.
    pub content_type: String,
    /// Its size in bytes, as exactly as it is known without decoding it.
    pub size: u64,
}

/// What an answer needs to know of the mail that it answers; it travels with a message as `_email`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// The mail's id.
    pub message_id: Option<String>,
    /// The mails before it, at most 19: the first one and the last ones.
    #[serde(default)]
    pub references: Vec<String>,
    /// The mail's subject.
    #[serde(default)]
    pub subject: String,
    /// Where the answer goes.
    pub reply_to: Option<Mailbox>,
}

impl Mailbox {
    /// The mailbox of that address, if it is one.
    pub(crate) fn of(address: &str, name: Option<&str>) -> Option<Self> {
        let address = address.trim();
        email_key(address)?;
        let name = name.map(|name| clean::line(name, MAX_NAME)).filter(|name| !name.is_empty());
        Some(Self { address: address.to_owned(), name })
    }
}

impl Mail {
    /// The same mail; with `keep`, what it quotes and its signature are parts of its text.
    #[must_use]
    pub fn keeping_quotes(mut self, keep: bool) -> Self {
        if keep {
            self.text.clone_from(&self.whole_text);
        }
        self
    }

    /// What paths and expressions of a configuration look into.
    pub fn payload(&self) -> Value {
        json!({
            "message_id": self.message_id,
            "thread_id": self.thread_id(),
            "in_reply_to": self.in_reply_to,
            "sender": self.from.as_ref().and_then(|from| email_key(&from.address)),
            "from": self.from,
            "reply_to": self.reply_to,
            "to": self.to,
            "cc": self.cc,
            "subject": self.subject,
            "date": self.date.map(|date| date.to_rfc3339()),
            "text": self.text,
            "attachments": self.attachments,
            "attachment_count": self.attachment_count,
            "truncated": self.truncated,
        })
    }

    /// The id of the mail that the conversation began with.
    pub fn thread_id(&self) -> Option<&str> {
        let root = self.references.first().or(self.in_reply_to.as_ref());
        root.or(self.message_id.as_ref()).map(String::as_str)
    }

    /// Whether it answers another one.
    pub fn is_reply(&self) -> bool {
        self.in_reply_to.is_some() || !self.references.is_empty()
    }

    /// What the agent is asked, unless the configuration says otherwise: the text, after the
    /// subject if the mail is no reply. Empty if it says nothing at all.
    pub fn question(&self) -> String {
        if self.subject.is_empty() || (self.is_reply() && !self.text.is_empty()) {
            return self.text.clone();
        }
        format!("Subject: {}\n\n{}", self.subject, self.text).trim_end().to_owned()
    }

    /// What tells it from every other mail: its id, and a hash of what it says, since anybody may
    /// claim any id. The same when it comes again.
    pub fn provider_id(&self) -> String {
        let from = self.from.as_ref().map(|from| from.address.as_str()).unwrap_or_default();
        let mut hash = Sha256::new();
        let date = self.date.map(|date| date.to_rfc3339()).unwrap_or_default();
        for text in [from, &self.subject, &date, &self.whole_text] {
            // With its length, no text can pass for the end of another.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        let hash = hex::encode(&hash.finalize()[..8]);
        match &self.message_id {
            Some(id) => format!("{id}/{hash}"),
            None => hash,
        }
    }

    /// What an answer will need to know.
    pub fn thread(&self) -> Thread {
        let mut references = self.references.clone();
        if references.is_empty() {
            references.extend(self.in_reply_to.clone());
        }
        Thread {
            message_id: self.message_id.clone(),
            references: ends_of(references, MAX_THREAD),
            subject: self.subject.clone(),
            reply_to: self.answered_at().cloned(),
        }
    }

    /// Why it must not be answered, if it must not. `is_own` knows the trigger's own addresses.
    pub fn loop_reason(&self, is_own: impl Fn(&str) -> bool) -> Option<LoopReason> {
        loops::reason(self, is_own)
    }

    /// Where an answer goes.
    pub(crate) fn answered_at(&self) -> Option<&Mailbox> {
        self.reply_to.as_ref().or(self.from.as_ref())
    }
}

/// The first of a list and the last of the others, `most` together.
pub(crate) fn ends_of(mut list: Vec<String>, most: usize) -> Vec<String> {
    let surplus = list.len().saturating_sub(most);
    list.drain(1.min(list.len())..(1 + surplus).min(list.len()));
    list.truncate(most);
    list
}
