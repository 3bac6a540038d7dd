//! The shared cache of pictures: a data set's images, decoded and resized once for all processes and all time.
//!
//! A file holds every image of one data set content at one input size, whatever its split, so that all folds share one;
//! its name is the hash of both. It is written under another name and renamed, so that it is complete or absent. Readers
//! check it before they trust it, and check each picture again whenever they read it (`picture`); the system keeps the file in
//! memory once for a hundred processes. A damaged file is made again, and so is one of another user (`secret`). If the folder
//! cannot be written, only decoding time is lost: pictures are the same, bit for bit, with and without the cache.
//!
//! The folder is `$LANDMARK_SWEEP_CACHE`, else `$XDG_CACHE_HOME/landmark-sweep`, else `~/.cache/landmark-sweep`;
//! `LANDMARK_SWEEP_CACHE=off` means none. `file` is the layout of a file, `eviction` removes files when there are too
//! many.

#![expect(clippy::disallowed_methods, reason = "keeps files of its own, where the environment says")]

mod eviction;
mod file;
mod picture;
mod secret;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use rayon::prelude::*;

use super::content_hash::ContentHasher;
use super::index::{Fingerprints, short_hash};
use super::picture::GreyRange;
use super::resize::{Picture, placed, resize};
use super::{Dataset, DatasetIndex, DatasetSpec, Sample};
pub use picture::CachedPicture;
use secret::Secret;
use sweep_core::error::Result;
use sweep_core::note;
use sweep_core::units::Size;

/// Raised whenever decoding or resizing gives other values, or files look otherwise.
const VERSION: u64 = 2;

/// Environment variable of the cache's folder.
pub const VARIABLE: &str = "LANDMARK_SWEEP_CACHE";

/// A data set at the input size of a network.
#[derive(Debug, Clone)]
pub struct Resized {
    /// The data set, its samples without their original grey values ([`DatasetIndex::originals`] has those).
    pub dataset: Dataset,
    /// Every sample at the input size, in the data set's order.
    pub pictures: Vec<CachedPicture>,
    /// [`DatasetSpec::content_hash`].
    pub content: String,
    /// [`DatasetIndex::image_hashes`] of all images, in the data set's order.
    pub image_hashes: Vec<String>,
    /// [`DatasetIndex::grey`].
    pub grey: Option<GreyRange>,
}

/// The folder of cached pictures, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// The cache that the environment names.
    #[must_use]
    pub fn of_environment() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        match variable(VARIABLE) {
            Some(off) if off == "off" => Self::none(),
            Some(folder) => Self::at(Path::new(&folder)),
            None => {
                let home = || variable("HOME").map(|home| Path::new(&home).join(".cache"));
                let caches = variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
                Self { folder: caches.map(|caches| caches.join("landmark-sweep")) }
            }
        }
    }

    /// A cache in this folder, which is created by the first write.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()) }
    }

    /// No cache: every process makes its pictures.
    #[must_use]
    pub fn none() -> Self {
        Self { folder: None }
    }

    /// A data set at an input size: from the cache, or made and, where possible, stored there.
    ///
    /// # Errors
    /// When the data set cannot be read; never because of the cache.
    pub fn load(&self, spec: &DatasetSpec, input: Size) -> Result<Resized> {
        let opened = Arc::new(spec.open()?);
        let before = opened.fingerprints()?;
        let Some(folder) = &self.folder else { return Ok(made(&opened, input)?.resized(&opened, &before)) };
        let secret = match secret::secret(folder) {
            Ok(secret) => secret,
            Err(e) => {
                report_unusable(folder, &e);
                return Ok(made(&opened, input)?.resized(&opened, &before));
            }
        };
        let key = key(&secret, &before.pictures, input);
        let path = folder.join(format!("{key}.{}", file::EXTENSION));
        if let Some(found) = find(&path, &opened, input, &key, &secret, &before) {
            return Ok(found);
        }
        // Wait while another process makes the file.
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.with_extension("lock"));
        let lock = match lock {
            Ok(lock) => lock,
            Err(e) => {
                report_unusable(folder, &e);
                return Ok(made(&opened, input)?.resized(&opened, &before));
            }
        };
        // In a folder without locks it may be made twice, which does no harm.
        if lock.lock().is_ok()
            && let Some(found) = find(&path, &opened, input, &key, &secret, &before)
        {
            return Ok(found);
        }
        let made = made(&opened, input)?;
        // Images that changed while they were read must not be stored under the hash of their old content.
        if opened.fingerprints()? != before {
            return Ok(made.resized(&opened, &before));
        }
        match store(&path, &key, &secret, input, &made) {
            // From the file, so that this process shares its memory with all others.
            Ok(()) => {
                Ok(find(&path, &opened, input, &key, &secret, &before)
                    .unwrap_or_else(|| made.resized(&opened, &before)))
            }
            Err(e) => {
                report_unusable(folder, &e);
                Ok(made.resized(&opened, &before))
            }
        }
    }
}

