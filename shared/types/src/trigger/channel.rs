//! `channel`: which outside system sends, and which secrets tell its requests from others.

use super::generic::Generic;
use crate::shape::ObjectReader;

/// The kind of outside system a trigger talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// `WhatsApp` through Twilio.
    TwilioWhatsapp,
    /// SMS through Twilio.
    TwilioSms,
    /// `WhatsApp` by Meta's Cloud API.
    MetaWhatsapp,
    /// Slack's Events API and slash commands.
    Slack,
    /// Outgoing webhooks of Microsoft Teams.
    Teams,
    /// GitHub's webhooks.
    Github,
    /// Stripe's webhooks.
    Stripe,
    /// Anybody who follows the Standard Webhooks specification.
    StandardWebhooks,
    /// Anybody who sends through Svix.
    Svix,
    /// Anything else, described by the trigger itself (seed 001).
    Generic,
}

/// Where the key of a channel's signatures is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeySource {
    /// In the credential: `<AccountSID>:<AuthToken>`.
    Credential,
    /// In a secret that the provider made, so it must be named.
    Named,
    /// In a secret that is named, or else in the trigger's own `webhook_secret`, which the admin
    /// can give to the provider.
    NamedOrOwn,
    /// In what [`Generic`] says.
    Described,
}

impl ChannelKind {
    /// Every kind by its name in a configuration.
    pub const ALL: [(&'static str, Self); 10] = [
        ("twilio_whatsapp", Self::TwilioWhatsapp),
        ("twilio_sms", Self::TwilioSms),
        ("meta_whatsapp", Self::MetaWhatsapp),
        ("slack", Self::Slack),
        ("teams", Self::Teams),
        ("github", Self::Github),
        ("stripe", Self::Stripe),
        ("standard_webhooks", Self::StandardWebhooks),
        ("svix", Self::Svix),
        ("generic", Self::Generic),
    ];

    /// Whether the provider does nothing with the body of an answer, so that waiting for the agent
    /// would only make it impatient.
    pub(super) fn ignores_answers(self) -> bool {
        matches!(self, Self::MetaWhatsapp | Self::Github | Self::Stripe)
    }

    /// Whether its messages say who wrote them, without being told where to look.
    pub(super) fn knows_senders(self) -> bool {
        match self {
            Self::TwilioWhatsapp
            | Self::TwilioSms
            | Self::MetaWhatsapp
            | Self::Slack
            | Self::Teams
            | Self::Github => true,
            Self::Stripe | Self::StandardWebhooks | Self::Svix | Self::Generic => false,
        }
    }

    fn key_source(self) -> KeySource {
        match self {
            Self::TwilioWhatsapp | Self::TwilioSms => KeySource::Credential,
            Self::Slack | Self::Teams | Self::Stripe | Self::StandardWebhooks | Self::Svix => {
                KeySource::Named
            }
            Self::MetaWhatsapp | Self::Github => KeySource::NamedOrOwn,
            Self::Generic => KeySource::Described,
        }
    }
}

/// A channel and its secrets.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Which.
    pub kind: ChannelKind,
    /// `auth.secret_ref`: the secret with the credential for talking to the provider. For Twilio
    /// it holds `<AccountSID>:<AuthToken>`, and the token makes signatures.
    ///
    /// No other channel is talked to but by its callback, which has an `auth` of its own: there it
    /// is a note for people (seed 000 has one for Meta), of which only the secret's name is
    /// checked.
    pub credential_ref: Option<String>,
    /// `signing_secret_ref`: the secret that the provider's signatures are made with.
    pub signing_secret_ref: Option<String>,
    /// `verify_token_ref`: the secret that Meta's challenge has to name.
    pub verify_token_ref: Option<String>,
    /// What a `generic` channel is.
    pub generic: Option<Box<Generic>>,
}

impl Channel {
    pub(super) fn read(reader: &mut ObjectReader<'_>) -> Option<Self> {
        let mut fields = reader.object("channel")?;
        if fields.any("type").is_none() {
            fields.refuse("type", "is required");
        }
        let kind = fields.choice("type", &ChannelKind::ALL);
        let credential_ref = read_credential_ref(&mut fields, kind);
        let Some(kind) = kind else {
            // Which fields it may have is not known, so none is refused.
            return None;
        };
        let named =
            |fields: &mut ObjectReader<'_>, key| fields.string(key, 1..=128).map(str::to_owned);
        let source = kind.key_source();
        let has_signing_secret = matches!(source, KeySource::Named | KeySource::NamedOrOwn);
        let mut signing_secret_ref = None;
        if has_signing_secret {
            signing_secret_ref = named(&mut fields, "signing_secret_ref");
        }
        let mut verify_token_ref = None;
        if kind == ChannelKind::MetaWhatsapp {
            verify_token_ref = named(&mut fields, "verify_token_ref");
        }
        let mut generic = None;
        if kind == ChannelKind::Generic {
            generic = Some(Box::new(Generic::read(&mut fields)));
        }
        fields.done();
        Some(Self { kind, credential_ref, signing_secret_ref, verify_token_ref, generic })
    }

    /// Whether its requests can be told from others by its own rules.
    pub(super) fn can_authenticate(&self) -> bool {
        match self.kind.key_source() {
            KeySource::Credential => self.credential_ref.is_some(),
            KeySource::Named => self.signing_secret_ref.is_some(),
            KeySource::NamedOrOwn => true,
            KeySource::Described => {
                self.generic.as_ref().is_some_and(|generic| generic.is_guarded())
            }
        }
    }

    /// The field whose absence leaves it without a key.
    pub(super) fn key_field(&self) -> &'static str {
        match self.kind.key_source() {
            KeySource::Credential => "channel.auth",
            _ => "channel.signing_secret_ref",
        }
    }

    /// The secrets it names, each with where in the configuration it does so.
    pub fn secret_refs(&self) -> Vec<(String, &str)> {
        let own = [
            ("channel.auth.secret_ref", &self.credential_ref),
            ("channel.signing_secret_ref", &self.signing_secret_ref),
            ("channel.verify_token_ref", &self.verify_token_ref),
        ];
        let own = own
            .into_iter()
            .filter_map(|(path, name)| name.as_deref().map(|name| (path.to_owned(), name)));
        own.chain(self.generic.iter().flat_map(|generic| generic.secret_refs())).collect()
    }
}

fn read_credential_ref(fields: &mut ObjectReader<'_>, kind: Option<ChannelKind>) -> Option<String> {
    let mut auth = fields.object("auth")?;
    // It is not kept: where the credential is used there is one type, and the default.
    match kind.map(ChannelKind::key_source) {
        Some(KeySource::Credential) => auth.choice("type", &[("basic", ())]),
        _ => auth.choice("type", &[("basic", ()), ("bearer", ())]),
    };
    let name = auth.required_string("secret_ref", 1..=128).map(str::to_owned);
    auth.done();
    name
}
