//! `email`: the mailbox that a trigger reads, and how its answers are sent.
//!
//! Mails come by HTTP from a provider, by IMAP, or by both. Passwords are named here, never
//! written down: a `secret_ref` is the name of a secret of the tenant that holds `user:password`.

mod address;
#[cfg(test)]
mod tests;

pub use address::{MailAddress, MailAddressError};

use url::Host;

use super::{RetryPolicy, Transform};
use crate::credential::read_secret_ref;
use crate::shape::ObjectReader;
use address::MAX_ADDRESS;

/// The most further addresses that are a trigger's own.
const MAX_ALIASES: usize = 20;

/// The `email` of a trigger of that type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// The trigger's own address: answers come from it, mails from it are refused as loops.
    pub address: MailAddress,
    /// Further addresses of its own, at most 20.
    pub aliases: Vec<MailAddress>,
    /// Who posts mails to the trigger's URL, if anybody does.
    pub http: Option<MailProvider>,
    /// The mailbox that is read, if any.
    pub imap: Option<Imap>,
    /// How answers are sent, if they are sent by mail.
    pub smtp: Option<Smtp>,
    /// Whether the agent also sees what a mail quotes, and its signature.
    pub keep_quotes: bool,
}

/// The form in which mails are posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailProvider {
    /// The mail itself (RFC 5322), as the body of the request.
    Raw,
    /// `SendGrid`'s Inbound Parse, of either form.
    Sendgrid,
    /// Mailgun's routes, of either form.
    Mailgun,
    /// Postmark's inbound webhook.
    Postmark,
}

/// A mailbox that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imap {
    /// Where.
    pub host: Host,
    /// Its port: 993 with TLS from the start, else 143, unless another is named.
    pub port: u16,
    /// When the connection becomes private; `implicit` by default.
    pub tls: Tls,
    /// The secret that holds `user:password`.
    pub secret_ref: String,
    /// The mailbox, as people write it (UTF-8); `INBOX` by default.
    pub mailbox: String,
    /// Whether what is in it already is read as well; it is not by default.
    pub start: MailboxStart,
    /// Whether mails are marked as seen once they are taken; they are by default.
    pub mark_seen: bool,
}

/// How answers are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    /// Where.
    pub host: Host,
    /// Its port: 587 with STARTTLS, 465 with TLS from the start, else 25, unless another is named.
    pub port: u16,
    /// When the connection becomes private; `starttls` by default.
    pub tls: Tls,
    /// The secret that holds `user:password`; without one nobody logs in.
    pub secret_ref: Option<String>,
    /// The name beside the address that answers come from.
    pub from_name: Option<String>,
    /// How long sending one mail may take, 1,000 to 60,000 ms.
    pub timeout_ms: u32,
    /// What happens to the text first; Markdown is taken out by default.
    pub transform: Transform,
    /// What happens when it fails.
    pub retry: RetryPolicy,
}

/// When a connection becomes private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// From its first byte.
    Implicit,
    /// Once both sides have agreed to it; without an agreement nothing more is said.
    Starttls,
    /// Never: for hosts within a private network.
    None,
}

impl Tls {
    const BY_NAME: [(&str, Self); 3] =
        [("implicit", Self::Implicit), ("starttls", Self::Starttls), ("none", Self::None)];
}

/// Where reading a mailbox begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailboxStart {
    /// With what comes from now on.
    Now,
    /// With what is in it already.
    Beginning,
}

impl Email {
    pub(super) fn read(reader: &mut ObjectReader<'_>) -> Option<Self> {
        let mut fields = reader.object("email")?;
        fields.required("address");
        let address = fields.parsed("address");
        let aliases = read_aliases(&mut fields);
        let imap = fields.object("imap").map(Imap::read);
        let smtp = fields.object("smtp").map(Smtp::read);
        let http = match fields.object("http") {
            Some(http) => Some(MailProvider::read(http)),
            None if imap.is_none() => Some(MailProvider::Raw),
            None => None,
        };
        let keep_quotes = fields.boolean("keep_quotes").unwrap_or(false);
        fields.done();
        // One that could not be read has left its mistakes behind.
        let (imap, smtp) = (imap.flatten(), smtp.flatten());
        Some(Self { address: address?, aliases, http, imap, smtp, keep_quotes })
    }

