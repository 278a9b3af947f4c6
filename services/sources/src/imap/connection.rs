//! A connection to a mailbox: how it is made, every step of it within bounds of time and bytes.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use async_imap::{Client, Session, error};
use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use recado_http::guard::{DialError, GuardedClient, Service, is_private};
use recado_types::hosts::DestinationHosts;
use recado_types::trigger::email::{Imap, Tls};

use super::stream::{Bytes, Metered};
use super::user_and_password;
use crate::held::SourceError;

/// How long a server may take for a step.
pub(super) const STEP: Duration = Duration::from_secs(30);
/// How much it may send for a step.
pub(super) const STEP_BYTES: u64 = 1 << 20;
/// How much of what a server says about a mistake is told.
const MAX_REASON: usize = 300;

/// A mailbox that was opened.
pub(super) struct Connection {
    pub(super) session: Session<Metered>,
    /// Whether the server has told of mails since it was last asked which ones there are.
    pub(super) has_more: bool,
    /// No mail that is still to be read has a smaller UID.
    pub(super) none_before: u32,
    pub(super) opened: Opened,
}

/// What a server says of the mailbox when it opens it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Opened {
    pub(super) uid_validity: u32,
    /// The first UID that no mail had then.
    pub(super) uid_next: u32,
    /// Whether it tells when something comes.
    pub(super) can_idle: bool,
}

impl Connection {
    pub(super) async fn open(
        client: &GuardedClient,
        destinations: &DestinationHosts,
        imap: &Imap,
        credentials: &str,
    ) -> Result<Self, SourceError> {
        let (user, password) = user_and_password(credentials)?;
        let greeted = greeted(client, destinations, imap).await?;
        let session = within(STEP, greeted.login(user, password)).await?;
        let session = session.map_err(|(error, _)| not_let_in(error, password))?;
        let mut connection =
            Self { session, has_more: true, none_before: 0, opened: Opened::default() };
        connection.select(&modified_utf7(&imap.mailbox), imap.mark_seen).await?;
        Ok(connection)
    }
}

/// A server that has said that it is one, over a connection that is as private as it has to be.
async fn greeted(
    client: &GuardedClient,
    destinations: &DestinationHosts,
    imap: &Imap,
) -> Result<Client<Metered>, SourceError> {
    let (stream, peer) = client
        .dial(Service::Imap, &imap.host, imap.port, destinations)
        .await
        .map_err(|error| not_connected(&error))?;
    check_privacy(imap.tls, peer.ip())?;
    let stream: Box<dyn Bytes> = match imap.tls {
        Tls::Implicit => Box::new(
            client.start_tls(stream, &imap.host).await.map_err(|error| not_connected(&error))?,
        ),
        Tls::Starttls | Tls::None => Box::new(stream),
    };
    let mut greeted = greeting(stream).await?;
    if imap.tls != Tls::Starttls {
        return Ok(greeted);
    }
    within(STEP, greeted.run_command_and_check_ok("STARTTLS", None)).await?.map_err(failed)?;
    // What the server sent beyond its answer goes with the old client: nobody may put words into
    // what is private from here on.
    let stream = greeted.into_inner().into_inner();
    let private =
        client.start_tls(stream, &imap.host).await.map_err(|error| not_connected(&error))?;
    Ok(Client::new(Metered::new(Box::new(private), STEP_BYTES)))
}

/// A password is sent in the clear within a private network only.
fn check_privacy(tls: Tls, peer: IpAddr) -> Result<(), SourceError> {
    if tls != Tls::None || is_private(peer) {
        return Ok(());
    }
    let message = "the address of email.imap.host is public: with `tls: none` the password would \
                   be sent there in the clear";
    Err(SourceError::failed("tls_required", message))
}

async fn greeting(stream: Box<dyn Bytes>) -> Result<Client<Metered>, SourceError> {
    let mut client = Client::new(Metered::new(stream, STEP_BYTES));
    let greeting = within(STEP, client.read_response()).await?;
    match greeting.map_err(error::Error::Io).map_err(failed)? {
        Some(_) => Ok(client),
        None => Err(lost("it hung up")),
    }
}

