//! YOLO pose: `data.yaml` with `kpt_shape`, and a text file an image with class, box and keypoints as shares of its size.
//!
//! Origin: shares of width and height, counted from the image's upper left corner, so that x · width is half a pixel more
//! than here (Ultralytics multiplies by width and height, `ultralytics/utils/ops.py`). Orientation: Ultralytics turns pictures
//! by EXIF when it reads their size (`ultralytics/data/utils.py`, `exif_size`), so shares are of the turned picture. Visibility: v = 0
//! is missing; without v, negative coordinates are missing (`verify_image_label`), and 0 0 here too. Places of labels:
//! `img2label_paths` of the same file. Source of the format: docs.ultralytics.com/datasets/pose.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::Split;
use sweep_core::error::{Error, Result};
use sweep_core::units::Point;

use super::known_names;
use super::marked::Marked;
use super::origin::Origin;
use super::parsed::{ParsedDataset, PixelSource, Record, Unit, landmark_name, position};
use super::tree::Tree;
use super::yaml::{self, Node};
use super::{Importer, Options};

pub(super) const IMPORTER: Importer = Importer {
    name: "yolo-pose",
    reads: "`data.yaml` with `kpt_shape`, images of its train, val and test, a text file an image in `labels` or beside it; \
            names from `kpt_names`, else p1, p2, …; shares of the size less half a pixel, since they are counted from the \
            image's corner; v = 0 is missing; one object an image, of several classes by `--category NAME`",
    loses: "boxes, `flip_idx`, hidden (v = 1) or visible (v = 2)",
    origin: Origin::Corner,
    leaves_origin: false,
    has_categories: true,
    is_table: false,
    recognizes: |tree| !settings(tree).is_empty(),
    read,
};

/// YAML files with `kpt_shape`.
fn settings(tree: &Tree) -> Vec<&Path> {
    let is = |file: &&Path| tree.text(file).is_ok_and(|text| text.lines().any(|line| line.starts_with("kpt_shape")));
    let files = tree.annotations("yaml").into_iter().chain(tree.annotations("yml"));
    files.take(64).filter(is).collect()
}

/// The settings that matter.
struct Settings {
    count: usize,
    has_visibility: bool,
    classes: Vec<String>,
    /// Names of keypoints, for all classes (`None`) or for one.
    names: Vec<(Option<usize>, Vec<String>)>,
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let files = settings(tree);
    let file = match files[..] {
        [one] => one,
        [] => {
            return Err(Error::input("there is no YAML file with `kpt_shape`")
                .remedy("put data.yaml beside the folders of images and labels; labels of boxes are no landmarks"));
        }
        [a, b, ..] => {
            return Err(Error::input(format!("several files have `kpt_shape`: {} and {}", a.display(), b.display()))
                .remedy("name one of them as the source"));
        }
    };
    let at = |e: Error| e.at(tree.path(file).display());
    let root = tree.text(file).and_then(|text| yaml::parse(&text).map_err(at))?;
    let settings = Settings::of(&root).map_err(at)?;
    let mut images: Vec<(PathBuf, Split)> = Vec::new();
    let mut keys: BTreeMap<PathBuf, &str> = BTreeMap::new();
    let mut marked = Marked::default();
    for (key, split) in [("train", Split::Train), ("val", Split::Val), ("test", Split::Test)] {
        let Some(node) = root.get(key) else { continue };
        match images_of(tree, file, &root, node, key) {
            Ok(found) => {
                for image in found {
                    match keys.get(&image) {
                        // Folders in folders name an image again.
                        Some(before) if *before == key || options.no_split => {}
                        Some(before) => return Err(at(twice(&image, before, key))),
                        None => {
                            keys.insert(image.clone(), key);
                            images.push((image, split));
                        }
                    }
                }
            }
            // Roboflow names a test set that is not exported.
            Err(error) if split == Split::Test => marked.notes.push(format!("no test images: {}", error.message)),
            Err(error) => return Err(at(error)),
        }
    }
    let mut objects = Vec::new();
    for (image, split) in images {
        let label = label_of(tree, &image);
        let object = match &label {
            Some(label) => tree
                .text(label)
                .and_then(|text| objects_of(&text, &settings).map_err(|e| e.at(tree.path(label).display()))),
            None => Ok(Vec::new()),
        };
        let Some(object) = tree.keep(object)? else { continue };
        objects.push((image, split, label, object));
    }
    let used: BTreeSet<usize> = objects.iter().flat_map(|(.., all)| all.iter().map(|object| object.class)).collect();
    let class = settings.class(&used, options.category.as_deref()).map_err(at)?;
    let (names, note) = settings.names_of(class).map_err(at)?;
    marked.notes.extend(note);
    marked.declare(names.iter().map(String::as_str));
    let origin = options.origin.unwrap_or(IMPORTER.origin);
    for (image, split, label, all) in objects {
        let place = label.as_ref().map_or_else(|| tree.path(&image), |label| tree.path(label)).display().to_string();
        let source = PixelSource::File(tree.path(&image));
        let record = Record {
            split: Some(split),
            unit: Unit::Shares(origin),
            ..Record::new(&image, source, Vec::new(), place.clone())
        };
        let before = marked.len();
        let added = add(&mut marked, record, &names, all.into_iter().filter(|object| object.class == class));
        marked.keep(tree, before, added.map_err(|e| e.at(&place)))?;
    }
    Ok(marked.finish(tree))
}

