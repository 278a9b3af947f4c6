//! What a body says about a member.

use recado_http::ApiError;
use recado_store::members::{Identifier, Member, MemberDraft, MemberRecord};
use recado_types::identity;
use recado_types::shape::{FieldProblem, ObjectReader, Problems};
use serde_json::{Value, json};

use crate::failure::invalid;
use crate::http::schema::{about, name, object, or, patch};

const MAX_NAME: usize = 255;
/// A number of 15 digits (E.164), a prefix such as `whatsapp:` and whatever people write between.
const MAX_PHONE: usize = 64;
/// RFC 5321, 4.5.3.1: a path of 256 octets, less its brackets.
const MAX_EMAIL: usize = 254;
const MAX_EXTERNAL_ID: usize = 255;

/// What a member is besides what can be changed.
const READ_ONLY: [&str; 3] = ["id", "created_at", "updated_at"];

/// What a member was made of before a change; nothing, before it is made.
#[derive(Clone, Copy, Debug, Default)]
struct Before<'a> {
    name: Option<&'a str>,
    phone: Option<&'a str>,
    email: Option<&'a str>,
    external_id: Option<&'a str>,
    active: Option<bool>,
}

pub(super) fn read_new(body: &Value) -> Result<MemberDraft, ApiError> {
    judge_new(body).map_err(invalid)
}

/// A new member, or what is wrong with it.
pub(super) fn judge_new(body: &Value) -> Result<MemberDraft, Vec<FieldProblem>> {
    read(body, Before::default(), |fields| {
        fields.required("name");
    })
}

pub(super) fn read_patch(current: &MemberRecord, body: &Value) -> Result<MemberDraft, ApiError> {
    let Member { name, phone, email, external_id, .. } = &current.member;
    let before = Before {
        name: Some(name),
        phone: phone.as_deref(),
        email: email.as_deref(),
        external_id: external_id.as_deref(),
        active: Some(current.active),
    };
    let read = read(body, before, |fields| {
        for kept in ["name", "active"] {
            if fields.is_null(kept) {
                fields.refuse(kept, "cannot be taken away");
            }
        }
    });
    read.map_err(invalid)
}

/// What a body makes of what was there before. The result is judged, not the change: a member who
/// has lost all that they could be recognised by is a mistake.
fn read<'a>(
    body: &'a Value,
    before: Before<'a>,
    judge: fn(&mut ObjectReader<'a>),
) -> Result<MemberDraft, Vec<FieldProblem>> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).map(|mut fields| {
        judge(&mut fields);
        require_identifier(&mut fields, &before);
        let name = fields.name("name", MAX_NAME).or(before.name);
        let phone = text(&mut fields, "phone", MAX_PHONE, before.phone);
        let email = text(&mut fields, "email", MAX_EMAIL, before.email);
        let external_id = text(&mut fields, "external_id", MAX_EXTERNAL_ID, before.external_id);
        let draft = MemberDraft {
            name: name.unwrap_or_default().to_owned(),
            phone: phone.and_then(|shown| {
                let key = identity::phone_key(shown).ok_or(NO_PHONE);
                Some(Identifier { shown: shown.to_owned(), key: fields.accept("phone", key)? })
            }),
            email: email.and_then(|shown| {
                let key = identity::email_key(shown).ok_or(NO_EMAIL);
                Some(Identifier { shown: shown.to_owned(), key: fields.accept("email", key)? })
            }),
            external_id: external_id.and_then(|shown| {
                fields.accept("external_id", identity::text_key(shown).ok_or(NO_TEXT))
            }),
            active: fields.boolean("active").or(before.active).unwrap_or(true),
        };
        fields.read_only(&READ_ONLY);
        fields.done();
        draft
    });
    problems.finish(())?;
    Ok(read.expect("anything but an object is a problem"))
}

const NO_PHONE: &str = "must be a telephone number with its country code, such as +5511999990000";
const NO_EMAIL: &str = "must be an e-mail address";
const NO_TEXT: &str = "must have at most 256 bytes and no control characters";

/// The text that a field ends up with: the one that is given, or the one before unless that is
/// taken away.
fn text<'a>(
    fields: &mut ObjectReader<'a>,
    key: &'static str,
    max_length: usize,
    before: Option<&'a str>,
) -> Option<&'a str> {
    if fields.is_null(key) { None } else { fields.string(key, 1..=max_length).or(before) }
}

fn require_identifier(fields: &mut ObjectReader<'_>, before: &Before<'_>) {
    let identifiers =
        [("phone", before.phone), ("email", before.email), ("external_id", before.external_id)];
    let has = |fields: &mut ObjectReader<'_>, key, before: Option<&str>| {
        fields.any(key).is_some() || (before.is_some() && !fields.is_null(key))
    };
    if !identifiers.into_iter().any(|(key, before)| has(fields, key, before)) {
        fields.refuse("phone", "is required, or else `email` or `external_id`");
    }
}

