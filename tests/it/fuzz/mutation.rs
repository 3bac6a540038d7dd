//! Changes of a file's bytes: some at random, some of those that parsers have trouble with.

use proptest::collection::vec;
use proptest::prelude::*;

const TOKENS: [&str; 26] = [
    "../",
    "../../../../etc/passwd",
    "/etc/passwd",
    "C:\\",
    "nan",
    "NaN",
    "inf",
    "1e309",
    "-1",
    "0",
    "1e-320",
    "99999999999999999999",
    "4294967295",
    "65536",
    "\u{feff}",
    "\"",
    "{",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "}",
    ",",
    ";",
    "\n",
    "\0",
    "<points label=\"a\" points=\"1,2\"/>",
    "<skeleton><skeleton><skeleton><skeleton>",
    "&amp;&#x10ffff;",
];

/// A change of a file's bytes; offsets are fractions of its length.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Byte(u16, u8),
    Word(u16, u32),
    Insert(u16, usize),
    Delete(u16, u16),
    Repeat(u16, u16, u8),
    Number(u16, usize),
    Truncate(u16),
    Replace(Vec<u8>),
}

pub(super) fn change() -> impl Strategy<Value = Change> {
    let extreme = prop_oneof![
        any::<u32>(),
        prop::sample::select(vec![0, 1, 2, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0xffff, 0x7fff, 0x8000, 0x0100_0000]),
    ];
    prop_oneof![
        6 => (any::<u16>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        4 => (any::<u16>(), extreme).prop_map(|(at, word)| Change::Word(at, word)),
        4 => (any::<u16>(), 0..TOKENS.len()).prop_map(|(at, token)| Change::Insert(at, token)),
        3 => (any::<u16>(), 0..2000u16).prop_map(|(at, length)| Change::Delete(at, length)),
        2 => (any::<u16>(), any::<u16>(), 1..40u8).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        6 => (any::<u16>(), 0..TOKENS.len()).prop_map(|(at, token)| Change::Number(at, token)),
        2 => any::<u16>().prop_map(Change::Truncate),
        1 => vec(any::<u8>(), 0..200).prop_map(Change::Replace),
    ]
}

pub(super) fn mutated(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes {
        let offset = |at: u16| usize::from(at) * bytes.len() / 65536;
        match change {
            Change::Byte(at, byte) => {
                let at = offset(*at);
                if let Some(target) = bytes.get_mut(at) {
                    *target = *byte;
                }
            }
            Change::Word(at, word) => {
                let at = offset(*at);
                for (target, byte) in bytes.iter_mut().skip(at).zip(word.to_le_bytes()) {
                    *target = byte;
                }
            }
            Change::Insert(at, token) => {
                let at = offset(*at);
                bytes.splice(at..at, TOKENS[*token].bytes());
            }
            Change::Delete(at, length) => {
                let at = offset(*at);
                let end = bytes.len().min(at + usize::from(*length) % 97);
                bytes.drain(at..end);
            }
            Change::Repeat(at, length, times) => {
                let at = offset(*at);
                let end = bytes.len().min(at + usize::from(*length) % 500);
                let part = bytes[at..end].repeat(usize::from(*times));
                bytes.splice(at..at, part);
            }
            // Changes the next number in a text.
            Change::Number(at, token) => {
                let at = offset(*at);
                let is_number = |b: &u8| b.is_ascii_digit() || *b == b'.';
                let from = bytes.iter().skip(at).position(is_number).map_or(bytes.len(), |n| at + n);
                let to = bytes.iter().skip(from).position(|b| !is_number(b)).map_or(bytes.len(), |n| from + n);
                bytes.splice(from..to, TOKENS[*token].bytes());
            }
            Change::Truncate(at) => bytes.truncate(offset(*at)),
            Change::Replace(others) => bytes.clone_from(others),
        }
    }
    bytes
}
