//! What the templates of a callback can be filled with.

use super::CallbackBody;
use crate::shape::ObjectReader;
use crate::template::Template;
use crate::trigger::ContextField;

/// What every callback can use beside the context.
pub const BUILTIN_PLACEHOLDERS: [&str; 7] = [
    "agent_response",
    "chunk_index",
    "chunk_count",
    "execution_id",
    "delivery_id",
    "session_id",
    "trigger_id",
];

/// A placeholder that nothing will ever fill is found when saving, not when a user waits for an
/// answer. A trigger without `context_mapping` is left alone: it may be a fragment of one.
pub(super) fn refuse_unknown(
    fields: &ObjectReader<'_>,
    url: &Template,
    body: &CallbackBody,
    headers: &[(String, Template)],
    context: &[ContextField],
) {
    if context.is_empty() {
        return;
    }
    let known = |name: &str| {
        BUILTIN_PLACEHOLDERS.contains(&name) || context.iter().any(|field| field.name == name)
    };
    let check = |key: &str, names: &mut dyn Iterator<Item = &str>| {
        for name in names.filter(|name| !known(name)) {
            fields.refuse(key, format!("`{{{{{name}}}}}` is no field of `context_mapping`"));
        }
    };
    check("url", &mut url.placeholders());
    check("body_template", &mut body.placeholders().into_iter());
    for (name, template) in headers {
        check(&format!("headers.{name}"), &mut template.placeholders());
    }
}
