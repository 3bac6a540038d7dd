//! Markups of 3D Slicer: `.mrk.json`, and `.fcsv` of older versions, a file an image.
//!
//! Origin: millimetres in the patient, LPS or RAS as the file says; an image's header (MetaImage, NRRD, `NIfTI`, DICOM) says where its pixels
//! lie, and the centre of the first is its origin. Half pixel: none. Orientation: the stored picture. Visibility: points whose
//! `positionStatus` is not `defined` are missing; `visibility` only says whether a point is shown. Sources: the markups schema
//! (Slicer/Modules/Loadable/Markups/Resources/Schema), `vtkMRMLMarkupsFiducialStorageNode.cxx`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::picture;
use sweep_core::error::{Error, Result};
use sweep_core::units::Point;

use super::name_order::NameOrder;
use super::number::Word;
use super::parsed::{ParsedDataset, PixelSource, Record, landmark_name, position};
use super::slicer_volume::{Volume, of_marks};
use super::tree::Tree;
use super::{Frame, Importer, Options, Origin};

/// 3D Slicer reads pictures by ITK, as they are stored.
const FRAME: Frame = Frame::Stored;

pub(super) const IMPORTER: Importer = Importer {
    name: "slicer",
    reads: "3D Slicer's .mrk.json and .fcsv, named as their images (or alone with one in a folder); LPS or RAS in mm, by the \
            origin, spacing and directions of MetaImage, NRRD, NIfTI and DICOM files; of other images with `--unit px` or `--unit mm`",
    loses: "display, descriptions, measurements, other markups than points",
    origin: Origin::Centre,
    leaves_origin: false,
    has_categories: false,
    is_table: false,
    recognizes: |tree| !markups(tree).is_empty(),
    read,
};

/// A landmark as the file describes it.
struct Mark {
    label: String,
    /// In LPS.
    position: [f64; 3],
}

fn markups(tree: &Tree) -> Vec<&Path> {
    let is_json = |file: &&Path| file.to_string_lossy().to_lowercase().ends_with(".mrk.json");
    tree.annotations("json").into_iter().filter(is_json).chain(tree.annotations("fcsv")).collect()
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let files = markups(tree);
    if files.is_empty() {
        return Err(Error::input("there is no .mrk.json or .fcsv file"));
    }
    let mut names = NameOrder::default();
    let mut images = Vec::new();
    for file in files {
        let image = image(tree, file, &mut names, options).map_err(|e| e.at(tree.path(file).display()));
        images.extend(tree.keep(image)?);
    }
    let records = images.into_iter().map(|(record, points): (Record, Vec<(usize, Point)>)| {
        let mut landmarks = vec![None; names.len()];
        for (index, point) in points {
            landmarks[index] = Some(point);
        }
        Record { landmarks, ..record }
    });
    let records = records.collect();
    Ok(ParsedDataset {
        name: tree.name(),
        landmarks: names.into_names(),
        observer_mre: None,
        records,
        notes: Vec::new(),
    })
}

fn image(tree: &Tree, file: &Path, names: &mut NameOrder, options: &Options) -> Result<(Record, Vec<(usize, Point)>)> {
    let is_json = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
    let marks = if is_json { from_json(tree, file)? } else { from_fcsv(&tree.text(file)?)? };
    let stem = file.with_extension("").file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = if is_json { stem.get(..stem.len() - 4).unwrap_or_default().to_owned() } else { stem };
    let image = image_of(tree, file, &stem)?;
    let mut volumes = if options.unit.is_some() { Vec::new() } else { Volume::read(tree, &image)? };
    if volumes.len() > 1 {
        let positions: Vec<[f64; 3]> = marks.iter().map(|mark| mark.position).collect();
        let size = picture::read(&tree.path(&image))?.size;
        volumes = of_marks(volumes, &positions, size);
        if volumes.len() > 1 {
            return Err(Error::input(format!(
                "{} says several sizes of a pixel that differ (ImagerPixelSpacing, PixelSpacing), and the landmarks fit more than one",
                image.display()
            ))
            .remedy("save the image as .nrrd or .mha in Slicer, beside the landmarks; or say --unit mm with the --spacing that Slicer shows"));
        }
    }
    let volume = volumes.pop();
    if volume.is_none() && options.unit.is_none() {
        return Err(Error::input(format!("{} does not say where its pixels lie in the patient", image.display()))
            .remedy("save the image as .mha, .nrrd or .nii in Slicer; or say --unit px if a pixel is 1 mm in Slicer, --unit mm otherwise"));
    }
    let mut points: Vec<(usize, Point)> = Vec::new();
    for mark in marks {
        // Slicer numbers points by the name of their list, which is often the file's.
        let label = mark.label.strip_prefix(&format!("{stem}-")).filter(|rest| !rest.is_empty()).unwrap_or(&mark.label);
        let name = landmark_name(label)?;
        let index = names.index(&name);
        if points.iter().any(|(other, _)| *other == index) {
            return Err(
                Error::input(format!("landmark {name} is there twice")).remedy("give every point its own label")
            );
        }
        let (point, off) = volume.as_ref().map_or_else(
            || (Point { x: mark.position[0], y: mark.position[1] }, 0.0),
            |volume| volume.pixel(mark.position),
        );
        if off.abs() > 0.75 {
            return Err(Error::input(format!("landmark {name} lies {off:.1} slices off the image"))
                .remedy("export the slice that the landmarks were marked on"));
        }
        points.push((index, position(point.x, point.y)?));
    }
    let location = tree.path(file).display().to_string();
    let source = PixelSource::File(tree.path(&image));
    Ok((
        Record { split: tree.folder_split(&image), frame: FRAME, ..Record::new(&image, source, Vec::new(), location) },
        points,
    ))
}