/// The error of an image in two splits, as data sets have it of which the same folder is both.
fn twice(image: &Path, before: &str, key: &str) -> Error {
    Error::input(format!(
        "`{before}` and `{key}` both have {}: a network would be measured on what it saw",
        image.display()
    ))
    .at(format!("key {key}"))
    .remedy("name other images there, or draw images to validate on: --no-split")
}

/// Adds an image with the points of its object.
fn add(
    marked: &mut Marked,
    record: Record,
    names: &[String],
    mut of_class: impl Iterator<Item = Object>,
) -> Result<()> {
    let index = marked.image(record)?;
    let Some(object) = of_class.next() else { return Ok(()) };
    if let Some(second) = of_class.next() {
        return Err(Error::input("a second object of the class")
            .at(format!("line {}", second.line))
            .remedy("keep one object per image"));
    }
    for (name, point) in names.iter().zip(object.points) {
        if let Some(point) = point {
            marked.mark(index, name, point)?;
        }
    }
    Ok(())
}

impl Settings {
    fn of(root: &Node) -> Result<Self> {
        let shape = root.get("kpt_shape").ok_or_else(|| Error::input("it is empty").at("key kpt_shape"))?;
        let numbers = shape.values("kpt_shape")?;
        let numbers = numbers.iter().map(|(_, node)| node.whole("kpt_shape")).collect::<Result<Vec<_>>>()?;
        let [count, dimensions @ (2 | 3)] = numbers[..] else {
            return Err(shape
                .wrong("kpt_shape", "it is not the number of keypoints and 2 or 3")
                .remedy("write e.g. [19, 3]"));
        };
        if count == 0 || count > 10_000 {
            return Err(shape.wrong("kpt_shape", format!("{count} keypoints")));
        }
        let texts = |node: &Node, key: &str| -> Result<Vec<String>> {
            node.values(key)?.iter().map(|(_, name)| landmark_name(name.text(key)?)).collect()
        };
        let mut classes = Vec::new();
        if let Some(node) = root.get("names") {
            for (number, name) in node.values("names")? {
                if number > 100_000 {
                    return Err(name.wrong("names", format!("class {number}")));
                }
                classes.resize(classes.len().max(number + 1), String::new());
                name.text("names")?.trim().clone_into(&mut classes[number]);
            }
        }
        let mut names = Vec::new();
        for key in ["kpt_names", "keypoint_names", "keypoints"] {
            let Some(node) = root.get(key).filter(|_| names.is_empty()) else { continue };
            let values = node.values(key)?;
            let is_nested = values.iter().any(|(_, value)| !matches!(value.value, yaml::Value::Text(_)));
            if is_nested {
                for (class, value) in values {
                    names.push((Some(class), texts(value, key)?));
                }
            } else {
                names.push((None, texts(node, key)?));
            }
            if let Some((_, wrong)) = names.iter().find(|(_, names)| names.len() != count) {
                return Err(node.wrong(key, format!("{} names, but kpt_shape says {count} keypoints", wrong.len())));
            }
        }
        Ok(Self { count, has_visibility: dimensions == 3, classes, names })
    }

    fn class_name(&self, class: usize) -> String {
        self.classes.get(class).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| class.to_string())
    }

    /// The class whose keypoints are the landmarks.
    fn class(&self, used: &BTreeSet<usize>, wanted: Option<&str>) -> Result<usize> {
        let list = || used.iter().map(|class| self.class_name(*class)).collect::<Vec<_>>().join(", ");
        if let Some(wanted) = wanted {
            return used.iter().copied().find(|class| self.class_name(*class) == wanted.trim()).ok_or_else(|| {
                Error::input(format!("no object is of a class {wanted}"))
                    .at("key names")
                    .remedy(format!("name one of these by --category: {}", list()))
            });
        }
        let mut all = used.iter();
        match (all.next(), all.next()) {
            (Some(class), None) => Ok(*class),
            (None, _) => Err(Error::input("no image has keypoints")
                .remedy("put the text files into `labels`, whose folders are called as those of `images`")),
            _ => Err(Error::input(format!("objects of several classes have keypoints: {}", list()))
                .at("key names")
                .remedy("name the one whose keypoints are the landmarks: --category NAME")),
        }
    }

    fn names_of(&self, class: usize) -> Result<(Vec<String>, Option<String>)> {
        let found = self.names.iter().find(|(of, _)| of.is_none_or(|of| of == class));
        match found {
            Some((_, names)) => {
                let distinct: BTreeSet<&String> = names.iter().collect();
                if distinct.len() < names.len() {
                    return Err(Error::input("two keypoints have the same name").at("key kpt_names"));
                }
                Ok((names.clone(), None))
            }
            None => Ok(known_names::of_count(&self.class_name(class), self.count)),
        }
    }
}

