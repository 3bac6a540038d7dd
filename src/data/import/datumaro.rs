//! Datumaro's own JSON: `annotations/SUBSET.json` beside `images/SUBSET`.
//!
//! Origin: Datumaro keeps the numbers of the tool that it read from; those of CVAT, which exports this format, are counted
//! from the image's corner, so a pixel's centre is ½ more than here. Orientation: as of that tool; CVAT's is the turned picture.
//! Visibility: 0 is missing, 1 hidden, 2 visible. Source: `datumaro/plugins/data_formats/datumaro/exporter.py` and `base.py`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::picture;
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;

use super::json_outline::Outline;
use super::marked::Marked;
use super::origin::Origin;
use super::parsed::{ParsedDataset, PixelSource, Record, split_in, split_word};
use super::tree::Tree;
use super::{Importer, Options};

pub(super) const IMPORTER: Importer = Importer {
    name: "datumaro",
    reads: "Datumaro's JSON: points and skeletons, named by their category's points or by their label (of several, \
            `--category LABEL`); positions less ½, since CVAT's are counted from the image's corner; visibility 0 is missing; \
            split from the JSON's name",
    loses: "other annotations (counted), attributes, groups, hidden (1) or visible (2)",
    origin: Origin::Corner,
    leaves_origin: false,
    has_categories: true,
    is_table: false,
    recognizes: |tree| tree.some("json").iter().any(|file| is_datumaro(tree, file)),
    read,
};

fn is_datumaro(tree: &Tree, file: &Path) -> bool {
    Outline::of(tree, file).is_object_of(&["categories", "items"])
}

#[derive(Deserialize)]
struct File {
    categories: Categories,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Categories {
    label: Option<Labels>,
    points: Option<PointLists>,
}

#[derive(Deserialize)]
struct Labels {
    labels: Vec<Label>,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Deserialize)]
struct PointLists {
    items: Vec<PointList>,
}

#[derive(Deserialize)]
struct PointList {
    label_id: usize,
    labels: Vec<String>,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    #[serde(default)]
    annotations: Vec<Annotation>,
    image: Option<Media>,
    /// Instead of `image` in some versions.
    media: Option<Media>,
}

impl Item {
    fn media(&self) -> Option<&Media> {
        let has_path = |media: &&Media| media.path.as_deref().is_some_and(|path| !path.trim().is_empty());
        self.image.as_ref().or(self.media.as_ref().filter(has_path))
    }
}

#[derive(Deserialize)]
struct Media {
    path: Option<String>,
    /// Height and width.
    size: Option<Vec<usize>>,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(rename = "type")]
    kind: String,
    label_id: Option<Value>,
    #[serde(default)]
    points: Vec<Option<f64>>,
    visibility: Option<Vec<u8>>,
    /// Of a skeleton.
    elements: Option<Vec<Annotation>>,
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let candidates = tree.annotations("json");
    let files: Vec<&Path> = candidates.iter().copied().filter(|file| is_datumaro(tree, file)).collect();
    let files = if files.is_empty() && candidates.len() == 1 { candidates } else { files };
    if files.is_empty() {
        return Err(Error::input("there is no JSON file of categories and items"));
    }
    let mut reading = Reading {
        origin: options.origin.unwrap_or(IMPORTER.origin),
        category: options.category.as_deref(),
        marked: Marked::default(),
        others: 0,
    };
    for file in files {
        let content: File = tree.json(file)?;
        for (index, item) in content.items.iter().enumerate() {
            let at = |e: Error| e.at(format!("{}: field items[{index}]", tree.path(file).display()));
            let before = reading.marked.len();
            let added = reading.item(tree, file, index, &content.categories, item).map_err(at);
            reading.marked.keep(tree, before, added)?;
        }
    }
    let Reading { mut marked, others, .. } = reading;
    if others > 0 {
        marked.notes.push(format!("{others} annotations are not points of landmarks and were left out"));
    }
    Ok(marked.finish(tree))
}

struct Reading<'a> {
    origin: Origin,
    category: Option<&'a str>,
    marked: Marked,
    others: usize,
}

