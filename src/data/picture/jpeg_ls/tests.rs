use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Reference {
    jpeg_ls: std::collections::BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    file: String,
    sum: u32,
    width: usize,
    height: usize,
}

/// Files that the reference codec wrote, by imagecodecs, with the checksum of what it decodes; `scripts/dicom_reference.py` made them.
fn reference() -> Vec<(String, Vec<u8>, Entry)> {
    let all: Reference = serde_json::from_str(include_str!("../../../../scripts/dicom_reference.json")).unwrap();
    let bytes = |entry: &Entry| base64::decode(&entry.file).unwrap();
    all.jpeg_ls.into_iter().map(|(name, entry)| (name, bytes(&entry), entry)).collect()
}

fn checksum(values: &[u16]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>());
    sum.sum()
}

#[test]
fn values_are_those_that_charls_decodes() {
    let files = reference();
    assert!(files.len() > 20);
    for (name, file, entry) in files {
        let picture = decode(&file).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((picture.size.width, picture.size.height), (entry.width, entry.height), "{name}");
        assert_eq!(checksum(&picture.values), entry.sum, "{name}");
    }
}

#[test]
fn cut_off_and_damaged_files_end_in_errors() {
    let mut seed = 3u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    for (name, file, _) in reference() {
        for kept in [0, 1, 5, 20, file.len() / 2, file.len() - 8] {
            assert!(decode(&file[..kept]).is_err(), "{name}: {kept} of {} bytes", file.len());
        }
        for _ in 0..200 {
            let mut damaged = file.clone();
            let at = next() % damaged.len();
            damaged[at] = next() as u8;
            let at = next() % 40.min(damaged.len());
            damaged[at] ^= 1 << (next() % 8);
            let _ = decode(&damaged);
        }
    }
}
