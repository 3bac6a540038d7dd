//! How a file's data set is encoded, which its first bytes say.
//!
//! A DICOM file begins with a preamble of 128 bytes, `DICM`, and a group of elements that is always explicit and
//! little-endian and names the transfer syntax (PS3.10, 7.1). Exports of older systems lack some of it: the preamble, the
//! preamble and `DICM`, or the group as well. Without the group the encoding shows in the first element, except for
//! compressed pixels, whose kind only the group says.

use super::attribute::{MEDIA_STORAGE, TRANSFER_SYNTAX};
use crate::picture::damaged;
use sweep_core::error::{Error, Result};

pub(super) const IMPLICIT: &str = "1.2.840.10008.1.2";
pub(super) const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub(super) const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
pub(super) const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

/// Media storage class of a DICOMDIR, the list of a disk's files (PS3.4 annex B.5, PS3.6 table A-1).
const DIRECTORY: &[u8] = b"1.2.840.10008.1.3.10";

const MARK: &[u8; 4] = b"DICM";

/// How many bytes [`is`] looks at.
const LOOKED_AT: usize = 256;

/// How a data set is encoded, and where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Encoding {
    /// UID of the transfer syntax.
    pub(super) syntax: String,
    /// Whether the file says the syntax; else it is guessed.
    pub(super) is_said: bool,
    pub(super) start: usize,
}

/// Whether it is a DICOM file, given the first bytes of it.
pub(in crate::picture) fn is(bytes: &[u8]) -> bool {
    begin(bytes).is_some()
}

/// Whether it is a DICOMDIR, given the first bytes of it. The class is among the first elements.
pub(in crate::picture) fn is_directory(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(LOOKED_AT)];
    let ends = |byte: &u8| !byte.is_ascii_digit() && *byte != b'.';
    let named = |rest: &[u8]| rest.starts_with(DIRECTORY) && rest.get(DIRECTORY.len()).is_none_or(ends);
    is(bytes) && (0..start.len()).any(|at| named(&start[at..]))
}

/// Where elements begin: behind `DICM`, with or without a preamble, or at once.
fn begin(bytes: &[u8]) -> Option<usize> {
    let marked = |at: usize| bytes.get(at..at + 4).is_some_and(|mark| mark == MARK);
    if marked(128) {
        Some(132)
    } else if marked(0) {
        Some(4)
    } else {
        // A preamble alone is known by its zeros: what lies 128 bytes into other files may look like anything.
        let blank = bytes.get(..128).is_some_and(|preamble| preamble.iter().all(|b| *b == 0));
        let starts = [Some(0), blank.then_some(128)];
        starts.into_iter().flatten().find(|at| first_element(bytes.get(*at..).unwrap_or_default()).is_some())
    }
}

/// The encoding that a first element shows. Data sets begin with group 2 or 8, whose first elements are short.
fn first_element(bytes: &[u8]) -> Option<&'static str> {
    let [a, b, c, d, v, w, l, m] = *bytes.first_chunk()?;
    let is_big = a == 0;
    let [group, element, short] =
        [[a, b], [c, d], [l, m]].map(|pair| if is_big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) });
    if !matches!(group, 2 | 8) || element > 0x70 {
        return None;
    }
    let has_type = [b"UL", b"CS", b"UI", b"DA", b"LO", b"SH", b"OB", b"TM"].iter().any(|vr| **vr == [v, w]);
    match (has_type, is_big) {
        (true, false) => Some(EXPLICIT),
        (true, true) => Some(BIG_ENDIAN),
        // A length of 32 bits; no implicit data set is big-endian but those of ACR-NEMA, which were never exchanged as files.
        (false, false) if short == 0 && w == 0 && group == 8 => Some(IMPLICIT),
        _ => None,
    }
}

impl Encoding {
    /// The encoding of a file for which [`is`].
    pub(super) fn of(bytes: &[u8]) -> Result<Self> {
        let start =
            begin(bytes).ok_or_else(|| damaged("there is neither a DICOM preamble with DICM nor an element"))?;
        let group = FileMeta::read(bytes, start)?;
        if group.is_directory {
            return Err(Error::input("a DICOMDIR: the list of a disk's files, not a picture")
                .at(MEDIA_STORAGE)
                .remedy("name the files that it lists"));
        }
        if let Some(syntax) = group.syntax {
            return Ok(Self { syntax, is_said: true, start: group.end });
        }
        let rest = bytes.get(group.end..).unwrap_or_default();
        let guessed = first_element(rest).ok_or_else(|| {
            damaged("neither its preamble nor elements behind DICM say how it is encoded").at(TRANSFER_SYNTAX)
        })?;
        Ok(Self { syntax: guessed.to_owned(), is_said: false, start: group.end })
    }
}

