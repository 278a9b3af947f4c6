//! From bytes to a text: transfer encodings and charsets, as senders write them.
//!
//! Both are often wrong. An escape that is none stays as it is. What is no UTF-8 although it should
//! be is either UTF-8 with a mistake in it, or else read as Windows-1252, in which every byte means
//! something.

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode_char;

/// How the bytes of a part are written (RFC 2045, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Base64,
    QuotedPrintable,
}

impl Encoding {
    pub(crate) fn of(name: &str) -> Self {
        if name.trim().eq_ignore_ascii_case("base64") {
            Self::Base64
        } else if name.trim().eq_ignore_ascii_case("quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Identity
        }
    }

    /// The bytes that are meant.
    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Identity => bytes.to_vec(),
            Self::Base64 => {
                let kept = bytes.iter().copied().filter(|byte| is_base64(*byte));
                base64_decode(&kept.collect::<Vec<u8>>()).unwrap_or_default()
            }
            Self::QuotedPrintable => quoted_printable(bytes),
        }
    }

    /// How many bytes are meant, without decoding them.
    pub(crate) fn decoded_size(self, bytes: &[u8]) -> u64 {
        let count = |of: fn(u8) -> bool| bytes.iter().filter(|byte| of(**byte)).count() as u64;
        match self {
            Self::Identity => bytes.len() as u64,
            Self::Base64 => count(is_base64) * 3 / 4,
            // An escape stands for one byte, a soft line break for none.
            Self::QuotedPrintable => {
                (bytes.len() as u64).saturating_sub(2 * count(|byte| byte == b'='))
            }
        }
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'=' {
            decoded.push(byte);
        } else if let Some(after) = after_soft_break(tail) {
            rest = after;
        } else if let [high, low, after @ ..] = tail
            && let Some(byte) = quoted_printable_decode_char(*high, *low)
        {
            decoded.push(byte);
            rest = after;
        } else {
            decoded.push(byte);
        }
    }
    decoded
}

/// What follows a line break that is not meant. Servers may have put spaces before it.
fn after_soft_break(bytes: &[u8]) -> Option<&[u8]> {
    let spaces = bytes.iter().take(80).take_while(|byte| matches!(**byte, b' ' | b'\t')).count();
    match &bytes[spaces..] {
        [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// The text that `bytes` are in `charset`, if that is what they are.
pub(crate) fn text(bytes: &[u8], charset: Option<&str>) -> String {
    let charset = charset.unwrap_or("utf-8").trim().to_ascii_lowercase();
    let decoder = charset_decoder(charset.as_bytes());
    let may_be_utf8 = decoder.is_none() || OFTEN_UTF8.contains(&charset.as_str());
    if may_be_utf8 && let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    match decoder {
        Some(decoder) if !MEANT_AS_UTF8.contains(&charset.as_str()) => decoder(bytes),
        _ if is_mostly_utf8(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => charset_decoder(b"windows-1252")
            .map_or_else(|| String::from_utf8_lossy(bytes).into_owned(), |decoder| decoder(bytes)),
    }
}

/// Whether more of what goes beyond ASCII is right than wrong.
fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let (mut right, mut wrong) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        right += chunk.valid().chars().filter(|char| !char.is_ascii()).count();
        wrong += usize::from(!chunk.invalid().is_empty());
    }
    right > wrong
}

const MEANT_AS_UTF8: [&str; 4] = ["utf-8", "utf8", "us-ascii", "ascii"];

/// Names under which UTF-8 is sent. Hardly a text in one of the single-byte charsets, if it goes
/// beyond ASCII at all, happens to be UTF-8 too.
const OFTEN_UTF8: [&str; 9] = [
    "utf-8",
    "utf8",
    "us-ascii",
    "ascii",
    "iso-8859-1",
    "iso-8859-15",
    "latin1",
    "windows-1252",
    "cp1252",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_forgiving() {
        let decode = |encoding: Encoding, text: &str| {
            String::from_utf8_lossy(&encoding.decode(text.as_bytes())).into_owned()
        };
        let quoted = Encoding::of(" Quoted-Printable ");
        assert_eq!(decode(quoted, "a=C3=a9=\r\nb= \nc"), "aébc");
        assert_eq!(decode(quoted, "1=1=ZZ=\u{e9}="), "1=1=ZZ=\u{e9}=");
        let base64 = Encoding::of("BASE64");
        assert_eq!(decode(base64, "T2zD\r\noSE=\r\n"), "Olá!");
        assert_eq!(decode(base64, "T2z*DoS\0E"), "Olá!");
        assert_eq!(decode(Encoding::of("8bit"), "=41"), "=41");
    }

    #[test]
    fn sizes_are_known_without_decoding() {
        let size = |encoding: Encoding, text: &str| encoding.decoded_size(text.as_bytes());
        assert_eq!(size(Encoding::Base64, "T2zD\r\noSE=\r\n"), 5);
        assert_eq!(size(Encoding::QuotedPrintable, "a=C3=A9"), 3);
        assert_eq!(size(Encoding::Identity, "abc"), 3);
    }

    #[test]
    fn a_wrong_charset_is_seen_through() {
        for (bytes, charset, expected) in [
            (&b"Ol\xe1"[..], Some("utf-8"), "Olá"),
            (b"Ol\xe1", None, "Olá"),
            (b"Ol\xe1", Some("x-nonsense"), "Olá"),
            (b"Ol\xe1", Some("ISO-8859-1"), "Olá"),
            ("Olá, João\u{e3}".as_bytes().split_last().unwrap().1, None, "Olá, João\u{fffd}"),
            (b"Ol\xc3\xa1", Some("iso-8859-1"), "Olá"),
            (b"Ol\xc3\xa1", Some("us-ascii"), "Olá"),
            (b"\x93a\x94", Some("us-ascii"), "“a”"),
            (b"\xcf\xf0\xe8", Some("windows-1251"), "При"),
            (b"\x82\xb1", Some("Shift_JIS"), "こ"),
            (b"\x1b$B$3\x1b(B", Some("iso-2022-jp"), "こ"),
            (b"\xc4\xe3", Some("gb2312"), "你"),
        ] {
            assert_eq!(text(bytes, charset), expected, "{charset:?}");
        }
    }
}
