//! CVAT 1.1 for images and for video: XML `<annotations>` of `<image>` with `<points>`, alone or in a `<skeleton>`, or of
//! `<track>` with a shape for every frame.
//!
//! Origin: CVAT's canvas counts from the image's upper left corner, so a pixel's centre is ½ more than here. Orientation: CVAT
//! turns pictures by EXIF before they are marked, and exports width and height as turned. Visibility: `outside="1"` is
//! missing, `occluded` is a hidden mark and stays. Sources: `cvat/apps/dataset_manager/formats/cvat.py` and
//! `cvat/apps/engine/media_extractors.py` of github.com/cvat-ai/cvat, and docs.cvat.ai, "XML annotation format".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quick_xml::events::BytesStart;

use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size};

use super::cvat_xml::{Visitor, attribute, need, number, visit};
use super::name_list::NameList;
use super::origin::Origin;
use super::parsed::{ParsedDataset, PixelSource, Record, landmark_name, split_in, split_word};
use super::tree::Tree;
use super::{Frame, Importer, Options};

pub(super) const IMPORTER: Importer = Importer {
    name: "cvat",
    reads: "CVAT 1.1 for images and for video (XML): points, skeletons and tracks; several points of a label are numbered; \
            `outside` is missing; frames by the number in the image's name; one skeleton of several by `--category`; \
            positions less ½, since CVAT counts from the image's corner; images in `images/SUBSET`; split from `subset` or \
            folders' names",
    loses: "other shapes (counted), attributes, tags, hidden (`occluded`)",
    origin: Origin::Corner,
    leaves_origin: false,
    has_categories: true,
    is_table: false,
    recognizes: |tree| tree.some("xml").iter().any(|file| is_cvat(tree, file)),
    read,
};

/// CVAT shows and measures the turned picture since cvat-ai/cvat#1059 (2020); before, the stored one.
const FRAME: Frame = Frame::Turned;

fn is_cvat(tree: &Tree, file: &Path) -> bool {
    tree.head(file).is_ok_and(|head| head.contains("<annotations"))
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let files: Vec<&Path> = tree.annotations("xml").into_iter().filter(|file| is_cvat(tree, file)).collect();
    let mut reading = Reading::new(tree, options);
    for file in &files {
        let text = tree.text(file)?;
        reading.begin(file);
        visit(&text, &mut reading).map_err(|e| e.at(tree.path(file).display()))?;
    }
    if files.is_empty() {
        return Err(Error::input("there is no XML file with <annotations>"));
    }
    reading.finish()
}

/// Content read so far.
struct Reading<'a> {
    tree: &'a Tree,
    category: Option<&'a str>,
    origin: Origin,
    /// Of the task's labels, in their order.
    labels: NameList,
    found: NameList,
    images: Vec<Image>,
    /// Indices into `images` by path.
    by_path: BTreeMap<PathBuf, usize>,
    /// Positions in one shape of a label, and the line that says so.
    counts: BTreeMap<String, (usize, String)>,
    /// Whether a subset has a folder of its own.
    subsets: BTreeMap<String, bool>,
    frames: Option<Frames>,
    others: usize,
    skipped: usize,
    /// Whether the `<image>` around is left out.
    is_bad: bool,

    // Where the reader is.
    file: PathBuf,
    size: Option<Size>,
    width: Option<usize>,
    track: Option<Track>,
    skeleton: Option<Skeleton>,
}

struct Image {
    record: Record,
    points: BTreeMap<usize, Point>,
    /// Whether the file names it, not only a track.
    listed: bool,
}

struct Track {
    label: String,
    subset: Option<String>,
}

struct Skeleton {
    frame: Option<String>,
    wanted: bool,
}

impl<'a> Reading<'a> {
    fn new(tree: &'a Tree, options: &'a Options) -> Self {
        Self {
            tree,
            category: options.category.as_deref(),
            origin: options.origin.unwrap_or(IMPORTER.origin),
            labels: NameList::default(),
            found: NameList::default(),
            images: Vec::new(),
            by_path: BTreeMap::new(),
            counts: BTreeMap::new(),
            subsets: BTreeMap::new(),
            frames: None,
            others: 0,
            skipped: 0,
            is_bad: false,
            file: PathBuf::new(),
            size: None,
            width: None,
            track: None,
            skeleton: None,
        }
    }

