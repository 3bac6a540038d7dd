//! Text in the encodings that spreadsheets write: UTF-8, UTF-16 and, for want of anything better, Windows-1252.

use encoding_rs::{UTF_16BE, UTF_16LE, WINDOWS_1252};

use sweep_core::error::{Error, Result};

/// The text of a file's bytes without a byte-order mark; a note where the encoding was guessed.
pub(super) fn decode(bytes: &[u8]) -> Result<(String, Option<&'static str>)> {
    if let Some(text) = utf16(bytes) {
        return text.map(|text| (text, None));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok((text.to_owned(), None)),
        Err(error) => error,
    };
    // Control characters are in no text of this kind.
    let is_binary = bytes.iter().any(|b| *b < 9 || (14..32).contains(b));
    let (text, _, has_unknown) = WINDOWS_1252.decode(bytes);
    if is_binary || has_unknown {
        return Err(Error::input(format!("byte {}: not UTF-8 text", error.valid_up_to())).remedy("save it in UTF-8"));
    }
    let note = "not UTF-8: read as Windows-1252 (Latin-1); if names look wrong, save it as UTF-8";
    Ok((text.into_owned(), Some(note)))
}

/// The text of the first bytes of a file, of which the last character may be cut.
pub(super) fn decode_start(bytes: &[u8]) -> String {
    match utf16(&bytes[..bytes.len() & !1]) {
        Some(Ok(text)) => text,
        _ => String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).into_owned(),
    }
}

/// The text if it is UTF-16, with or without a byte-order mark.
fn utf16(bytes: &[u8]) -> Option<Result<String>> {
    let zeros = |from: usize| bytes.iter().skip(from).step_by(2).take(64).filter(|b| **b == 0).count();
    let some = (bytes.len() / 2).clamp(1, 64);
    let encoding = match bytes {
        [0xff, 0xfe, ..] => UTF_16LE,
        [0xfe, 0xff, ..] => UTF_16BE,
        // In Latin letters every other byte is 0.
        [_, 0, ..] if zeros(1) * 4 > some * 3 && zeros(0) == 0 => UTF_16LE,
        [0, _, ..] if zeros(0) * 4 > some * 3 && zeros(1) == 0 => UTF_16BE,
        _ => return None,
    };
    let (text, has_errors) = encoding.decode_with_bom_removal(bytes);
    Some(if has_errors {
        Err(Error::input("damaged UTF-16 text").remedy("save it in UTF-8"))
    } else {
        Ok(text.into_owned())
    })
}

/// The path of an address such as `file:///home/a%20b.png` or `https://host/a.png?size=2`, without escapes; `None` of what is
/// no address. A drive's letter is no scheme.
pub(super) fn path_of_address(name: &str) -> Option<String> {
    let (scheme, rest) = name.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let is_file = scheme.eq_ignore_ascii_case("file");
    if !is_scheme || !(rest.starts_with("//") || is_file && rest.starts_with('/')) {
        return None;
    }
    // A file's name may have a `#`, which no browser writes as it is; `?` begins what a server is asked.
    let path = rest.split(if is_file { &['?'][..] } else { &['?', '#'] }).next().unwrap_or(rest);
    Some(percent_decoded(path).unwrap_or_else(|| path.to_owned()))
}

/// A name whose bytes are written as `%20`; `None` where that changes nothing, or is no text.
pub(super) fn percent_decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        let code = code.filter(|code| code.bytes().all(|digit| digit.is_ascii_hexdigit()));
        if let Some(byte) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok().filter(|plain| plain != name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_paths() {
        for (address, path) in [
            ("file:///home/anna/a%20b.png", "///home/anna/a b.png"),
            ("file:/C:/x/a.png", "/C:/x/a.png"),
            ("https://host:8080/x/%C3%A9.png?size=2#top", "//host:8080/x/\u{e9}.png"),
            ("s3://bucket/a.png", "//bucket/a.png"),
        ] {
            assert_eq!(path_of_address(address).as_deref(), Some(path), "{address}");
        }
        for plain in ["C:/x/a.png", "a.png", "stack.tif:0001", "a:b/c.png", "1:/x", "file:a.png"] {
            assert_eq!(path_of_address(plain), None, "{plain}");
        }
    }

    #[test]
    fn spreadsheets_encodings_are_read() {
        let text = "image;\u{e9}pine_x\r\n";
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            [b"\xff\xfe", le.as_slice()].concat(),
            [b"\xfe\xff", be.as_slice()].concat(),
            le.clone(),
            be,
        ] {
            assert_eq!(decode(&bytes).unwrap(), (text.to_owned(), None), "{bytes:?}");
        }
        let (latin, note) = decode(b"image;\xe9pine_x\r\n").unwrap();
        assert!(latin == text && note.is_some_and(|note| note.contains("Windows-1252")), "{latin}");
        assert!(decode(b"\x89PNG\x00\x01").is_err());
        assert!(decode(&[&b"\xff\xfe"[..], &[0, 0xd8]].concat()).is_err());
        assert_eq!(decode_start(&[b"\xff\xfe", &le[..5]].concat()), "im");
    }
}
