//! Sources of a few lines for the tests of importers. Images are empty files, which no importer looks into.

#![expect(clippy::disallowed_methods, reason = "writes sources for tests")]

use std::fs;
use std::path::Path;

use sweep_core::error::Result;
use tempfile::TempDir;

use super::tree::Tree;
use super::{Format, Options, ParsedDataset};

/// A folder with these files.
pub(super) fn source(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

/// The source of these files as one that is recognised as the format, and read by its importer.
pub(super) fn import(format: Format, options: &Options, files: &[(&str, &str)]) -> Result<ParsedDataset> {
    let root = source(files);
    assert_eq!(Format::detect(root.path()).unwrap().name(), format.name());
    (format.importer().read)(&Tree::open(root.path(), options)?, options)
}

/// The same, where it must be refused: the error.
pub(super) fn refusal(format: Format, options: &Options, files: &[(&str, &str)]) -> String {
    import(format, options, files).unwrap_err().to_string()
}

/// An error that must say all of these.
pub(super) fn assert_says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

/// Landmarks, as x and y, of the image whose path ends in this one.
pub(super) fn points(parsed: &ParsedDataset, image: &str) -> Vec<Option<(f64, f64)>> {
    let record = parsed.records.iter().find(|record| Path::new(&record.image).ends_with(image));
    let names = || parsed.records.iter().map(|record| record.image.as_str()).collect::<Vec<_>>();
    let record = record.unwrap_or_else(|| panic!("{image} is not among {:?}", names()));
    record.landmarks.iter().map(|p| p.map(|p| (p.x, p.y))).collect()
}

/// Options with a category.
pub(super) fn category(name: &str) -> Options {
    Options { category: Some(name.to_owned()), ..Options::default() }
}
