//! Mails that must not be answered, lest two machines talk to each other for ever (RFC 3834).

use std::fmt;

use crate::fields::Fields;
use crate::mail::Mail;

/// Why a mail is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopReason {
    /// It is from one of the trigger's own addresses, or its answer would go there.
    OwnAddress,
    /// A machine sent it by itself, and says so.
    AutoSubmitted,
    /// It went to many (`Precedence`).
    Bulk,
    /// It came through a mailing list.
    MailingList,
    /// Its sender wants no automatic answers.
    AnswersUnwanted,
    /// Something like this program has had it already (`X-Loop`).
    Looped,
    /// There is nobody to tell: it is itself a notice about a mail.
    Notice,
    /// It is from a mail server.
    MailServer,
}

impl LoopReason {
    /// As metrics call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnAddress => "own_address",
            Self::AutoSubmitted => "auto_submitted",
            Self::Bulk => "bulk",
            Self::MailingList => "mailing_list",
            Self::AnswersUnwanted => "answers_unwanted",
            Self::Looped => "looped",
            Self::Notice => "notice",
            Self::MailServer => "mail_server",
        }
    }
}

impl fmt::Display for LoopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnAddress => "it is from, or to be answered to, the trigger's own address",
            Self::AutoSubmitted => "it was sent automatically (Auto-Submitted)",
            Self::Bulk => "it was sent to many (Precedence)",
            Self::MailingList => "it came through a mailing list (List-Id)",
            Self::AnswersUnwanted => "automatic answers are unwanted (X-Auto-Response-Suppress)",
            Self::Looped => "it has been here before (X-Loop)",
            Self::Notice => "it is a notice about another mail",
            Self::MailServer => "it is from a mail server",
        })
    }
}

/// What the header of a mail says about machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signs(Option<LoopReason>);

impl Signs {
    pub(crate) fn of(fields: &Fields) -> Self {
        let any = |name: &str, is: fn(&str) -> bool| {
            fields.all(name).any(|value| is(&value.trim().to_ascii_lowercase()))
        };
        let is_report = || {
            let content_type = fields.structured("content-type");
            content_type.is_some_and(|it| {
                it.ctype() == "multipart" && it.subtype().is_some_and(|it| it == "report")
            })
        };
        let is_automatic = |value: &str| {
            let keyword = value.split([';', '(']).next().unwrap_or_default().trim();
            !keyword.is_empty() && keyword != "no"
        };
        let suppresses = |value: &str| {
            let mut wishes = value.split([',', ';']).map(str::trim);
            wishes.any(|wish| matches!(wish, "all" | "autoreply" | "oof"))
        };
        let is_bulk =
            |value: &str| matches!(value, "bulk" | "junk" | "list" | "auto_reply" | "auto-reply");
        let reason = if any("auto-submitted", is_automatic) {
            Some(LoopReason::AutoSubmitted)
        } else if any("precedence", is_bulk) {
            Some(LoopReason::Bulk)
        } else if any("list-id", |value| !value.is_empty()) {
            Some(LoopReason::MailingList)
        } else if any("x-auto-response-suppress", suppresses) {
            Some(LoopReason::AnswersUnwanted)
        } else if any("x-loop", |value| !value.is_empty()) {
            Some(LoopReason::Looped)
        } else if any("return-path", |value| value == "<>") || is_report() {
            Some(LoopReason::Notice)
        } else {
            None
        };
        Self(reason)
    }
}

pub(crate) fn reason(mail: &Mail, is_own: impl Fn(&str) -> bool) -> Option<LoopReason> {
    let from = mail.from.iter().chain(mail.answered_at());
    let mut addresses = from.map(|mailbox| mailbox.address.as_str());
    if addresses.clone().any(is_own) {
        return Some(LoopReason::OwnAddress);
    }
    mail.signs.0.or_else(|| addresses.any(is_mail_server).then_some(LoopReason::MailServer))
}

fn is_mail_server(address: &str) -> bool {
    let local = address.split('@').next().unwrap_or_default();
    ["mailer-daemon", "postmaster"].iter().any(|name| local.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn reason_of(header: &str) -> Option<LoopReason> {
        let mail = parse(format!("{header}\r\nFrom: ana@b.example\r\n\r\nHi\r\n").as_bytes());
        mail.loop_reason(|address| address.eq_ignore_ascii_case("desk@acme.example"))
    }

    #[test]
    fn machines_are_known_by_what_they_say() {
        for (header, expected) in [
            ("Auto-Submitted: auto-replied (vacation)", LoopReason::AutoSubmitted),
            ("AUTO-SUBMITTED: Auto-Generated; x=y", LoopReason::AutoSubmitted),
            ("Auto-Submitted: no\r\nAuto-Submitted: auto-notified", LoopReason::AutoSubmitted),
            ("Precedence: Bulk", LoopReason::Bulk),
            ("Precedence: junk", LoopReason::Bulk),
            ("Precedence: list", LoopReason::Bulk),
            ("List-Id: News <news.b.example>", LoopReason::MailingList),
            ("X-Auto-Response-Suppress: DR, AutoReply", LoopReason::AnswersUnwanted),
            ("X-Auto-Response-Suppress: All", LoopReason::AnswersUnwanted),
            ("X-Loop: x", LoopReason::Looped),
            ("Return-Path: <>", LoopReason::Notice),
            ("Content-Type: multipart/Report; boundary=x", LoopReason::Notice),
            ("From: MAILER-DAEMON@b.example", LoopReason::MailServer),
            ("From: Postmaster <postmaster@b.example>", LoopReason::MailServer),
            ("From: Desk <DESK@acme.example>", LoopReason::OwnAddress),
            ("Reply-To: desk@acme.example", LoopReason::OwnAddress),
        ] {
            assert_eq!(reason_of(header), Some(expected), "{header}");
        }
    }

    #[test]
    fn people_are_answered() {
        for header in [
            "X-Y: z",
            "Auto-Submitted: no",
            "Auto-Submitted: No (at all)",
            "Precedence: first-class",
            "X-Auto-Response-Suppress: DR, RN, NRN",
            "Return-Path: <ana@b.example>",
            "From: daemon-mailer@b.example",
            "To: desk@acme.example",
        ] {
            assert_eq!(reason_of(header), None, "{header}");
        }
    }
}
