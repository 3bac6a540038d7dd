//! The shared cache of pictures: a data set's images, decoded and resized once for all processes and all time.
//!
//! A file holds every image of one data set content at one input size, whatever its split, so that all folds share one;
//! its name is the hash of both. It is written under
//! another name and renamed, so that it is whole or not there; readers map it, so that the system keeps it in memory once
//! for a hundred processes, and check it before they trust it. A file that is damaged is made again; a folder that cannot
//! be written to costs nothing but the time to decode: pictures are the same, bit for bit, with and without the cache.
//!
//! The folder is `$LANDMARK_SWEEP_CACHE`, else `$XDG_CACHE_HOME/landmark-sweep`, else `~/.cache/landmark-sweep`;
//! `LANDMARK_SWEEP_CACHE=off` means none. `file` is what a file looks like, `eviction` removes files when there are too
//! many.

#![expect(clippy::disallowed_methods, reason = "keeps files of its own, where the environment says")]

mod eviction;
mod file;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Once;

use rayon::prelude::*;

use super::content_hash::ContentHasher;
use super::resize::{Picture, placed, resize};
use super::{Dataset, DatasetIndex, DatasetSpec, Sample};
use sweep_core::error::Result;
use sweep_core::units::Size;

/// Raised whenever decoding or resizing gives other values, or files look otherwise.
const VERSION: u64 = 2;

/// The environment's word for where the cache is.
pub const VARIABLE: &str = "LANDMARK_SWEEP_CACHE";

/// A data set as training sees it.
#[derive(Debug, Clone)]
pub struct Resized {
    /// The data set, its samples without their original grey values ([`DatasetIndex::originals`] has those).
    pub dataset: Dataset,
    /// Every sample at the input size, in the data set's order.
    pub pictures: Vec<Picture>,
    /// [`DatasetSpec::content_hash`].
    pub content: String,
}

/// Where pictures are kept, if anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// The one that the environment names.
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

    /// One in this folder, made when first written to.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()) }
    }

    /// None: pictures are made anew by every process.
    #[must_use]
    pub fn none() -> Self {
        Self { folder: None }
    }

    /// A data set at an input size: from the cache, or made and, where possible, kept there.
    ///
    /// # Errors
    /// When the data set cannot be read; never because of the cache.
    pub fn load(&self, spec: &DatasetSpec, input: Size) -> Result<Resized> {
        let opened = spec.open()?;
        let before = opened.fingerprints()?;
        let content = before.content.clone();
        let Some(folder) = &self.folder else { return made(&opened, input, content) };
        let key = key(&before.pictures, input);
        let path = folder.join(format!("{key}.{}", file::EXTENSION));
        if let Some(found) = find(&path, &opened, input, &key, &content) {
            return Ok(found);
        }
        // Whoever comes while another process makes the file waits for it.
        let lock = fs::create_dir_all(folder).and_then(|()| {
            OpenOptions::new().create(true).truncate(false).write(true).open(path.with_extension("lock"))
        });
        let lock = match lock {
            Ok(lock) => lock,
            Err(e) => {
                say_unusable(folder, &e);
                return made(&opened, input, content);
            }
        };
        // Where the folder has no locks it is made twice, to no harm.
        if lock.lock().is_ok()
            && let Some(found) = find(&path, &opened, input, &key, &content)
        {
            return Ok(found);
        }
        let made = made(&opened, input, content)?;
        // Images that changed while they were read must not be kept under the name of what they were.
        if opened.fingerprints()? != before {
            return Ok(made);
        }
        match keep(&path, &key, input, &made) {
            // From the file, so that this process too holds what all others hold, once.
            Ok(()) => Ok(find(&path, &opened, input, &key, &made.content).unwrap_or(made)),
            Err(e) => {
                say_unusable(folder, &e);
                Ok(made)
            }
        }
    }
}

/// The name of a file's content. Pictures of other machines are others': their mathematics may round otherwise.
fn key(pictures: &str, input: Size) -> String {
    let mut hasher = ContentHasher::new("landmark-sweep 2026 resized pictures");
    hasher.bytes(pictures.as_bytes());
    for number in [VERSION, input.height as u64, input.width as u64] {
        hasher.number(number);
    }
    for word in [std::env::consts::ARCH, std::env::consts::OS] {
        hasher.bytes(word.as_bytes());
    }
    hasher.finish()
}

/// What the cache has of it; `None` if that is nothing, or nothing to trust.
fn find(path: &Path, opened: &DatasetIndex, input: Size, key: &str, content: &str) -> Option<Resized> {
    let kept = File::open(path).ok()?;
    let told = |why: &str| eprintln!("{}: {why}; it is made again", path.display());
    let (sizes, pixels) = file::read(&kept, key, input).map_err(|why| told(&why)).ok()?;
    let dataset = opened.without_pixels(&sizes);
    let dataset = dataset.or_else(|| {
        told("it holds other images than the data set");
        None
    })?;
    eviction::mark_used(&kept);
    let pictures = dataset.samples.iter().zip(pixels).map(|(sample, pixels)| placed(sample, input, pixels)).collect();
    Some(Resized { dataset, pictures, content: content.to_owned() })
}

/// Decodes and resizes, in parallel.
fn made(opened: &DatasetIndex, input: Size, content: String) -> Result<Resized> {
    let mut dataset = opened.load()?;
    let resized = |sample: &mut Sample| {
        let picture = resize(sample, input);
        sample.pixels = Vec::new();
        picture
    };
    let pictures = dataset.samples.par_iter_mut().map(resized).collect();
    Ok(Resized { dataset, pictures, content })
}

/// Writes a file beside its place and moves it there; then removes old ones if there are too many.
fn keep(path: &Path, key: &str, input: Size, made: &Resized) -> std::io::Result<()> {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let written = File::create(&part)
        .and_then(|mut out| {
            file::write(&mut out, key, input, &made.dataset, &made.pictures)?;
            out.flush()?;
            out.sync_all()
        })
        .and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // Of no use, half written; that it cannot be removed either would hide the first reason.
        let _ = fs::remove_file(&part);
    }
    written?;
    eviction::evict(path);
    Ok(())
}

/// One word a process is enough.
fn say_unusable(folder: &Path, why: &std::io::Error) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        eprintln!(
            "cache {}: {why}; images are decoded anew by every process (choose another folder with {VARIABLE}, or `off`)",
            folder.display()
        );
    });
}

#[cfg(test)]
mod tests;