/// Images of a split: of a folder, of a list in a text file, or of several of them.
fn images_of(tree: &Tree, file: &Path, root: &Node, node: &Node, key: &str) -> Result<Vec<PathBuf>> {
    let entries = match &node.value {
        yaml::Value::List(entries) => entries.iter().collect(),
        _ => vec![node],
    };
    let base = root.get("path").map(|path| path.text("path")).transpose()?.unwrap_or_default();
    let mut images = Vec::new();
    for entry in entries {
        let text = entry.text(key)?.trim();
        let ends_in_txt = Path::new(text).extension().is_some_and(|e| e.eq_ignore_ascii_case("txt"));
        if ends_in_txt {
            let list =
                tree.find(file.parent().unwrap_or(Path::new("")), text).map_err(|e| entry.wrong(key, e.message))?;
            let folder = list.parent().unwrap_or(Path::new("")).to_owned();
            for (number, line) in tree.text(&list)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                let at = |e: Error| e.at(format!("{}: line {}", list.display(), number + 1));
                images.push(tree.find(&folder, line).map_err(at)?);
            }
            continue;
        }
        let folder = folder_of(tree, file, base, text).ok_or_else(|| {
            entry
                .wrong(key, format!("there is no folder `{text}` of images"))
                .remedy("name as the source the folder that holds data.yaml, images and labels")
        })?;
        images.extend(tree.images().filter(|image| image.starts_with(&folder)).map(Path::to_owned));
    }
    Ok(images)
}

/// The folder that `path` and an entry mean, also where `path` is of another machine: as much of its end as is there.
fn folder_of(tree: &Tree, file: &Path, base: &str, entry: &str) -> Option<PathBuf> {
    let parts = |text: &str| -> Vec<String> {
        let text = text.replace('\\', "/");
        let normal = |part: Component<'_>| match part {
            Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
            _ => None,
        };
        Path::new(&text).components().filter_map(normal).collect()
    };
    let (own, before) = (parts(entry), parts(base));
    let is_absolute = entry.starts_with(['/', '\\']) || entry.as_bytes().get(1) == Some(&b':');
    // Of a path of another machine, two folders must fit, since one is too common.
    let least = if is_absolute { own.len().min(2) } else { own.len() };
    let all: Vec<String> = if is_absolute { own } else { before.into_iter().chain(own).collect() };
    let here = file.parent().unwrap_or(Path::new(""));
    (0..=all.len() - least)
        .flat_map(|first| {
            let tail: PathBuf = all[first..].iter().collect();
            [here.join(&tail), tail]
        })
        .find(|folder| tree.images().any(|image| image.starts_with(folder)))
}

/// The text file of an image: in `labels` instead of the last `images` of its path, or beside it.
fn label_of(tree: &Tree, image: &Path) -> Option<PathBuf> {
    let parts: Vec<&std::ffi::OsStr> = image.iter().collect();
    let last = parts.iter().rposition(|part| *part == "images");
    let in_labels = last.map(|last| {
        let replaced = parts.iter().enumerate().map(|(i, part)| if i == last { "labels".as_ref() } else { *part });
        replaced.collect::<PathBuf>().with_extension("txt")
    });
    in_labels.into_iter().chain([image.with_extension("txt")]).find(|label| tree.has(label))
}

/// A line of a text file.
struct Object {
    class: usize,
    line: usize,
    points: Vec<Option<Point>>,
}

fn objects_of(text: &str, settings: &Settings) -> Result<Vec<Object>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| object(line, index + 1, settings).map_err(|e| e.at(format!("line {}", index + 1))))
        .collect()
}

fn object(text: &str, line: usize, settings: &Settings) -> Result<Object> {
    let numbers = text.split_whitespace().map(|word| {
        let number = word.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| Error::input(format!("`{word}` is not a number")))
    });
    let numbers = numbers.collect::<Result<Vec<_>>>()?;
    let dimensions = if settings.has_visibility { 3 } else { 2 };
    let wanted = 5 + settings.count * dimensions;
    if numbers.len() != wanted {
        let what = if numbers.len() == 5 {
            "a box without keypoints".to_owned()
        } else {
            format!("{} numbers", numbers.len())
        };
        return Err(Error::input(format!(
            "{what}, but kpt_shape [{}, {dimensions}] makes {wanted} numbers: class, box and keypoints",
            settings.count
        ))
        .remedy("correct kpt_shape or the line"));
    }
    let class = numbers[0];
    if class < 0.0 || class.fract() != 0.0 || class > 1e6 {
        return Err(Error::input(format!("{class} is not a class")));
    }
    let points = numbers[5..].chunks_exact(dimensions).map(|keypoint| {
        let (x, y) = (keypoint[0], keypoint[1]);
        let is_missing = match keypoint.get(2) {
            Some(v) if *v < 0.0 => return Err(Error::input(format!("v = {v} is not 0, 1 or 2"))),
            Some(v) => *v == 0.0,
            None => x < 0.0 || y < 0.0 || (x == 0.0 && y == 0.0),
        };
        if is_missing { Ok(None) } else { position(x, y).map(Some) }
    });
    Ok(Object { class: class as usize, line, points: points.collect::<Result<_>>()? })
}