impl Reading<'_> {
    fn item(&mut self, tree: &Tree, file: &Path, index: usize, categories: &Categories, item: &Item) -> Result<()> {
        let image = image(tree, file, item)?;
        let size = item.media().and_then(|media| media.size.as_deref());
        let size = match size {
            Some([height, width]) if height * width > 0 => Some(Size { height: *height, width: *width }),
            _ => None,
        };
        let subset = file.file_stem().and_then(|stem| split_word(&stem.to_string_lossy()));
        let location = format!("{}: field items[{index}]", tree.path(file).display());
        let source = PixelSource::File(tree.path(&image));
        let record = Record {
            size,
            split: subset.or_else(|| split_in(&image)),
            ..Record::new(&image, source, Vec::new(), location)
        };
        let number = self.marked.image(record)?;
        for (index, annotation) in item.annotations.iter().enumerate() {
            self.annotation(categories, number, annotation).map_err(|e| e.at(format!("annotations[{index}]")))?;
        }
        Ok(())
    }

    fn annotation(&mut self, categories: &Categories, image: usize, annotation: &Annotation) -> Result<()> {
        let label = categories.label(annotation);
        let wanted = self.category.is_none_or(|wanted| label.is_some_and(|label| label.trim() == wanted.trim()));
        if !wanted || !matches!(annotation.kind.as_str(), "points" | "skeleton") {
            self.others += 1;
            return Ok(());
        }
        match &annotation.elements {
            Some(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    self.points(categories, image, element).map_err(|e| e.at(format!("elements[{index}]")))?;
                }
                Ok(())
            }
            None => self.points(categories, image, annotation),
        }
    }

    fn points(&mut self, categories: &Categories, image: usize, annotation: &Annotation) -> Result<()> {
        let (pairs, rest) = annotation.points.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(
                Error::input(format!("{} numbers are not x, y of points", annotation.points.len())).at("points")
            );
        }
        let visibility = annotation.visibility.as_deref();
        if visibility.is_some_and(|visibility| visibility.len() != pairs.len()) {
            return Err(Error::input(format!("not one value for each of {} points", pairs.len())).at("visibility"));
        }
        let names = categories.names(annotation, pairs.len())?;
        for (index, (pair, name)) in pairs.iter().zip(names).enumerate() {
            if visibility.is_some_and(|visibility| visibility[index] == 0) {
                continue;
            }
            let [Some(x), Some(y)] = *pair else {
                return Err(Error::input(format!("{name}: x or y is NaN or null, but it is not missing"))
                    .at("points")
                    .remedy("write 0 into visibility where it is missing"));
            };
            self.marked
                .mark(image, &name, self.origin.position(x, y)?)
                .map_err(|e| e.remedy("keep one object per image, or name the label to read: --category LABEL"))?;
        }
        Ok(())
    }
}

impl Categories {
    fn label(&self, annotation: &Annotation) -> Option<&str> {
        let id = usize::try_from(annotation.label_id.as_ref()?.as_u64()?).ok()?;
        self.label.as_ref()?.labels.get(id).map(|label| label.name.as_str())
    }

    /// Names of an annotation's points: its category's, or the label's.
    fn names(&self, annotation: &Annotation, count: usize) -> Result<Vec<String>> {
        let id = annotation.label_id.as_ref().and_then(Value::as_u64);
        let lists = self.points.iter().flat_map(|points| &points.items);
        let list =
            lists.filter(|list| Some(list.label_id as u64) == id).map(|list| &list.labels).find(|l| !l.is_empty());
        match (list, self.label(annotation), count) {
            (Some(list), ..) if list.len() == count => Ok(list.clone()),
            (Some(list), ..) => {
                Err(Error::input(format!("{count} points, but the category has {}", list.len())).at("points"))
            }
            (None, Some(label), 1) => Ok(vec![label.to_owned()]),
            (None, Some(label), _) => {
                Err(Error::input(format!("{count} points of label {label}, which has no names for them"))
                    .at("points")
                    .remedy("give each landmark a label of its own, or make a skeleton of them"))
            }
            (None, None, _) => Err(Error::input("the label is not in categories.label").at("label_id")),
        }
    }
}

/// The image of an item: `images/SUBSET/path`, else by its name alone.
fn image(tree: &Tree, file: &Path, item: &Item) -> Result<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let subset = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let path = item.media().and_then(|media| media.path.as_deref()).filter(|path| !path.trim().is_empty());
    let name = path.unwrap_or(&item.id);
    let of_subset = tree.find(folder, &format!("{subset}/{name}"));
    let found = of_subset.or_else(|_| tree.find(folder, name)).map_err(|e| e.at("image.path"))?;
    if picture::is_image(&found) {
        Ok(found)
    } else {
        Err(Error::input(format!("`{}` is no image", found.display())).at("image.path"))
    }
}
