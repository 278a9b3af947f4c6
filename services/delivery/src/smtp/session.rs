//! Hands a mail to a server: connect, be private, log in, send.
//!
//! STARTTLS is ours and not the library's: so the same authorities vouch for mail servers as for all
//! others, and nothing that was said in the clear counts afterwards.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lettre::transport::smtp::Error as Failure;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use recado_callback::sent::SentSecret;
use recado_http::guard::{DialError, GuardedClient, Service, is_private};
use recado_mail::answer::Written;
use recado_types::hosts::DestinationHosts;
use recado_types::trigger::email::{Smtp, Tls};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::wire::Wire;

/// How long a server that has the mail is told good-bye.
const GOOD_BYE: Duration = Duration::from_secs(1);

/// Which server, and how.
#[derive(Clone, Copy)]
pub(super) struct Server<'a> {
    pub(super) client: &'a GuardedClient,
    pub(super) destinations: &'a DestinationHosts,
    pub(super) smtp: &'a Smtp,
    /// Who says so.
    pub(super) helo: &'a str,
    pub(super) login: Option<&'a Login>,
}

/// A user and a password.
pub(super) struct Login {
    user: String,
    password: String,
}

/// How far it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Connecting, being private, saying hello.
    Hello,
    /// Logging in.
    Login,
    /// Who sends, and whether the server takes a mail at all.
    Sender,
    /// To whom.
    Recipient,
    /// The mail itself, before its end.
    Mail,
    /// All of it was sent: the server may have it.
    End,
}

/// What a server says: its code, and its text.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) text: String,
}

/// Why a mail was not sent, or why nobody knows.
#[derive(Debug)]
pub(super) enum Unsent {
    /// No connection.
    Dial(DialError),
    /// The server says no.
    Refused { stage: Stage, reply: Reply },
    /// The connection broke, or what came back is not SMTP.
    Broken { stage: Stage },
    /// The time was over.
    TimedOut { stage: Stage },
    /// The server does not know STARTTLS.
    NoTls,
    /// The password would be sent to a public address in the clear.
    InTheClear,
    /// The server knows no way to log in that we know.
    NoLogin,
}

impl Login {
    /// `secret` is `user:password`, of one line.
    pub(super) fn of(secret: &str) -> Option<Self> {
        let (user, password) = secret.trim_end_matches(['\r', '\n']).split_once(':')?;
        let is_plain = |text: &str| !text.is_empty() && !text.contains(['\r', '\n', '\0']);
        let login = || Self { user: user.to_owned(), password: password.to_owned() };
        (is_plain(user) && is_plain(password)).then(login)
    }

    /// The forms that a server is sent it in.
    pub(super) fn sent(&self) -> SentSecret {
        let Self { user, password } = self;
        SentSecret::of_parts(vec![
            format!("{user}:{password}"),
            password.clone(),
            BASE64.encode(password),
            BASE64.encode(format!("\0{user}\0{password}")),
        ])
    }
}

/// Sends a mail, once.
pub(super) async fn send(server: &Server<'_>, mail: &Written) -> Result<Reply, Unsent> {
    let limit = Duration::from_millis(server.smtp.timeout_ms.into());
    let mut stage = Stage::Hello;
    let sending = timeout(limit, Box::pin(hand_over(server, mail, &mut stage))).await;
    let (reply, mut connection) = match sending {
        Ok(result) => result?,
        Err(_elapsed) => return Err(Unsent::TimedOut { stage }),
    };
    // The mail is theirs, whatever becomes of the connection.
    let _ = timeout(GOOD_BYE, connection.quit()).await;
    Ok(reply)
}

/// Leaves in `stage` how far it went.
async fn hand_over(
    server: &Server<'_>,
    mail: &Written,
    stage: &mut Stage,
) -> Result<(Reply, AsyncSmtpConnection), Unsent> {
    let wire = connect(server).await?;
    let hello = ClientId::Domain(server.helo.to_owned());
    let connected = AsyncSmtpConnection::connect_with_transport(wire, &hello).await;
    let mut connection = connected.map_err(unsent(*stage))?;
    if let Some(login) = server.login {
        *stage = Stage::Login;
        log_in(&mut connection, login).await?;
    }
    *stage = Stage::Sender;
    let sender = Mail::new(mail.envelope.from().cloned(), Vec::new());
    connection.command(sender).await.map_err(unsent(*stage))?;
    *stage = Stage::Recipient;
    for recipient in mail.envelope.to() {
        let recipient = Rcpt::new(recipient.clone(), Vec::new());
        connection.command(recipient).await.map_err(unsent(*stage))?;
    }
    *stage = Stage::Mail;
    connection.command(Data).await.map_err(unsent(*stage))?;
    *stage = Stage::End;
    let taken = connection.message(&mail.bytes).await.map_err(unsent(*stage))?;
    let code = taken.code().to_string().parse().unwrap_or(250);
    let text = taken.message().collect::<Vec<_>>().join("\n");
    Ok((Reply { code, text }, connection))
}