/// The group that says the transfer syntax, if it is there.
struct FileMeta {
    syntax: Option<String>,
    is_directory: bool,
    end: usize,
}

impl FileMeta {
    fn read(bytes: &[u8], start: usize) -> Result<Self> {
        let number = |at: usize, len: usize| -> Option<usize> {
            let raw = bytes.get(at..at.checked_add(len)?)?;
            Some(raw.iter().rev().fold(0, |sum, b| sum << 8 | usize::from(*b)))
        };
        let mut group = Self { syntax: None, is_directory: false, end: start };
        while number(group.end, 2) == Some(2) {
            let at = group.end;
            let cut = || damaged(format!("it ends in the element at byte {at}"));
            let long = matches!(bytes.get(at + 4..at + 6), Some(b"OB" | b"OW" | b"UN" | b"UT" | b"SQ"));
            let (from, length) = if long { (at + 12, number(at + 8, 4)) } else { (at + 8, number(at + 6, 2)) };
            let value = length.and_then(|length| bytes.get(from..from.checked_add(length)?)).ok_or_else(cut)?;
            let text = || String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_owned();
            match number(at + 2, 2) {
                Some(0x02) => group.is_directory = text().as_bytes() == DIRECTORY,
                Some(0x10) => group.syntax = Some(text()),
                _ => {}
            }
            group.end = from + value.len();
        }
        Ok(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_says_its_encoding() {
        let preamble = [&[0; 128][..], b"DICM"].concat();
        let meta = [&b"\x02\0\x10\0UI\x14\0"[..], b"1.2.840.10008.1.2.1\0"].concat();
        let explicit = b"\x08\0\x16\0UI\x02\x001\0";
        let implicit = b"\x08\0\x16\0\x02\0\0\x001\0";
        let big = b"\0\x08\0\x16UI\0\x021\0";
        let of = |bytes: &[u8]| Encoding::of(bytes).map(|e| (e.syntax, e.is_said, e.start));
        for (before, at) in [(preamble.as_slice(), 132), (b"DICM", 4), (b"", 0), (&[0; 128], 128)] {
            let file = [before, &meta, explicit].concat();
            assert!(is(&file), "{at}");
            assert_eq!(of(&file).unwrap(), (EXPLICIT.to_owned(), true, at + meta.len()));
            for (element, syntax) in [(&explicit[..], EXPLICIT), (&implicit[..], IMPLICIT), (&big[..], BIG_ENDIAN)] {
                assert_eq!(
                    of(&[before, element].concat()).unwrap(),
                    (syntax.to_owned(), false, at),
                    "{syntax} at {at}"
                );
            }
        }
        let error = of(&[&preamble[..], b"nonsense"].concat()).unwrap_err().to_string();
        assert!(error.contains("preamble") && error.contains("TransferSyntaxUID"), "{error}");
    }

    #[test]
    fn other_files_are_not_taken_for_dicom() {
        for bytes in [
            &b"\x89PNG\r\n\x1a\n"[..],
            b"\xff\xd8\xff\xe0",
            b"BM",
            b"II*\0\x08\0\0\0",
            b"ObjectType = Image",
            b"",
            &[0; 300],
            b"\0\0\0\x0cjP  \r\n\x87\n",
        ] {
            assert!(!is(bytes), "{bytes:?}");
        }
    }

    #[test]
    fn a_list_of_files_is_no_picture() {
        let file = |class: &str| {
            [&[0; 128][..], b"DICM\x02\0\x02\0UI", &(class.len() as u16).to_le_bytes(), class.as_bytes()].concat()
        };
        assert!(is_directory(&file("1.2.840.10008.1.3.10")) && !is_directory(&file("1.2.840.10008.1.3.10.5")));
        let error = Encoding::of(&file("1.2.840.10008.1.3.10")).unwrap_err().to_string();
        assert!(error.contains("DICOMDIR"), "{error}");
    }
}
