//! The files of a source, and nothing outside it.

#![expect(clippy::disallowed_methods, reason = "reads data sets")]

mod keep;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};

use unicode_normalization::UnicodeNormalization as _;

use crate::picture;
use sweep_core::error::{Error, Result};

use super::splits::SplitNames;
use super::{Options, json_numbers, text};

/// More files than any data set has: someone named a whole disk.
const MAX_FILES: usize = 1 << 20;
/// Folders in folders.
const MAX_DEPTH: usize = 24;
/// The largest annotations in use, those of COCO, take half of it.
const MAX_TEXT: u64 = 1 << 29;

/// The files of a source, listed once. Paths are relative to its root, and only of files that lie in it, also behind
/// links: a path that an annotation names can lead nowhere else.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    /// Sorted.
    files: Vec<PathBuf>,
    /// Indices into `files` by lower-case name.
    by_name: BTreeMap<String, Vec<usize>>,
    /// The one file that was named as the source; its folder is the root.
    only: Option<PathBuf>,
    options: Options,
    split_names: SplitNames,
    remarks: Mutex<Remarks>,
}

/// Facts about a source that come up while it is read.
#[derive(Debug, Default)]
struct Remarks {
    notes: Vec<String>,
    /// Errors of rows and images that were left out.
    skipped: Vec<String>,
    /// Files that were found by the end of a path of another machine, and that path.
    foreign: BTreeMap<PathBuf, String>,
    /// Files that were named by paths within the source.
    named: BTreeSet<PathBuf>,
    /// Headers of the user's columns that a table had.
    columns: BTreeSet<String>,
}

