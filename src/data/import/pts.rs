//! ibug's `.pts`: a text file an image, of the 300-W challenge and of menpo, dlib's and eos' training data.
//!
//! Origin: 1, 1 is the first pixel's centre, since the files were made with Matlab (trigeorgis/mdm#13; menpo's
//! `pts_importer` takes off 1). Half pixel: none. Orientation: the stored picture, of which Matlab's `imread` knows no other.
//! Visibility: menpo takes non-finite positions as missing; (0, 0) and (−1, −1) as everywhere. Names: none, so 1, 2, ….
//! Source of the format: ibug.doc.ic.ac.uk/resources/facial-point-annotations.

use std::path::Path;

use sweep_core::error::{Error, Result};
use sweep_core::units::Point;

use super::cells::line;
use super::parsed::{ParsedDataset, PixelSource, Record, position};
use super::tree::Tree;
use super::{Frame, Importer, Options, Origin};

/// Many tools write .pts, some of which turn pictures.
const FRAME: Frame = Frame::Unknown;

pub(super) const IMPORTER: Importer = Importer {
    name: "pts",
    reads: "ibug's .pts: `version: 1`, `n_points: N`, `{ x y … }` in a file an image of the same name; counted from 1, so less one \
            pixel; landmarks are called 1, 2, …",
    loses: "nothing",
    origin: Origin::One,
    leaves_origin: false,
    has_categories: false,
    is_table: false,
    recognizes: |tree| tree.some("pts").iter().any(|file| tree.head(file).is_ok_and(|head| head.contains("n_points"))),
    read,
};

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let files = tree.annotations("pts");
    if files.is_empty() {
        return Err(Error::input("there is no .pts file").remedy("put one beside each image, of the same name"));
    }
    let first = options.origin.unwrap_or(IMPORTER.origin).first();
    let mut records = Vec::new();
    for file in files {
        let record = record(tree, file, first).map_err(|e| e.at(tree.path(file).display()));
        records.extend(tree.keep(record)?);
    }
    let count = records.first().map_or(0, |record: &Record| record.landmarks.len());
    if let Some(other) = records.iter().find(|record| record.landmarks.len() != count) {
        return Err(Error::input(format!("{} points, but the first file has {count}", other.landmarks.len()))
            .at(&other.location)
            .remedy("import files of one scheme at a time"));
    }
    let landmarks = (1..=count).map(|number| number.to_string()).collect();
    Ok(ParsedDataset { name: tree.name(), landmarks, observer_mre: None, records, notes: Vec::new() })
}

fn record(tree: &Tree, file: &Path, first: f64) -> Result<Record> {
    let points = points(&tree.text(file)?)?;
    // `x.pts` is of `x.png`, also in another folder; `x.png.pts` of `x.png`.
    let stem = file.with_extension("");
    let name = stem.file_name().unwrap_or_default().to_string_lossy();
    let image = tree.find(file.parent().unwrap_or(Path::new("")), &name)?;
    let location = tree.path(file).display().to_string();
    Ok(Record {
        split: tree.folder_split(&image),
        frame: FRAME,
        first,
        ..Record::new(&image, PixelSource::File(tree.path(&image)), points, location)
    })
}

fn points(text: &str) -> Result<Vec<Option<Point>>> {
    let (mut wanted, mut points, mut is_inside, mut is_closed) = (None, Vec::new(), false, false);
    for (number, content) in (1u64..).zip(text.lines().map(str::trim)) {
        let at = |e: Error| e.at(line(number));
        if content.is_empty() || content.starts_with("//") || content.starts_with('#') {
            continue;
        }
        if !is_inside {
            let (key, value) = content.split_once(':').map_or((content, ""), |(k, v)| (k.trim(), v.trim()));
            match key {
                "version" if value.parse::<f64>().is_ok_and(|version| (version - 1.0).abs() < 0.5) => {}
                "version" => return Err(at(Error::input(format!("version {value} is not 1")))),
                "n_points" => {
                    wanted = Some(value.parse::<usize>().map_err(|_| at(Error::input(format!("n_points: {value}"))))?);
                }
                "{" => is_inside = true,
                _ => return Err(at(Error::input(format!("`{content}` is not expected before `{{`")))),
            }
        } else if content == "}" {
            is_closed = true;
            break;
        } else {
            let numbers: Vec<Option<f64>> = content.split_whitespace().map(|word| word.parse().ok()).collect();
            points.push(match numbers[..] {
                [Some(x), Some(y)] if x.is_finite() && y.is_finite() => Some(position(x, y)?),
                [Some(_), Some(_)] => None,
                _ => return Err(at(Error::input(format!("`{content}` is not x and y")))),
            });
        }
    }
    if !is_closed {
        return Err(Error::input("there is no closing `}`").remedy("the points stand between { and }"));
    }
    match wanted {
        Some(wanted) if wanted != points.len() => {
            Err(Error::input(format!("{} points, but n_points is {wanted}", points.len())))
        }
        _ => Ok(points),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_counted_and_named_by_line() {
        let text = "version: 1\nn_points:  2\n{\n31.25 26.5\nnan nan\n}\n";
        assert_eq!(points(text).unwrap(), [Some(Point { x: 31.25, y: 26.5 }), None]);
        let error = |text: &str| points(text).unwrap_err().to_string();
        assert!(error("version: 1\nn_points: 3\n{\n1 2\n}").contains("1 points, but n_points is 3"));
        assert!(error("version: 1\n{\n1 2 x\n}").contains("line 3: `1 2 x`"), "{}", error("version: 1\n{\n1 2 x\n}"));
        assert!(error("version: 1\n{\n1 2").contains("closing"));
        assert!(error("version: 2\n{\n}").contains("line 1"));
    }
}
