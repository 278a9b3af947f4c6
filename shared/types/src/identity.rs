//! The keys under which people are recognised: what a provider sends and what somebody typed into
//! a whitelist are the same person if their keys are equal.
//!
//! Keys are for comparing only. Whoever answers uses the address as it was received: the key of a
//! Brazilian mobile number is the form without its ninth digit, which is not dialled any more.

use std::borrow::Cow;

/// The longest e-mail address (RFC 5321, 4.5.3.1.3) and the longest other identifier, in bytes.
const MAX_EMAIL: usize = 254;
const MAX_TEXT: usize = 256;
/// The digits of an international number: E.164 allows 15, and no country gets by with fewer than 7.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// What kind of identifier a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityKind {
    /// A phone number.
    Phone,
    /// An e-mail address.
    Email,
    /// Anything else, compared as it is.
    Text,
}

impl IdentityKind {
    /// The key of `identifier`, if it is one of this kind.
    pub fn key(self, identifier: &str) -> Option<String> {
        match self {
            Self::Phone => phone_key(identifier),
            Self::Email => email_key(identifier),
            Self::Text => text_key(identifier),
        }
    }
}

/// The key of an identifier of unknown kind, for lists of mixed ones: as a phone number if it is
/// one, as an e-mail address otherwise, as text if it is neither.
///
/// Two identifiers that do not say what they are have one key only if they are the same text, but
/// for white space around it, the case of an address, and a Brazilian ninth digit. In front of
/// digits that may number anything `00` is a part of them, so it is no prefix here.
pub fn any_key(identifier: &str) -> Option<String> {
    let is_ambiguous = identifier.trim_start().starts_with("00");
    phone_key(identifier)
        .filter(|_| !is_ambiguous)
        .or_else(|| email_key(identifier))
        .or_else(|| text_key(identifier))
}

/// `+` and the digits of an international phone number, 7 to 15 (E.164); `None` if `number` is
/// anything else.
///
/// A number says that it is one by a leading `whatsapp:`, `tel:` or `sms:`, or by a leading `+` or
/// `00`. These are dropped, and in such a number spaces, `-`, `(`, `)` and `.` too. Without them
/// it is digits only: Meta's bare `5511999990000` has the key of Twilio's
/// `whatsapp:+5511999990000`, while `-1234567890`, `1234567.89` and `12-34567` have none, since
/// they are some system's ids as likely as not. A number that begins with 0 after all that is no
/// international one.
///
/// Brazil prefixed a 9 to its eight-digit mobile numbers, and providers still report many of them
/// without it: both forms have the key without. Only a 9 in front of eight digits that begin with 6
/// to 9 is dropped, since those are the old mobile numbers. Landlines have eight digits beginning
/// with 2 to 5 and stay, and so no mobile number gets the key of a landline, nor the other way
/// round.
pub fn phone_key(number: &str) -> Option<String> {
    let digits = dialled(number.trim())?;
    let international = !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && PHONE_DIGITS.contains(&digits.len());
    international.then(|| match brazilian_mobile(&digits) {
        Some((area, subscriber)) => format!("+55{area}{subscriber}"),
        None => format!("+{digits}"),
    })
}

/// What is left to dial of a number that says that it is one; any other text as it is. `None` for
/// what begins like a negative number or a fraction.
fn dialled(number: &str) -> Option<Cow<'_, str>> {
    let after_scheme = after_scheme(number);
    let number = after_scheme.unwrap_or(number);
    if number.starts_with(['-', '.']) {
        return None;
    }
    let says_so = after_scheme.is_some() || number.starts_with('+') || number.starts_with("00");
    if !says_so {
        return Some(Cow::Borrowed(number));
    }
    let is_separator = |char: &char| matches!(char, ' ' | '-' | '(' | ')' | '.');
    let joined: String = number.chars().filter(|char| !is_separator(char)).collect();
    let digits = joined.strip_prefix('+').or_else(|| joined.strip_prefix("00"));
    Some(Cow::Owned(digits.unwrap_or(&joined).to_owned()))
}

fn after_scheme(number: &str) -> Option<&str> {
    ["whatsapp:", "tel:", "sms:"].iter().find_map(|scheme| {
        let (head, rest) = number.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| rest.trim_start())
    })
}

/// The area and the old eight digits of a Brazilian mobile number that is written with the ninth.
fn brazilian_mobile(digits: &str) -> Option<(&str, &str)> {
    let (area, subscriber) = digits.strip_prefix("55")?.split_at_checked(2)?;
    let subscriber = subscriber.strip_prefix('9')?;
    let mobile = subscriber.len() == 8 && subscriber.starts_with(['6', '7', '8', '9']);
    (mobile && !area.contains('0')).then_some((area, subscriber))
}