impl Tree {
    /// Lists a folder, or the folder of a file.
    pub(super) fn open(source: &Path, options: &Options) -> Result<Self> {
        let unreadable = |e: std::io::Error| Error::input(format!("cannot be read: {e}")).at(source.display());
        let resolved = fs::canonicalize(source).map_err(unreadable)?;
        let (root, only) = if resolved.is_dir() {
            (resolved, None)
        } else {
            let name = resolved.file_name().map(PathBuf::from);
            (resolved.parent().unwrap_or(Path::new("/")).to_owned(), name)
        };
        let mut files = Vec::new();
        walk(&root, Path::new(""), 0, &mut files).map_err(|e| e.at(source.display()))?;
        files.sort();
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, file) in files.iter().enumerate() {
            by_name.entry(lower(file.file_name())).or_default().push(index);
        }
        let (split_names, remarks) = (SplitNames::default(), Mutex::default());
        Ok(Self { root, files, by_name, only, options: options.clone(), split_names, remarks })
    }

    /// The path that lists these files again.
    pub(super) fn source(&self) -> PathBuf {
        self.only.as_ref().map_or_else(|| self.root.clone(), |only| self.root.join(only))
    }

    /// The user's options on the source.
    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Names that said a split.
    pub(super) fn split_names(&self) -> &SplitNames {
        &self.split_names
    }

    fn remarks(&self) -> MutexGuard<'_, Remarks> {
        // A panic elsewhere leaves lists that are still right.
        self.remarks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a note for the user, once.
    pub(super) fn note(&self, note: String) {
        let mut remarks = self.remarks();
        if !remarks.notes.contains(&note) {
            remarks.notes.push(note);
        }
    }

    /// Keeps that a table has a column that the user names.
    pub(super) fn has_column(&self, header: &str) {
        self.remarks().columns.insert(header.to_owned());
    }

    /// Whether the source has all columns that the user names.
    pub(super) fn check_columns(&self) -> Result<()> {
        let remarks = self.remarks();
        match self.options.columns.iter().find(|(_, header)| !remarks.columns.contains(header)) {
            Some((_, header)) => Err(Error::input(format!("the source has no column `{header}`"))
                .at("--columns")
                .remedy("write NAME=HEADER with a header as it stands in the table")),
            None => Ok(()),
        }
    }

    /// Notes that came up while the source was read.
    pub(super) fn notes(&self) -> Vec<String> {
        let remarks = self.remarks();
        let mut notes = remarks.notes.clone();
        if let Some((file, path)) = remarks.foreign.first_key_value() {
            notes.push(format!(
                "{} images are named by paths of another machine and were found by their ends, such as `{path}`: {}",
                remarks.foreign.len(),
                file.display()
            ));
        }
        notes.extend(list_skipped("rows or images", &remarks.skipped));
        notes
    }

    /// A name for the data set: the source's.
    pub(super) fn name(&self) -> String {
        let named = self.only.as_deref().and_then(Path::file_stem).or(self.root.file_name());
        named.map_or_else(|| "imported".into(), |name| name.to_string_lossy().into_owned())
    }

    /// Where a file is.
    pub(super) fn path(&self, file: &Path) -> PathBuf {
        self.root.join(file)
    }

    /// All files, sorted.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    /// Image files, sorted.
    pub(super) fn images(&self) -> impl Iterator<Item = &Path> {
        self.files().filter(|file| picture::is_image_file(&self.path(file)))
    }

    /// Files with this ending that may hold annotations: of a file as the source, only that one.
    pub(super) fn annotations(&self, extension: &str) -> Vec<&Path> {
        let ends = |file: &&Path| {
            let hidden = file.components().any(|c| c.as_os_str().to_string_lossy().starts_with('.'));
            !hidden && lower(file.extension()) == extension
        };
        match &self.only {
            Some(only) => Some(only.as_path()).filter(ends).into_iter().collect(),
            None => self.files().filter(ends).collect(),
        }
    }

    /// The first of [`Tree::annotations`], enough to detect a format.
    pub(super) fn some(&self, extension: &str) -> Vec<&Path> {
        let mut files = self.annotations(extension);
        files.truncate(8);
        files
    }

    /// A file's bytes.
    pub(super) fn bytes(&self, file: &Path) -> Result<Vec<u8>> {
        let path = self.path(file);
        let unreadable = |e: std::io::Error| Error::input(format!("cannot be read: {e}")).at(path.display());
        let length = fs::metadata(&path).map_err(unreadable)?.len();
        if length > MAX_TEXT {
            return Err(Error::input(format!("{} MiB are too much", length >> 20))
                .at(path.display())
                .remedy("split the annotations into several files"));
        }
        fs::read(&path).map_err(unreadable)
    }

    /// A file's text.
    pub(super) fn text(&self, file: &Path) -> Result<String> {
        let bytes = self.bytes(file)?;
        let (text, note) = text::decode(&bytes).map_err(|e| e.at(self.path(file).display()))?;
        if let Some(note) = note {
            self.note(format!("{}: {note}", file.display()));
        }
        Ok(text)
    }

    /// The text of a file's first bytes, enough to detect a format.
    pub(super) fn head(&self, file: &Path) -> Result<String> {
        Ok(text::decode_start(&self.start(file, 1 << 16)?))
    }

    /// A JSON file's content; errors name line, column and field.
    pub(super) fn json<T: DeserializeOwned>(&self, file: &Path) -> Result<T> {
        let text = self.text(file)?;
        // Python writes NaN, which counts as null here.
        let plain = json_numbers::plain(&text);
        let mut deserializer = serde_json::Deserializer::from_str(&plain.text);
        let at = |e: Error| e.at(self.path(file).display());
        let content = serde_path_to_error::deserialize(&mut deserializer).map_err(|e| {
            let field = e.path().to_string();
            let hint = plain.first.map(|(word, line)| format!(" ({word} counts as null; the first is in line {line})"));
            let error = Error::input(e.into_inner().to_string() + &hint.unwrap_or_default());
            at(if field == "." { error } else { error.at(format!("field {field}")) })
        })?;
        deserializer.end().map_err(|e| at(Error::input(e.to_string())))?;
        Ok(content)
    }

    /// The keys of a JSON file's outermost object; none where it is no such file.
    pub(super) fn keys(&self, file: &Path) -> Vec<String> {
        self.json::<Keys>(file).map(|keys| keys.0).unwrap_or_default()
    }

    /// The start of a file that is too large to be read.
    pub(super) fn start(&self, file: &Path, bytes: usize) -> Result<Vec<u8>> {
        use std::io::Read as _;
        let path = self.path(file);
        let unreadable = |e: std::io::Error| Error::input(format!("cannot be read: {e}")).at(path.display());
        let mut start = Vec::new();
        let file = fs::File::open(&path).map_err(unreadable)?;
        file.take(bytes as u64).read_to_end(&mut start).map_err(unreadable)?;
        Ok(start)
    }

    /// The file that an annotation in the folder `from` names: there, or from the root, or the only one of that name.
    /// Names may be without their ending, and with backslashes. Of a path that begins on another machine (`D:\…`, `\\nas\…`,
    /// `/home/…`, `file:///…`) as much of the end counts as is there.
    pub(super) fn find(&self, from: &Path, name: &str) -> Result<PathBuf> {
        let name = name.trim().replace('\\', "/");
        if name.is_empty() || name.contains('\0') {
            return Err(Error::input(format!("`{name}` is not a path within the source"))
                .remedy("name images relative to the annotations or to the source's folder"));
        }
        if let Some(path) = text::path_of_address(&name) {
            return self.find_foreign(&path, &name);
        }
        let is_drive = name.as_bytes().get(1) == Some(&b':');
        if name.starts_with('/') || is_drive {
            let path = if is_drive { &name[2..] } else { &name };
            return self.find_foreign(path, &name);
        }
        let beside = plain(&from.join(&name)).filter(|path| self.has(path));
        if let Some(found) = beside.or_else(|| plain(Path::new(&name)).filter(|path| self.has(path))) {
            return self.found(found, &name);
        }
        let Some(tail) = plain(Path::new(name.trim_start_matches("../"))) else {
            return Err(Error::input(format!("the path `{name}` leads out of the source"))
                .remedy("name the folder that holds annotations and images as the source"));
        };
        match self.named(&tail)[..] {
            [one] => self.found(one.to_owned(), &name),
            // Addresses write blanks and letters beyond ASCII by their bytes.
            [] if name.contains('%') && text::percent_decoded(&name).is_some() => {
                self.find(from, &text::percent_decoded(&name).unwrap_or_default()).map_err(|_| no_image(&name))
            }
            // The path leads out of the source, which was moved here without the rest.
            [] if name.starts_with("../") && tail.components().count() > 1 => self.find_foreign(&name, &name),
            [] => Err(no_image(&name)),
            [a, b, ..] => Err(either(&name, a, b)),
        }
    }

    /// A file that a path within the source names.
    fn found(&self, file: PathBuf, name: &str) -> Result<PathBuf> {
        let mut remarks = self.remarks();
        if let Some(before) = remarks.foreign.get(&file) {
            return Err(both(before, name, &file));
        }
        if !remarks.named.contains(&file) {
            remarks.named.insert(file.clone());
        }
        Ok(file)
    }

    /// The only file that shares the most with the end of a path, which the source need not hold whole.
    pub(super) fn find_by_end(&self, name: &str) -> Result<PathBuf> {
        self.find_foreign(name, name)
    }

    /// The only file that shares the most with the end of a path of another machine.
    fn find_foreign(&self, path: &str, name: &str) -> Result<PathBuf> {
        let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
        let found = (0..parts.len()).map(|first| self.named(&parts[first..].iter().collect::<PathBuf>()));
        let one = match found.into_iter().find(|found| !found.is_empty()).unwrap_or_default()[..] {
            [] => return Err(no_image(name)),
            [one] => one.to_owned(),
            [a, b, ..] => return Err(either(name, a, b)),
        };
        let mut remarks = self.remarks();
        if remarks.named.contains(&one) {
            return Err(both(&one.to_string_lossy(), name, &one));
        }
        let before = remarks.foreign.entry(one.clone()).or_insert_with(|| name.to_owned());
        if before == name { Ok(one) } else { Err(both(before, name, &one)) }
    }

    /// Whether it is one of the files.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.files.binary_search_by(|file| file.as_path().cmp(path)).is_ok()
    }

    /// Files whose paths end in this one; else images that do but for their ending.
    fn named(&self, tail: &Path) -> Vec<&Path> {
        let indices = self.by_name.get(&lower(tail.file_name())).map_or(&[][..], Vec::as_slice);
        let whole: Vec<&Path> =
            indices.iter().map(|index| self.files[*index].as_path()).filter(|file| ends_with(file, tail)).collect();
        if !whole.is_empty() {
            return whole;
        }
        // All names that begin with it and a dot lie side by side.
        let stem = lower(tail.file_name()) + ".";
        let candidates = self.by_name.range(stem.clone()..).take_while(|(name, _)| name.starts_with(&stem));
        candidates
            .flat_map(|(_, indices)| indices.iter().map(|index| self.files[*index].as_path()))
            .filter(|file| picture::is_image(file) && ends_with(&file.with_extension(""), tail))
            .collect()
    }
}

