//! Where the pixels of an image lie in the patient: headers of MetaImage, NRRD, `NIfTI` (`nifti_volume`) and DICOM.
//!
//! Everything is in LPS (x to the left, y to the back, z to the head, mm), as ITK keeps it. In MetaImage, `TransformMatrix` has
//! the direction of an axis in each row (`itkMetaImageIO.cxx`, `SetDirection`); in NRRD, `space directions` has direction times
//! spacing of each axis (teem.sourceforge.net/nrrd/format.html).

use std::path::Path;

use crate::picture::{self, DicomPlace};
use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size, Spacing};

use super::nifti_volume;
use super::tree::Tree;

/// An image's place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Volume {
    /// Centre of the first pixel, mm.
    pub(super) origin: [f64; 3],
    /// From a pixel to its neighbour along rows, columns and slices, mm.
    pub(super) steps: [[f64; 3]; 3],
}

impl Volume {
    /// Reads an image's header; none if its format knows no place, and several where a DICOM file says several sizes of a
    /// pixel.
    pub(super) fn read(tree: &Tree, image: &Path) -> Result<Vec<Self>> {
        let start = tree.start(image, 1 << 16)?;
        let at = |e: Error| e.at(tree.path(image).display());
        if picture::is_dicom(&start) {
            let place = picture::dicom_place(&tree.bytes(image)?).map_err(at)?;
            return Ok(place.map(|place| Self::of_dicom(&place)).unwrap_or_default());
        }
        let text = String::from_utf8_lossy(&start);
        let is_meta = ["ObjectType", "NDims", "Comment"].iter().any(|key| text.starts_with(key));
        let found = if is_meta {
            Self::meta(&text)
        } else if text.starts_with("NRRD000") {
            Self::nrrd(&text)
        } else if let Some(header) = nifti_volume::header(&start) {
            nifti_volume::read(&header)
        } else {
            return Ok(Vec::new());
        };
        found.map(|volume| vec![volume]).map_err(at)
    }

    fn of_dicom(place: &DicomPlace) -> Vec<Self> {
        let [row, column] = place.directions;
        let normal = [
            row[1] * column[2] - row[2] * column[1],
            row[2] * column[0] - row[0] * column[2],
            row[0] * column[1] - row[1] * column[0],
        ];
        let volume = |spacing: &Spacing| Self {
            origin: place.origin,
            steps: [row.map(|part| part * spacing.x), column.map(|part| part * spacing.y), normal],
        };
        place.spacings.iter().map(volume).collect()
    }

    fn meta(text: &str) -> Result<Self> {
        let field = |names: &[&str]| {
            let mut lines = text.lines().take_while(|line| !line.starts_with("ElementDataFile"));
            lines.find_map(|line| {
                let (key, value) = line.split_once('=')?;
                names.contains(&key.trim()).then(|| numbers(value))
            })
        };
        let spacing = field(&["ElementSpacing", "ElementSize"]).unwrap_or_else(|| vec![1.0; 3]);
        let offset = field(&["Offset", "Position", "Origin"]).unwrap_or_else(|| vec![0.0; 3]);
        let dimensions = spacing.len();
        let matrix = field(&["TransformMatrix", "Rotation", "Orientation"]);
        let is_right = matches!(dimensions, 2 | 3)
            && offset.len() == dimensions
            && matrix.as_ref().is_none_or(|matrix| matrix.len() == dimensions * dimensions);
        if !is_right {
            return Err(Error::input("its header does not say where its pixels lie")
                .remedy("Offset, ElementSpacing and TransformMatrix need a value per axis"));
        }
        let mut volume = Self { origin: [0.0; 3], steps: [[0.0; 3]; 3] };
        volume.steps[2][2] = 1.0;
        volume.origin[..dimensions].copy_from_slice(&offset);
        for axis in 0..dimensions {
            for part in 0..dimensions {
                let identity = if axis == part { 1.0 } else { 0.0 };
                let direction = matrix.as_ref().map_or(identity, |matrix| matrix[axis * dimensions + part]);
                volume.steps[axis][part] = direction * spacing[axis];
            }
        }
        Ok(volume)
    }

