//! A `WhatsApp` message as Twilio posts it.

use uuid::Uuid;

use super::sign;

/// One incoming message. The fields that a test does not set are plausible.
#[derive(Debug, Clone)]
pub struct Inbound {
    account_sid: String,
    message_sid: String,
    from: String,
    to: String,
    body: String,
    profile_name: String,
    idempotency_token: String,
}

/// A request's body and headers, ready to be posted.
#[derive(Debug, Clone)]
pub struct SignedForm {
    /// `application/x-www-form-urlencoded`.
    pub body: String,
    /// What Twilio sends beside it.
    pub headers: Vec<(&'static str, String)>,
}

impl Inbound {
    /// A message from `from` (as in `+5511999990000`) that says `body`.
    pub fn new(from: &str, body: &str) -> Self {
        Self {
            account_sid: "AC00000000000000000000000000000001".to_owned(),
            message_sid: format!("SM{}", Uuid::new_v4().simple()),
            from: from.to_owned(),
            to: "+14155238886".to_owned(),
            body: body.to_owned(),
            profile_name: "Maria Silva".to_owned(),
            idempotency_token: Uuid::new_v4().to_string(),
        }
    }

    /// Sets the id Twilio gave to the message; a retry carries the same.
    #[must_use]
    pub fn message_sid(mut self, sid: &str) -> Self {
        sid.clone_into(&mut self.message_sid);
        self
    }

    /// Sets the account.
    #[must_use]
    pub fn account_sid(mut self, sid: &str) -> Self {
        sid.clone_into(&mut self.account_sid);
        self
    }

    /// Sets the number that was written to.
    #[must_use]
    pub fn to(mut self, number: &str) -> Self {
        number.clone_into(&mut self.to);
        self
    }

    /// Sets what the sender calls herself.
    #[must_use]
    pub fn profile_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.profile_name);
        self
    }

    /// The id Twilio gave to the message.
    pub fn sid(&self) -> &str {
        &self.message_sid
    }

    /// The fields, in Twilio's order.
    pub fn form(&self) -> Vec<(String, String)> {
        [
            ("SmsMessageSid", self.message_sid.clone()),
            ("NumMedia", "0".to_owned()),
            ("ProfileName", self.profile_name.clone()),
            ("MessageType", "text".to_owned()),
            ("SmsSid", self.message_sid.clone()),
            ("WaId", self.from.trim_start_matches('+').to_owned()),
            ("SmsStatus", "received".to_owned()),
            ("Body", self.body.clone()),
            ("To", format!("whatsapp:{}", self.to)),
            ("NumSegments", "1".to_owned()),
            ("ReferralNumMedia", "0".to_owned()),
            ("MessageSid", self.message_sid.clone()),
            ("AccountSid", self.account_sid.clone()),
            ("From", format!("whatsapp:{}", self.from)),
            ("ApiVersion", "2010-04-01".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The request that brings the message to `url`, which is the public one: what is signed.
    pub fn signed(&self, auth_token: &str, url: &str) -> SignedForm {
        let form = self.form();
        let content_type = "application/x-www-form-urlencoded; charset=UTF-8";
        SignedForm {
            body: url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish(),
            headers: vec![
                ("Content-Type", content_type.to_owned()),
                ("X-Twilio-Signature", sign(auth_token, url, &form)),
                ("I-Twilio-Idempotency-Token", self.idempotency_token.clone()),
                ("User-Agent", "TwilioProxy/1.1".to_owned()),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_looks_as_twilio_sends_it() {
        let message = Inbound::new("+5511999990000", "olá, tudo bem?").message_sid("SM1");
        let signed = message.signed("token", "https://example.com/hook");
        assert!(signed.body.starts_with("SmsMessageSid=SM1&NumMedia=0&ProfileName=Maria+Silva"));
        assert!(signed.body.contains("&WaId=5511999990000&"));
        assert!(signed.body.contains("&Body=ol%C3%A1%2C+tudo+bem%3F&"));
        assert!(signed.body.contains("&From=whatsapp%3A%2B5511999990000&"));
        let expected = sign("token", "https://example.com/hook", &message.form());
        assert!(signed.headers.contains(&("X-Twilio-Signature", expected)));
    }
}
