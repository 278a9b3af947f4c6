//! What a `Content-Type` means to us.

use crate::refusal::Refusal;

/// The types that a webhook may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaType {
    Json,
    Form,
    Text,
    /// The request did not say.
    Unknown,
}

impl MediaType {
    /// Reads the header. Anything but UTF-8 is refused: guessing would change the text.
    pub(super) fn of(content_type: Option<&str>) -> Result<Self, Refusal> {
        let Some(content_type) = content_type.filter(|text| !text.trim().is_empty()) else {
            return Ok(Self::Unknown);
        };
        let mut parts = content_type.split(';');
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        if !parts.all(is_harmless) {
            return Err(Refusal::UnsupportedType);
        }
        match essence.as_str() {
            "application/json" => Ok(Self::Json),
            "application/x-www-form-urlencoded" => Ok(Self::Form),
            "text/plain" => Ok(Self::Text),
            other if other.starts_with("application/") && other.ends_with("+json") => {
                Ok(Self::Json)
            }
            _ => Err(Refusal::UnsupportedType),
        }
    }
}

/// Every parameter is, except for a charset that is not part of UTF-8.
fn is_harmless(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return true };
    if !name.trim().eq_ignore_ascii_case("charset") {
        return true;
    }
    let charset = value.trim().trim_matches('"');
    ["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &str) -> Option<MediaType> {
        MediaType::of(Some(content_type)).ok()
    }

    #[test]
    fn case_and_parameters_do_not_matter() {
        assert_eq!(of("Application/JSON; charset=\"UTF-8\""), Some(MediaType::Json));
        assert_eq!(of("application/cloudevents+json;v=1"), Some(MediaType::Json));
        assert_eq!(of("application/x-www-form-urlencoded; charset=utf-8"), Some(MediaType::Form));
        assert_eq!(of("text/plain"), Some(MediaType::Text));
        assert_eq!(of("  "), Some(MediaType::Unknown));
        assert_eq!(MediaType::of(None).ok(), Some(MediaType::Unknown));
    }

    #[test]
    fn other_types_and_charsets_are_refused() {
        for other in [
            "multipart/form-data; boundary=x",
            "application/xml",
            "text/json",
            "application/json; charset=iso-8859-1",
            "image/svg+json",
            "nonsense",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
