use std::fs;

use super::*;

#[test]
fn every_importer_is_listed_and_documented() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("import");
    let mut importers = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let has_importer = fs::read_to_string(&path).unwrap().contains(concat!("const IMPORTER", ": Importer"));
        importers.extend(has_importer.then(|| path.file_stem().unwrap().to_string_lossy().into_owned()));
    }
    importers.sort();
    let mut listed = MODULES;
    listed.sort_unstable();
    assert_eq!(importers, listed, "files with an IMPORTER, and the list of formats");
    let readme = include_str!("../../../README.md");
    assert!(readme.contains(&format!("{} formats", MODULES.len())), "README.md has another number of formats");
    let guide = include_str!("../../guide/data.md");
    for format in Format::ALL {
        assert!(guide.contains(&format!("\n| `{}` |", format.name())), "{} is not in guide/data.md", format.name());
    }
}
