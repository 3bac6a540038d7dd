//! DeepLabCut: `CollectedData_SCORER.csv` beside the frames in `labeled-data/VIDEO`.
//!
//! Origin: pixels' centres (frames are labelled in matplotlib or napari, whose pixel 0 has its centre at 0). Half pixel: none.
//! Orientation: frames are stored upright. Visibility: an empty cell is missing. The header has three rows, `scorer`,
//! `bodyparts`, `coords`, and in projects of several animals a row `individuals` after the first; frames are named by one path
//! or by three columns. Sources: `deeplabcut/generate_training_dataset/trainingsetmanipulation.py`, docs of DeepLabCut,
//! "What is the data format". Frames of one video are a group, which splits keep together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use sweep_core::error::{Error, Result};
use sweep_core::units::Point;

use super::cells::{Cells, line};
use super::parsed::{ParsedDataset, PixelSource, Record, landmark_name, position};
use super::tree::Tree;
use super::{Importer, Options, Origin};

pub(super) const IMPORTER: Importer = Importer {
    name: "deeplabcut",
    reads: "DeepLabCut's `labeled-data/VIDEO/CollectedData_*.csv` of one animal (of several: `--category NAME`); frames of a \
            video are a group that splits keep together; in pixels without `--spacing`",
    loses: "scorer, skeleton, config.yaml; .h5 files are not read",
    origin: Origin::Centre,
    leaves_origin: false,
    has_categories: true,
    is_table: false,
    recognizes: |tree| tree.some("csv").iter().any(|file| is_collected(tree, file)) || !tables_in_hdf(tree).is_empty(),
    read,
};

fn is_collected(tree: &Tree, file: &Path) -> bool {
    let Ok(head) = tree.head(file) else { return false };
    let mut firsts = head.lines().map(|line| line.split([',', ';']).next().unwrap_or_default().trim());
    firsts.next() == Some("scorer") && firsts.take(3).any(|first| first == "coords")
}

fn tables_in_hdf(tree: &Tree) -> Vec<&Path> {
    let is = |file: &&Path| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("CollectedData_") && name.ends_with(".h5")
    };
    tree.files().filter(is).collect()
}

/// A landmark's columns in one file.
struct BodyPart {
    name: String,
    x: usize,
    y: usize,
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let files: Vec<&Path> = tree.annotations("csv").into_iter().filter(|file| is_collected(tree, file)).collect();
    if files.is_empty() {
        let hdf = tables_in_hdf(tree);
        let what =
            if hdf.is_empty() { "there is no CollectedData_*.csv" } else { "there is CollectedData_*.h5 but no .csv" };
        return Err(Error::input(what).remedy(
            "DeepLabCut writes both; or in Python: pandas.read_hdf(FILE).to_csv(FILE.replace('.h5', '.csv'))",
        ));
    }
    let mut landmarks: Vec<String> = Vec::new();
    let mut frames: Vec<(Record, BTreeMap<String, Point>)> = Vec::new();
    for file in files {
        let at = |e: Error| e.at(tree.path(file).display());
        let cells = Cells::without_header(&tree.text(file)?).map_err(at)?;
        let (parts, first_row) = header(&cells, options).map_err(at)?;
        for part in &parts {
            if !landmarks.contains(&part.name) {
                landmarks.push(part.name.clone());
            }
        }
        for (number, row) in &cells.rows[first_row..] {
            let frame = frame(tree, file, &cells, &parts, row).map_err(|e| at(e.at(line(*number))));
            let Some((image, points)) = tree.keep(frame)? else { continue };
            let location = format!("{}: {}", tree.path(file).display(), line(*number));
            let first = options.origin.unwrap_or(IMPORTER.origin).first();
            let source = PixelSource::File(tree.path(&image));
            let video = image.parent().filter(|folder| *folder != Path::new(""));
            let patient = video.map(|video| video.to_string_lossy().into_owned());
            let split = tree.split(file, &image);
            frames
                .push((Record { split, patient, first, ..Record::new(&image, source, Vec::new(), location) }, points));
        }
    }
    let before = frames.len();
    frames.retain(|(_, points)| !points.is_empty());
    let mut notes = Vec::new();
    if frames.len() < before {
        notes.push(format!("{} frames without landmarks were left out", before - frames.len()));
    }
    let is_one = frames.windows(2).all(|pair| pair[0].0.patient == pair[1].0.patient);
    if is_one && frames.len() > 1 {
        for (record, _) in &mut frames {
            record.patient = None;
        }
        notes.push("all frames are of one video: validation frames resemble the training frames".into());
    }
    let records = frames.into_iter().map(|(record, points)| {
        let landmarks = landmarks.iter().map(|name| points.get(name).copied()).collect();
        Record { landmarks, ..record }
    });
    let records = records.collect();
    Ok(ParsedDataset { name: tree.name(), landmarks, observer_mre: None, records, notes })
}