fn no_image(name: &str) -> Error {
    Error::input(format!("there is no image `{name}`"))
        .remedy("name as the source the folder that holds annotations and images, or remove the entry (--skip-bad)")
}

fn both(a: &str, b: &str, file: &Path) -> Error {
    Error::input(format!("`{a}` and `{b}` would both be `{}`", file.display()))
        .remedy("keep the images' folders, or name images relative to the source's folder")
}

fn either(name: &str, a: &Path, b: &Path) -> Error {
    Error::input(format!("`{name}` may be `{}` or `{}`", a.display(), b.display()))
        .remedy("say which one by its folder")
}

/// An error without its remedy.
pub(super) fn one_line(error: &Error) -> String {
    Error { remedy: None, ..error.clone() }.to_string()
}

/// A note of what was left out, and why; none if nothing was.
pub(super) fn list_skipped(what: &str, errors: &[String]) -> Option<String> {
    const LISTED: usize = 20;
    let more = errors.len().saturating_sub(LISTED);
    let more = if more > 0 { format!("\n  … and {more} more") } else { String::new() };
    let list = errors.iter().take(LISTED).fold(String::new(), |list, error| list + "\n  " + error);
    (!errors.is_empty()).then(|| format!("{} {what} were left out (--skip-bad):{list}{more}", errors.len()))
}

