//! dlib's XML, as imglab writes it: `<dataset>` of `<images>` with `<box>` and `<part>`.
//!
//! Origin: pixels' centres, whole numbers (dlib's `point` is an index into rows and columns; imglab rounds clicks to pixels).
//! Half pixel: none. Orientation: the stored picture, since dlib reads no EXIF. Visibility: parts that are not there are
//! missing. Source: `dlib/data_io/image_dataset_metadata.cpp` of github.com/davisking/dlib.

use std::collections::BTreeMap;
use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size};

use super::cells::line;
use super::parsed::{ParsedDataset, PixelSource, Record, landmark_name, position};
use super::tree::Tree;
use super::{Frame, Importer, Options, Origin};

/// dlib and its imglab load pictures as they are stored and ignore EXIF.
const FRAME: Frame = Frame::Stored;

pub(super) const IMPORTER: Importer = Importer {
    name: "dlib",
    reads: "dlib's XML (imglab): `<image file>` with one `<box>` and its `<part name x y>`; boxes with `ignore` are left out",
    loses: "boxes, labels, attributes of boxes",
    origin: Origin::Centre,
    leaves_origin: false,
    has_categories: false,
    is_table: false,
    recognizes: |tree| tree.some("xml").iter().any(|file| is_dlib(tree, file)),
    read,
};

fn is_dlib(tree: &Tree, file: &Path) -> bool {
    tree.head(file).is_ok_and(|head| head.contains("<dataset") && head.contains("<images"))
}

/// An image so far.
struct Image {
    record: Record,
    boxes: usize,
    points: BTreeMap<String, Point>,
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let files: Vec<&Path> = tree.annotations("xml").into_iter().filter(|file| is_dlib(tree, file)).collect();
    if files.is_empty() {
        return Err(Error::input("there is no XML file with <dataset> and <images>"));
    }
    let first = options.origin.unwrap_or(IMPORTER.origin).first();
    let mut images = Vec::new();
    for file in files {
        parse(tree, file, &tree.text(file)?, &mut images).map_err(|e| e.at(tree.path(file).display()))?;
    }
    let mut names: Vec<String> = images.iter().flat_map(|image| image.points.keys().cloned()).collect();
    names.sort();
    names.dedup();
    // Numbered parts are ordered by number.
    names.sort_by_key(|name| name.parse::<u64>().unwrap_or(u64::MAX));
    let before = images.len();
    images.retain(|image| !image.points.is_empty());
    let mut notes = Vec::new();
    if images.len() < before {
        notes.push(format!("{} images without parts were left out", before - images.len()));
    }
    let records = images.into_iter().map(|image| {
        let landmarks = names.iter().map(|name| image.points.get(name).copied()).collect();
        Record { landmarks, first, ..image.record }
    });
    let records = records.collect();
    Ok(ParsedDataset { name: tree.name(), landmarks: names, observer_mre: None, records, notes })
}

fn parse(tree: &Tree, file: &Path, text: &str, images: &mut Vec<Image>) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    // Lines are counted as the reader goes on, so that a long file takes no longer.
    let (mut counted, mut number, mut is_ignored, mut is_skipped) = (0, 1u64, false, false);
    loop {
        let event = reader.read_event();
        let end = (reader.buffer_position() as usize).clamp(counted, text.len());
        number += text.as_bytes()[counted..end].iter().fold(0, |lines, byte| lines + u64::from(*byte == b'\n'));
        counted = end;
        let at = |e: Error| e.at(line(number));
        let element = match event.map_err(|e| at(Error::input(format!("not XML: {e}"))))? {
            Event::Start(element) => element,
            Event::Eof => return Ok(()),
            _ => continue,
        };
        match element.name().as_ref() {
            b"image" => {
                let name = need(&element, "file").map_err(at)?;
                let found = tree.find(folder, &name).map_err(|e| at(e.at("attribute file")));
                let Some(image) = tree.keep(found)? else {
                    is_skipped = true;
                    continue;
                };
                is_skipped = false;
                let size =
                    |key: &str| attribute(&element, key).ok().flatten().and_then(|text| text.parse::<usize>().ok());
                let location = format!("{}: {}", tree.path(file).display(), line(number));
                let record = Record {
                    split: tree.split(file, &image),
                    frame: FRAME,
                    size: size("width").zip(size("height")).map(|(width, height)| Size { height, width }),
                    ..Record::new(&image, PixelSource::File(tree.path(&image)), Vec::new(), location)
                };
                images.push(Image { record, boxes: 0, points: BTreeMap::new() });
            }
            b"box" if !is_skipped => {
                is_ignored = attribute(&element, "ignore").map_err(at)?.is_some_and(|ignore| ignore == "1");
                let image = images.last_mut().ok_or_else(|| at(Error::input("a <box> outside an <image>")))?;
                image.boxes += usize::from(!is_ignored);
                if image.boxes > 1 {
                    return Err(at(Error::input(format!("a second <box> in image {}", image.record.image))
                        .remedy("keep one object per image, or mark the others as ignored")));
                }
            }
            b"part" if !is_skipped && !is_ignored => {
                let image = images.last_mut().ok_or_else(|| at(Error::input("a <part> outside an <image>")))?;
                let name = landmark_name(&need(&element, "name").map_err(at)?).map_err(at)?;
                let value = |key: &str| {
                    let text = need(&element, key)?;
                    text.trim().parse::<f64>().map_err(|_| Error::input(format!("{key}='{text}' is not a number")))
                };
                let point = position(value("x").map_err(at)?, value("y").map_err(at)?).map_err(at)?;
                if image.points.insert(name.clone(), point).is_some() {
                    return Err(at(Error::input(format!("part {name} of this image is there twice"))));
                }
            }
            _ => {}
        }
    }
}

fn attribute(element: &BytesStart<'_>, key: &str) -> Result<Option<String>> {
    let wrong = |e: &dyn std::fmt::Display| Error::input(format!("not XML: {e}")).at(format!("attribute {key}"));
    let Some(found) = element.try_get_attribute(key).map_err(|e| wrong(&e))? else { return Ok(None) };
    let text = std::str::from_utf8(&found.value).map_err(|e| wrong(&e))?;
    Ok(Some(quick_xml::escape::unescape(text).map_err(|e| wrong(&e))?.into_owned()))
}

fn need(element: &BytesStart<'_>, key: &str) -> Result<String> {
    attribute(element, key)?.ok_or_else(|| Error::input("it is not there").at(format!("attribute {key}")))
}
