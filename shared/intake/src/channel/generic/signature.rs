//! Signatures as a trigger describes them: found, decoded, and compared with what our keys make of
//! the same bytes.
//!
//! Whatever is missing or is not what the description says makes the request one of somebody else;
//! nothing is guessed. A header that a signature is in, or covers, stands there once. The body is
//! parsed here only if the description looks into it; its size is bounded before that, and all
//! expressions of a description share the steps that one payload allows for.

use std::borrow::Cow;
use std::cell::RefCell;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use hmac::Hmac;
use md5::Md5;
use recado_types::field_path::scalar_text;
use recado_types::jmespath::{Expression, Subject};
use recado_types::trigger::generic::{
    Component, Encoding, Part, Pattern, Place, SignatureVerification, SigningHash, Spot,
};
use serde_json::Value;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use unicode_normalization::UnicodeNormalization;
use url::form_urlencoded;

use super::super::hmac::is_code_of;
use crate::auth::{Keys, Received};

/// Base64 of the standard alphabet, padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether one of `keys` signed `request`, by these rules.
pub(super) fn is_authentic(
    rules: &SignatureVerification,
    keys: &Keys,
    request: &Received<'_>,
) -> bool {
    if request.body.is_empty() && !rules.allow_empty_body {
        return false;
    }
    let request = Reader { request, json: RefCell::new(None) };
    let Some(claimed) = request.claimed(rules) else { return false };
    let claimed = [claimed];
    let Some(signed) = request.signed(rules) else { return false };
    let signed: Vec<&[u8]> = signed.iter().map(AsRef::as_ref).collect();
    keys.any(request.request.at, |key| is_signature(rules.hash, &claimed, key, &signed))
}

/// A request, and its body as JSON once somebody has asked for it.
struct Reader<'r> {
    request: &'r Received<'r>,
    json: RefCell<Option<Subject>>,
}

/// The signed bytes, piece by piece.
type Pieces<'r> = Vec<Cow<'r, [u8]>>;

/// Something is there, and is not what it should be.
struct Unfit;

impl<'r> Reader<'r> {
    /// The signature that the request claims to have, decoded.
    fn claimed(&self, rules: &SignatureVerification) -> Option<Vec<u8>> {
        let Spot { place, prefix, pattern } = &rules.spot;
        let text = match place {
            Place::Header(name) => Cow::Borrowed(self.request.only_header(name)?),
            Place::Query(name) => {
                let mut pairs = form_urlencoded::parse(self.request.query().as_bytes());
                pairs.find(|(key, _)| key == name)?.1
            }
            Place::Body(expression) => Cow::Owned(self.text_of(expression).ok()??),
        };
        let text = text.trim();
        let text = match prefix {
            Some(prefix) => text.strip_prefix(prefix.as_str())?,
            None => text,
        };
        let code = match pattern {
            Some(pattern) => pattern.find(text)?,
            None => text,
        };
        decode(rules.encoding, code)
    }

    /// What has to be signed, or nothing if the request lacks a part of it.
    fn signed(&self, rules: &SignatureVerification) -> Option<Pieces<'r>> {
        let mut pieces = Pieces::with_capacity(rules.components.len() * 2);
        for component in &rules.components {
            if !pieces.is_empty() {
                pieces.push(Cow::Owned(rules.separator.clone().into_bytes()));
            }
            let piece = self.piece(component).ok()?;
            // The separator stays, so a part that is left out cannot be mistaken for another.
            let missing = || (!component.is_required).then_some(Cow::Borrowed(&b""[..]));
            pieces.push(piece.or_else(missing)?);
        }
        if rules.normalize_unicode {
            return Some(vec![Cow::Owned(normalized(pieces.concat()))]);
        }
        Some(pieces)
    }

    fn piece(&self, component: &Component) -> Result<Option<Cow<'r, [u8]>>, Unfit> {
        let whole = match &component.part {
            Part::Header(name) => self.header(name)?.map(Cow::Borrowed),
            Part::RawBody => Some(Cow::Borrowed(self.request.body)),
            Part::Body(expression) => {
                self.text_of(expression)?.map(|text| Cow::Owned(text.into_bytes()))
            }
            Part::Literal(text) => Some(Cow::Owned(text.clone().into_bytes())),
        };
        Ok(match &component.pattern {
            Some(pattern) => whole.and_then(|whole| matched(pattern, &whole)).map(Cow::Owned),
            None => whole,
        })
    }

    /// A header, if it is there; of two, nobody knows which one was meant.
    fn header(&self, name: &str) -> Result<Option<&'r [u8]>, Unfit> {
        match self.request.only_value(name) {
            Some(value) => Ok(Some(value.as_bytes())),
            None if self.request.headers.contains_key(name) => Err(Unfit),
            None => Ok(None),
        }
    }

    fn body(&self) -> Result<Subject, Unfit> {
        let body: Value = serde_json::from_slice(self.request.body).map_err(|_not_told| Unfit)?;
        Subject::take_in(&body).map_err(|_not_told| Unfit)
    }

    /// The text that is found in the body. An object or a list has many spellings, so it is none.
    fn text_of(&self, expression: &Expression) -> Result<Option<String>, Unfit> {
        let mut json = self.json.borrow_mut();
        let json = match &mut *json {
            Some(json) => json,
            none => none.insert(self.body()?),
        };
        match expression.evaluate_on(json).map_err(|_not_told| Unfit)? {
            Value::Null => Ok(None),
            found => scalar_text(&found).map(Some).ok_or(Unfit),
        }
    }
}

fn matched(pattern: &Pattern, whole: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(whole).ok()?;
    Some(pattern.find(text)?.as_bytes().to_vec())
}

/// In Unicode's form NFC, if it is a text at all.
fn normalized(joined: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(joined) {
        Ok(text) => text.nfc().collect::<String>().into_bytes(),
        Err(no_text) => no_text.into_bytes(),
    }
}

fn decode(encoding: Encoding, code: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => hex::decode(code).ok(),
        Encoding::Base64 => BASE64.decode(code.replace('-', "+").replace('_', "/")).ok(),
    }
}

fn is_signature(hash: SigningHash, claimed: &[Vec<u8>], key: &[u8], signed: &[&[u8]]) -> bool {
    match hash {
        SigningHash::Sha256 => is_code_of::<Hmac<Sha256>>(claimed, key, signed),
        SigningHash::Sha512 => is_code_of::<Hmac<Sha512>>(claimed, key, signed),
        SigningHash::Sha384 => is_code_of::<Hmac<Sha384>>(claimed, key, signed),
        SigningHash::Sha1 => is_code_of::<Hmac<Sha1>>(claimed, key, signed),
        SigningHash::Md5 => is_code_of::<Hmac<Md5>>(claimed, key, signed),
    }
}
