//! CVAT for images 1.1: `<annotations>` of `<image>` with `<points>`, alone or in a `<skeleton>`.

use std::collections::BTreeMap;
use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesStart, Event};

use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size};

use super::parsed::{ParsedDataset, PixelSource, Record, landmark_name, position, split_in, split_word};
use super::tree::Tree;
use super::{Frame, Importer, Options};

pub(super) const IMPORTER: Importer = Importer {
    name: "cvat",
    reads: "CVAT for images 1.1 (XML): points and skeletons; several points of a label are numbered; `outside` is \
            missing; positions less ½, since CVAT counts from the image's corner; split from `subset` or folders' names",
    loses: "other shapes (counted), attributes, tags, hidden (`occluded`)",
    recognizes: |tree| tree.some("xml").iter().any(|file| is_cvat(tree, file)),
    read,
};

/// CVAT shows and measures the turned picture since cvat-ai/cvat#1059 (2020); before, the stored one.
const FRAME: Frame = Frame::Turned;

fn is_cvat(tree: &Tree, file: &Path) -> bool {
    tree.start(file, 1 << 12).is_ok_and(|start| String::from_utf8_lossy(&start).contains("<annotations"))
}

fn read(tree: &Tree, _: &Options) -> Result<ParsedDataset> {
    let files: Vec<&Path> = tree.annotations("xml").into_iter().filter(|file| is_cvat(tree, file)).collect();
    let mut reading = Reading::default();
    for file in &files {
        let text = tree.text(file)?;
        reading.file(tree, file, &text).map_err(|e| e.at(tree.path(file).display()))?;
    }
    if files.is_empty() {
        return Err(Error::input("there is no XML file with <annotations>"));
    }
    // As the task's labels are ordered, then as they appear.
    let mut landmarks: Vec<String> = reading.labels.iter().filter(|l| reading.found.contains(l)).cloned().collect();
    for name in &reading.found {
        if !landmarks.contains(name) {
            landmarks.push(name.clone());
        }
    }
    let (mut records, mut notes, mut unmarked) = (Vec::new(), Vec::new(), 0);
    for image in reading.images {
        if image.points.is_empty() {
            unmarked += 1;
            continue;
        }
        let points = landmarks.iter().map(|name| image.points.get(name).copied()).collect();
        records.push(Record { landmarks: points, ..image.record });
    }
    if unmarked > 0 {
        notes.push(format!("{unmarked} images without points were left out"));
    }
    if reading.others > 0 {
        notes.push(format!("{} shapes are not points and were left out", reading.others));
    }
    Ok(ParsedDataset { name: tree.name(), landmarks, observer_mre: None, records, notes })
}

/// Content read so far.
#[derive(Default)]
struct Reading {
    labels: Vec<String>,
    found: Vec<String>,
    images: Vec<Image>,
    others: usize,
}

struct Image {
    record: Record,
    points: BTreeMap<String, Point>,
}

impl Reading {
    fn file(&mut self, tree: &Tree, file: &Path, text: &str) -> Result<()> {
        let mut reader = Reader::from_str(text);
        // CVAT writes shapes without content as `<points …></points>` or `<points …/>`.
        reader.config_mut().expand_empty_elements = true;
        let mut path: Vec<String> = Vec::new();
        loop {
            let before = reader.buffer_position() as usize;
            let at = |e: Error| e.at(format!("line {}", line(text, before)));
            match reader.read_event().map_err(|e| at(Error::input(format!("not XML: {e}"))))? {
                Event::Start(element) => {
                    if path.len() > 64 {
                        return Err(at(Error::input("elements are nested too deep")));
                    }
                    let name = String::from_utf8_lossy(element.name().as_ref()).into_owned();
                    let inside = path.last().map(String::as_str).unwrap_or_default();
                    let location = format!("{}: line {}", tree.path(file).display(), line(text, before));
                    self.element(tree, file, &name, inside, &element, location).map_err(at)?;
                    path.push(name);
                }
                Event::End(_) => {
                    path.pop();
                }
                Event::Text(words) if path.ends_with(&["label".into(), "name".into()]) => {
                    let words = words.decode().map_err(|e| at(Error::input(format!("not XML: {e}"))))?;
                    let unescaped = quick_xml::escape::unescape(&words);
                    let unescaped = unescaped.map_err(|e| at(Error::input(format!("not XML: {e}"))))?;
                    self.labels.extend(landmark_name(&unescaped));
                }
                Event::Eof if path.is_empty() => return Ok(()),
                Event::Eof => return Err(at(Error::input(format!("it ends within <{}>", path.join("><"))))),
                _ => {}
            }
        }
    }

