//! What came of a mail, as attempts are written down.

use std::borrow::Cow;

use recado_callback::sent::SentSecret;
use recado_http::guard::DialError;

use super::session::{Reply, Stage, Unsent};
use crate::callback::answer::{MAX_KEPT_BODY, Problem, Report};
use crate::callback::retry::Outcome;

/// The server cannot take any mail now.
const CLOSING: u16 = 421;

/// What follows from it. `message_id` is what the server knows the mail by once it has it.
pub(super) fn read(result: Result<Reply, Unsent>, sent: &SentSecret, message_id: &str) -> Report {
    let unsent = match result {
        Ok(reply) => {
            return Report {
                outcome: Outcome::Accepted,
                status_code: Some(reply.code),
                problem: None,
                provider_id: Some(message_id.to_owned()),
                body: Some(kept(&reply, sent)),
                destination_fault: false,
            };
        }
        Err(unsent) => unsent,
    };
    let is_fault = is_destinations(&unsent);
    let outcome =
        if has_hope(&unsent) { Outcome::Unsettled { retry_after: None } } else { Outcome::Refused };
    let problem = Some(problem(&unsent));
    let (status_code, body) = match &unsent {
        Unsent::Refused { reply, .. } => (Some(reply.code), Some(kept(reply, sent))),
        _ => (None, None),
    };
    Report { outcome, status_code, problem, provider_id: None, body, destination_fault: is_fault }
}

/// Whether the same mail may fare better later.
fn has_hope(unsent: &Unsent) -> bool {
    match unsent {
        Unsent::Dial(error) => error.is_retryable(),
        Unsent::Refused { reply, .. } => !(500..=599).contains(&reply.code),
        Unsent::Broken { .. } | Unsent::TimedOut { .. } => true,
        Unsent::NoTls | Unsent::InTheClear | Unsent::NoLogin => false,
    }
}

/// Whether the server as a whole cannot take mails now. Of what it says of one recipient or one
/// mail nothing follows for others: "try again later" is what greylisting says to whom it does not
/// know yet.
fn is_destinations(unsent: &Unsent) -> bool {
    match unsent {
        Unsent::Dial(DialError::Forbidden { .. } | DialError::NotAllowed { .. })
        | Unsent::NoTls
        | Unsent::InTheClear
        | Unsent::NoLogin => false,
        Unsent::Dial(_) | Unsent::Broken { .. } | Unsent::TimedOut { .. } => true,
        Unsent::Refused { stage, reply } => match reply.code {
            CLOSING => true,
            500..=599 => false,
            _ => *stage < Stage::Recipient,
        },
    }
}

fn problem(unsent: &Unsent) -> Problem {
    let (code, message): (&'static str, Cow<'static, str>) = match unsent {
        Unsent::Dial(error) => {
            let cause = match error {
                DialError::Forbidden { source, .. } => format!(": {source}"),
                _ => String::new(),
            };
            (error.code(), format!("{error}{cause}").into())
        }
        Unsent::Refused { stage: Stage::Login, reply } if reply.code >= 500 => (
            "smtp_auth_failed",
            format!(
                "the mail server answered {} to the login: check the secret that \
                 `email.smtp.secret_ref` names",
                reply.code
            )
            .into(),
        ),
        Unsent::Refused { stage, reply } if (500..=599).contains(&reply.code) => {
            ("smtp_rejected", refusal(*stage, reply.code).into())
        }
        Unsent::Refused { stage, reply } => {
            ("smtp_unavailable", refusal(*stage, reply.code).into())
        }
        Unsent::Broken { stage: Stage::End } => (
            "connection_failed",
            "the connection broke after the mail was sent: the mail server may have it".into(),
        ),
        Unsent::Broken { .. } => (
            "connection_failed",
            "the connection to the mail server broke, or it does not speak SMTP".into(),
        ),
        Unsent::TimedOut { stage: Stage::End } => (
            "timeout",
            "the mail server did not say in time that it has the mail: it may have it".into(),
        ),
        Unsent::TimedOut { .. } => {
            ("timeout", "the mail server did not take the mail in time".into())
        }
        Unsent::NoTls => (
            "smtp_tls_unavailable",
            "the mail server does not offer STARTTLS: check `email.smtp.port` and `tls`".into(),
        ),
        Unsent::InTheClear => (
            "tls_required",
            "the address of email.smtp.host is public: with `tls: none` the password would be sent \
             there in the clear"
                .into(),
        ),
        Unsent::NoLogin => (
            "smtp_auth_failed",
            "the mail server offers no login with user and password on this connection".into(),
        ),
    };
    Problem { code: code.into(), message }
}

