//! `signatureVerification`: where a signature is, what it is made over, and how.

use super::headers::read_name;
use super::pattern::Pattern;
use crate::jmespath::Expression;
use crate::shape::ObjectReader;

/// The most parts that are signed, and the longest text between two of them, in characters.
const MAX_COMPONENTS: usize = 16;
const MAX_SEPARATOR: usize = 64;
/// The longest name of a query parameter, prefix and literal, in characters.
const MAX_TEXT: usize = 256;

/// The hash of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningHash {
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA512.
    Sha512,
    /// HMAC-SHA384.
    Sha384,
    /// HMAC-SHA1: weak, and what some providers have.
    Sha1,
    /// HMAC-MD5: weaker.
    Md5,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// In hexadecimal digits of either case.
    Hex,
    /// In base64, of either alphabet, padded or not.
    Base64,
}

/// A place in a request that holds a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The header of this name, in lower case.
    Header(String),
    /// The query parameter of this name.
    Query(String),
    /// What this finds in the JSON body.
    Body(Expression),
}

/// Where the signature is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The text that holds it.
    pub place: Place,
    /// What that text begins with; it is taken away before the pattern is tried.
    pub prefix: Option<String>,
    /// What finds the signature in it.
    pub pattern: Option<Pattern>,
}

/// Something that is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The header of this name, in lower case.
    Header(String),
    /// The body as it was sent, byte by byte.
    RawBody,
    /// What this finds in the JSON body.
    Body(Expression),
    /// Always this.
    Literal(String),
}

/// One of the things that are signed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Which.
    pub part: Part,
    /// What finds the signed piece in it.
    pub pattern: Option<Pattern>,
    /// Whether a request without it is not authentic. One that is not required counts as empty.
    pub is_required: bool,
}

impl Component {
    /// Whether a request cannot do without it, and two requests may differ in it.
    fn varies(&self) -> bool {
        self.is_required && !matches!(self.part, Part::Literal(_))
    }
}

/// How requests are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureVerification {
    /// With which hash.
    pub hash: SigningHash,
    /// How the signature is written.
    pub encoding: Encoding,
    /// Where it is.
    pub spot: Spot,
    /// What is signed: 1 to 16 things, in order.
    pub components: Vec<Component>,
    /// What stands between two of them.
    pub separator: String,
    /// Whether a request without a body can be authentic.
    pub allow_empty_body: bool,
    /// Whether what is signed is brought into Unicode's form NFC first.
    pub normalize_unicode: bool,
}

impl SignatureVerification {
    pub(super) fn read(fields: &mut ObjectReader<'_>) -> Option<Self> {
        const HASHES: [(&str, SigningHash); 5] = [
            ("sha256", SigningHash::Sha256),
            ("sha512", SigningHash::Sha512),
            ("sha384", SigningHash::Sha384),
            ("sha1", SigningHash::Sha1),
            ("md5", SigningHash::Md5),
        ];
        let mut fields = fields.object("signatureVerification")?;
        let hash = required_choice(&mut fields, "algorithm", &HASHES);
        let encodings = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
        let encoding = required_choice(&mut fields, "encoding", &encodings);
        let spot = read_spot(&mut fields);
        let components = read_components(&mut fields);
        let separator = read_separator(&mut fields);
        let validation = Validation::read(&mut fields);
        fields.done();
        Some(Self {
            hash: hash?,
            encoding: encoding?,
            spot: spot?,
            components: components?,
            separator: separator?,
            allow_empty_body: validation.allow_empty_body,
            normalize_unicode: validation.normalize_unicode,
        })
    }
}

fn required_choice<T: Copy>(
    fields: &mut ObjectReader<'_>,
    key: &'static str,
    options: &[(&str, T)],
) -> Option<T> {
    fields.required(key)?;
    fields.choice(key, options)
}

/// An object that has to be there.
fn required_object<'v>(
    fields: &mut ObjectReader<'v>,
    key: &'static str,
) -> Option<ObjectReader<'v>> {
    fields.required(key)?;
    fields.object(key)
}

#[derive(Clone, Copy)]
enum PlaceKind {
    Header,
    Query,
    Body,
}

