//! Cursors: where a list goes on, opaque to whoever carries it.
//!
//! A cursor holds the position of the last item that was shown, not a number of items to skip, so
//! writes in between neither repeat nor hide anything. It is signed together with the list it
//! belongs to: one that was changed, or taken from another list or tenant, is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use recado_store::Keyring;
use sha2::Sha256;
use subtle::ConstantTimeEq;

const TAG_BYTES: usize = 16;
/// The longest position is a name of 128 characters.
const MAX_CURSOR_BYTES: usize = 1_024;

/// Makes and reads cursors; all instances with the same key understand each other's.
#[derive(Clone)]
pub(crate) struct Cursors(Hmac<Sha256>);

impl Cursors {
    /// With a key for nothing else. Cursors that were made with another one are refused, so lists
    /// that somebody is in the middle of begin anew when the first of `RECADO_SECRET_KEYS` changes.
    pub(crate) fn new(keys: &Keyring) -> Self {
        Self(keyed(&keys.subkey("management cursors")))
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let key = "k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        Self::new(&Keyring::parse(key).expect("a key of 32 bytes"))
    }

    /// The cursor that stands after `position` of the list `scope`.
    pub(crate) fn seal(&self, scope: &str, position: &str) -> String {
        let tag = self.tag(scope, position.as_bytes());
        URL_SAFE_NO_PAD.encode([&tag[..], position.as_bytes()].concat())
    }

    /// The position of a cursor that was made for the list `scope`.
    pub(crate) fn open(&self, scope: &str, cursor: &str) -> Option<String> {
        if cursor.len() > MAX_CURSOR_BYTES {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (tag, position) = bytes.split_first_chunk::<TAG_BYTES>()?;
        let is_ours: bool = self.tag(scope, position).ct_eq(tag).into();
        is_ours.then(|| String::from_utf8(position.to_vec()).ok()).flatten()
    }

    fn tag(&self, scope: &str, position: &[u8]) -> [u8; TAG_BYTES] {
        let mut mac = self.0.clone();
        mac.update(&(scope.len() as u64).to_be_bytes());
        mac.update(scope.as_bytes());
        mac.update(position);
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        *full.first_chunk().expect("16 is less than 32")
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursors() -> Cursors {
        Cursors::for_tests()
    }

    proptest! {
        #[test]
        fn a_cursor_opens_for_its_list_only(
            scope in ".{0,20}", other in ".{0,20}", position in ".{0,128}",
        ) {
            let cursor = cursors().seal(&scope, &position);
            prop_assert_eq!(cursors().open(&scope, &cursor), Some(position));
            prop_assert!(scope == other || cursors().open(&other, &cursor).is_none());
        }

        #[test]
        fn a_changed_cursor_does_not_open(place in 0_usize..40, bit in 0_u8..8) {
            let cursor = cursors().seal("list", "some position");
            let mut bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
            let place = place % bytes.len();
            bytes[place] ^= 1 << bit;
            prop_assert_eq!(cursors().open("list", &URL_SAFE_NO_PAD.encode(bytes)), None);
        }

        #[test]
        fn anything_may_be_tried(text in ".{0,200}") {
            prop_assert_eq!(cursors().open("list", &text), None);
        }
    }

    #[test]
    fn another_key_does_not_open_it() {
        let cursor = cursors().seal("list", "position");
        let other = Keyring::parse("k1:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=").unwrap();
        assert_eq!(Cursors::new(&other).open("list", &cursor), None);
    }
}