fn refusal(stage: Stage, code: u16) -> String {
    let to_what = match stage {
        Stage::Hello | Stage::Login => "the connection",
        Stage::Sender => "the sender",
        Stage::Recipient => "the recipient",
        Stage::Mail | Stage::End => "the mail",
    };
    format!("the mail server answered {code} to {to_what}: its answer says why")
}

fn kept(reply: &Reply, sent: &SentSecret) -> String {
    sent.foreign(&reply.text, false, MAX_KEPT_BODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(stage: Stage, code: u16) -> Report {
        let reply = Reply { code, text: "4.7.1 canary-7 \0 later".to_owned() };
        let sent = SentSecret::of_parts(vec!["canary-7".to_owned()]);
        read(Err(Unsent::Refused { stage, reply }), &sent, "<1@acme.example>")
    }

    #[test]
    fn replies_are_sorted_by_whether_they_may_mend_themselves_and_whom_they_are_about() {
        for (stage, code, name, has_hope, is_fault) in [
            (Stage::Hello, 421, "smtp_unavailable", true, true),
            (Stage::Hello, 554, "smtp_rejected", false, false),
            (Stage::Login, 454, "smtp_unavailable", true, true),
            (Stage::Login, 535, "smtp_auth_failed", false, false),
            (Stage::Sender, 451, "smtp_unavailable", true, true),
            (Stage::Recipient, 450, "smtp_unavailable", true, false),
            (Stage::Recipient, 421, "smtp_unavailable", true, true),
            (Stage::Recipient, 550, "smtp_rejected", false, false),
            (Stage::End, 452, "smtp_unavailable", true, false),
            (Stage::End, 554, "smtp_rejected", false, false),
        ] {
            let report = refused(stage, code);
            assert_eq!(report.problem.as_ref().unwrap().code, name, "{stage:?} {code}");
            let may_mend = matches!(report.outcome, Outcome::Unsettled { .. });
            assert_eq!((may_mend, report.is_destination_fault()), (has_hope, is_fault), "{code}");
            assert_eq!((report.status_code, report.provider_id), (Some(code), None));
        }
    }

    #[test]
    fn of_what_a_server_says_no_secret_is_kept() {
        let body = refused(Stage::End, 451).body.unwrap();
        assert!(body.starts_with("4.7.1 [hidden]") && !body.contains('\0'), "{body}");
    }

    #[test]
    fn a_mail_that_may_have_arrived_is_sent_again() {
        for stage in [Stage::Mail, Stage::End] {
            for unsent in [Unsent::Broken { stage }, Unsent::TimedOut { stage }] {
                let report = read(Err(unsent), &SentSecret::default(), "<1@acme.example>");
                assert!(matches!(report.outcome, Outcome::Unsettled { .. }));
                assert!(report.is_destination_fault() && report.status_code.is_none());
            }
        }
    }

    #[test]
    fn a_mail_that_was_taken_is_known_by_its_id() {
        let reply = Reply { code: 250, text: "2.0.0 Kept".to_owned() };
        let report = read(Ok(reply), &SentSecret::default(), "<1@acme.example>");
        assert_eq!(report.outcome, Outcome::Accepted);
        assert_eq!(report.provider_id.as_deref(), Some("<1@acme.example>"));
        assert_eq!((report.status_code, report.body.as_deref()), (Some(250), Some("2.0.0 Kept")));
    }
}
