//! What is posted: 1 KiB of JSON with a number that comes back in the callback.

use std::net::SocketAddr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The size of a body, the issues' word for a message of usual size.
pub(super) const BODY_BYTES: usize = 1024;

/// What a person writes to a business, in bytes; the rest of a body is what systems add.
const TEXT_BYTES: usize = 200;

/// Words, since an agent counts them; as many as there is room for.
const WORDS: &str = "Is there a table for two on Friday evening, not too late? We would like to \
                     sit by the window if that can be done, and one of us does not eat fish. \
                     Please tell me until when we have to say so if we cannot come after all.";

/// A trigger, as those who post to it see it.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) trigger: String,
    pub(super) secret: String,
}

impl Target {
    /// A complete request for message `number` of `session`, signed.
    pub(super) fn request(&self, number: usize, session: usize) -> Vec<u8> {
        let body = body(number, session);
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let (trigger, address, length) = (&self.trigger, self.address, body.len());
        format!(
            "POST /api/triggers/webhook/{trigger} HTTP/1.1\r\n\
             Host: {address}\r\n\
             Content-Type: application/json\r\n\
             X-Webhook-Signature: sha256={signature}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

fn body(number: usize, session: usize) -> String {
    let text = format!("[[{number}]] {WORDS}");
    let text = &text[..TEXT_BYTES];
    let head = format!(
        r#"{{"id":"{number}","userId":"user-{session:06}","userName":"Ana","chatInput":"{text}","rest":""#
    );
    let rest = BODY_BYTES - head.len() - 2;
    format!(r#"{head}{:x<rest$}"}}"#, "")
}

/// The numbers of the messages that a callback answers, in their order.
pub(super) fn numbers_in(callback: &[u8]) -> impl Iterator<Item = usize> {
    let text = std::str::from_utf8(callback).unwrap_or_default();
    text.split("[[").skip(1).filter_map(|rest| rest.split_once("]]")?.0.parse().ok())
}

/// The number of the last message that somebody is told of.
pub(super) fn last_number_in(told: &[u8]) -> Option<usize> {
    numbers_in(told).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_body_is_json_of_the_promised_size() {
        for number in [0, 7, 262_143] {
            let body = body(number, 999);
            assert_eq!(body.len(), BODY_BYTES);
            let json: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(json["chatInput"].as_str().unwrap().len(), TEXT_BYTES);
        }
    }

    #[test]
    fn numbers_come_back_in_order() {
        let callback = format!("{}\\n\\n{}", body(12, 0), body(7, 0));
        assert_eq!(numbers_in(callback.as_bytes()).collect::<Vec<_>>(), [12, 7]);
        assert_eq!(numbers_in(b"{}").count(), 0);
        assert_eq!(last_number_in(callback.as_bytes()), Some(7));
    }
}
