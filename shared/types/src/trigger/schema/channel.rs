//! Which outside system sends.

use serde_json::{Value, json};

use super::generic;
use super::pieces::{about, choice, object, one_of, secret_ref, word};

pub(super) fn schema() -> Value {
    let verify = about(secret_ref(), "The secret that Meta's challenge has to name.");
    let twilio = object(
        &["type"],
        [("type", choice(["twilio_whatsapp", "twilio_sms"])), ("auth", auth(word("basic")))],
    );
    let named = ["slack", "teams", "github", "stripe", "standard_webhooks", "svix"];
    let named = object(
        &["type"],
        [("type", choice(named)), ("auth", note()), ("signing_secret_ref", signing())],
    );
    let meta = object(
        &["type"],
        [
            ("type", word("meta_whatsapp")),
            ("auth", note()),
            ("signing_secret_ref", signing()),
            ("verify_token_ref", verify),
        ],
    );
    one_of(
        "The kind of outside system, if it is one that Recado knows.",
        [twilio, named, meta, described()],
    )
}

/// A webhook that its trigger describes.
pub(super) fn described() -> Value {
    let mut described = object(
        &["type"],
        [
            ("type", word("generic")),
            ("auth", note()),
            ("signatureVerification", generic::signature_verification()),
            ("signingSecretCredentialReferenceId", signing()),
            ("authentication", generic::authentication()),
            ("inputSchema", generic::input_schema()),
            ("outputTransform", generic::output_transform()),
            ("messageTemplate", generic::message_template()),
        ],
    );
    described["anyOf"] = json!(generic::whole_or_no_signature());
    described
}

fn auth(kinds: Value) -> Value {
    let auth = object(&["secret_ref"], [("type", kinds), ("secret_ref", secret_ref())]);
    about(auth, "The credential for talking to the provider.")
}

/// A credential that Recado does not use, but for showing what is meant.
fn note() -> Value {
    auth(choice(["basic", "bearer"]))
}

fn signing() -> Value {
    about(secret_ref(), "The secret that the provider's signatures are made with.")
}