    fn element(
        &mut self,
        tree: &Tree,
        file: &Path,
        name: &str,
        inside: &str,
        element: &BytesStart<'_>,
        location: String,
    ) -> Result<()> {
        match (name, inside) {
            ("image", "annotations") => {
                let folder = file.parent().unwrap_or(Path::new(""));
                let image = tree.find(folder, &need(element, "name")?).map_err(|e| e.at("attribute name"))?;
                let size = |key: &str| attribute(element, key)?.map(|v| number(&v, key)).transpose();
                let size = size("width")?.zip(size("height")?);
                let subset = attribute(element, "subset")?.and_then(|subset| split_word(&subset));
                self.images.push(Image {
                    record: Record {
                        size: size.map(|(width, height)| Size { height: height as usize, width: width as usize }),
                        frame: FRAME,
                        split: subset.or_else(|| split_in(&image)),
                        ..Record::new(&image, PixelSource::File(tree.path(&image)), Vec::new(), location)
                    },
                    points: BTreeMap::new(),
                });
                Ok(())
            }
            ("image", _) => Err(Error::input(format!("an <image> within <{inside}>"))),
            ("points", "image" | "skeleton") => self.points(element),
            ("track", _) => {
                Err(Error::input("tracks of a video are not read").remedy("export the task as \"CVAT for images 1.1\""))
            }
            ("box" | "polygon" | "polyline" | "mask" | "ellipse" | "cuboid", _) => {
                self.others += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn points(&mut self, element: &BytesStart<'_>) -> Result<()> {
        if attribute(element, "outside")?.is_some_and(|outside| outside == "1") {
            return Ok(());
        }
        let label = landmark_name(&need(element, "label")?).map_err(|e| e.at("attribute label"))?;
        let positions = need(element, "points")?;
        let positions: Vec<&str> = positions.split(';').filter(|position| !position.trim().is_empty()).collect();
        let Some(image) = self.images.last_mut() else { return Err(Error::input("points outside an image")) };
        for (index, text) in positions.iter().enumerate() {
            let name = if positions.len() == 1 { label.clone() } else { format!("{label}{}", index + 1) };
            let (x, y) = text
                .split_once(',')
                .ok_or_else(|| Error::input(format!("`{text}` is not x,y")).at("attribute points"))?;
            let (x, y) = (number(x, "points")?, number(y, "points")?);
            if !self.found.contains(&name) {
                self.found.push(name.clone());
            }
            // The centre of the first pixel is ½ in CVAT and 0 here.
            if image.points.insert(name.clone(), position(x - 0.5, y - 0.5)?).is_some() {
                return Err(Error::input(format!("landmark {name} of this image is there twice"))
                    .remedy("keep one point per label"));
            }
        }
        Ok(())
    }
}

/// The line of a byte, from 1.
fn line(text: &str, byte: usize) -> usize {
    // Only space precedes the element on its line.
    let rest = text.get(byte..).unwrap_or_default();
    let blank = rest.len() - rest.trim_start().len();
    text.as_bytes().iter().take(byte + blank).filter(|b| **b == b'\n').count() + 1
}

fn attribute(element: &BytesStart<'_>, key: &str) -> Result<Option<String>> {
    let wrong = |e: &dyn std::fmt::Display| Error::input(format!("not XML: {e}")).at(format!("attribute {key}"));
    let found = element.try_get_attribute(key).map_err(|e| wrong(&e))?;
    let value = |a: &Attribute<'_>| -> Result<String> {
        let text = std::str::from_utf8(&a.value).map_err(|e| wrong(&e))?;
        Ok(quick_xml::escape::unescape(text).map_err(|e| wrong(&e))?.into_owned())
    };
    found.as_ref().map(value).transpose()
}

fn need(element: &BytesStart<'_>, key: &str) -> Result<String> {
    attribute(element, key)?.ok_or_else(|| Error::input("it is not there").at(format!("attribute {key}")))
}

fn number(text: &str, key: &str) -> Result<f64> {
    text.trim().parse().map_err(|_| Error::input(format!("`{text}` is not a number")).at(format!("attribute {key}")))
}