async fn log_in(connection: &mut AsyncSmtpConnection, login: &Login) -> Result<(), Unsent> {
    if connection.server_info().get_auth_mechanism(DEFAULT_MECHANISMS).is_none() {
        return Err(Unsent::NoLogin);
    }
    let credentials = Credentials::new(login.user.clone(), login.password.clone());
    let welcome = connection.auth(DEFAULT_MECHANISMS, &credentials).await;
    welcome.map(|_welcome| ()).map_err(unsent(Stage::Login))
}

/// A connection that is as private as the trigger wants it, on which a greeting is to be heard.
async fn connect(server: &Server<'_>) -> Result<Box<dyn AsyncTokioStream>, Unsent> {
    let Server { client, destinations, smtp, helo, login } = server;
    let dialled = client.dial(Service::Smtp, &smtp.host, smtp.port, destinations).await;
    let (stream, peer) = dialled.map_err(Unsent::Dial)?;
    check_privacy(smtp.tls, login.is_some(), peer.ip())?;
    let wire = Wire::new(stream, peer);
    match smtp.tls {
        Tls::None => Ok(Box::new(wire)),
        Tls::Implicit => {
            let private = client.start_tls(wire, &smtp.host).await.map_err(Unsent::Dial)?;
            Ok(Box::new(Wire::new(private, peer)))
        }
        Tls::Starttls => {
            let (greeting, wire) = ask_for_tls(wire, helo).await?;
            let private = client.start_tls(wire, &smtp.host).await.map_err(Unsent::Dial)?;
            Ok(Box::new(Wire::hearing_again(greeting, private, peer)))
        }
    }
}

/// A password is sent in the clear within a private network only.
fn check_privacy(tls: Tls, has_login: bool, peer: IpAddr) -> Result<(), Unsent> {
    if tls == Tls::None && has_login && !is_private(peer) {
        return Err(Unsent::InTheClear);
    }
    Ok(())
}

/// Agrees with a server to be private from here on; answers how it greeted, too.
async fn ask_for_tls(
    wire: Wire<TcpStream>,
    helo: &str,
) -> Result<(Vec<u8>, Wire<TcpStream>), Unsent> {
    let mut reader = BufReader::new(wire);
    let greeting = accepted(reply(&mut reader).await?)?;
    let known = ask(&mut reader, &format!("EHLO {helo}\r\n")).await.and_then(accepted)?;
    if !known.text.lines().any(|line| line.trim().eq_ignore_ascii_case("STARTTLS")) {
        return Err(Unsent::NoTls);
    }
    ask(&mut reader, "STARTTLS\r\n").await.and_then(accepted)?;
    if !reader.buffer().is_empty() {
        // Said in the clear, to be heard as if it were private.
        return Err(Unsent::Broken { stage: Stage::Hello });
    }
    let Reply { code, .. } = greeting;
    Ok((format!("{code} hello\r\n").into_bytes(), reader.into_inner()))
}

async fn ask(reader: &mut BufReader<Wire<TcpStream>>, line: &str) -> Result<Reply, Unsent> {
    let broken = |_error| Unsent::Broken { stage: Stage::Hello };
    reader.get_mut().write_all(line.as_bytes()).await.map_err(broken)?;
    reply(reader).await
}

/// One reply, with all of its lines.
async fn reply(reader: &mut BufReader<Wire<TcpStream>>) -> Result<Reply, Unsent> {
    const BROKEN: Unsent = Unsent::Broken { stage: Stage::Hello };
    let mut text = String::new();
    loop {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).await.map_err(|_error| BROKEN)?;
        let line = String::from_utf8_lossy(&line);
        let code = line.get(..3).and_then(|code| code.parse().ok()).ok_or(BROKEN)?;
        let (is_last, said) = match line.as_bytes().get(3) {
            Some(b'-') => (false, &line[4..]),
            Some(b' ') => (true, &line[4..]),
            Some(b'\r' | b'\n') => (true, ""),
            _ => return Err(BROKEN),
        };
        text.push_str(said.trim_end());
        if is_last {
            return Ok(Reply { code, text });
        }
        text.push('\n');
    }
}

fn accepted(reply: Reply) -> Result<Reply, Unsent> {
    match reply.code {
        200..=299 => Ok(reply),
        _ => Err(Unsent::Refused { stage: Stage::Hello, reply }),
    }
}

/// What the library's error means.
fn unsent(stage: Stage) -> impl Fn(Failure) -> Unsent {
    move |failure| {
        let code = failure.status().and_then(|code| code.to_string().parse().ok());
        let said = failure.source().map(ToString::to_string).unwrap_or_default();
        match code {
            Some(code) => Unsent::Refused { stage, reply: Reply { code, text: said } },
            None => Unsent::Broken { stage },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_sent_to_a_public_address_in_the_clear() {
        for (tls, has_login, peer, is_refused) in [
            (Tls::None, true, "8.8.8.8", true),
            (Tls::None, true, "::ffff:8.8.8.8", true),
            (Tls::None, false, "8.8.8.8", false),
            (Tls::None, true, "10.1.2.3", false),
            (Tls::Starttls, true, "8.8.8.8", false),
            (Tls::Implicit, true, "8.8.8.8", false),
        ] {
            let checked = check_privacy(tls, has_login, peer.parse().unwrap());
            assert_eq!(checked.is_err(), is_refused, "{tls:?} {has_login} {peer}");
        }
    }
}
