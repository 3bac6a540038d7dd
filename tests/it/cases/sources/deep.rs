//! Pictures of 16 bits.

use std::fs;
use std::path::Path;

use image::{ImageBuffer, Luma};

use super::tables::{point, table};
use super::{names, write};
use crate::cases::pictures::{SIZE, film};

fn deep(path: &Path, number: u32, value: impl Fn(u8) -> u16, marker: Option<u16>) {
    let mut picture = ImageBuffer::from_fn(SIZE[0], SIZE[1], |x, y| Luma([value(film(number).get_pixel(x, y)[0])]));
    if let Some(marker) = marker {
        picture.put_pixel(80, 100, Luma([marker]));
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture.save(path).unwrap();
}

pub(in crate::cases) fn narrow_range(dir: &Path) {
    for number in 0..3 {
        // From 33 000 to 37 080: all of it is shown.
        deep(&dir.join(format!("{number}.png")), number, |v| 33_000 + u16::from(v) * 16, None);
    }
    write(&dir.join("marks.csv"), table(3, names(), ",", point));
}

pub(in crate::cases) fn white_marker(dir: &Path) {
    for number in 0..3 {
        let marker = (number == 1).then_some(65_535);
        deep(&dir.join(format!("{number}.png")), number, |v| u16::from(v) * 16, marker);
    }
    write(&dir.join("marks.csv"), table(3, names(), ",", point));
}