/// The image of the same name, or the only one in the folder.
fn image_of(tree: &Tree, file: &Path, stem: &str) -> Result<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new(""));
    tree.find(folder, stem).or_else(|error| {
        let mut beside = tree.images().filter(|image| image.parent() == Some(folder));
        match (beside.next(), beside.next()) {
            (Some(one), None) => Ok(one.to_owned()),
            _ => Err(error.remedy("call markups as their image, or keep each image with its markups in a folder")),
        }
    })
}

#[derive(Deserialize)]
struct File {
    markups: Vec<List>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    coordinate_system: Option<Word>,
    coordinate_units: Option<Word>,
    control_points: Option<Vec<ControlPoint>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ControlPoint {
    label: Option<String>,
    position: Option<Vec<f64>>,
    position_status: Option<String>,
}

fn from_json(tree: &Tree, file: &Path) -> Result<Vec<Mark>> {
    let content: File = tree.json(file).map_err(|e| Error { location: None, ..e })?;
    let mut marks = Vec::new();
    for (index, list) in content.markups.into_iter().enumerate() {
        let at = |e: Error| e.at(format!("field markups[{index}]"));
        let sign = sign(list.coordinate_system.as_ref().map_or("LPS", |word| &word.0)).map_err(at)?;
        if let Some(unit) = list.coordinate_units.filter(|unit| !["mm", ""].contains(&unit.0.as_str())) {
            return Err(at(Error::input(format!("coordinates in {}, not in mm", unit.0))));
        }
        for (number, point) in list.control_points.into_iter().flatten().enumerate() {
            let at = |e: Error| at(e.at(format!("controlPoints[{number}]")));
            if point.position_status.is_some_and(|status| status != "defined") {
                continue;
            }
            let label = point.label.unwrap_or_default();
            let [x, y, z] = point.position.unwrap_or_default()[..] else {
                return Err(at(Error::input("its position is not x, y, z")));
            };
            marks.push(Mark { label, position: [x * sign, y * sign, z] });
        }
    }
    Ok(marks)
}

/// −1 of x and y in RAS, 1 in LPS.
fn sign(system: &str) -> Result<f64> {
    match system.trim().to_uppercase().as_str() {
        "LPS" | "1" => Ok(1.0),
        "RAS" | "0" => Ok(-1.0),
        other => Err(Error::input(format!("unknown coordinate system {other}")).remedy("LPS and RAS are read")),
    }
}

fn from_fcsv(text: &str) -> Result<Vec<Mark>> {
    let (mut sign_of, mut columns, mut marks) = (-1.0, vec![], Vec::new());
    for (number, line) in text.lines().enumerate() {
        let at = |e: Error| e.at(format!("line {}", number + 1));
        if let Some(comment) = line.strip_prefix('#') {
            match comment.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
                Some(("CoordinateSystem", system)) => sign_of = sign(system).map_err(at)?,
                Some(("columns", names)) => columns = names.split(',').map(|name| name.trim().to_lowercase()).collect(),
                _ => {}
            }
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        let cells: Vec<&str> = line.split(',').collect();
        let cell = |name: &str, usual: usize| {
            let column =
                if columns.is_empty() { Some(usual) } else { columns.iter().position(|column| column == name) };
            column.and_then(|column| cells.get(column)).map(|cell| cell.trim())
        };
        let value = |name: &str, usual: usize| {
            let text = cell(name, usual).unwrap_or_default();
            text.parse::<f64>().map_err(|_| at(Error::input(format!("{name} `{text}` is not a number"))))
        };
        let label = cell("label", 11).unwrap_or_default().to_owned();
        marks.push(Mark { label, position: [value("x", 1)? * sign_of, value("y", 2)? * sign_of, value("z", 3)?] });
    }
    Ok(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fcsv_says_its_coordinate_system() {
        let body = "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n\
                    vtkMRMLMarkupsFiducialNode_0,1.5,-2,3,0,0,0,1,1,1,0,S,,\n";
        let first = |head: &str| {
            let marks = from_fcsv(&format!("# Markups fiducial file version = 4.11\n{head}{body}")).unwrap();
            assert_eq!((marks.len(), marks[0].label.as_str()), (1, "S"));
            marks[0].position
        };
        assert_eq!(first("# CoordinateSystem = LPS\n").map(f64::to_bits), [1.5, -2.0, 3.0].map(f64::to_bits));
        assert_eq!(first("# CoordinateSystem = 0\n").map(f64::to_bits), [-1.5, 2.0, 3.0].map(f64::to_bits));
        assert!(from_fcsv("# CoordinateSystem = IJK\n").is_err());
    }
}
