//! Containers whose content is compressed or checked: a change is made to the content, and the container made anew.

use std::io::{Cursor, Read as _};

/// The file after a change of its content, where it is a container that is known, else after a change of its bytes.
pub(crate) fn changed(file: &[u8], change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    if file.starts_with(b"\x89PNG\r\n\x1a\n") {
        return with_checksums(change(file));
    }
    if file.starts_with(b"\x1f\x8b") {
        let mut content = Vec::new();
        if flate2::read::GzDecoder::new(file).read_to_end(&mut content).is_ok() {
            return gzip(&change(&content));
        }
    }
    if file.starts_with(b"PK\x03\x04")
        && let Some(parts) = parts(file)
    {
        // One part after the other, as the change's length decides.
        let sizes = parts.len().max(1);
        let which = change(file).len() % sizes;
        let parts = parts.into_iter().enumerate();
        let parts: Vec<(String, Vec<u8>)> =
            parts.map(|(i, (name, part))| (name, if i == which { change(&part) } else { part })).collect();
        return zip(&parts);
    }
    change(file)
}

/// A PNG whose chunks have the checksums of their content.
fn with_checksums(mut png: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while let Some(length) = png.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize) {
        let Some(end) = at.checked_add(8).and_then(|start| start.checked_add(length)) else { break };
        let Some(content) = png.get(at + 4..end) else { break };
        let sum = checksum(content).to_be_bytes();
        match png.get_mut(end..end + 4) {
            Some(place) => place.copy_from_slice(&sum),
            None => break,
        }
        at = end + 4;
    }
    png
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::read::GzEncoder::new(content, flate2::Compression::fast());
    let mut bytes = Vec::new();
    encoder.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Names and contents of a ZIP's files.
fn parts(file: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(file)).ok()?;
    let mut parts = Vec::new();
    for index in 0..archive.len() {
        let mut part = archive.by_index(index).ok()?;
        let mut content = Vec::new();
        part.read_to_end(&mut content).ok()?;
        let name = part.name().ok()?.into_owned();
        parts.push((name, content));
    }
    Some(parts)
}

fn zip(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in parts {
        writer.start_file(name.as_str(), stored).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}