/// The landmarks' columns, and the first row of frames.
fn header(cells: &Cells, options: &Options) -> Result<(Vec<BodyPart>, usize)> {
    let row = |name: &str| cells.rows.iter().take(4).position(|(_, row)| row.get(0) == Some(name));
    let need =
        |name: &str| row(name).ok_or_else(|| Error::input(format!("the header has no row `{name}`")).at(line(1)));
    let (bodyparts, coords) = (need("bodyparts")?, need("coords")?);
    let cell = |row: usize, column: usize| cells.rows[row].1.get(column).unwrap_or_default();
    let individuals = row("individuals");
    let columns = cells.rows[coords].1.len();
    let mut animals: Vec<&str> = Vec::new();
    for column in (1..columns).filter(|column| !cell(coords, *column).is_empty()) {
        let animal = individuals.map(|row| cell(row, column)).unwrap_or_default();
        if !animals.contains(&animal) {
            animals.push(animal);
        }
    }
    let animal = match (&options.category, &animals[..]) {
        (Some(wanted), all) if individuals.is_some() => {
            *all.iter().find(|animal| *animal == wanted).ok_or_else(|| {
                Error::input(format!("there is no individual `{wanted}`"))
                    .at("--category")
                    .remedy(format!("the individuals are {}", all.join(", ")))
            })?
        }
        (_, [one]) => one,
        (_, all) => {
            return Err(Error::input(format!("a project of several animals: {}", all.join(", ")))
                .at(line(individuals.map_or(1, |row| row as u64 + 1)))
                .remedy("one object of every image is read: say which by --category NAME"));
        }
    };
    let mut parts: Vec<BodyPart> = Vec::new();
    for column in 1..columns {
        let is_of = individuals.is_none_or(|row| cell(row, column) == animal);
        if !is_of || cell(coords, column) != "x" {
            continue;
        }
        let name = landmark_name(cell(bodyparts, column))?;
        let same = |other: &usize| {
            cell(coords, *other) == "y"
                && cell(bodyparts, *other) == cell(bodyparts, column)
                && individuals.is_none_or(|row| cell(row, *other) == animal)
        };
        let y = [column + 1].into_iter().chain(1..columns).find(same);
        let y = y.ok_or_else(|| Error::input(format!("body part {name} has an x but no y")))?;
        if parts.iter().any(|part| part.name == name) {
            return Err(Error::input(format!("body part {name} is there twice, perhaps of two scorers"))
                .remedy("keep the columns of one scorer"));
        }
        parts.push(BodyPart { name, x: column, y });
    }
    if parts.is_empty() {
        return Err(Error::input("there is no body part with x and y"));
    }
    Ok((parts, coords + 1))
}

/// A frame's image and landmarks.
fn frame(
    tree: &Tree,
    file: &Path,
    cells: &Cells,
    parts: &[BodyPart],
    row: &StringRecord,
) -> Result<(PathBuf, BTreeMap<String, Point>)> {
    let first = parts.iter().map(|part| part.x.min(part.y)).min().unwrap_or(1);
    let names: Vec<&str> = row.iter().take(first).filter(|name| !name.is_empty()).collect();
    let name = names.join("/").replace('\\', "/");
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::input("rows are numbers of frames, as in the result of analyze_videos, and name no images")
            .remedy("import the labelled frames, CollectedData_*.csv"));
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    // A video's folder may have been taken out of its project.
    let beside = folder.join(Path::new(&name).file_name().unwrap_or_default());
    let image = match tree.find(folder, &name) {
        Err(_) if tree.has(&beside) => beside,
        // Or its frames lie elsewhere in the source: they are found by the ends of their paths, as those of other machines.
        Err(error) => tree.find_by_end(&name).map_err(|_| error)?,
        Ok(found) => found,
    };
    let mut points = BTreeMap::new();
    for part in parts {
        match (cells.number(row, part.x)?, cells.number(row, part.y)?) {
            (Some(x), Some(y)) => {
                points.insert(part.name.clone(), position(x, y)?);
            }
            (None, None) => {}
            _ => return Err(Error::input(format!("landmark {} has one coordinate", part.name))),
        }
    }
    Ok((image, points))
}
