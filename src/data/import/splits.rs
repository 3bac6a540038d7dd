//! Splits that names of folders and files say.
//!
//! A folder says a split if its name is one of the words `train`, `val`, `test` and their like, alone or with words that
//! say nothing else (`train2017`, `test-set`, `TrainingData`). A file of annotations says one in the same way, but only
//! beside another file that says another split: a lone `test.csv` is somebody's trial. An image's own name says none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use crate::{Split, picture};

use super::tree::Tree;

/// Words that may stand beside a split's in the name of a folder or a file.
const NEUTRAL: [&str; 29] = [
    "set",
    "sets",
    "data",
    "dataset",
    "images",
    "image",
    "img",
    "imgs",
    "pictures",
    "files",
    "labels",
    "label",
    "json",
    "xml",
    "csv",
    "annotations",
    "annotation",
    "annos",
    "keypoints",
    "landmarks",
    "points",
    "marks",
    "person",
    "instances",
    "coco",
    "split",
    "subset",
    "gt",
    "default",
];

/// The split that the names of folders in a path say, and for other files than images the file's own. None if several do.
pub(super) fn split_in(path: &Path) -> Option<Split> {
    let stem = path.file_stem().filter(|_| !picture::is_image(path));
    let folders = path.parent().into_iter().flat_map(Path::iter);
    let found: BTreeSet<Split> = folders.chain(stem).filter_map(|part| split_named(&part.to_string_lossy())).collect();
    found.first().copied().filter(|_| found.len() == 1)
}

/// The split a word says.
pub(super) fn split_word(word: &str) -> Option<Split> {
    match word.trim().to_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "val" | "valid" | "validation" | "dev" => Some(Split::Val),
        "test" | "testing" => Some(Split::Test),
        _ => None,
    }
}

/// The split a folder's or a file's name says.
fn split_named(name: &str) -> Option<Split> {
    let mut found = None;
    for word in words(name) {
        match split_word(&word) {
            Some(split) if found.is_none_or(|before| before == split) => found = Some(split),
            None if NEUTRAL.contains(&word.as_str()) => {}
            _ => return None,
        }
    }
    found
}

/// The words of a name in lower case, parted by anything but letters, and where a capital follows a small letter.
fn words(name: &str) -> Vec<String> {
    let (mut words, mut word, mut was_small) = (Vec::new(), String::new(), false);
    for c in name.chars() {
        if !c.is_alphabetic() || (c.is_uppercase() && was_small) {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphabetic() {
            word.extend(c.to_lowercase());
        }
        was_small = c.is_lowercase();
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// Names that said a split, with the number of images.
#[derive(Debug, Default)]
pub(super) struct SplitNames(Mutex<BTreeMap<(String, Split), usize>>);

impl SplitNames {
    fn add(&self, name: String, split: Split) {
        // A panic elsewhere leaves a count that is still right.
        let mut names = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *names.entry((name, split)).or_default() += 1;
    }

    /// Such as "`Train` (train, 3 images)"; none if no name said a split.
    pub(super) fn list(&self) -> Option<String> {
        let names = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let all = names.iter().map(|((name, split), count)| format!("`{name}` ({}, {count} images)", split.name()));
        Some(all.collect::<Vec<_>>().join(", ")).filter(|list| !list.is_empty())
    }
}

/// The split that the folders of a path say, and the name of the folder.
fn folder(path: &Path) -> Option<(String, Split)> {
    let split = split_in(&path.with_file_name("x.png"))?;
    let named = path.parent()?.iter().map(|part| part.to_string_lossy());
    let name = named.rev().find(|part| split_named(part) == Some(split))?.into_owned();
    Some((name, split))
}

impl Tree {
    /// The split that names say of an image in a file of annotations; the names are kept for the user.
    pub(super) fn split(&self, annotations: &Path, image: &Path) -> Option<Split> {
        self.keep_split(self.stem(annotations).or_else(|| folder(annotations)).or_else(|| folder(image)))
    }

    /// The split that names of folders say of an image with a file of annotations of its own.
    pub(super) fn folder_split(&self, image: &Path) -> Option<Split> {
        self.keep_split(folder(image))
    }

    fn keep_split(&self, found: Option<(String, Split)>) -> Option<Split> {
        let (name, split) = found?;
        self.split_names().add(name, split);
        Some(split)
    }

    /// The split that a file's own name says, if another file of its kind says another one.
    fn stem(&self, file: &Path) -> Option<(String, Split)> {
        let of = |file: &Path| file.file_stem().and_then(|stem| split_named(&stem.to_string_lossy()));
        let split = of(file)?;
        let extension = file.extension()?.to_string_lossy().to_lowercase();
        let differs = self.annotations(&extension).into_iter().any(|other| of(other).is_some_and(|o| o != split));
        let name = file.file_name()?.to_string_lossy().into_owned();
        differs.then_some((name, split))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_words_of_folders_and_of_annotations() {
        for (path, split) in [
            ("Train/Cephalograms/1.png", Some(Split::Train)),
            ("annotations/person_keypoints_val2017.json", Some(Split::Val)),
            ("Valid/x", Some(Split::Val)),
            ("test-set/1.png", Some(Split::Test)),
            ("TrainingData/1.png", Some(Split::Train)),
            ("TRAIN/1.png", Some(Split::Train)),
            ("latest/constrain.png", None),
            ("images/test.png", None),
            ("images/test0.png", None),
            ("train/test.png", Some(Split::Train)),
            ("train/test/1.png", None),
            ("test-retest/1.png", None),
            ("marks of the test.csv", None),
        ] {
            assert_eq!(split_in(Path::new(path)), split, "{path}");
        }
    }
}
