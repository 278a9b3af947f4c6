//! Mailboxes, by IMAP (RFC 3501): what is in them already or what comes, told by IDLE (RFC 2177).
//!
//! Mails are taken in the order of their UIDs, one after the other: fetched without touching them,
//! published, and only then marked as seen and left behind. If an instance dies in between, the next
//! one publishes the same mail again, under the same id. Where the server has no IDLE, it is asked
//! once a minute.
//!
//! If the server gives all mails new UIDs (another UIDVALIDITY), those that came since a day before the
//! last one was taken are read again: what was published before has the ids it had.

mod commands;
mod connection;
mod places;
mod position;
mod stream;

use std::convert::Infallible;
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_intake::channel::email;
use recado_mail::Mail;
use recado_types::trigger::Email;
use recado_types::trigger::email::{Imap, MailboxStart};
use serde_json::Value;

use crate::held::{HeldSource, SourceError};
use crate::metrics::LEFT_OUT;
use connection::Connection;
pub(crate) use places::{Place, Places};
use position::Position;

/// The largest mail that is fetched whole; of a larger one, its beginning.
const MAX_MAIL: u32 = 40 << 20;
/// The largest mail that needs no place.
const SMALL_MAIL: u32 = 128 << 10;
/// How long to wait for the server to tell of something. After 30 minutes it may take us for gone
/// (RFC 2177), and some take us so after ten.
const IDLE: Duration = Duration::from_mins(9);
/// How often a server is asked that cannot tell.
const POLL: Duration = Duration::from_mins(1);

/// Reads a mailbox until it cannot be read any more, and says why.
pub(crate) async fn hold(held: &HeldSource<'_>, email: &Email, imap: &Imap) -> SourceError {
    let Err(error) = read(held, email, imap).await;
    error
}

async fn read(
    held: &HeldSource<'_>,
    email: &Email,
    imap: &Imap,
) -> Result<Infallible, SourceError> {
    let credentials = held.secret(&imap.secret_ref).await?;
    let mut connection =
        Box::pin(Connection::open(held.client(), &held.destinations(), imap, &credentials)).await?;
    let mailbox = Mailbox { held, email, imap };
    let mut position = mailbox.begin(&mut connection).await?;
    let mut has_worked = false;
    loop {
        let uids = connection.uids_after(position.last_uid).await?;
        // While a mail stands in the way, it does not work.
        if !has_worked && !uids.iter().any(|uid| position.is_failing(*uid)) {
            held.works().await?;
            has_worked = true;
        }
        for uid in &uids {
            let fired = Box::pin(mailbox.take(&mut connection, position, *uid)).await?;
            position = position.with(*uid, held.now());
            held.save(&position.to_json(), fired).await?;
        }
        if !uids.is_empty() {
            // There may be more, and more may have come meanwhile.
        } else if connection.opened.can_idle {
            connection.idle(IDLE).await?;
        } else {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// A mailbox that is read.
struct Mailbox<'m> {
    held: &'m HeldSource<'m>,
    email: &'m Email,
    imap: &'m Imap,
}

impl Mailbox<'_> {
    /// Where to go on.
    async fn begin(&self, connection: &mut Connection) -> Result<Position, SourceError> {
        let (uid_validity, uid_next) = (connection.opened.uid_validity, connection.opened.uid_next);
        let saved = self.held.position().and_then(Position::of);
        if let Some(position) = saved.filter(|saved| saved.uid_validity == uid_validity) {
            return Ok(position);
        }
        let next = match (saved, self.imap.start) {
            (Some(saved), _) => self.first_again(connection, saved.at).await?.unwrap_or(uid_next),
            (None, MailboxStart::Now) => uid_next,
            (None, MailboxStart::Beginning) => 1,
        };
        // Of one that was read before, the time stays: what is read again came after it.
        let at = saved.map_or(self.held.now(), |saved| saved.at);
        let position =
            Position { uid_validity, last_uid: next.saturating_sub(1), at, failing: None };
        self.held.save(&position.to_json(), false).await?;
        Ok(position)
    }

    /// The first mail that has to be read again, by the day on which it came.
    async fn first_again(
        &self,
        connection: &mut Connection,
        read_at: DateTime<Utc>,
    ) -> Result<Option<u32>, SourceError> {
        tracing::warn!("the mailbox has other UIDs than before; the last mails are read again");
        connection.first_since(read_at - chrono::TimeDelta::days(1)).await
    }

    /// Publishes a mail; whether it did.
    async fn take(
        &self,
        connection: &mut Connection,
        position: Position,
        uid: u32,
    ) -> Result<bool, SourceError> {
        if position.gives_up(uid, self.held.now()) {
            LEFT_OUT.with_label_values(&["imap", "mail_unreadable"]).inc();
            tracing::warn!(mail.uid = uid, "a mail that cannot be fetched is left out");
            self.held.leave_out(format!("the mail server does not send the mail with UID {uid}"));
            return Ok(false);
        }
        let fetched = self.fetch(connection, uid).await.inspect_err(|_failure| {
            self.held.note(position.failing_at(uid, self.held.now()).to_json());
        });
        // Somebody else may have deleted it meanwhile.
        let Some(mail) = fetched? else { return Ok(false) };
        let incoming = email::incoming(self.email, mail);
        match &incoming {
            Ok(incoming) => self.held.publish(std::slice::from_ref(incoming)).await?,
            Err(reason) => {
                LEFT_OUT.with_label_values(&["imap", "mail_loop"]).inc();
                tracing::info!(mail.loop_reason = %reason, "a mail of a machine is not answered");
            }
        }
        if self.imap.mark_seen {
            connection.mark_seen(uid).await?;
        }
        Ok(incoming.is_ok())
    }

    /// Most mails are small, and come at once. A large one waits for a place.
    async fn fetch(
        &self,
        connection: &mut Connection,
        uid: u32,
    ) -> Result<Option<Mail>, SourceError> {
        let size = match connection.fetch(uid, SMALL_MAIL, begun).await? {
            None => return Ok(None),
            Some(Begun::Small(mail)) => return Ok(Some(*mail)),
            Some(Begun::Large { size }) => size,
        };
        // Servers are not exact about it.
        let most = size.saturating_add(size / 4).clamp(2 * SMALL_MAIL, MAX_MAIL);
        let _place = self.held.place_for_mail(most).await;
        // It takes too long for those who share this thread.
        let read = |bytes: &[u8], _size| tokio::task::block_in_place(|| recado_mail::parse(bytes));
        connection.fetch(uid, most, read).await
    }
}

/// What the beginning of a mail tells.
enum Begun {
    /// It is all of it.
    Small(Box<Mail>),
    /// There is more.
    Large { size: u32 },
}

fn begun(bytes: &[u8], size: u32) -> Begun {
    if bytes.len() < SMALL_MAIL as usize {
        Begun::Small(Box::new(recado_mail::parse(bytes)))
    } else {
        Begun::Large { size }
    }
}

/// `user:password`, as a secret holds them.
fn user_and_password(credentials: &str) -> Result<(&str, &str), SourceError> {
    let invalid = |reason| SourceError::failed("secret_invalid", reason);
    let (user, password) = credentials
        .split_once(':')
        .ok_or_else(|| invalid("the mailbox's secret is not `user:password`"))?;
    if credentials.chars().any(char::is_control) {
        return Err(invalid("the mailbox's secret has control characters"));
    }
    Ok((user, password))
}

/// A position as it is kept.
fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
