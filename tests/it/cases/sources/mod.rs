//! Sources as tools write them, made by hand: each function makes a folder that a tool would leave.

mod coco;
mod deep;
mod dicom;
mod labelme_cvat;
mod tables;
mod tools;

use std::fs;
use std::path::Path;

use super::pictures::{LANDMARKS, turned};

pub(super) use coco::*;
pub(super) use deep::*;
pub(super) use dicom::*;
pub(super) use labelme_cvat::*;
pub(super) use tables::*;
pub(super) use tools::*;

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn names() -> [&'static str; 4] {
    LANDMARKS.map(|(name, ..)| name)
}

/// Whether a name is what some source calls this landmark.
pub(super) fn is_alias(name: &str, index: usize) -> bool {
    let aliases = [["N", "S\u{e9}lla"], ["n", "Nasi\u{f3}n"], ["Gn", "Ment\u{f3}n"], ["gn", "Goni\u{f3}n"]];
    aliases[index].contains(&name) || name == format!("p{}", index + 1)
}

/// One of three films, under the number of another.
fn turned_copy(path: &Path, number: u32, exif: u8) {
    turned(path, number % 3, exif);
}
