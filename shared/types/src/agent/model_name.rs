//! What configurations call models.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A model as configurations name it: `provider.model`, for example `openai.gpt-4.1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName {
    /// The name of a provider of the tenant, or `builtin`.
    pub provider: String,
    /// The model's name at that provider; it may contain dots.
    pub model: String,
}

/// Why a model name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelNameError {
    /// No dot, or nothing before or after it.
    #[error("must be `provider.model`, for example `openai.gpt-4.1` or `builtin.echo`")]
    Form,
    /// A `builtin` that does not exist.
    #[error("the builtin models are `builtin.echo` and `builtin.script`")]
    UnknownBuiltin,
}

impl ModelName {
    /// The provider of models that need no network.
    pub const BUILTIN: &'static str = "builtin";
    /// Its models: `echo` repeats the question, `script` plays what its system prompt says.
    pub const BUILTINS: [&'static str; 2] = ["echo", "script"];
}

impl FromStr for ModelName {
    type Err = ModelNameError;

    fn from_str(text: &str) -> Result<Self, ModelNameError> {
        let (provider, model) = text.split_once('.').ok_or(ModelNameError::Form)?;
        let plain = |c: char| c.is_ascii_graphic();
        if provider.is_empty() || model.is_empty() || !text.chars().all(plain) || text.len() > 200 {
            return Err(ModelNameError::Form);
        }
        if provider == Self::BUILTIN && !Self::BUILTINS.contains(&model) {
            return Err(ModelNameError::UnknownBuiltin);
        }
        Ok(Self { provider: provider.to_owned(), model: model.to_owned() })
    }
}

impl TryFrom<String> for ModelName {
    type Error = ModelNameError;

    fn try_from(text: String) -> Result<Self, ModelNameError> {
        text.parse()
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.provider, self.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_dot_separates() {
        let name: ModelName = "openai.gpt-4.1".parse().unwrap();
        assert_eq!((name.provider.as_str(), name.model.as_str()), ("openai", "gpt-4.1"));
        assert_eq!(name.to_string(), "openai.gpt-4.1");
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "gpt", ".gpt", "openai.", "open ai.gpt", "openai.gpt\n"] {
            assert_eq!(bad.parse::<ModelName>(), Err(ModelNameError::Form), "{bad:?}");
        }
        assert!("builtin.script".parse::<ModelName>().is_ok());
        assert_eq!("builtin.oracle".parse::<ModelName>(), Err(ModelNameError::UnknownBuiltin));
    }
}