    fn begin(&mut self, file: &Path) {
        file.clone_into(&mut self.file);
        (self.size, self.width, self.track, self.skeleton) = (None, None, None, None);
    }

    fn finish(self) -> Result<ParsedDataset> {
        if let Some(category) = self.category.filter(|_| self.found.names().is_empty()) {
            return Err(Error::input(format!("no skeleton is called {category}"))
                .at("--category")
                .remedy("write the label of a skeleton that is in the file"));
        }
        // As the task's labels are ordered, then as they appear.
        let mut landmarks = NameList::default();
        for name in self.labels.names().iter().filter(|name| self.found.get(name).is_some()).chain(self.found.names()) {
            landmarks.index(name);
        }
        let order: Vec<Option<usize>> = landmarks.names().iter().map(|name| self.found.get(name)).collect();
        let (mut records, mut notes, mut unmarked) = (Vec::new(), Vec::new(), 0);
        for image in self.images {
            if image.points.is_empty() {
                unmarked += 1;
                continue;
            }
            let points = order.iter().map(|index| index.and_then(|i| image.points.get(&i).copied())).collect();
            records.push(Record { landmarks: points, ..image.record });
        }
        if unmarked > 0 {
            notes.push(format!("{unmarked} images without points were left out"));
        }
        if self.others > 0 {
            notes.push(format!("{} shapes are not points and were left out", self.others));
        }
        if self.skipped > 0 {
            notes.push(format!("{} points of other labels than --category were left out", self.skipped));
        }
        let landmarks = landmarks.names().to_vec();
        Ok(ParsedDataset { name: self.tree.name(), landmarks, observer_mre: None, records, notes })
    }

    fn image(&mut self, element: &BytesStart<'_>, line: usize) -> Result<()> {
        let (name, subset) = (need(element, "name")?, attribute(element, "subset")?);
        let path = self.find(&name, subset.as_deref()).map_err(|e| e.at("attribute name"))?;
        let size = |key: &str| attribute(element, key)?.map(|v| number(&v, key)).transpose();
        let size = size("width")?.zip(size("height")?);
        let size = size.map(|(width, height)| Size { height: height as usize, width: width as usize });
        self.add(&path, subset.as_deref(), size, line, true)
    }

    /// The image of this name, which a project's export puts into a folder of its subset.
    fn find(&mut self, name: &str, subset: Option<&str>) -> Result<PathBuf> {
        let folder = self.file.parent().unwrap_or(Path::new(""));
        let Some(subset) = subset.filter(|subset| !subset.trim().is_empty()) else {
            return self.tree.find(folder, name);
        };
        let tree = self.tree;
        let has_folder =
            *self.subsets.entry(subset.to_owned()).or_insert_with(|| tree.images().any(|image| lies_in(image, subset)));
        // Another subset's image of the same name is another image.
        if has_folder { tree.find(folder, &format!("{subset}/{name}")) } else { tree.find(folder, name) }
    }

    fn add(&mut self, path: &Path, subset: Option<&str>, size: Option<Size>, line: usize, listed: bool) -> Result<()> {
        let location = format!("{}: line {line}", self.tree.path(&self.file).display());
        if let Some(before) = self.by_path.get(path) {
            let before = &self.images[*before].record.location;
            return Err(Error::input(format!("{} is annotated already in {before}", path.display()))
                .remedy("keep one <image> of every image file"));
        }
        self.by_path.insert(path.to_owned(), self.images.len());
        let split = subset.and_then(split_word).or_else(|| split_in(path));
        let source = PixelSource::File(self.tree.path(path));
        self.images.push(Image {
            record: Record { split, size, frame: FRAME, ..Record::new(path, source, Vec::new(), location) },
            points: BTreeMap::new(),
            listed,
        });
        Ok(())
    }