fn read_spot(fields: &mut ObjectReader<'_>) -> Option<Spot> {
    const KINDS: [(&str, PlaceKind); 3] =
        [("header", PlaceKind::Header), ("query", PlaceKind::Query), ("body", PlaceKind::Body)];
    let mut fields = required_object(fields, "signature")?;
    let kind = required_choice(&mut fields, "source", &KINDS);
    let place = match kind {
        Some(PlaceKind::Header) => read_name(&mut fields, "key").map(Place::Header),
        Some(PlaceKind::Query) => {
            let name = fields.required_string("key", 1..=MAX_TEXT);
            name.map(|name| Place::Query(name.to_owned()))
        }
        Some(PlaceKind::Body) => {
            fields.required("key");
            fields.parsed("key").map(Place::Body)
        }
        None => {
            fields.any("key");
            None
        }
    };
    let prefix = fields.string("prefix", 1..=MAX_TEXT).map(str::to_owned);
    let pattern = fields.parsed("regex");
    fields.done();
    Some(Spot { place: place?, prefix, pattern })
}

fn read_components(fields: &mut ObjectReader<'_>) -> Option<Vec<Component>> {
    const KEY: &str = "signedComponents";
    let listed = fields.required(KEY)?;
    let items = listed.as_array().filter(|items| (1..=MAX_COMPONENTS).contains(&items.len()));
    let Some(items) = items else {
        fields.refuse(KEY, format!("must be a list of 1 to {MAX_COMPONENTS} components"));
        return None;
    };
    let mut components = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{}[{index}]", fields.path_of(KEY));
        let reader = ObjectReader::new(item, &path, fields.problems());
        components.push(reader.and_then(read_component));
    }
    // One that could not be read has its own reason.
    let may_vary = |component: &Option<Component>| component.as_ref().is_none_or(Component::varies);
    if !components.iter().any(may_vary) {
        fields.refuse(
            KEY,
            "must have a required header or a required part of the body: a signature over \
             nothing else is the same for every request, and can be sent again with another body",
        );
    }
    components.into_iter().collect()
}

#[derive(Clone, Copy)]
enum PartKind {
    Header,
    Body,
    Literal,
}

fn read_component(mut fields: ObjectReader<'_>) -> Option<Component> {
    const KINDS: [(&str, PartKind); 3] =
        [("header", PartKind::Header), ("body", PartKind::Body), ("literal", PartKind::Literal)];
    let kind = required_choice(&mut fields, "source", &KINDS);
    let part = match kind {
        Some(PartKind::Header) => read_name(&mut fields, "key").map(Part::Header),
        Some(PartKind::Body) if fields.any("key").is_none() => Some(Part::RawBody),
        Some(PartKind::Body) => fields.parsed("key").map(Part::Body),
        Some(PartKind::Literal) => {
            let value = fields.required_string("value", 1..=MAX_TEXT);
            value.map(|value| Part::Literal(value.to_owned()))
        }
        None => {
            fields.any("key");
            None
        }
    };
    match kind {
        Some(PartKind::Literal) => {
            refuse_if_there(&mut fields, "key", "belongs to `header` and `body`");
            refuse_if_there(&mut fields, "regex", "has no use: a literal is what it says");
        }
        _ => refuse_if_there(&mut fields, "value", "belongs to `literal`"),
    }
    let pattern = fields.parsed("regex");
    if part == Some(Part::RawBody) && pattern.is_some() {
        fields.refuse(
            "regex",
            "needs a `key`: it looks into one text of the body, not into all of it",
        );
    }
    let is_required = fields.boolean("required").unwrap_or(true);
    fields.done();
    Some(Component { part: part?, pattern, is_required })
}

fn refuse_if_there(fields: &mut ObjectReader<'_>, key: &'static str, reason: &str) {
    if fields.any(key).is_some() {
        fields.refuse(key, reason);
    }
}

fn read_separator(fields: &mut ObjectReader<'_>) -> Option<String> {
    let mut join = required_object(fields, "componentJoin")?;
    required_choice(&mut join, "strategy", &[("concatenate", ())]);
    let separator = join.required_string("separator", 0..=MAX_SEPARATOR).map(str::to_owned);
    join.done();
    separator
}

struct Validation {
    allow_empty_body: bool,
    normalize_unicode: bool,
}

impl Validation {
    fn read(fields: &mut ObjectReader<'_>) -> Self {
        let mut validation = Self { allow_empty_body: true, normalize_unicode: false };
        let Some(mut fields) = fields.object("validation") else { return validation };
        // The names of headers have no case by the time they arrive, here as in the original.
        fields.boolean("headerCaseSensitive");
        validation.allow_empty_body = fields.boolean("allowEmptyBody").unwrap_or(true);
        validation.normalize_unicode = fields.boolean("normalizeUnicode").unwrap_or(false);
        fields.done();
        validation
    }
}
