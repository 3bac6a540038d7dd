//! DICOM files with a table of landmarks.

use std::path::Path;

use serde_json::{Value, json};

use super::tables::{point, table};
use super::{names, write};
use crate::cases::pictures::{Dicom, positions};

const MM: &str = "0.2\\0.2";

fn dicom_table(dir: &Path, ending: &str) {
    let text = table(2, names(), ",", point).replace(".png,", &format!("{ending},"));
    write(&dir.join("marks.csv"), text);
}

fn dicom(dir: &Path, dicom: &Dicom) {
    for number in 0..2 {
        dicom.write(&dir.join(format!("{number}.dcm")), number);
    }
    dicom_table(dir, ".dcm");
}

const NEGATIVE: Dicom = Dicom {
    store: |v| 255 - u16::from(v),
    texts: &[
        (0x28, 0x30, "DS", MM),
        (0x28, 0x1050, "DS", "1725.5"),
        (0x28, 0x1051, "DS", "2551"),
        (0x28, 0x1052, "DS", "3000"),
        (0x28, 0x1053, "DS", "-10"),
    ],
    ..Dicom::PLAIN
};
const MONOCHROME1: Dicom = Dicom {
    store: |v| 1000 + (255 - u16::from(v)) * 8,
    photometric: "MONOCHROME1",
    texts: &[(0x28, 0x30, "DS", MM), (0x28, 0x1050, "DS", "2020.5\\900"), (0x28, 0x1051, "DS", "2041\\100")],
    ..Dicom::PLAIN
};
const INVERSE: Dicom = Dicom {
    texts: &[
        (0x28, 0x30, "DS", MM),
        (0x28, 0x1050, "DS", "2020.5"),
        (0x28, 0x1051, "DS", "2041"),
        (0x2050, 0x20, "CS", "INVERSE"),
    ],
    ..MONOCHROME1
};
const BARE: Dicom = Dicom {
    texts: &[(0x28, 0x30, "DS", MM), (0x28, 0x1050, "DS", "128"), (0x28, 0x1051, "DS", "256")],
    has_preamble: false,
    ..Dicom::PLAIN
};

/// Files of one film, which all show the same.
pub(in crate::cases) fn dicoms() -> [Dicom; 4] {
    [NEGATIVE, MONOCHROME1, INVERSE, BARE]
}

pub(in crate::cases) fn dicom_negative_slope(dir: &Path) {
    dicom(dir, &NEGATIVE);
}

pub(in crate::cases) fn dicom_monochrome1(dir: &Path) {
    dicom(dir, &MONOCHROME1);
}

pub(in crate::cases) fn dicom_inverse(dir: &Path) {
    dicom(dir, &INVERSE);
}

pub(in crate::cases) fn dicom_oblong(dir: &Path) {
    let texts = &[(0x28, 0x30, "DS", "0.3\\0.1"), (0x28, 0x1050, "DS", "128"), (0x28, 0x1051, "DS", "256")];
    dicom(dir, &Dicom { texts, ..Dicom::PLAIN });
}

pub(in crate::cases) fn dicom_magnified(dir: &Path) {
    let texts = &[
        (0x18, 0x1114, "DS", "1.1"),
        (0x18, 0x1164, "DS", "0.22\\0.22"),
        (0x28, 0x1050, "DS", "128"),
        (0x28, 0x1051, "DS", "256"),
    ];
    dicom(dir, &Dicom { texts, ..Dicom::PLAIN });
}

pub(in crate::cases) fn dicom_bare(dir: &Path) {
    for number in 0..2 {
        BARE.write(&dir.join(format!("IM{number:06}")), number);
    }
    let text = table(2, names(), ",", point).replace("\n0.png", "\nIM000000").replace("\n1.png", "\nIM000001");
    write(&dir.join("marks.csv"), text);
}

pub(in crate::cases) fn dicom_aspect(dir: &Path) {
    let texts = &[(0x28, 0x34, "IS", "2\\1"), (0x28, 0x1050, "DS", "128"), (0x28, 0x1051, "DS", "256")];
    dicom(dir, &Dicom { texts, ..Dicom::PLAIN });
}

/// Markups of 3D Slicer beside two files, at positions of the patient.
fn slicer_on(dir: &Path, dicom: &Dicom, is_ras: bool, patient: impl Fn([f64; 2]) -> [f64; 3]) {
    for number in 0..2 {
        dicom.write(&dir.join(format!("{number}.dcm")), number);
        let point = |(name, at)| json!({ "label": name, "position": patient(at), "positionStatus": "defined" });
        let points: Vec<Value> = names().into_iter().zip(positions(number)).map(point).collect();
        let system = if is_ras { "RAS" } else { "LPS" };
        let markups = json!({ "markups": [{ "type": "Fiducial", "coordinateSystem": system, "coordinateUnits": "mm", "controlPoints": points }] });
        write(&dir.join(format!("{number}.mrk.json")), markups.to_string());
    }
}

pub(in crate::cases) fn slicer_on_radiograph(dir: &Path) {
    let texts = &[
        (0x08, 0x16, "UI", "1.2.840.10008.5.1.4.1.1.1"),
        (0x18, 0x1164, "DS", "0.2\\0.3"),
        (0x28, 0x1050, "DS", "128"),
        (0x28, 0x1051, "DS", "256"),
    ];
    slicer_on(dir, &Dicom { texts, ..Dicom::PLAIN }, false, |[x, y]| [0.3 * x, 0.2 * y, 0.0]);
}

/// A sagittal slice: rows run to the back, columns to the feet.
pub(in crate::cases) fn slicer_on_slice(dir: &Path) {
    let texts = &[
        (0x20, 0x32, "DS", "-40\\12.5\\70"),
        (0x20, 0x37, "DS", "0\\1\\0\\0\\0\\-1"),
        (0x28, 0x30, "DS", "0.2\\0.3"),
        (0x28, 0x1050, "DS", "128"),
        (0x28, 0x1051, "DS", "256"),
    ];
    slicer_on(dir, &Dicom { texts, ..Dicom::PLAIN }, true, |[x, y]| [40.0, -(12.5 + 0.3 * x), 70.0 - 0.2 * y]);
}

/// The detector's pixels are ten times the patient's, so that only the former keep the marks in the picture.
pub(in crate::cases) fn slicer_on_calibrated(dir: &Path) {
    let texts = &[
        (0x18, 0x1164, "DS", "1\\1"),
        (0x28, 0x30, "DS", "0.1\\0.1"),
        (0x28, 0x0a02, "CS", "FIDUCIAL"),
        (0x28, 0x1050, "DS", "128"),
        (0x28, 0x1051, "DS", "256"),
    ];
    slicer_on(dir, &Dicom { texts, ..Dicom::PLAIN }, false, |[x, y]| [x, y, 0.0]);
}
