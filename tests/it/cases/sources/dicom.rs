//! DICOM files with a table of landmarks.

use std::path::Path;

use super::tables::{point, table};
use super::{names, write};
use crate::cases::pictures::Dicom;

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
