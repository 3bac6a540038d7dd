//! Definitions, data sets, and annotations to import.

use std::fs;
use std::path::{Path, PathBuf};

use landmark_sweep::data::folder;
use landmark_sweep::data::import::{self, Format, Options, PixelSource};
use landmark_sweep::definition::SweepDefinition;
use landmark_sweep::units::Spacing;

use super::{Scene, files, repository, with};

pub(crate) fn definition(bytes: &[u8]) -> bool {
    SweepDefinition::parse("fuzz.toml", &String::from_utf8_lossy(bytes)).is_ok()
}

pub(super) fn definitions(_: &Scene) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    files(&repository().join("experiments"), &mut all);
    let all = all.into_iter().filter(|file| file.extension().is_some_and(|e| e == "toml"));
    all.map(|file| fs::read(file).unwrap()).collect()
}

pub(super) fn set(scene: &Scene, file: &str) -> Vec<Vec<u8>> {
    vec![fs::read(scene.scratch.join("set").join(file)).unwrap()]
}

pub(super) fn in_set(scene: &Scene, file: &str, bytes: &[u8]) -> bool {
    let set = scene.scratch.join("set");
    with(&set.join(file), bytes, || folder::read(&set).is_ok())
}

/// Folders of fixtures in a format of annotations.
pub(super) fn sources() -> Vec<(PathBuf, Format)> {
    let entries = fs::read_dir(repository().join("tests/fixtures/formats")).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    let format = |folder: &PathBuf| {
        let name = folder.file_name()?.to_string_lossy().into_owned();
        Format::ALL.into_iter().filter(|f| name.starts_with(f.name())).max_by_key(|f| f.name().len())
    };
    folders.into_iter().filter_map(|folder| Some((folder.clone(), format(&folder)?))).collect()
}

/// Up to three files of each kind in a folder of annotations; pictures have a target of their own.
pub(crate) fn tables(folder: &Path) -> Vec<PathBuf> {
    let (mut all, mut kinds) = (Vec::new(), std::collections::BTreeMap::<String, usize>::new());
    files(folder, &mut all);
    all.retain(|file| {
        let ending = file.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
        let count = kinds.entry(ending.clone()).or_default();
        *count += 1;
        *count <= 3 && !["bmp", "png", "jpg", "tif", "dcm"].contains(&ending.as_str())
    });
    all
}

/// The first byte chooses the folder, the second the file in it that the others replace.
pub(super) fn annotations(scene: &Scene, bytes: &[u8]) -> bool {
    let [folder, file, bytes @ ..] = bytes else { return false };
    let sources = sources();
    let (source, format) = &sources[usize::from(*folder) % sources.len()];
    let here = scene.scratch.join("sources").join(source.file_name().unwrap());
    let tables = tables(&here);
    let Some(table) = tables.get(usize::from(*file) % tables.len().max(1)) else { return false };
    let names = || {
        let entries = fs::read_dir(&scene.scratch).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    let before = names();
    let made = with(table, bytes, || import_from(&here, *format, &scene.scratch.join("imported")));
    assert_eq!(names(), before, "something was left behind");
    made
}

pub(super) fn annotated(scene: &Scene) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, (source, _)) in (0u8..).zip(sources()) {
        let here = scene.scratch.join("sources").join(source.file_name().unwrap());
        for (table, file) in (0u8..).zip(tables(&here)) {
            seeds.push([&[number, table][..], &fs::read(file).unwrap()].concat());
        }
    }
    seeds
}

/// Imports a folder into a new data set, which is removed again.
pub(crate) fn import_from(source: &Path, format: Format, out: &Path) -> bool {
    drop(Format::detect(source));
    let lacks = matches!(
        format,
        Format::Coco
            | Format::Labelme
            | Format::Cvat
            | Format::LabelStudio
            | Format::Datumaro
            | Format::YoloPose
            | Format::Via
            | Format::OpenPose
            | Format::MmPose
    );
    let spacing = lacks.then_some(Spacing { x: 0.1, y: 0.1 });
    let options = Options { spacing, ..Options::default() };
    let Ok(draft) = import::read(source, Some(format), &options) else { return false };
    let root = source.canonicalize().unwrap();
    for record in &draft.records {
        let (PixelSource::File(path) | PixelSource::Labelme(path) | PixelSource::Slice { stack: path, .. }) =
            &record.source;
        assert!(path.canonicalize().unwrap().starts_with(&root), "{} is outside", path.display());
    }
    let made = import::write(&draft, out).is_ok();
    assert_eq!(made, out.exists());
    if made {
        folder::read(out).unwrap();
        fs::remove_dir_all(out).unwrap();
    }
    made
}