    /// The image that a shape belongs to: of a track, that of its frame; else the `<image>` around it.
    fn target(&mut self, element: &BytesStart<'_>, line: usize) -> Result<usize> {
        let Some(track) = &self.track else {
            return self.images.len().checked_sub(1).ok_or_else(|| Error::input("points outside an image"));
        };
        let frame = match attribute(element, "frame")? {
            Some(frame) => frame,
            None => self.skeleton.as_ref().and_then(|skeleton| skeleton.frame.clone()).unwrap_or_default(),
        };
        let number: u64 = frame
            .trim()
            .parse()
            .map_err(|_| Error::input(format!("`{frame}` is not the number of a frame")).at("attribute frame"))?;
        let subset = track.subset.clone();
        let frames = self.frames.get_or_insert_with(|| Frames::of(self.tree));
        let path = frames.find(number, subset.as_deref()).map_err(|e| e.at("attribute frame"))?;
        match self.by_path.get(&path) {
            Some(index) if self.images[*index].listed => {
                Err(Error::input(format!("{} is annotated by an <image> and by a <track>", path.display()))
                    .remedy("import one export at a time: name its file as the source"))
            }
            Some(index) => Ok(*index),
            None => {
                self.add(&path, subset.as_deref(), self.size, line, false)?;
                Ok(self.images.len() - 1)
            }
        }
    }

    /// An error where the user does not want bad images left out.
    fn keep(&self, done: Result<()>, line: usize) -> Result<()> {
        let place = || format!("{}: line {line}", self.tree.path(&self.file).display());
        self.tree.keep_at(place, done).map(|_| ())
    }

    /// Leaves out the `<image>` around.
    fn forget_image(&mut self) {
        self.is_bad = true;
        self.images.pop();
        let count = self.images.len();
        self.by_path.retain(|_, index| *index < count);
    }

    fn points(&mut self, element: &BytesStart<'_>, inside: &str, line: usize) -> Result<()> {
        let wanted = match (self.category, &self.skeleton, &self.track) {
            (None, ..) => true,
            (Some(_), Some(skeleton), _) => skeleton.wanted,
            (Some(_), None, _) => false,
        };
        if !wanted {
            self.skipped += 1;
            return Ok(());
        }
        let target = self.target(element, line)?;
        if attribute(element, "outside")?.is_some_and(|outside| outside.trim() == "1") {
            return Ok(());
        }
        let label = match (&self.track, inside) {
            (Some(track), "track") => track.label.clone(),
            _ => need(element, "label")?,
        };
        let label = landmark_name(&label).map_err(|e| e.at("attribute label"))?;
        let positions = need(element, "points")?;
        let positions: Vec<&str> = positions.split(';').filter(|position| !position.trim().is_empty()).collect();
        let place = || format!("{}: line {line}", self.file.display());
        let (count, before) = self.counts.entry(label.clone()).or_insert_with(|| (positions.len(), place()));
        if *count != positions.len() {
            // `lip1` would be one point here and another one there.
            return Err(Error::input(format!(
                "{} points of label {label}, but {count} in {before}: which ones are missing is unknown",
                positions.len()
            ))
            .at("attribute points")
            .remedy("give each landmark a label of its own, or mark all points of the label in every image"));
        }
        for (index, text) in positions.iter().enumerate() {
            let name = if positions.len() == 1 { label.clone() } else { format!("{label}{}", index + 1) };
            let (x, y) = text
                .split_once(',')
                .ok_or_else(|| Error::input(format!("`{text}` is not x,y")).at("attribute points"))?;
            let (x, y) = (number(x, "points")?, number(y, "points")?);
            let point = self.origin.position(x, y)?;
            let name_index = self.found.index(&name);
            if self.images[target].points.insert(name_index, point).is_some() {
                return Err(Error::input(format!("landmark {name} of this image is there twice")).remedy(
                    "keep one point per label; of several skeletons in an image, name the one to read: --category LABEL",
                ));
            }
        }
        Ok(())
    }
}