/// Whether the last parts of a path are these, in whatever case.
fn ends_with(file: &Path, tail: &Path) -> bool {
    let parts = |path: &Path| -> Vec<String> { path.components().map(|c| lower(Some(c.as_os_str()))).collect() };
    parts(file).ends_with(&parts(tail))
}

fn lower(name: Option<&OsStr>) -> String {
    // macOS writes an accent as a character of its own.
    name.map(|name| name.to_string_lossy().nfc().flat_map(char::to_lowercase).collect()).unwrap_or_default()
}

/// The path without `.` and `..`, if it stays inside.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            Component::ParentDir if plain.pop() => {}
            _ => return None,
        }
    }
    Some(plain)
}

/// Adds the files under `root/folder`. Links to files within the root count, those that lead out and those to folders
/// do not.
fn walk(root: &Path, folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let here = root.join(folder);
    let unreadable = |e: std::io::Error| Error::input(format!("cannot be read: {e}")).at(here.display());
    for entry in fs::read_dir(&here).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (kind, path) = (entry.file_type().map_err(unreadable)?, folder.join(entry.file_name()));
        let inside = || fs::canonicalize(entry.path()).is_ok_and(|to| to.starts_with(root) && to.is_file());
        if kind.is_dir() && depth < MAX_DEPTH {
            walk(root, &path, depth + 1, files)?;
        } else if kind.is_file() || kind.is_symlink() && inside() {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(Error::input(format!("more than {MAX_FILES} files")).remedy("name the data set's own folder"));
        }
    }
    Ok(())
}

/// The keys of a JSON object, without its values.
pub(super) fn keys_of<'de, A: MapAccess<'de>>(mut map: A) -> Result<Vec<String>, A::Error> {
    let mut keys = Vec::new();
    while let Some((key, IgnoredAny)) = map.next_entry()? {
        keys.push(key);
    }
    Ok(keys)
}

/// The keys of an object.
struct Keys(Vec<String>);

impl<'de> serde::Deserialize<'de> for Keys {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Keys;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Keys, A::Error> {
                keys_of(map).map(Keys)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests;
