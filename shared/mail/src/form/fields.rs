//! Forms: `multipart/form-data` (RFC 7578), which is MIME, and `application/x-www-form-urlencoded`.

use std::borrow::Cow;

use url::form_urlencoded;

use super::{FormError, attached_type, media_type};
use crate::fields::{Fields, readable_parameter};
use crate::mail::Attachment;
use crate::{clean, decode, structure};

/// The most fields that are looked at.
const MAX_FIELDS: usize = 1_000;
const FORM: &str = "multipart/form-data";
const URL_ENCODED: &str = "application/x-www-form-urlencoded";

/// The fields of a form, in order.
pub(super) struct Form<'a>(Vec<Field<'a>>);

struct Field<'a> {
    name: String,
    value: Cow<'a, [u8]>,
    /// Its name and its media type, if it is a file.
    file: Option<(Option<String>, String)>,
}

impl<'a> Form<'a> {
    /// Reads a form of one of the two kinds; the second only if it is allowed.
    pub(super) fn read(
        content_type: Option<&str>,
        body: &'a [u8],
        is_encoded_allowed: bool,
    ) -> Result<Self, FormError> {
        let expected = if is_encoded_allowed {
            "multipart/form-data or application/x-www-form-urlencoded"
        } else {
            FORM
        };
        let content_type = content_type.unwrap_or_default();
        match media_type(content_type).as_str() {
            FORM => Self::of_parts(content_type, body),
            URL_ENCODED if is_encoded_allowed => Ok(Self::of_pairs(body)),
            _ => Err(FormError::ContentType(expected)),
        }
    }

    fn of_pairs(body: &'a [u8]) -> Self {
        let pairs = form_urlencoded::parse(body).take(MAX_FIELDS);
        let field = |(name, value): (Cow<'a, str>, Cow<'a, str>)| {
            let value = match value {
                Cow::Borrowed(value) => Cow::Borrowed(value.as_bytes()),
                Cow::Owned(value) => Cow::Owned(value.into_bytes()),
            };
            Field { name: name.into_owned(), value, file: None }
        };
        Self(pairs.map(field).collect())
    }

    fn of_parts(content_type: &str, body: &'a [u8]) -> Result<Self, FormError> {
        let mut header = Fields::default();
        header.add("content-type", content_type);
        let content_type = header.structured("content-type");
        let boundary = content_type.as_ref().and_then(|it| it.attribute("boundary"));
        let boundary = boundary.filter(|it| !it.is_empty());
        let parts = structure::split(body, boundary.ok_or(FormError::Malformed(FORM))?);
        if parts.is_empty() {
            return Err(FormError::Malformed(FORM));
        }
        Ok(Self(parts.into_iter().filter_map(Field::of_part).take(MAX_FIELDS).collect()))
    }

    /// The value of a field that is no file.
    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.0.iter().filter(|field| field.file.is_none());
        fields.find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| &*field.value)
    }

    /// The text of a field, in this charset.
    pub(super) fn text_in(&self, name: &str, charset: Option<&str>) -> Option<String> {
        self.bytes(name).map(|bytes| decode::text(bytes, charset))
    }

    /// The text of a field, which is UTF-8.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.text_in(name, None)
    }

    /// The files.
    pub(super) fn files(&self) -> impl Iterator<Item = Attachment> {
        self.0.iter().filter_map(|field| {
            let (name, content_type) = field.file.clone()?;
            Some(Attachment { name, content_type, size: field.value.len() as u64 })
        })
    }
}

impl<'a> Field<'a> {
    fn of_part(part: &'a [u8]) -> Option<Self> {
        let (header, value) = structure::part_fields(part);
        let disposition = header.structured("content-disposition")?;
        let name = disposition.attribute("name")?.to_owned();
        let file_name = readable_parameter(&disposition, "filename");
        let file = file_name.map(|file_name| {
            (clean::file_name(&file_name), attached_type(header.first("content-type")))
        });
        Some(Self { name, value: Cow::Borrowed(value), file })
    }
}