    fn nrrd(text: &str) -> Result<Self> {
        let head: Vec<&str> = text.lines().take_while(|line| !line.trim().is_empty()).collect();
        let field = |name: &str| {
            head.iter()
                .find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name).map(|(_, v)| v.trim()))
        };
        let vectors = |text: &str| -> Vec<Vec<f64>> {
            text.split('(')
                .skip(1)
                .map(|part| numbers(&part.split(')').next().unwrap_or_default().replace(',', " ")))
                .collect()
        };
        let wrong = || {
            Error::input("its header does not say where its pixels lie")
                .remedy("it needs `space`, `space directions` and `space origin` in three dimensions")
        };
        let directions = vectors(field("space directions").ok_or_else(wrong)?);
        let origin = vectors(field("space origin").ok_or_else(wrong)?);
        let sign = match field("space").map(str::to_lowercase).as_deref() {
            Some("left-posterior-superior" | "lps") => 1.0,
            Some("right-anterior-superior" | "ras") => -1.0,
            _ => return Err(wrong()),
        };
        if directions.len() != 3 || origin.len() != 1 || directions.iter().chain(&origin).any(|v| v.len() != 3) {
            return Err(wrong());
        }
        let lps = |v: &[f64]| [v[0] * sign, v[1] * sign, v[2]];
        let steps = [lps(&directions[0]), lps(&directions[1]), lps(&directions[2])];
        Ok(Self { origin: lps(&origin[0]), steps })
    }

    /// The pixel at a position, and how many slices it lies off the first.
    pub(super) fn pixel(&self, lps: [f64; 3]) -> (Point, f64) {
        let along = |step: &[f64; 3]| {
            let length: f64 = step.iter().map(|s| s * s).sum();
            step.iter().zip(lps.iter().zip(&self.origin)).map(|(s, (p, o))| s * (p - o)).sum::<f64>() / length
        };
        let [x, y, z] = [along(&self.steps[0]), along(&self.steps[1]), along(&self.steps[2])];
        (Point { x, y }, z)
    }
}

/// The volumes of which these positions lie in a picture of this size, or a little outside.
pub(super) fn of_marks(volumes: Vec<Volume>, marks: &[[f64; 3]], size: Size) -> Vec<Volume> {
    let edge = |side: usize| -5.5..=side as f64 + 4.5;
    let holds = |volume: &Volume| {
        marks.iter().all(|mark| {
            let (point, _) = volume.pixel(*mark);
            edge(size.width).contains(&point.x) && edge(size.height).contains(&point.y)
        })
    };
    let held: Vec<Volume> = volumes.iter().filter(|volume| holds(volume)).cloned().collect();
    // Where none holds them, the first one says what lies outside.
    if held.is_empty() { volumes.into_iter().take(1).collect() } else { held }
}

fn numbers(text: &str) -> Vec<f64> {
    text.split_whitespace().map_while(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_and_origins_are_undone() {
        // A sagittal film: rows run to the back (P), columns to the feet (−S).
        let meta = "ObjectType = Image\nNDims = 3\nTransformMatrix = 0 1 0 0 0 -1 1 0 0\nOffset = 5 -3 40\n\
                    ElementSpacing = 0.1 0.2 1\nElementDataFile = LOCAL\n";
        let volume = Volume::meta(meta).unwrap();
        let (pixel, off) = volume.pixel([5.0, -3.0 + 0.1 * 30.0, 40.0 - 0.2 * 20.0]);
        assert!((pixel.x - 30.0).abs() < 1e-9 && (pixel.y - 20.0).abs() < 1e-9 && off.abs() < 1e-9, "{pixel:?}");
        let nrrd = "NRRD0004\nspace: right-anterior-superior\nspace directions: (0,-0.1,0) (0,0,-0.2) (1,0,0)\n\
                    space origin: (-5,3,40)\n\n";
        let (same, _) = Volume::nrrd(nrrd).unwrap().pixel([5.0, 0.0, 36.0]);
        assert!((same.x - 30.0).abs() < 1e-9 && (same.y - 20.0).abs() < 1e-9, "{same:?}");
        assert!(Volume::meta("NDims = 3\nOffset = 1 2\nElementSpacing = 1 1 1\n").is_err());
    }
}