/// The fields of a member.
const FIELDS: [&str; 5] = ["name", "phone", "email", "external_id", "active"];

pub(super) fn new_member() -> Value {
    let text = |most| crate::http::schema::text(1, most);
    let mut schema = object(
        &["name"],
        [
            ("name", name(MAX_NAME)),
            ("phone", about(text(MAX_PHONE), "With its country code: `+5511999990000`.")),
            ("email", text(MAX_EMAIL)),
            ("external_id", about(text(MAX_EXTERNAL_ID), "What another system calls them.")),
            ("active", or(json!({ "type": "boolean" }), true)),
        ],
    );
    schema["anyOf"] = json!([
        { "required": ["phone"], "properties": { "phone": { "type": "string" } } },
        { "required": ["email"], "properties": { "email": { "type": "string" } } },
        { "required": ["external_id"], "properties": { "external_id": { "type": "string" } } },
    ]);
    schema
}

pub(super) fn new_member_example() -> Value {
    json!({ "name": "Ana", "phone": "+5511999990000", "email": "ana@example.com" })
}

pub(super) fn member_patch() -> Value {
    patch(&new_member(), &["name", "active"], &FIELDS)
}

pub(super) fn member_patch_example() -> Value {
    json!({ "active": false, "phone": null })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use recado_http::Problem;
    use recado_http::problem::FieldReason;
    use recado_types::MemberId;

    use super::*;

    fn current() -> MemberRecord {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let member = Member {
            id: MemberId(uuid::Uuid::from_u128(7)),
            name: "Ana".into(),
            phone: Some("+55 11 99999-0000".into()),
            email: None,
            external_id: Some("E-7".into()),
        };
        MemberRecord { member, active: true, created_at: now, updated_at: now }
    }

    fn refused(body: &Value) -> String {
        read_new(body).unwrap_err().message().to_owned()
    }

    #[test]
    fn a_new_member_has_a_name_and_something_to_be_recognised_by() {
        for one in [("phone", "+5511999990000"), ("email", "a@example.com"), ("external_id", "7")] {
            let draft = read_new(&json!({"name": "Ana", one.0: one.1})).unwrap();
            assert!(draft.active);
            let identifiers = [draft.phone.is_some(), draft.email.is_some()];
            let n_identifiers = identifiers.iter().filter(|is_there| **is_there).count();
            assert_eq!(n_identifiers + usize::from(draft.external_id.is_some()), 1, "{one:?}");
        }
        assert!(refused(&json!({"name": "Ana"})).starts_with("phone: is required"));
        assert!(refused(&json!({"name": "Ana", "phone": null})).starts_with("phone: is required"));
        assert_eq!(refused(&json!({"external_id": "7"})), "name: is required");
        // What is there and wrong is not also missing.
        assert!(refused(&json!({"name": "Ana", "phone": "nobody"})).starts_with("phone: "));
        assert!(refused(&json!({"name": "Ana", "email": 7})).starts_with("email: "));
        let several = json!({"id": 1, "phone": "x", "email": "y", "external_id": "", "role": "x"});
        assert_eq!(refused(&several), "6 fields are missing or invalid");
        assert_eq!(refused(&json!([])), "the body must be an object");
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let draft = read_patch(&current(), &json!({"name": "Bia", "active": false})).unwrap();
        assert_eq!((draft.name.as_str(), draft.active), ("Bia", false));
        assert_eq!(draft.phone.unwrap().shown, "+55 11 99999-0000");
        assert_eq!(draft.external_id.as_deref(), Some("E-7"));

        let draft = read_patch(&current(), &json!({"phone": null})).unwrap();
        assert_eq!(draft.phone, None);
        assert!(read_patch(&current(), &json!({})).is_ok());
    }

    #[test]
    fn a_patch_is_judged_by_its_result() {
        let nobody = json!({"phone": null, "external_id": null});
        let error = read_patch(&current(), &nobody).unwrap_err();
        assert_eq!(error.problem(), Problem::InvalidInput);
        let moved = json!({"phone": null, "external_id": null, "email": "a@example.com"});
        assert!(read_patch(&current(), &moved).is_ok());
        for kept in ["name", "active"] {
            let error = read_patch(&current(), &json!({kept: null})).unwrap_err();
            let reason = FieldReason { path: kept.into(), reason: "cannot be taken away".into() };
            assert_eq!(error.message(), ApiError::invalid_fields([reason]).message());
        }
    }
}
