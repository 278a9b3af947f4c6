//! `callback.response_transform`: what happens to the text before it is split.

use crate::shape::ObjectReader;
use crate::trigger::ResponseFormat;

/// What happens to the text. Markdown is either taken out or rewritten, never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transform {
    /// Whether Markdown marks are taken out.
    pub strip_markdown: bool,
    /// Whether Markdown is rewritten in the marks of WhatsApp.
    pub to_whatsapp: bool,
    /// The most UTF-16 code units of the whole text; `None` for no limit.
    pub max_length: Option<u32>,
}

impl Transform {
    /// What a format needs when nothing is configured (seed 000, "Auto-derived Transform").
    pub fn derived_from(format: ResponseFormat) -> Self {
        let untouched = Self { strip_markdown: false, to_whatsapp: false, max_length: None };
        match format {
            ResponseFormat::Twiml => {
                Self { strip_markdown: true, max_length: Some(4_096), ..untouched }
            }
            ResponseFormat::Ebarn
            | ResponseFormat::Slack
            | ResponseFormat::Teams
            | ResponseFormat::Raw => untouched,
        }
    }

    /// What a mail needs when nothing is configured: it is plain text, in which marks of Markdown
    /// would be read out.
    pub(in crate::trigger) const FOR_MAILS: Self =
        Self { strip_markdown: true, to_whatsapp: false, max_length: None };

    pub(in crate::trigger) fn read(reader: &mut ObjectReader<'_>, derived: Self) -> Self {
        let Some(mut fields) = reader.object("response_transform") else { return derived };
        let transform = Self {
            strip_markdown: fields.boolean("strip_markdown").unwrap_or(false),
            to_whatsapp: fields.boolean("to_whatsapp").unwrap_or(false),
            max_length: fields.integer("max_length", 1..=1_000_000),
        };
        if transform.strip_markdown && transform.to_whatsapp {
            fields.refuse(
                "to_whatsapp",
                "cannot go with `strip_markdown`, which would leave it nothing to rewrite",
            );
        }
        fields.done();
        transform
    }
}