    /// Whether `address` is the trigger's own: itself or an alias, in any case, its domain as
    /// people or as machines write it.
    pub fn is_own(&self, address: &str) -> bool {
        let Some((local, domain)) = address.trim().rsplit_once('@') else { return false };
        let domain = Host::parse(domain).map_or(domain.to_owned(), |host| host.to_string());
        let mut own = std::iter::once(&self.address).chain(&self.aliases);
        own.any(|own| {
            own.local_part().eq_ignore_ascii_case(local)
                && own.domain().eq_ignore_ascii_case(&domain)
        })
    }

    /// The secrets it names, each with where in the configuration it does so.
    pub fn secret_refs(&self) -> Vec<(String, &str)> {
        let imap = self.imap.as_ref().map(|imap| ("imap", imap.secret_ref.as_str()));
        let smtp = self.smtp.as_ref().and_then(|smtp| Some(("smtp", smtp.secret_ref.as_deref()?)));
        let path = |(part, name)| (format!("email.{part}.secret_ref"), name);
        imap.into_iter().chain(smtp).map(path).collect()
    }
}

fn read_aliases(fields: &mut ObjectReader<'_>) -> Vec<MailAddress> {
    let texts = fields.strings("aliases", 0..=MAX_ALIASES, MAX_ADDRESS).unwrap_or_default();
    let judged = texts
        .into_iter()
        .enumerate()
        .filter_map(|(index, text)| fields.accept(&format!("aliases[{index}]"), text.parse()));
    judged.collect()
}

impl MailProvider {
    fn read(mut fields: ObjectReader<'_>) -> Self {
        let providers = [
            ("raw", Self::Raw),
            ("sendgrid", Self::Sendgrid),
            ("mailgun", Self::Mailgun),
            ("postmark", Self::Postmark),
        ];
        let provider = fields.choice("provider", &providers).unwrap_or(Self::Raw);
        fields.done();
        provider
    }
}

impl Imap {
    fn read(mut fields: ObjectReader<'_>) -> Option<Self> {
        let host = read_host(&mut fields);
        let tls = fields.choice("tls", &Tls::BY_NAME).unwrap_or(Tls::Implicit);
        let usual_port = if tls == Tls::Implicit { 993 } else { 143 };
        let port = read_port(&mut fields, usual_port);
        let secret_ref = read_secret_ref(&mut fields);
        let mailbox = fields.name("mailbox", 255).unwrap_or("INBOX").to_owned();
        let starts = [("now", MailboxStart::Now), ("beginning", MailboxStart::Beginning)];
        let start = fields.choice("start", &starts).unwrap_or(MailboxStart::Now);
        let mark_seen = fields.boolean("mark_seen").unwrap_or(true);
        fields.done();
        let (host, secret_ref) = (host?, secret_ref?);
        Some(Self { host, port, tls, secret_ref, mailbox, start, mark_seen })
    }
}

impl Smtp {
    fn read(mut fields: ObjectReader<'_>) -> Option<Self> {
        let host = read_host(&mut fields);
        let tls = fields.choice("tls", &Tls::BY_NAME).unwrap_or(Tls::Starttls);
        let usual_port = match tls {
            Tls::Starttls => 587,
            Tls::Implicit => 465,
            Tls::None => 25,
        };
        let port = read_port(&mut fields, usual_port);
        let secret_ref = fields.string("secret_ref", 1..=128).map(str::to_owned);
        let from_name = fields.name("from_name", 128).map(str::to_owned);
        let timeout_ms = fields.integer("timeout_ms", 1_000..=60_000).unwrap_or(15_000);
        let transform = Transform::read(&mut fields, Transform::FOR_MAILS);
        let retry = RetryPolicy::read_or(&mut fields, RetryPolicy::FOR_MAILS);
        fields.done();
        Some(Self { host: host?, port, tls, secret_ref, from_name, timeout_ms, transform, retry })
    }
}

fn read_port(fields: &mut ObjectReader<'_>, usual: u16) -> u16 {
    let port = fields.integer("port", 1..=u32::from(u16::MAX));
    port.and_then(|port| u16::try_from(port).ok()).unwrap_or(usual)
}

fn read_host(fields: &mut ObjectReader<'_>) -> Option<Host> {
    let text = fields.required_string("host", 1..=255)?;
    fields.accept("host", parse_host(text))
}

/// A host as it is written: a parser would decode `%2e` and drop tabs, and so mean another one.
fn parse_host(text: &str) -> Result<Host, &'static str> {
    let plain = |char: char| char.is_alphanumeric() || matches!(char, '.' | '-' | '_');
    let is_address = text.starts_with('[') && text.ends_with(']');
    let host = (is_address || text.chars().all(plain)).then(|| Host::parse(text).ok());
    host.flatten().ok_or("must be a host, for example `mail.example.com`, without scheme and port")
}
