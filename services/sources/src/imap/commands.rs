//! What a mailbox is asked.
//!
//! Answers are read here, to their end: an answer that breaks off, or that the server ends with a
//! refusal, must not be taken for one that says that nothing is there.

use std::time::Duration;

use async_imap::error;
use async_imap::imap_proto::{
    AttributeValue, Capability, MailboxDatum, Outcome, RequestId, Response, ResponseCode, Status,
};
use chrono::{DateTime, Utc};

use super::connection::{Connection, STEP, STEP_BYTES, failed, lost, refused, within};
use crate::held::SourceError;

/// How many bytes of a mail a server has to send in a second, once it has begun.
const BYTES_PER_SECOND: u32 = 256 << 10;
/// How much it may send while nothing is asked.
const IDLE_BYTES: u64 = 16 << 20;
/// What comes with a mail besides the mail.
const AROUND_MAIL: u64 = 64 << 10;
/// Among how many UIDs one search looks: what it finds is one line of the server's.
const PAGE: u32 = 4_000;

impl Connection {
    /// Opens a mailbox, for reading only unless mails are to be marked.
    pub(super) async fn select(&mut self, name: &str, to_mark: bool) -> Result<(), SourceError> {
        let mut can_idle = false;
        self.ask("CAPABILITY", STEP, STEP_BYTES, |response| {
            if let Response::Capabilities(all) = response {
                let is_idle = |it: &Capability<'_>| {
                    matches!(it, Capability::Atom(name) if name.eq_ignore_ascii_case("IDLE"))
                };
                can_idle |= all.iter().any(is_idle);
            }
        })
        .await?;
        let (mut uid_validity, mut uid_next) = (None, None);
        let verb = if to_mark { "SELECT" } else { "EXAMINE" };
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        self.ask(&format!("{verb} \"{name}\""), STEP, STEP_BYTES, |response| {
            if let Response::Data { outcome, .. } = response {
                match outcome.code {
                    Some(ResponseCode::UidValidity(value)) => uid_validity = Some(value),
                    Some(ResponseCode::UidNext(value)) => uid_next = Some(value),
                    _ => {}
                }
            }
        })
        .await
        .map_err(|error| match error {
            SourceError::Failed { code: "imap_refused", message } => {
                SourceError::failed("mailbox_not_found", message)
            }
            other => other,
        })?;
        self.opened.can_idle = can_idle;
        self.opened.uid_validity = uid_validity.ok_or_else(|| refused("it has no UIDVALIDITY"))?;
        self.opened.uid_next = uid_next.ok_or_else(|| refused("it has no UIDNEXT"))?;
        Ok(())
    }

    /// The UIDs of the next mails after one, in order; none if there are none.
    pub(super) async fn uids_after(&mut self, last: u32) -> Result<Vec<u32>, SourceError> {
        let Some(first) = last.checked_add(1) else { return Ok(Vec::new()) };
        let first = first.max(self.none_before);
        let found = self.first_found(first, "").await?;
        if !found.is_empty() {
            return Ok(found);
        }
        let first = first.max(self.opened.uid_next);
        self.none_before = first;
        // Whatever it is told from here on may not be in what it answers.
        self.has_more = false;
        let found = self.search(&format!("UID {first}:*")).await?;
        // The last mail is part of such a range, whatever the range begins with.
        Ok(found.into_iter().filter(|uid| *uid >= first).collect())
    }

    /// The first mail that came on this day or later, of those that were there when the mailbox was
    /// opened.
    pub(super) async fn first_since(
        &mut self,
        day: DateTime<Utc>,
    ) -> Result<Option<u32>, SourceError> {
        let found = self.first_found(1, &format!(" SINCE {}", day.format("%d-%b-%Y"))).await?;
        Ok(found.first().copied())
    }

    /// The first ones that fulfil `also`, of those from `first` that were there when the mailbox was
    /// opened: how many, depends on how they lie.
    async fn first_found(&mut self, first: u32, also: &str) -> Result<Vec<u32>, SourceError> {
        let mut from = first;
        while from < self.opened.uid_next {
            let to = from.saturating_add(PAGE - 1).min(self.opened.uid_next - 1);
            let mut found = self.search(&format!("UID {from}:{to}{also}")).await?;
            // Others would lead back to what was read.
            found.retain(|uid| (from..=to).contains(uid));
            if !found.is_empty() {
                return Ok(found);
            }
            from = to + 1;
        }
        Ok(Vec::new())
    }

    async fn search(&mut self, query: &str) -> Result<Vec<u32>, SourceError> {
        let mut uids = Vec::new();
        self.ask(&format!("UID SEARCH {query}"), STEP, STEP_BYTES, |response| {
            if let Response::MailboxData(MailboxDatum::Search(found)) = response {
                uids.extend_from_slice(found);
            }
        })
        .await?;
        uids.sort_unstable();
        uids.dedup();
        Ok(uids)
    }

    /// What `read` makes of a mail's first `most` bytes and of how many the server says that it has,
    /// without a trace; `None` if the mail is not there any more.
    pub(super) async fn fetch<T>(
        &mut self,
        uid: u32,
        most: u32,
        read: impl Fn(&[u8], u32) -> T,
    ) -> Result<Option<T>, SourceError> {
        let mut mail = None;
        let command = format!("UID FETCH {uid} (UID RFC822.SIZE BODY.PEEK[]<0.{most}>)");
        let limit = STEP + Duration::from_secs((most / BYTES_PER_SECOND).into());
        self.ask(&command, limit, u64::from(most) + AROUND_MAIL, |response| {
            // The server may tell of others, too.
            if let Response::Fetch(_, attributes) = response
                && attributes.contains(&AttributeValue::Uid(uid))
            {
                let size = attributes.iter().find_map(size).unwrap_or(u32::MAX);
                let read = |body| read(body, size);
                mail = attributes.iter().find_map(body).map(read).or(mail.take());
            }
        })
        .await?;
        Ok(mail)
    }

    pub(super) async fn mark_seen(&mut self, uid: u32) -> Result<(), SourceError> {
        let command = format!("UID STORE {uid} +FLAGS.SILENT (\\Seen)");
        self.ask(&command, STEP, STEP_BYTES, |_| {}).await
    }

    /// Waits until the server tells of mails (RFC 2177), for `longest` at most. What it has told of
    /// before is not waited for: it would not tell of it again.
    pub(super) async fn idle(&mut self, longest: Duration) -> Result<(), SourceError> {
        if self.has_more {
            return Ok(());
        }
        self.allow(IDLE_BYTES);
        let tag = within(STEP, self.session.run_command("IDLE")).await?.map_err(failed)?;
        within(STEP, self.until_idle(&tag)).await??;
        // If the time is over, we ask.
        if let Ok(told) = tokio::time::timeout(longest, self.until_told(&tag)).await {
            told?;
        }
        self.allow(STEP_BYTES);
        let done = async {
            self.session.run_command_untagged("DONE").await.map_err(failed)?;
            self.until_done(&tag, |_| {}).await
        };
        within(STEP, done).await?
    }

    async fn until_idle(&mut self, tag: &RequestId) -> Result<(), SourceError> {
        let is_idle = |response: &Response<'_>| match response {
            Response::Continue(_) => Ok(true),
            other => not_done(tag, other).map(|()| false),
        };
        while !self.next(is_idle).await?? {}
        Ok(())
    }

    async fn until_told(&mut self, tag: &RequestId) -> Result<(), SourceError> {
        while !self.has_more {
            self.next(|response| not_done(tag, response)).await??;
        }
        Ok(())
    }

    /// Sends a command and shows what comes of it, up to its end.
    async fn ask(
        &mut self,
        command: &str,
        limit: Duration,
        bytes: u64,
        see: impl FnMut(&Response<'_>),
    ) -> Result<(), SourceError> {
        self.allow(bytes);
        let answered = async {
            let tag = self.session.run_command(command).await.map_err(failed)?;
            self.until_done(&tag, see).await
        };
        within(limit, answered).await?
    }

    async fn until_done(
        &mut self,
        tag: &RequestId,
        mut see: impl FnMut(&Response<'_>),
    ) -> Result<(), SourceError> {
        let mut ended = None;
        while ended.is_none() {
            ended = self.next(|response| end_of(tag, response, &mut see)).await?;
        }
        ended.unwrap_or(Ok(()))
    }

    /// What `see` makes of what the server says next.
    async fn next<T>(&mut self, see: impl FnOnce(&Response<'_>) -> T) -> Result<T, SourceError> {
        let response = self.session.read_response().await;
        let response = response.map_err(|error| failed(error::Error::Io(error)))?;
        let response = response.ok_or_else(|| lost("it hung up"))?;
        match response.parsed() {
            Response::MailboxData(MailboxDatum::Exists(_)) => self.has_more = true,
            Response::Data { status: Status::Bye, outcome } => return Err(lost(reason(outcome))),
            _ => {}
        }
        Ok(see(response.parsed()))
    }

    fn allow(&mut self, bytes: u64) {
        self.session.as_mut().allow(bytes);
    }
}

/// The bytes of a mail, from its beginning.
fn body<'a>(attribute: &'a AttributeValue<'_>) -> Option<&'a [u8]> {
    match attribute {
        AttributeValue::BodySection { section: None, data: Some(data), .. } => Some(data),
        _ => None,
    }
}

/// How large a mail is.
fn size(attribute: &AttributeValue<'_>) -> Option<u32> {
    match attribute {
        AttributeValue::Rfc822Size(size) => Some(*size),
        _ => None,
    }
}

/// A command that goes on until it is told to end must not end by itself.
fn not_done(tag: &RequestId, response: &Response<'_>) -> Result<(), SourceError> {
    match response {
        Response::Done { tag: of, outcome, .. } if of == tag => Err(refused(reason(outcome))),
        _ => Ok(()),
    }
}

/// How a command ended, if this is its end; else it is shown.
fn end_of(
    tag: &RequestId,
    response: &Response<'_>,
    mut see: impl FnMut(&Response<'_>),
) -> Option<Result<(), SourceError>> {
    match response {
        Response::Done { tag: of, status: Status::Ok, .. } if of == tag => Some(Ok(())),
        Response::Done { tag: of, outcome, .. } if of == tag => Some(Err(refused(reason(outcome)))),
        other => {
            see(other);
            None
        }
    }
}

fn reason<'o>(outcome: &'o Outcome<'_>) -> &'o str {
    outcome.information.as_deref().unwrap_or("it does not say why")
}
