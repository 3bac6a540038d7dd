//! TPS: landmarks of many specimens in a text file, as written by tpsDig and read by the R packages geomorph and Morpho.
//!
//! Origin: the image's lower left corner, y upwards, in pixels: the centre of the first pixel of the last row is ½, ½ (F. J. Rohlf,
//! tpsDig; geomorph's `readland.tps` and patternize turn y over by the image's height). Half pixel: taken off. Orientation: tpsDig
//! shows the stored picture. Visibility: `NA` is missing, and (−1, −1) as everywhere. `SCALE` is a unit's length per
//! pixel, and the file does not say which unit: it is taken as millimetres with a note. Names: none, so 1, 2, … as they are ordered.

use std::path::{Path, PathBuf};

use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Spacing};

use super::cells::line;
use super::parsed::{ParsedDataset, PixelSource, Record, position};
use super::tree::Tree;
use super::{Frame, Importer, Options, Origin};

/// Releases of tpsDig differ, and other tools write TPS too.
const FRAME: Frame = Frame::Unknown;

pub(super) const IMPORTER: Importer = Importer {
    name: "tps",
    reads: "TPS files of tpsDig: `LM`, `IMAGE`, `ID`, `SCALE` (as mm per pixel); y is turned over, since it counts from the lower \
            left corner, half a pixel taken off; landmarks are called 1, 2, …; NA is missing",
    loses: "curves and outlines (counted), `COMMENT`, `VARIABLES`",
    origin: Origin::Corner,
    leaves_origin: false,
    has_categories: false,
    is_table: false,
    recognizes: |tree| !tree.some("tps").is_empty(),
    read,
};

/// A specimen so far.
#[derive(Default)]
struct Specimen {
    line: u64,
    points: Vec<Option<Point>>,
    image: Option<(PathBuf, u64)>,
    id: Option<String>,
    scale: Option<f64>,
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let files = tree.annotations("tps");
    if files.is_empty() {
        return Err(Error::input("there is no TPS file").remedy("its name ends in .tps"));
    }
    let first = options.origin.unwrap_or(IMPORTER.origin).first();
    let (mut records, mut notes, mut curves, mut scales) = (Vec::new(), Vec::new(), 0, 0);
    for file in files {
        let at = |e: Error| e.at(tree.path(file).display());
        let (specimens, others) = specimens(tree, file, &tree.text(file)?).map_err(at)?;
        curves += others;
        for specimen in specimens {
            let location = format!("{}: {}", tree.path(file).display(), line(specimen.line));
            let Some((image, _)) = specimen.image else {
                let id = specimen.id.map(|id| format!(" {id}")).unwrap_or_default();
                let error = Error::input(format!("specimen{id} has no IMAGE")).at(&location);
                tree.keep::<()>(Err(error.remedy("add a line IMAGE=FILE below its landmarks")))?;
                continue;
            };
            scales += usize::from(specimen.scale.is_some());
            records.push(Record {
                split: tree.split(file, &image),
                spacing: specimen.scale.map(|scale| Spacing { x: scale, y: scale }),
                frame: FRAME,
                first,
                y_up: true,
                ..Record::new(&image, PixelSource::File(tree.path(&image)), specimen.points, location)
            });
        }
    }
    let count = records.iter().map(|record| record.landmarks.len()).max().unwrap_or(0);
    if let Some(other) = records.iter().find(|record| record.landmarks.len() != count) {
        return Err(Error::input(format!("{} landmarks, but other specimens have {count}", other.landmarks.len()))
            .at(&other.location)
            .remedy("mark the same landmarks in the same order on every specimen; write NA NA for a missing one"));
    }
    if scales > 0 && options.spacing.is_none() {
        notes.push(format!(
            "SCALE of {scales} specimens was taken as mm per pixel, though TPS does not say the unit; if it is cm, say --spacing"
        ));
    }
    if curves > 0 {
        notes.push(format!("{curves} curves or outlines were left out"));
    }
    let landmarks = (1..=count).map(|number| number.to_string()).collect();
    Ok(ParsedDataset { name: tree.name(), landmarks, observer_mre: None, records, notes })
}

/// The specimens of a file, and the number of curves and outlines.
fn specimens(tree: &Tree, file: &Path, text: &str) -> Result<(Vec<Specimen>, usize)> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let (mut specimens, mut others): (Vec<Specimen>, usize) = (Vec::new(), 0);
    let mut lines = (1u64..).zip(text.lines().map(str::trim));
    while let Some((number, content)) = lines.next() {
        if content.is_empty() {
            continue;
        }
        let at = |e: Error| e.at(line(number));
        let (key, value) = content.split_once('=').map(|(key, value)| (key.trim(), value.trim())).ok_or_else(|| {
            at(Error::input(format!("`{content}` is not KEY=VALUE")).remedy("LM=N is followed by N lines of x and y"))
        })?;
        let whole = || {
            let number = value.parse::<usize>().ok().filter(|number| *number <= 100_000);
            number.ok_or_else(|| at(Error::input(format!("{key}={value} is not a number of points"))))
        };
        let key = key.to_uppercase();
        if key == "LM" {
            let mut specimen = Specimen { line: number, ..Specimen::default() };
            for _ in 0..whole()? {
                let (number, content) =
                    lines.next().ok_or_else(|| at(Error::input("the file ends before its landmarks")))?;
                specimen.points.push(point(content).map_err(|e| e.at(line(number)))?);
            }
            specimens.push(specimen);
            continue;
        }
        if key == "LM3" {
            return Err(at(Error::input("landmarks in three dimensions are no positions in an image")));
        }
        if key == "POINTS" {
            others += 1;
            let skipped = whole()?;
            if lines.by_ref().take(skipped).count() < skipped {
                return Err(at(Error::input("the file ends before its points")));
            }
            continue;
        }
        let Some(specimen) = specimens.last_mut() else {
            return Err(at(Error::input(format!("{key} before the first LM"))));
        };
        match key.as_str() {
            "IMAGE" => {
                let image = tree.find(folder, value).map_err(|e| at(e.at("IMAGE")));
                specimen.image = tree.keep(image)?.map(|image| (image, number));
            }
            "ID" => specimen.id = Some(value.to_owned()),
            "SCALE" => {
                let scale = decimal(value).filter(|scale| *scale > 0.0);
                specimen.scale = Some(scale.ok_or_else(|| at(Error::input(format!("SCALE={value} is no length"))))?);
            }
            // CURVES and OUTLINES only count what POINTS follow.
            _ => {}
        }
    }
    Ok((specimens, others))
}

/// A number, with a decimal comma where Windows writes one.
fn decimal(text: &str) -> Option<f64> {
    text.replace(',', ".").parse::<f64>().ok().filter(|number| number.is_finite())
}

/// The position in a line; `None` if it says that there is none.
fn point(text: &str) -> Result<Option<Point>> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [x, y] if x.eq_ignore_ascii_case("na") && y.eq_ignore_ascii_case("na") => Ok(None),
        [x, y] => match decimal(x).zip(decimal(y)) {
            Some((x, y)) => position(x, y).map(Some),
            None => Err(Error::input(format!("`{text}` is not x and y"))),
        },
        _ => Err(Error::input(format!("`{text}` is not x and y")).remedy("LM=N is followed by N lines of x and y")),
    }
}