impl Visitor for Reading<'_> {
    fn start(&mut self, name: &str, path: &[String], element: &BytesStart<'_>, line: usize) -> Result<()> {
        let inside = path.last().map(String::as_str).unwrap_or_default();
        match (name, inside) {
            ("image", "annotations") => {
                let added = self.image(element, line);
                self.is_bad = added.is_err();
                self.keep(added, line)
            }
            ("image", _) => Err(Error::input(format!("an <image> within <{inside}>"))),
            ("track", _) => {
                self.track = Some(Track { label: need(element, "label")?, subset: attribute(element, "subset")? });
                Ok(())
            }
            ("skeleton", _) => {
                let label = match &self.track {
                    Some(track) => track.label.clone(),
                    None => attribute(element, "label")?.unwrap_or_default(),
                };
                let wanted = self.category.is_none_or(|category| category == label.trim());
                self.skeleton = Some(Skeleton { frame: attribute(element, "frame")?, wanted });
                Ok(())
            }
            ("points", "image" | "skeleton" | "track") => {
                if self.is_bad && self.track.is_none() {
                    return Ok(());
                }
                let marked = self.points(element, inside, line);
                if marked.is_err() && self.track.is_none() {
                    self.forget_image();
                }
                self.keep(marked, line)
            }
            ("box" | "polygon" | "polyline" | "mask" | "ellipse" | "cuboid", _) => {
                self.others += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, name: &str) {
        match name {
            "track" => self.track = None,
            "skeleton" => self.skeleton = None,
            _ => {}
        }
    }

    fn text(&mut self, path: &[String], text: &str) {
        match path {
            [.., label, name] if label == "label" && name == "name" => {
                if let Ok(name) = landmark_name(text) {
                    self.labels.index(&name);
                }
            }
            [.., size, width] if size == "original_size" && width == "width" => self.width = text.trim().parse().ok(),
            [.., size, height] if size == "original_size" && height == "height" => {
                self.size = self.width.zip(text.trim().parse().ok()).map(|(width, height)| Size { height, width });
            }
            _ => {}
        }
    }
}

/// Images by the number in their names: CVAT calls a video's frames `frame_000012.PNG` and so on.
struct Frames {
    by_number: BTreeMap<u64, Vec<PathBuf>>,
}

impl Frames {
    fn of(tree: &Tree) -> Self {
        let mut by_number: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
        for image in tree.images() {
            let stem = image.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let digits = &stem[stem.trim_end_matches(|c: char| c.is_ascii_digit()).len()..];
            if let Ok(number) = digits.parse() {
                by_number.entry(number).or_default().push(image.to_owned());
            }
        }
        Self { by_number }
    }

    fn find(&self, number: u64, subset: Option<&str>) -> Result<PathBuf> {
        let all = self.by_number.get(&number).map(Vec::as_slice).unwrap_or_default();
        let is_frame = |path: &&PathBuf| {
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
            stem == format!("frame_{number:06}")
        };
        let of_subset = |path: &&PathBuf| subset.is_none_or(|subset| lies_in(path, subset));
        let tries: [Vec<&PathBuf>; 3] = [
            all.iter().filter(of_subset).filter(is_frame).collect(),
            all.iter().filter(is_frame).collect(),
            all.iter().collect(),
        ];
        match tries.iter().find(|found| !found.is_empty()).map(Vec::as_slice) {
            Some([one]) => Ok((*one).clone()),
            Some([a, b, ..]) => {
                Err(Error::input(format!("frame {number} may be `{}` or `{}`", a.display(), b.display()))
                    .remedy("keep one video's frames and its annotations in a folder"))
            }
            _ => Err(Error::input(format!("there is no image of frame {number}")).remedy(format!(
                "export the images too (\"Save images\"), or take the frames out of the video as frame_{number:06}.png"
            ))),
        }
    }
}

/// Whether one of the path's folders has this name, in whatever case.
fn lies_in(path: &Path, folder: &str) -> bool {
    let name = folder.to_lowercase();
    path.parent()
        .is_some_and(|parent| parent.components().any(|part| part.as_os_str().to_string_lossy().to_lowercase() == name))
}
