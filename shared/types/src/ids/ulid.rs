//! 128 bits as the 26 characters of a ULID: Crockford's base32, the highest bits first.

use std::fmt;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const BITS: u32 = 5;
const N_CHARACTERS: usize = 26;
/// 26 characters are 130 bits: the first one has two to spare.
const FIRST_LIMIT: u8 = 8;

/// Writes `bits`, in upper case.
pub(super) fn write(bits: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0; N_CHARACTERS];
    let mut rest = bits;
    for character in text.iter_mut().rev() {
        let lowest = usize::try_from(rest % 32).expect("less than 32");
        *character = ALPHABET[lowest];
        rest >>= BITS;
    }
    f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
}

/// Reads what [`write`] writes, in upper or lower case. `None` if it is something else.
pub(super) fn read(text: &str) -> Option<u128> {
    let characters = text.as_bytes();
    let first = value(*characters.first()?)?;
    if characters.len() != N_CHARACTERS || first >= FIRST_LIMIT {
        return None;
    }
    characters.iter().try_fold(0, |bits: u128, character| {
        value(*character).map(|value| bits << BITS | u128::from(value))
    })
}

fn value(character: u8) -> Option<u8> {
    let upper = character.to_ascii_uppercase();
    let place = ALPHABET.iter().position(|it| *it == upper)?;
    u8::try_from(place).ok()
}
