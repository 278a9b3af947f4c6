//! Signatures of the providers, made as each of them makes them: what a test sends in their place.
//!
//! Every function returns the headers that belong to a body. Times are Unix seconds. Twilio's is
//! in [`crate::twilio`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Names and values, each name once.
pub type Headers = Vec<(&'static str, String)>;

/// Meta's: `X-Hub-Signature-256` with the app secret.
pub fn meta(body: &[u8], app_secret: &str) -> Headers {
    vec![("X-Hub-Signature-256", hub_signature(body, app_secret))]
}

/// GitHub's: the same header as Meta's, and those with the kind of `event` (`push`) and the id of
/// its `delivery`, which are not signed.
pub fn github(body: &[u8], secret: &str, event: &str, delivery: &str) -> Headers {
    vec![
        ("X-Hub-Signature-256", hub_signature(body, secret)),
        ("X-GitHub-Event", event.to_owned()),
        ("X-GitHub-Delivery", delivery.to_owned()),
    ]
}

/// Slack's, version 0, with the app's signing secret.
pub fn slack(body: &[u8], signing_secret: &str, timestamp: i64) -> Headers {
    let timestamp = timestamp.to_string();
    let parts = [b"v0:", timestamp.as_bytes(), b":", body];
    let signature = format!("v0={}", hex::encode(hmac_sha256(signing_secret.as_bytes(), &parts)));
    vec![("X-Slack-Request-Timestamp", timestamp), ("X-Slack-Signature", signature)]
}

/// That of an outgoing webhook of Microsoft Teams, with its token (in base64, as Teams shows it).
pub fn teams(body: &[u8], token: &str) -> Headers {
    let key = STANDARD.decode(token).expect("the token is base64");
    let signature = STANDARD.encode(hmac_sha256(&key, &[body]));
    vec![("Authorization", format!("HMAC {signature}"))]
}

/// Stripe's, with an endpoint's secret (`whsec_…`).
pub fn stripe(body: &[u8], secret: &str, timestamp: i64) -> Headers {
    let parts = [timestamp.to_string().into_bytes(), b".".to_vec(), body.to_vec()];
    let signature = hex::encode(hmac_sha256(secret.as_bytes(), &parts));
    vec![("Stripe-Signature", format!("t={timestamp},v1={signature}"))]
}

/// That of Standard Webhooks, version 1, with a `secret` of the form `whsec_<base64>`.
pub fn standard_webhooks(id: &str, timestamp: i64, body: &[u8], secret: &str) -> Headers {
    vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", standard_signature(id, timestamp, body, secret)),
    ]
}

/// Svix's: [`standard_webhooks`] under its own names.
pub fn svix(id: &str, timestamp: i64, body: &[u8], secret: &str) -> Headers {
    vec![
        ("svix-id", id.to_owned()),
        ("svix-timestamp", timestamp.to_string()),
        ("svix-signature", standard_signature(id, timestamp, body, secret)),
    ]
}

fn hub_signature(body: &[u8], secret: &str) -> String {
    format!("sha256={}", hex::encode(hmac_sha256(secret.as_bytes(), &[body])))
}

fn standard_signature(id: &str, timestamp: i64, body: &[u8], secret: &str) -> String {
    let key = secret.strip_prefix("whsec_").unwrap_or(secret);
    let key = STANDARD.decode(key).expect("the secret is base64");
    let before_body = format!("{id}.{timestamp}.");
    format!("v1,{}", STANDARD.encode(hmac_sha256(&key, &[before_body.as_bytes(), body])))
}

fn hmac_sha256(key: &[u8], parts: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part.as_ref());
    }
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_that_the_providers_publish() {
        let github = github(b"Hello, World!", "It's a Secret to Everybody", "push", "1");
        let code = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(github[0], ("X-Hub-Signature-256", format!("sha256={code}")));
        assert_eq!(meta(b"Hello, World!", "It's a Secret to Everybody"), github[..1]);

        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let id = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
        let standard = standard_webhooks(id, 1_649_367_553, body, secret);
        let svix = svix(id, 1_649_367_553, body, secret);
        let signature = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
        assert_eq!((standard[2].1.as_str(), svix[2].1.as_str()), (signature, signature));

        let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
            &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
            &command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com\
            %2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
            &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let slack = slack(body, "8f742231b10e8888abcd99yyyzzz85a5", 1_531_420_618);
        let code = "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        assert_eq!(slack[1], ("X-Slack-Signature", format!("v0={code}")));
    }
}
