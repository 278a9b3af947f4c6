//! What is behind a provider of models.

/// What a provider's API is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// Chat completions, as `OpenAI` and many others speak them.
    OpenaiCompatible,
    /// The messages of Anthropic.
    Anthropic,
}

impl ProviderKind {
    /// All of them, by the names that configurations and the database give them.
    pub const BY_NAME: [(&'static str, Self); 2] =
        [("openai_compatible", Self::OpenaiCompatible), ("anthropic", Self::Anthropic)];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiCompatible => "openai_compatible",
            Self::Anthropic => "anthropic",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::BY_NAME.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }
}