pub(super) async fn within<T>(
    limit: Duration,
    step: impl Future<Output = T>,
) -> Result<T, SourceError> {
    tokio::time::timeout(limit, step).await.map_err(|_elapsed| {
        SourceError::failed("timeout", "the mail server did not answer in time")
    })
}

fn not_connected(error: &DialError) -> SourceError {
    let reason = std::error::Error::source(error).map(ToString::to_string);
    let message = reason.map_or_else(|| error.to_string(), |reason| format!("{error}: {reason}"));
    SourceError::failed(error.code(), message)
}

fn not_let_in(error: error::Error, password: &str) -> SourceError {
    let is_refused = matches!(error, error::Error::No(_) | error::Error::Bad(_));
    match failed(error) {
        SourceError::Failed { message, .. } if is_refused => {
            // Some servers repeat what they were told.
            let as_shown = format!("{password:?}");
            let message = message.replace(as_shown.trim_matches('"'), "***");
            SourceError::failed("imap_auth_failed", message.replace(password, "***"))
        }
        other => other,
    }
}

pub(super) fn failed(error: error::Error) -> SourceError {
    match error {
        error::Error::No(reason) | error::Error::Bad(reason) => refused(text_in(&reason)),
        // It shows all of what it could not read.
        error::Error::Io(error) if error.kind() == io::ErrorKind::Other => {
            refused("its answer cannot be understood")
        }
        error::Error::Io(error) => lost(&error.to_string()),
        error::Error::ConnectionLost => lost("it hung up"),
        error::Error::Parse(_) => refused("its answer cannot be understood"),
        error::Error::Validate(_) => {
            SourceError::failed("secret_invalid", "user or password have control characters")
        }
        other => refused(&other.to_string()),
    }
}

/// The text of a refusal, out of what the library makes of it.
fn text_in(reason: &str) -> &str {
    let text = reason.split_once("info: Some(\"").and_then(|(_, text)| text.strip_suffix("\")"));
    text.unwrap_or(reason)
}

/// The server does not do what it is asked.
pub(super) fn refused(reason: &str) -> SourceError {
    SourceError::failed("imap_refused", said(reason))
}

/// The server has gone.
pub(super) fn lost(reason: &str) -> SourceError {
    SourceError::failed("connection_lost", said(reason))
}

fn said(reason: &str) -> String {
    let reason: String =
        reason.chars().filter(|char| !char.is_control()).take(MAX_REASON).collect();
    format!("the mail server: {reason}")
}

/// A mailbox's name as IMAP wants it (RFC 3501, 5.1.3).
fn modified_utf7(name: &str) -> String {
    let engine = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);
    let mut encoded = String::new();
    let mut rest = name;
    let is_plain = |char: char| matches!(char, ' '..='~');
    while let Some(first) = rest.chars().next() {
        let plain = is_plain(first);
        let end = rest.find(|char| is_plain(char) != plain).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        if plain {
            encoded.push_str(&run.replace('&', "&-"));
        } else {
            let units: Vec<u8> = run.encode_utf16().flat_map(u16::to_be_bytes).collect();
            encoded.push('&');
            engine.encode_string(units, &mut encoded);
            encoded.push('-');
        }
        rest = after;
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_sent_to_a_public_address_in_the_clear() {
        for (tls, peer, code) in [
            (Tls::None, "10.1.2.3", None),
            (Tls::None, "::1", None),
            (Tls::None, "8.8.8.8", Some("tls_required")),
            (Tls::None, "::ffff:8.8.8.8", Some("tls_required")),
            (Tls::Starttls, "8.8.8.8", None),
            (Tls::Implicit, "8.8.8.8", None),
        ] {
            let told = match check_privacy(tls, peer.parse().unwrap()) {
                Err(SourceError::Failed { code, .. }) => Some(code),
                _ => None,
            };
            assert_eq!(told, code, "{tls:?} {peer}");
        }
    }

    #[test]
    fn names_of_mailboxes_are_encoded() {
        for (name, encoded) in [
            ("INBOX", "INBOX"),
            ("Suporte & Vendas", "Suporte &- Vendas"),
            // The example of the RFC.
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Entw\u{fc}rfe", "Entw&APw-rfe"),
        ] {
            assert_eq!(modified_utf7(name), encoded);
        }
    }
}
