//! An e-mail address of a trigger's own.

use std::fmt;
use std::str::FromStr;

use url::Host;

/// The longest address (RFC 5321, 4.5.3.1.3), and what stands before its `@`, in bytes.
pub(super) const MAX_ADDRESS: usize = 254;
const MAX_LOCAL_PART: usize = 64;

/// An e-mail address of the trigger: its domain is in ASCII (IDNA) and in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAddress {
    local_part: String,
    domain: String,
}

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an e-mail address, for example `support@example.com`, without a name, quotes and \
     spaces, and with ASCII before the `@`"
)]
pub struct MailAddressError;

impl MailAddress {
    /// What stands before the `@`.
    pub fn local_part(&self) -> &str {
        &self.local_part
    }

    /// What stands behind it.
    pub fn domain(&self) -> &str {
        &self.domain
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.domain)
    }
}

impl FromStr for MailAddress {
    type Err = MailAddressError;

    fn from_str(text: &str) -> Result<Self, MailAddressError> {
        let (local_part, domain) = text.split_once('@').ok_or(MailAddressError)?;
        // A dot-atom (RFC 5322, 3.2.3): what every server takes without quotes.
        let is_atom = |atom: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || ATOM_MARKS.contains(&byte);
            !atom.is_empty() && atom.bytes().all(plain)
        };
        let fits = local_part.len() <= MAX_LOCAL_PART && local_part.split('.').all(is_atom);
        let is_label = |label: &str| {
            let plain = |char: char| char.is_alphanumeric() || char == '-';
            label.chars().all(plain) && !label.starts_with('-') && !label.ends_with('-')
        };
        if !fits || !domain.split('.').all(is_label) {
            return Err(MailAddressError);
        }
        match Host::parse(domain) {
            Ok(Host::Domain(domain))
                if local_part.len() + 1 + domain.len() <= MAX_ADDRESS
                    && !domain.split('.').any(str::is_empty) =>
            {
                Ok(Self { local_part: local_part.to_owned(), domain })
            }
            _ => Err(MailAddressError),
        }
    }
}

/// What may stand in an atom besides letters and digits.
const ATOM_MARKS: &[u8] = b"!#$%&'*+-/=?^_`{|}~";
