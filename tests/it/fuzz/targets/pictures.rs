//! Pictures, and the cache of them.

use std::fs;
use std::path::{Path, PathBuf};

use landmark_sweep::data::cache::Cache;
use landmark_sweep::data::{DatasetSpec, picture};
use landmark_sweep::units::Size;
use serde_json::json;

use super::{Scene, files, with};

pub(crate) fn decode(bytes: &[u8]) -> bool {
    picture::decode(bytes).is_ok_and(|grey| is_whole(&grey))
}

pub(super) fn is_whole(grey: &picture::Grey) -> bool {
    assert_eq!(grey.pixels.len(), grey.size.area());
    true
}

/// Headers whose values lie in another file.
pub(super) fn headers_of(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    files(folder, &mut all);
    all.retain(|file| file.extension().is_some_and(|ending| ending == "mhd" || ending == "nhdr"));
    all
}

/// The first byte chooses the header that the others replace.
pub(super) fn header(scene: &Scene, bytes: &[u8]) -> bool {
    let [which, bytes @ ..] = bytes else { return false };
    let headers = headers_of(&scene.scratch.join("pictures"));
    let file = &headers[usize::from(*which) % headers.len()];
    with(file, bytes, || picture::read(file).is_ok_and(|grey| is_whole(&grey)))
}

pub(super) fn headers(scene: &Scene) -> Vec<Vec<u8>> {
    let headers = headers_of(&scene.scratch.join("pictures"));
    (0u8..).zip(headers).map(|(which, file)| [&[which][..], &fs::read(file).unwrap()].concat()).collect()
}

// The cache.

pub(super) fn phantoms() -> DatasetSpec {
    let spec = json!({ "name": "phantom", "train": 2, "val": 1, "height": 40, "width": 32 });
    serde_json::from_value(spec).unwrap()
}

pub(super) const CACHED: Size = Size { height: 12, width: 10 };

/// The cache's only file, made whole.
pub(super) fn cached(scene: &Scene) -> PathBuf {
    let folder = scene.scratch.join("cache");
    Cache::at(&folder).load(&phantoms(), CACHED).unwrap();
    let mut all = Vec::new();
    files(&folder, &mut all);
    all.into_iter().find(|file| file.extension().is_some_and(|e| e == "pictures")).unwrap()
}

/// Whatever the file holds, the pictures are right; they were in the file if it is still the same.
pub(super) fn cache(scene: &Scene, bytes: &[u8]) -> bool {
    let file = cached(scene);
    // It cannot be written to, but replaced.
    fs::remove_file(&file).unwrap();
    fs::write(&file, bytes).unwrap();
    let read = |cache: Cache| {
        let pictures = cache.load(&phantoms(), CACHED).unwrap().pictures;
        pictures.iter().map(|picture| picture.read().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(read(Cache::at(&scene.scratch.join("cache"))), read(Cache::none()));
    fs::read(&file).unwrap() == bytes
}