/// The name of a file. Other kinds of machine have other names: their mathematics may round differently.
fn key(secret: &Secret, pictures: &str, input: Size) -> String {
    let mut hasher = ContentHasher::new("landmark-sweep 2026 resized pictures");
    hasher.bytes(pictures.as_bytes());
    for number in [VERSION, input.height as u64, input.width as u64] {
        hasher.number(number);
    }
    for word in [std::env::consts::ARCH, std::env::consts::OS] {
        hasher.bytes(word.as_bytes());
    }
    blake3::keyed_hash(secret, hasher.finish().as_bytes()).to_hex().to_string()
}

/// The cached pictures; `None` without a file that can be trusted.
fn find(
    path: &Path,
    opened: &Arc<DatasetIndex>,
    input: Size,
    key: &str,
    secret: &Secret,
    hashes: &Fingerprints,
) -> Option<Resized> {
    let warn = |why: &str| note!("{}: {why}; it is made again", path.display());
    let file = match secret::open_own(path) {
        Ok(file) => file,
        Err(e) => {
            if e.kind() != std::io::ErrorKind::NotFound {
                warn(&e.to_string());
            }
            return None;
        }
    };
    let (sizes, file) = file::open(file, path, key, secret, input, opened).map_err(|why| warn(&why)).ok()?;
    let dataset = opened.without_pixels(&sizes);
    let dataset = dataset.or_else(|| {
        warn("it holds other images than the data set");
        None
    })?;
    eviction::mark_used(&file.file);
    let place = |(index, sample): (usize, &Sample)| {
        CachedPicture::in_file(placed(sample, input, Vec::new().into()), &file, index)
    };
    let pictures = dataset.samples.iter().enumerate().map(place).collect();
    Some(of(opened, dataset, pictures, hashes))
}

/// Pictures that were made here.
struct Made {
    dataset: Dataset,
    pictures: Vec<Picture>,
}

impl Made {
    fn resized(self, opened: &DatasetIndex, hashes: &Fingerprints) -> Resized {
        of(opened, self.dataset, self.pictures.into_iter().map(CachedPicture::from).collect(), hashes)
    }
}

/// Decodes and resizes, in parallel.
fn made(opened: &DatasetIndex, input: Size) -> Result<Made> {
    let mut dataset = opened.load()?;
    let resized = |sample: &mut Sample| {
        let picture = resize(sample, input);
        sample.pixels = Vec::new();
        picture
    };
    let pictures = dataset.samples.par_iter_mut().map(resized).collect();
    Ok(Made { dataset, pictures })
}

fn of(opened: &DatasetIndex, dataset: Dataset, pictures: Vec<CachedPicture>, hashes: &Fingerprints) -> Resized {
    let image_hashes = hashes.images.iter().map(short_hash).collect();
    Resized { dataset, pictures, content: hashes.content.clone(), image_hashes, grey: opened.grey() }
}

/// Writes a file beside its place and moves it there; then removes old ones if there are too many.
fn store(path: &Path, key: &str, secret: &Secret, input: Size, made: &Made) -> std::io::Result<()> {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    // Left by a dead process of the same number.
    let _ = fs::remove_file(&part);
    let written = secret::create(&part)
        .and_then(|mut out| {
            file::write(&mut out, key, secret, input, &made.dataset, &made.pictures)?;
            out.flush()?;
            out.sync_all()
        })
        .and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // Half written it is useless; an error of its removal would hide the first reason.
        let _ = fs::remove_file(&part);
    }
    written?;
    eviction::evict(path);
    Ok(())
}

/// Reports it once per process.
fn report_unusable(folder: &Path, why: &std::io::Error) {
    static REPORTED: Once = Once::new();
    REPORTED.call_once(|| {
        note!(
            "cache {}: {why}; images are decoded anew by every process (choose another folder with {VARIABLE}, or `off`)",
            folder.display()
        );
    });
}

#[cfg(test)]
mod tests;