/// An e-mail address, trimmed and in lower case: something on both sides of one `@`, at most 254
/// bytes, no spaces and no control characters. Strictly, the case of the left side may matter; no
/// provider makes it so. Letters beyond ASCII stay as they are: their cases make different
/// letters one, such as the sign of Kelvin and `k`.
pub fn email_key(address: &str) -> Option<String> {
    let key = address.trim().to_ascii_lowercase();
    let (local, domain) = key.split_once('@')?;
    let plain = |char: char| !char.is_whitespace() && !char.is_control();
    let complete = !local.is_empty() && !domain.is_empty() && !domain.contains('@');
    (complete && key.len() <= MAX_EMAIL && key.chars().all(plain)).then_some(key)
}

/// Any other identifier, trimmed: at most 256 bytes, not empty, no control characters.
pub fn text_key(identifier: &str) -> Option<String> {
    let key = identifier.trim();
    let usable = !key.is_empty() && key.len() <= MAX_TEXT && !key.contains(char::is_control);
    usable.then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phone(number: &str) -> Option<String> {
        phone_key(number)
    }

    #[test]
    fn every_spelling_of_a_number_has_one_key() {
        for spelling in [
            "+14155238886",
            "14155238886",
            "0014155238886",
            "whatsapp:+14155238886",
            "WhatsApp: +1 (415) 523-8886",
            "tel:+1-415-523-8886",
            "SMS:+1.415.523.8886",
            "tel:1 415 523-8886",
            "00 1 (415) 523-8886",
            "  +1 415 5238886 ",
        ] {
            assert_eq!(phone(spelling).as_deref(), Some("+14155238886"), "{spelling}");
        }
    }

    #[test]
    fn what_is_no_international_number_has_no_key() {
        for text in [
            "",
            "+",
            "123456",
            "1234567890123456",
            "+1 415 CALL-ME",
            "4155238886x",
            "++14155238886",
            "1+4155238886",
            "mailto:14155238886",
            "whatsapp:",
            "whatsapp:sms:14155238886",
            "011 4155238886",
            "+0014155238886",
            "\u{661}4155238886",
            "a@b",
            "１4155238886",
            "-1234567890",
            "whatsapp:-1234567890",
            ".1234567",
            "1234567.89",
            "12-34567",
            "1 415 5238886",
            "(11) 99999-0000",
            "0 0 1 4155238886",
        ] {
            assert_eq!(phone(text), None, "{text:?}");
        }
        assert_eq!(phone("1234567").as_deref(), Some("+1234567"));
        assert_eq!(phone("123456789012345").as_deref(), Some("+123456789012345"));
    }

    #[test]
    fn a_brazilian_mobile_has_one_key_with_and_without_the_ninth_digit() {
        let key = phone("+5511999990000");
        assert_eq!(key.as_deref(), Some("+551199990000"));
        assert_eq!(phone("551199990000"), key);
        assert_eq!(phone("whatsapp:+55 (11) 9 9999-0000"), key);
    }

    #[test]
    fn other_numbers_keep_their_digits() {
        for number in [
            "+551150287190",   // a landline of São Paulo
            "+5511950287190",  // a 9 in front of a landline's digits is another number
            "+5510999990000",  // no area has a zero
            "+551199999000",   // too short for a mobile number with the ninth digit
            "+55119999900001", // and too long
            "+5411999990000",  // Argentina
        ] {
            assert_eq!(phone(number).as_deref(), Some(number), "{number}");
        }
    }

    #[test]
    fn addresses_are_compared_without_case() {
        assert_eq!(email_key(" Ana.Silva@Example.COM ").as_deref(), Some("ana.silva@example.com"));
        assert_eq!(email_key("\u{212a}@b").as_deref(), Some("\u{212a}@b"));
        for text in ["", "a", "@", "a@", "@b", "a@b@c", "a b@c", "a@b\u{7}", "a@b c"] {
            assert_eq!(email_key(text), None, "{text:?}");
        }
        assert!(email_key(&format!("{}@b", "a".repeat(252))).is_some());
        assert_eq!(email_key(&format!("{}@b", "a".repeat(253))), None);
    }

    #[test]
    fn other_identifiers_are_compared_as_they_are() {
        assert_eq!(text_key(" U02AB-Ç ").as_deref(), Some("U02AB-Ç"));
        for text in ["", "  ", "a\nb", "a\0"] {
            assert_eq!(text_key(text), None, "{text:?}");
        }
        assert!(text_key(&"a".repeat(256)).is_some());
        assert_eq!(text_key(&"a".repeat(257)), None);
    }

    #[test]
    fn a_mixed_list_takes_the_kind_that_fits() {
        assert_eq!(any_key("whatsapp:+5511999990000").as_deref(), Some("+551199990000"));
        assert_eq!(any_key("Ana@Example.com").as_deref(), Some("ana@example.com"));
        assert_eq!(any_key("U02AB").as_deref(), Some("U02AB"));
        assert_eq!(any_key("@ana").as_deref(), Some("@ana"));
        assert_eq!(any_key(" "), None);
        for text in ["-1234567890", "1234567.89", "12-34567", "0012345678", "00 12345678"] {
            assert_eq!(any_key(text).as_deref(), Some(text));
        }
        assert_eq!(any_key("tel:0014155238886").as_deref(), Some("+14155238886"));
        assert_eq!(IdentityKind::Email.key("U02AB"), None);
        assert_eq!(IdentityKind::Text.key("U02AB").as_deref(), Some("U02AB"));
        assert_eq!(IdentityKind::Phone.key("14155238886").as_deref(), Some("+14155238886"));
    }

    /// What may stand in the same field for different people, and looks much the same.
    fn bare() -> impl Strategy<Value = String> {
        let digits = prop_oneof!["[0-9]{5,9}", "55(11|21)9?[2-9][0-9]{2}0{5}", "[12]{7}"];
        (digits, prop::collection::vec((0_usize..12, "[-. ()]"), 0..3)).prop_map(
            |(mut text, separators)| {
                for (position, separator) in separators {
                    text.insert_str(position.min(text.len()), &separator);
                }
                text
            },
        )
    }

    fn without_ninth_digit(text: &str) -> String {
        brazilian_mobile(text).map_or(text.to_owned(), |(area, old)| format!("55{area}{old}"))
    }

    proptest! {
        #[test]
        fn different_bare_identifiers_are_different_people(
            one in bare(), edit in prop::option::of((0_usize..12, "[-. ()]|0|00")), another in bare(),
        ) {
            let other = match edit {
                Some((position, piece)) => {
                    let mut edited = one.clone();
                    edited.insert_str(position.min(one.len()), &piece);
                    edited
                }
                None => another,
            };
            if any_key(&one) == any_key(&other) {
                let [one, other] = [&one, &other].map(|text| without_ninth_digit(text.trim()));
                prop_assert_eq!(one, other);
            }
        }

        #[test]
        fn a_bare_phone_number_is_digits_only(text in "[-+0-9 ().]{0,20}") {
            let text = text.trim();
            if !text.starts_with('+') && !text.starts_with("00") {
                let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
                prop_assert_eq!(
                    phone_key(text).is_some(),
                    is_digits && !text.starts_with('0') && PHONE_DIGITS.contains(&text.len())
                );
            }
        }

        #[test]
        fn nothing_begins_like_a_negative_number_and_is_a_phone(
            scheme in "(tel:|whatsapp: )?", sign in "[-.]", number in "[+]?[0-9]{7,15}",
        ) {
            prop_assert_eq!(phone_key(&format!("{scheme}{sign}{number}")), None);
        }

        #[test]
        fn a_key_is_its_own_key(text in any::<String>(), number in "[+0-9 ().-]{0,20}") {
            for text in [text, number] {
                for key in [phone_key, email_key, text_key, any_key] {
                    if let Some(once) = key(&text) {
                        prop_assert_eq!(key(&once), Some(once));
                    }
                }
            }
        }

        #[test]
        fn separators_and_prefixes_do_not_matter(
            digits in "[1-9][0-9]{6,14}",
            separators in prop::collection::vec("[ ().-]{0,2}", 15),
            prefix in prop::sample::select(vec!["+", "00", "tel:", "whatsapp:+", "SMS:00"]),
        ) {
            let spaced: String = digits
                .chars()
                .zip(separators)
                .flat_map(|(digit, separator)| format!("{digit}{separator}").into_bytes())
                .map(char::from)
                .collect();
            prop_assert_eq!(phone_key(&format!("{prefix}{spaced}")), phone_key(&digits));
        }

        #[test]
        fn a_phone_key_is_a_number(text in "(whatsapp:)?[+0]{0,2}[0-9]{0,20}") {
            if let Some(key) = phone_key(&text) {
                let digits = key.strip_prefix('+').unwrap();
                prop_assert!(digits.bytes().all(|byte| byte.is_ascii_digit()));
                prop_assert!(PHONE_DIGITS.contains(&digits.len()));
            }
        }

        #[test]
        fn a_landline_never_has_the_key_of_a_mobile(
            area in "[1-9]{2}", mobile in "9?[6-9][0-9]{7}", landline in "[2-5][0-9]{7}",
        ) {
            let mobile = phone_key(&format!("+55{area}{mobile}"));
            let landline = phone_key(&format!("+55{area}{landline}"));
            prop_assert!(mobile.is_some() && landline.is_some());
            prop_assert_ne!(mobile, landline);
        }
    }
}
