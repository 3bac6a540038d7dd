//! labelme and CVAT, which count from the corner and mark turned pictures.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::{names, turned_copy, write};
use crate::cases::pictures::{SIZE, plain, positions};

fn labelme_file(film: u32, image: &str, names: [&str; 4]) -> Value {
    let shape = |(name, [x, y]): (&str, [f64; 2])| json!({ "label": name, "points": [[x + 0.5, y + 0.5]], "shape_type": "point", "flags": {}, "group_id": null });
    let shapes: Vec<Value> = names.into_iter().zip(positions(film)).map(shape).collect();
    json!({ "version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": null, "imageHeight": SIZE[1], "imageWidth": SIZE[0] })
}

pub(in crate::cases) fn labelme_turned(dir: &Path) {
    for (kind, ending) in ["jpg", "png", "tif"].into_iter().enumerate() {
        for exif in 1..=8u8 {
            let number = kind as u32 * 8 + u32::from(exif) - 1;
            // Later films would leave their frame.
            let image = format!("{number}.{ending}");
            turned_copy(&dir.join(&image), number, exif);
            write(&dir.join(format!("{number}.json")), labelme_file(number % 3, &image, names()).to_string());
        }
    }
}

pub(in crate::cases) fn labelme_windows(dir: &Path) {
    let paths = ["..\\images\\0.png", "D:\\clinic\\images\\1.png", "\\\\nas\\ceph\\images\\2.png", "../images/3.png"];
    for (number, path) in (0..).zip(paths) {
        plain(&dir.join(format!("images/{number}.png")), number);
        write(&dir.join(format!("labels/{number}.json")), labelme_file(number, path, names()).to_string());
    }
}

pub(in crate::cases) fn labelme_spelling(dir: &Path) {
    for number in 0..8 {
        let mut names = names();
        if number % 2 == 1 {
            names[0] = "Sella";
        }
        plain(&dir.join(format!("{number}.png")), number);
        write(&dir.join(format!("{number}.json")), labelme_file(number, &format!("{number}.png"), names).to_string());
    }
}

// CVAT counts from the image's corner.

fn cvat_image(id: u32, name: &str, subset: &str, film: u32) -> String {
    let mut xml = format!("<image id=\"{id}\" name=\"{name}\"{subset} width=\"{}\" height=\"{}\">", SIZE[0], SIZE[1]);
    for (label, [x, y]) in names().into_iter().zip(positions(film)) {
        write!(
            xml,
            "<points label=\"{label}\" source=\"manual\" occluded=\"0\" points=\"{:.2},{:.2}\" z_order=\"0\"></points>",
            x + 0.5,
            y + 0.5
        )
        .unwrap();
    }
    xml + "</image>"
}

fn cvat_file(images: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><annotations><version>1.1</version><meta></meta>{images}</annotations>"
    )
}

pub(in crate::cases) fn cvat_turned(dir: &Path) {
    let mut images = String::new();
    for exif in 1..=8u8 {
        let (number, name) = (u32::from(exif) - 1, format!("{}.jpg", exif - 1));
        turned_copy(&dir.join("images").join(&name), number, exif);
        images += &cvat_image(number, &name, "", number % 3);
    }
    write(&dir.join("annotations.xml"), cvat_file(&images));
}

pub(in crate::cases) fn cvat_subsets(dir: &Path) {
    let mut images = String::new();
    for (number, (subset, name)) in (0..).zip([("Train", 0), ("Train", 1), ("Validation", 0), ("Validation", 1)]) {
        let name = format!("frame_{name}.png");
        plain(&dir.join("images").join(subset).join(&name), number);
        images += &cvat_image(number, &name, &format!(" subset=\"{subset}\""), number);
    }
    write(&dir.join("annotations.xml"), cvat_file(&images));
}
