//! Files of a ZIP archive, as they can be sent: what is deflated there becomes gzip, without being
//! unpacked and packed again, by another header and trailer around the same bytes.

/// Where a file is, and how it was when it was packed.
struct Entry<'a> {
    name: &'a [u8],
    method: u16,
    crc: &'a [u8],
    packed_size: usize,
    size: &'a [u8],
    header_at: usize,
}

const DEFLATE: u16 = 8;
const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const END_SIZE: usize = 22;
const ENTRY_SIGNATURE: &[u8] = b"PK\x01\x02";
const ENTRY_SIZE: usize = 46;
const HEADER_SIZE: usize = 30;

/// No flags, no time, of no known system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The file whose name ends so, as gzip. `None` if there is none, or the archive is none.
pub(super) fn gzipped(archive: &[u8], name: &str) -> Option<Vec<u8>> {
    let entry = entries(archive)?.find(|entry| entry.name.ends_with(name.as_bytes()))?;
    if entry.method != DEFLATE {
        return None;
    }
    let header = archive.get(entry.header_at..)?.get(..HEADER_SIZE)?;
    let data_at = entry.header_at + HEADER_SIZE + number(header, 26, 2)? + number(header, 28, 2)?;
    let data = archive.get(data_at..)?.get(..entry.packed_size)?;
    Some([&GZIP_HEADER, data, entry.crc, entry.size].concat())
}

fn entries(archive: &[u8]) -> Option<impl Iterator<Item = Entry<'_>>> {
    // A comment of at most 64 KiB follows the end.
    let is_end = |at: &usize| archive[*at..].starts_with(END_SIGNATURE);
    let end_at = (0..=archive.len().checked_sub(END_SIZE)?).rev().take(1 << 16).find(is_end)?;
    let mut rest = archive.get(number(&archive[end_at..], 16, 4)?..)?;
    Some(std::iter::from_fn(move || {
        let (entry, size) = entry(rest)?;
        rest = rest.get(size..)?;
        Some(entry)
    }))
}

/// The entry that begins here, and how long it is.
fn entry(at: &[u8]) -> Option<(Entry<'_>, usize)> {
    let fixed = at.get(..ENTRY_SIZE).filter(|fixed| fixed.starts_with(ENTRY_SIGNATURE))?;
    let name_size = number(fixed, 28, 2)?;
    let entry = Entry {
        name: at.get(ENTRY_SIZE..)?.get(..name_size)?,
        method: u16::try_from(number(fixed, 10, 2)?).ok()?,
        crc: &fixed[16..20],
        packed_size: number(fixed, 20, 4)?,
        size: &fixed[24..28],
        header_at: number(fixed, 42, 4)?,
    };
    Some((entry, ENTRY_SIZE + name_size + number(fixed, 30, 2)? + number(fixed, 32, 2)?))
}

/// A little-endian number of so many bytes.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<usize> {
    let digits = bytes.get(at..at + size)?;
    Some(digits.iter().rev().fold(0, |number, digit| (number << 8) | usize::from(*digit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_archive_has_no_files() {
        for bad in [&b""[..], b"PK", &[0; 100], b"PK\x05\x06aaaaaaaaaaaa\xff\xff\xff\xffaa"] {
            assert_eq!(gzipped(bad, "x"), None);
        }
    }

    #[test]
    fn every_cut_of_an_archive_is_survived() {
        let archive = utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
        let end = archive.len() - 200;
        for cut in end..archive.len() {
            let _never_panics = gzipped(&archive[..cut], "dist/swagger-ui.css");
        }
        assert!(gzipped(archive, "dist/no-such.css").is_none());
    }
}
