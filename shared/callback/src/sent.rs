//! What was sent as a secret, and is taken out of what receivers answer.
//!
//! A receiver that echoes its request, as many do that refuse one, would otherwise have the secret
//! kept in the answer's body, where everybody reads it who may read deliveries. Secrets of fewer
//! than [`MIN_LENGTH`](recado_types::hidden::MIN_LENGTH) characters are not looked for.

use std::fmt;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use recado_types::credential::Credential;
use recado_types::hidden::Redactor;
use recado_types::trigger::CallbackAuth;
use serde_json::Map;

use crate::sign;

/// The most bytes that a byte of a secret takes in a form of it that is recognised: `\u00e9`.
const LONGEST_FORM: usize = 6;
/// The most that is read beyond what is kept. A secret that is longer than a sixth of this may show
/// its first bytes at the place where an answer was cut.
const MAX_MARGIN: usize = 256 * 1024;

/// The secret of a callback as its receiver was sent it, in all of its parts.
#[derive(Default)]
pub struct SentSecret {
    parts: Vec<String>,
    /// Made for the first answer with a body: many have none.
    redactor: OnceLock<Redactor>,
}

impl SentSecret {
    /// What `auth` sends of `secret`, and what it is made of.
    pub fn of(auth: &CallbackAuth, secret: Option<&str>) -> Self {
        let parts = secret.map(|secret| parts(auth, secret)).unwrap_or_default();
        Self { parts, redactor: OnceLock::new() }
    }

    /// A secret that is sent otherwise than by a callback: each form in which it is.
    pub fn of_parts(parts: Vec<String>) -> Self {
        Self { parts, redactor: OnceLock::new() }
    }

    /// How much of an answer has to be read so that the first `most` bytes of it can be kept.
    pub fn to_be_read(&self, most: usize) -> usize {
        most + self.margin()
    }

    /// At most `most` bytes of what a receiver said, without the secret. `was_cut` tells that it
    /// said more than was read.
    pub fn foreign(&self, said: &str, was_cut: bool, most: usize) -> String {
        let mut text = self.redact(said);
        if was_cut {
            // It may end with the beginning of the secret, which nobody would recognise.
            text.truncate(text.floor_char_boundary(text.len().saturating_sub(self.margin())));
        }
        text.truncate(text.floor_char_boundary(most));
        text
    }

    /// `text` without the secret, and with U+FFFD for U+0000, which PostgreSQL does not take.
    pub fn redact(&self, text: &str) -> String {
        if self.parts.is_empty() {
            return text.replace('\0', "\u{FFFD}");
        }
        let redactor = self.redactor.get_or_init(|| Redactor::of(&Map::new(), self.parts.iter()));
        // U+0000 must not hide a secret by standing in the middle of it.
        let plain = text.replace('\0', "");
        let shown = redactor.redact(&plain);
        if shown == plain { text.replace('\0', "\u{FFFD}") } else { shown.into_owned() }
    }

    fn margin(&self) -> usize {
        let longest = self.parts.iter().map(String::len).max().unwrap_or_default();
        (longest * LONGEST_FORM).min(MAX_MARGIN)
    }
}

fn parts(auth: &CallbackAuth, secret: &str) -> Vec<String> {
    let mut parts = vec![secret.to_owned()];
    match auth {
        CallbackAuth::Credential(Credential::Basic { .. }) => {
            // The header's value, with its last characters, which another text could have as well.
            parts.push(BASE64.encode(secret));
            parts.extend(secret.split_once(':').map(|(_user, password)| password.to_owned()));
        }
        CallbackAuth::Credential(_) => {}
        // It is not sent, but its receiver has it too.
        CallbackAuth::Hmac { .. } => {
            parts.extend(secret.strip_prefix("whsec_").map(str::to_owned));
            let key = sign::secret_bytes(secret).ok();
            parts.extend(key.and_then(|key| String::from_utf8(key).ok()));
        }
    }
    parts
}

/// Shows nothing of it.
impl fmt::Debug for SentSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentSecret").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use recado_types::hidden::HIDDEN;
    use recado_types::trigger::HmacFormat;

    use super::*;

    fn basic(secret: &str) -> SentSecret {
        let auth = CallbackAuth::Credential(Credential::Basic { secret_ref: "S".into() });
        SentSecret::of(&auth, Some(secret))
    }

    fn bearer(secret: &str) -> SentSecret {
        let auth = CallbackAuth::Credential(Credential::Bearer { secret_ref: "S".into() });
        SentSecret::of(&auth, Some(secret))
    }

    #[test]
    fn the_pair_the_password_and_the_header_of_basic_are_hidden_and_the_user_is_not() {
        let sent = basic("AC1:pass&\"wörd");
        for said in [
            "AC1:pass&\"wörd",
            "pass&\"wörd",
            "pass&\\\"wörd",
            "AC1%3Apass%26%22w%C3%B6rd",
            "pass%26%22w%C3%B6rd",
            &BASE64.encode("AC1:pass&\"wörd"),
        ] {
            assert_eq!(sent.redact(said), HIDDEN, "{said}");
        }
        assert_eq!(sent.redact("AC1 is the account"), "AC1 is the account");
    }

    #[test]
    fn the_key_of_a_signature_is_hidden_with_its_prefix_and_without() {
        let auth =
            CallbackAuth::Hmac { secret_ref: "S".into(), format: HmacFormat::StandardWebhooks };
        let sent = SentSecret::of(&auth, Some("whsec_Y2FuYXJ5LWNhbmFyeQ=="));
        for said in ["whsec_Y2FuYXJ5LWNhbmFyeQ==", "Y2FuYXJ5LWNhbmFyeQ==", "canary-canary"] {
            assert_eq!(sent.redact(said), HIDDEN, "{said}");
        }
    }

    #[test]
    fn nul_does_not_hide_a_secret() {
        assert_eq!(bearer("canary").redact("a\0c\0a\0nary"), "a[hidden]");
        assert_eq!(bearer("canary").redact("a\0b"), "a\u{FFFD}b");
        assert_eq!(SentSecret::default().redact("a\0b"), "a\u{FFFD}b");
    }

    #[test]
    fn no_beginning_of_a_secret_is_left_where_an_answer_is_cut() {
        let sent = bearer("canary-12345");
        let said = format!("{}canary-12345 and more", "x".repeat(60));
        for kept in 0..100 {
            let read = &said[..said.len().min(sent.to_be_read(kept))];
            let shown = sent.foreign(read, read.len() < said.len(), kept);
            assert!(shown.len() <= kept && !shown.contains("cana"), "{kept}: {shown}");
        }
    }

    #[test]
    fn nothing_is_shown_of_it() {
        assert!(!format!("{:?}", bearer("canary")).contains("canary"));
    }
}
