//! `authentication`: headers that have to hold secrets. A value goes in and never comes out: it is
//! kept as a secret that belongs to the trigger.

use recado_store::triggers::{OwnSecret, own_secret};
use recado_types::shape::{ObjectReader, Problems};
use recado_types::{Fingerprint, SecretId, TriggerId};
use serde_json::{Value, json};

use crate::Api;

pub(super) const FIELD: &str = "authentication";
/// The most headers, and the longest value, in characters: as a channel and a secret have them.
pub(super) const MAX_HEADERS: usize = 16;
pub(super) const MAX_VALUE: usize = 8_192;
/// The longest name of a header, and the longest that a secret is named after.
pub(super) const MAX_NAME: usize = 128;
const MAX_SHOWN_NAME: usize = 64;

/// What a body says of it, as the configuration has it, and the values that came with it.
#[derive(Debug, Default)]
pub(super) struct Authentication {
    /// `null` if nothing is checked.
    pub(super) config: Value,
    pub(super) secrets: Vec<OwnSecret>,
}

/// Whose headers they are, and which there are now.
pub(super) struct Owner<'o> {
    pub(super) api: &'o Api,
    pub(super) trigger: TriggerId,
    /// `authentication` as it is in the configuration now.
    pub(super) current: &'o Value,
}

impl Owner<'_> {
    /// Reads `authentication`. Anything wrong with a name is left to the configuration's own
    /// judgement.
    pub(super) fn read(&self, value: &Value, problems: &Problems) -> Authentication {
        let mut read = Authentication::default();
        let Some(mut fields) = ObjectReader::new(value, FIELD, problems) else { return read };
        let headers = fields.required("headers");
        let items = headers.and_then(Value::as_array).filter(|items| items.len() <= MAX_HEADERS);
        match (headers, items) {
            (Some(_), None) => {
                let expected = format!("must be a list of at most {MAX_HEADERS} headers");
                fields.refuse("headers", expected);
            }
            (_, items) => {
                let items = items.into_iter().flatten().enumerate();
                let headers: Vec<Value> = items
                    .filter_map(|(index, item)| {
                        let path = format!("{FIELD}.headers[{index}]");
                        let fields = ObjectReader::new(item, &path, problems)?;
                        self.read_header(fields, &mut read.secrets)
                    })
                    .collect();
                if !headers.is_empty() {
                    read.config = json!({ "headers": headers });
                }
            }
        }
        fields.done();
        read
    }

    /// A header as the configuration has it.
    fn read_header(
        &self,
        mut fields: ObjectReader<'_>,
        secrets: &mut Vec<OwnSecret>,
    ) -> Option<Value> {
        let name = fields.required_string("name", 1..=MAX_NAME);
        let value = fields.string("value", 1..=MAX_VALUE);
        let has_value = fields.any("value").is_some();
        let keeps = fields.boolean("keepExisting") == Some(true);
        let named = fields.string("secret_ref", 1..=128);
        let n_ways = [has_value, keeps, fields.any("secret_ref").is_some()];
        let n_ways = n_ways.into_iter().filter(|is_so| *is_so).count();
        if n_ways != 1 {
            fields.refuse(
                "value",
                "give the value, or `keepExisting: true`, or the name of a secret in `secret_ref`: \
                 one of them",
            );
        }
        if value.is_some_and(|value| value.trim() != value || value.contains(char::is_control)) {
            fields.refuse(
                "value",
                "must not begin or end with a space, nor have control characters: headers do not",
            );
        }
        let kept = name.filter(|_| keeps).and_then(|name| self.secret_of(name));
        if keeps && name.is_some() && kept.is_none() {
            fields.refuse("keepExisting", "there is no such header whose value could be kept");
        }
        fields.done();
        let name = name?;
        let own = value.map(|value| {
            let own = own_secret(self.trigger, &after(name));
            let id = SecretId(self.api.clock.fresh_id());
            secrets.push(OwnSecret { id, name: own.clone(), value: value.to_owned() });
            own
        });
        let secret_ref = own.or(kept).or(named.map(str::to_owned))?;
        Some(json!({ "name": name, "secret_ref": secret_ref }))
    }

    /// The secret that a header of the trigger has to hold now.
    fn secret_of(&self, name: &str) -> Option<String> {
        let headers = self.current["headers"].as_array()?.iter();
        let mut same = headers.filter(|header| {
            header["name"].as_str().is_some_and(|other| other.eq_ignore_ascii_case(name))
        });
        same.next()?["secret_ref"].as_str().map(str::to_owned)
    }
}

/// What a secret is called after a header: its name, if secrets may be called so.
fn after(header: &str) -> String {
    let name = header.to_ascii_lowercase();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.len() <= MAX_SHOWN_NAME && name.chars().all(is_plain) {
        return name;
    }
    Fingerprint::of(name.as_bytes()).0.simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_called_after_its_header() {
        assert_eq!(after("X-Token"), "x-token");
        assert_eq!(after("x!token").len(), 32);
        assert_ne!(after("x!token"), after("x~token"));
        assert_eq!(after(&"a".repeat(128)).len(), 32);
        let longest = own_secret(TriggerId(uuid::Uuid::max()), &"a".repeat(MAX_SHOWN_NAME));
        assert!(longest.len() <= 128, "secrets have names of at most 128");
    }
}
