//! Names of things in a database, and how they are written into a statement.

use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes; PostgreSQL cuts longer ones.
const MAX_IDENTIFIER: usize = 63;

/// A column or a channel: letters, digits and `_`, at most 63 bytes. Displayed as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier(String);

/// A table or a view, with or without its schema. Displayed as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    schema: Option<Identifier>,
    name: Identifier,
}

/// Why a name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Of one part.
    #[error("must be a name of letters, digits and `_`, with at most {MAX_IDENTIFIER} bytes")]
    Identifier,
    /// Of one part or two.
    #[error(
        "must be a name like `orders` or `public.orders`, of letters, digits and `_`, each part \
         with at most {MAX_IDENTIFIER} bytes"
    )]
    Table,
}

impl Identifier {
    pub(super) fn id() -> Self {
        Self("id".to_owned())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it stands in a statement.
    pub fn quoted(&self) -> String {
        // There is no `"` in it.
        format!("\"{}\"", self.0)
    }
}

impl FromStr for Identifier {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_plain = text.chars().all(|char| char.is_alphanumeric() || char == '_');
        let fits = (1..=MAX_IDENTIFIER).contains(&text.len());
        if is_plain && fits { Ok(Self(text.to_owned())) } else { Err(NameError::Identifier) }
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TableName {
    /// Its schema, if it is named.
    pub fn schema(&self) -> Option<&Identifier> {
        self.schema.as_ref()
    }

    /// Its name within the schema.
    pub fn name(&self) -> &Identifier {
        &self.name
    }

    /// As it stands in a statement.
    pub fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", schema.quoted(), self.name.quoted()),
            None => self.name.quoted(),
        }
    }
}

impl FromStr for TableName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parse = |part: &str| part.parse().map_err(|_not_shown: NameError| NameError::Table);
        match text.split_once('.') {
            Some((schema, name)) => Ok(Self { schema: Some(parse(schema)?), name: parse(name)? }),
            None => Ok(Self { schema: None, name: parse(text)? }),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}
