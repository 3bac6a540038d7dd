//! Sources as tools write them, made by hand: each function makes a folder that a tool would leave.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use image::{ImageBuffer, Luma};
use serde_json::{Value, json};

use super::pictures::{Dicom, LANDMARKS, SIZE, film, plain, position, positions, turned};

const MM: &str = "0.2\\0.2";

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

// labelme counts from the image's corner and marks turned pictures.

fn labelme_file(film: u32, image: &str, names: [&str; 4]) -> Value {
    let shape = |(name, [x, y]): (&str, [f64; 2])| json!({ "label": name, "points": [[x + 0.5, y + 0.5]], "shape_type": "point", "flags": {}, "group_id": null });
    let shapes: Vec<Value> = names.into_iter().zip(positions(film)).map(shape).collect();
    json!({ "version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": null, "imageHeight": SIZE[1], "imageWidth": SIZE[0] })
}

pub(super) fn labelme_turned(dir: &Path) {
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

/// One of three films, under the number of another.
fn turned_copy(path: &Path, number: u32, exif: u8) {
    turned(path, number % 3, exif);
}

pub(super) fn labelme_windows(dir: &Path) {
    let paths = ["..\\images\\0.png", "D:\\clinic\\images\\1.png", "\\\\nas\\ceph\\images\\2.png", "../images/3.png"];
    for (number, path) in (0..).zip(paths) {
        plain(&dir.join(format!("images/{number}.png")), number);
        write(&dir.join(format!("labels/{number}.json")), labelme_file(number, path, names()).to_string());
    }
}

pub(super) fn labelme_spelling(dir: &Path) {
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

pub(super) fn cvat_turned(dir: &Path) {
    let mut images = String::new();
    for exif in 1..=8u8 {
        let (number, name) = (u32::from(exif) - 1, format!("{}.jpg", exif - 1));
        turned_copy(&dir.join("images").join(&name), number, exif);
        images += &cvat_image(number, &name, "", number % 3);
    }
    write(&dir.join("annotations.xml"), cvat_file(&images));
}

pub(super) fn cvat_subsets(dir: &Path) {
    let mut images = String::new();
    for (number, (subset, name)) in (0..).zip([("Train", 0), ("Train", 1), ("Validation", 0), ("Validation", 1)]) {
        let name = format!("frame_{name}.png");
        plain(&dir.join("images").join(subset).join(&name), number);
        images += &cvat_image(number, &name, &format!(" subset=\"{subset}\""), number);
    }
    write(&dir.join("annotations.xml"), cvat_file(&images));
}

// COCO.

struct Coco {
    /// Offset of positions: half a pixel by tools that count from the corner.
    shift: f64,
    is_by_cvat: bool,
    prefix: &'static str,
}

impl Coco {
    fn file(&self, films: &[u32], images: &[String], categories: &Value, missing: Option<(u32, usize)>) -> Value {
        let image = |(number, name): (&u32, &String)| {
            let mut image = json!({ "id": number + 1, "file_name": format!("{}{name}", self.prefix), "width": SIZE[0], "height": SIZE[1] });
            if self.is_by_cvat {
                image["license"] = 0.into();
                image["date_captured"] = 0.into();
                image["flickr_url"] = "".into();
            }
            image
        };
        let annotation = |number: &u32| {
            let points = positions(*number % 3).into_iter().enumerate().flat_map(|(index, [x, y])| {
                let known = missing != Some((*number, index));
                if known { [x + self.shift, y + self.shift, 2.0] } else { [f64::MAX, f64::MAX, 0.0] }
            });
            json!({ "id": number + 1, "image_id": number + 1, "category_id": 1, "keypoints": points.collect::<Vec<_>>(), "num_keypoints": 4, "bbox": [1, 1, 70, 90], "area": 6300, "iscrowd": 0 })
        };
        let licenses = if self.is_by_cvat { json!([{ "name": "", "id": 0, "url": "" }]) } else { json!([]) };
        json!({
            "licenses": licenses,
            "info": { "contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": "" },
            "categories": categories,
            "images": films.iter().zip(images).map(image).collect::<Vec<_>>(),
            "annotations": films.iter().map(annotation).collect::<Vec<_>>(),
        })
    }
}

const CVAT: Coco = Coco { shift: 0.5, is_by_cvat: true, prefix: "" };
const OWN: Coco = Coco { shift: 0.0, is_by_cvat: false, prefix: "" };

fn ceph() -> Value {
    json!({ "id": 1, "name": "ceph", "supercategory": "", "keypoints": names(), "skeleton": [] })
}

pub(super) fn coco_by_cvat(dir: &Path) {
    let films = [0, 1, 2, 3];
    let images = films.map(|number| format!("{number}.png"));
    for number in films {
        plain(&dir.join(format!("images/default/{number}.png")), number % 3);
    }
    let ruler = json!({ "id": 2, "name": "ruler", "supercategory": "", "keypoints": [], "skeleton": [] });
    let file = CVAT.file(&films, &images, &json!([ceph(), ruler]), None);
    write(&dir.join("annotations/person_keypoints_default.json"), file.to_string());
}

pub(super) fn coco_turned(dir: &Path) {
    let films: Vec<u32> = (0..8).collect();
    let images: Vec<String> = films.iter().map(|number| format!("{number}.jpg")).collect();
    for number in &films {
        turned_copy(&dir.join(format!("images/default/{number}.jpg")), *number, *number as u8 + 1);
    }
    let file = CVAT.file(&films, &images, &json!([ceph()]), None);
    write(&dir.join("annotations/person_keypoints_default.json"), file.to_string());
}

pub(super) fn coco_category_per_landmark(dir: &Path) {
    let category =
        |(id, name): (usize, &str)| json!({ "id": id + 1, "name": name, "keypoints": ["point"], "skeleton": [] });
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    for number in 0..3u32 {
        plain(&dir.join(format!("{number}.png")), number);
        images.push(
            json!({ "id": number + 1, "file_name": format!("{number}.png"), "width": SIZE[0], "height": SIZE[1] }),
        );
        for (index, [x, y]) in positions(number).into_iter().enumerate() {
            annotations.push(json!({ "id": annotations.len() + 1, "image_id": number + 1, "category_id": index + 1, "keypoints": [x, y, 2], "num_keypoints": 1, "bbox": [x, y, 1, 1], "iscrowd": 0 }));
        }
    }
    let categories: Vec<Value> = names().into_iter().enumerate().map(category).collect();
    write(
        &dir.join("annotations.json"),
        json!({ "images": images, "annotations": annotations, "categories": categories }).to_string(),
    );
}

pub(super) fn coco_roboflow(dir: &Path) {
    for (number, split) in (0..).zip(["train", "valid", "test"]) {
        let image = format!("{number}.png");
        plain(&dir.join(split).join(&image), number);
        let empty = json!({ "id": 0, "name": "points", "supercategory": "none" });
        let file = OWN.file(&[number], &[image], &json!([empty, ceph()]), None);
        write(&dir.join(split).join("_annotations.coco.json"), file.to_string());
    }
}

pub(super) fn coco_nan(dir: &Path) {
    let films = [0, 1, 2];
    for number in films {
        plain(&dir.join(format!("{number}.png")), number);
    }
    let file = OWN.file(&films, &films.map(|number| format!("{number}.png")), &json!([ceph()]), Some((1, 2)));
    // As Python writes it; a number of JSON cannot say it.
    let text = file.to_string().replace(&json!(f64::MAX).to_string(), "NaN");
    assert!(text.contains("NaN"));
    write(&dir.join("annotations.json"), text);
}

pub(super) fn coco_windows(dir: &Path) {
    let films = [0, 1, 2];
    for number in films {
        plain(&dir.join(format!("images/{number}.png")), number);
    }
    let coco = Coco { prefix: "images\\", ..OWN };
    let file = coco.file(&films, &films.map(|number| format!("{number}.png")), &json!([ceph()]), None);
    write(&dir.join("annotations.json"), file.to_string());
}

pub(super) fn label_studio(dir: &Path) {
    let mut tasks = Vec::new();
    for number in 0..3u32 {
        plain(&dir.join(format!("{number}.png")), number);
        let point = |(name, [x, y]): (&str, [f64; 2])| {
            let share = |v: f64, side: u32| (v + 0.5) / f64::from(side) * 100.0;
            json!({ "id": name, "type": "keypointlabels", "from_name": "kp", "to_name": "image", "original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0,
                "value": { "x": share(x, SIZE[0]), "y": share(y, SIZE[1]), "width": 0.4, "keypointlabels": [name] } })
        };
        let result: Vec<Value> = names().into_iter().zip(positions(number)).map(point).collect();
        tasks.push(json!({ "id": number, "data": { "image": format!("/data/upload/1/0a1b2c3d-{number}.png") },
            "annotations": [{ "id": number, "was_cancelled": false, "ground_truth": false, "result": result }], "predictions": [] }));
    }
    write(&dir.join("project.json"), Value::Array(tasks).to_string());
}

pub(super) fn yolo(dir: &Path) {
    write(
        &dir.join("data.yaml"),
        "path: .\ntrain: images/train\nval: images/val\nkpt_shape: [4, 3]\nnames:\n  0: head\nkpt_names:\n  0: [sella, nasion, menton, gonion]\n",
    );
    for (number, split) in (0..4u32).zip(["train", "train", "train", "val"]) {
        plain(&dir.join(format!("images/{split}/{number}.png")), number);
        let mut line = "0 0.5 0.5 0.9 0.9".to_owned();
        for (index, [x, y]) in positions(number).into_iter().enumerate() {
            let is_missing = (number, index) == (2, 1);
            let [x, y] =
                if is_missing { [0.0; 2] } else { [(x + 0.5) / f64::from(SIZE[0]), (y + 0.5) / f64::from(SIZE[1])] };
            write!(line, " {x:.6} {y:.6} {}", if is_missing { 0 } else { 2 }).unwrap();
        }
        write(&dir.join(format!("labels/{split}/{number}.txt")), line + "\n");
    }
}

pub(super) fn via_csv(dir: &Path) {
    let mut csv =
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
            .to_owned();
    for number in 0..3u32 {
        plain(&dir.join(format!("{number}.png")), number);
        for (index, (name, [x, y])) in names().into_iter().zip(positions(number)).enumerate() {
            let quoted = |value: Value| value.to_string().replace('"', "\"\"");
            let shape = quoted(json!({ "name": "point", "cx": x.round(), "cy": y.round() }));
            let label = quoted(json!({ "landmark": name }));
            writeln!(csv, "{number}.png,100,\"{{}}\",4,{index},\"{shape}\",\"{label}\"").unwrap();
        }
    }
    write(&dir.join("via_export_csv.csv"), csv);
}

pub(super) fn slicer(dir: &Path) {
    const ORIGIN: [f64; 2] = [-40.0, 12.5];
    for number in 0..3u32 {
        let pixels = film(number).into_raw();
        let header = format!(
            "ObjectType = Image\nNDims = 2\nBinaryData = True\nCompressedData = False\nTransformMatrix = 1 0 0 1\nOffset = {} {}\n\
             ElementSpacing = 0.2 0.2\nDimSize = {} {}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n",
            ORIGIN[0], ORIGIN[1], SIZE[0], SIZE[1]
        );
        write(&dir.join(format!("{number}.mha")), [header.as_bytes(), &pixels].concat());
        let point = |(name, [x, y]): (&str, [f64; 2])| json!({ "label": name, "position": [ORIGIN[0] + 0.2 * x, ORIGIN[1] + 0.2 * y, 0.0], "positionStatus": "defined", "visibility": true });
        let points: Vec<Value> = names().into_iter().zip(positions(number)).map(point).collect();
        let markups = json!({ "markups": [{ "type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points }] });
        write(&dir.join(format!("{number}.mrk.json")), markups.to_string());
    }
}

pub(super) fn tps(dir: &Path) {
    let mut text = String::new();
    for number in 0..4u32 {
        plain(&dir.join(format!("{number}.png")), number);
        text += "LM=4\r\n";
        for [x, y] in positions(number) {
            // From the lower left corner of the image.
            writeln!(text, "{:.5} {:.5}\r", x + 0.5, f64::from(SIZE[1]) - (y + 0.5)).unwrap();
        }
        write!(text, "IMAGE={number}.png\r\nID={number}\r\nSCALE=0.2\r\n").unwrap();
    }
    write(&dir.join("films.tps"), text);
}

pub(super) fn pts(dir: &Path) {
    for number in 0..3u32 {
        plain(&dir.join(format!("{number}.png")), number);
        let points = positions(number).map(|[x, y]| format!("{:.3} {:.3}\n", x + 1.0, y + 1.0)).concat();
        write(&dir.join(format!("{number}.pts")), format!("version: 1\nn_points: 4\n{{\n{points}}}\n"));
    }
}

pub(super) fn dlib(dir: &Path) {
    let mut images = String::new();
    for number in 0..3u32 {
        plain(&dir.join(format!("{number}.png")), number);
        write!(images, "<image file='{number}.png'><box top='2' left='2' width='80' height='95'>").unwrap();
        for (name, [x, y]) in names().into_iter().zip(positions(number)) {
            write!(images, "<part name='{name}' x='{}' y='{}'/>", x.round(), y.round()).unwrap();
        }
        images += "</box></image>";
    }
    write(
        &dir.join("training.xml"),
        format!(
            "<?xml version='1.0' encoding='ISO-8859-1'?><dataset><name>films</name><images>{images}</images></dataset>"
        ),
    );
}

pub(super) fn deeplabcut(dir: &Path) {
    let mut csv = "scorer,,,anna,anna,anna,anna,anna,anna,anna,anna\nbodyparts,,,".to_owned();
    csv += &names().map(|name| format!("{name},{name}")).join(",");
    csv += "\ncoords,,,x,y,x,y,x,y,x,y\n";
    for number in 0..3u32 {
        plain(&dir.join(format!("labeled-data/video/img{number}.png")), number);
        let cells = positions(number)
            .into_iter()
            .enumerate()
            .map(|(index, [x, y])| if (number, index) == (2, 3) { ",".to_owned() } else { format!("{x},{y}") });
        writeln!(csv, "labeled-data,video,img{number}.png,{}", cells.collect::<Vec<_>>().join(",")).unwrap();
    }
    write(&dir.join("labeled-data/video/CollectedData_anna.csv"), csv);
}

pub(super) fn imagej(dir: &Path) {
    let mut text = " \tLabel\tX\tY\n".to_owned();
    let mut row = 0;
    for number in 0..3u32 {
        plain(&dir.join(format!("{number}.png")), number);
        for [x, y] in positions(number) {
            row += 1;
            writeln!(text, "{row}\t{number}.png\t{x:.3}\t{y:.3}").unwrap();
        }
    }
    write(&dir.join("Results.txt"), text);
}

// Tables.

/// A table of films, a row each, with these landmarks' names.
fn table(films: u32, names: [&str; 4], separator: &str, number: impl Fn(f64) -> String) -> String {
    let mut csv = format!("image{separator}");
    csv += &names.map(|name| format!("{name}_x{separator}{name}_y")).join(separator);
    for film in 0..films {
        let cells = positions(film).as_flattened().iter().map(|v| number(*v)).collect::<Vec<_>>();
        write!(csv, "\r\n{film}.png{separator}{}", cells.join(separator)).unwrap();
    }
    csv + "\r\n"
}

fn films(dir: &Path, count: u32) {
    for number in 0..count {
        plain(&dir.join(format!("{number}.png")), number);
    }
}

fn point(v: f64) -> String {
    format!("{v}")
}

pub(super) fn csv_case(dir: &Path) {
    films(dir, 3);
    write(&dir.join("marks.csv"), table(3, ["N", "n", "Gn", "gn"], ",", point));
}

pub(super) fn csv_accents(dir: &Path) {
    films(dir, 3);
    // macOS writes an accent as a character of its own: some headers do, and some do not.
    let names = ["Se\u{301}lla", "Nasi\u{f3}n", "Mento\u{301}n", "Goni\u{f3}n"];
    write(&dir.join("marks.csv"), table(3, names, ",", point));
}

pub(super) fn csv_german(dir: &Path) {
    films(dir, 3);
    let text = table(3, names(), ";", |v| format!("{v}").replace('.', ","));
    write(&dir.join("marks.csv"), format!("\u{feff}sep=;\r\n{text}"));
}

pub(super) fn csv_utf16(dir: &Path) {
    films(dir, 3);
    let text = table(3, names(), "\t", |v| format!("{v}").replace('.', ","));
    write(
        &dir.join("marks.csv"),
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect::<Vec<u8>>(),
    );
}

pub(super) fn csv_index(dir: &Path) {
    films(dir, 3);
    let text = table(3, names(), ",", point);
    let rows: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(row, line)| if row == 0 { format!(",{line}") } else { format!("{},{line}", row - 1) })
        .collect();
    write(&dir.join("marks.csv"), rows.join("\n"));
}

pub(super) fn csv_missing(dir: &Path) {
    films(dir, 4);
    let text = table(4, names(), ",", point);
    let pair = |film: u32, landmark: usize| {
        let [x, y] = position(film, landmark);
        format!("{x},{y}")
    };
    let text =
        text.replacen(&pair(0, 2), "-1,-1", 1).replacen(&pair(1, 1), "0,0", 1).replacen(&pair(2, 3), "NaN,NaN", 1);
    write(&dir.join("marks.csv"), text);
}

pub(super) fn csv_visible(dir: &Path) {
    films(dir, 3);
    let mut csv = "image,landmark,x,y,visible\n".to_owned();
    for number in 0..3 {
        for (index, (name, [x, y])) in names().into_iter().zip(positions(number)).enumerate() {
            if (number, index) == (1, 0) {
                writeln!(csv, "{number}.png,{name},0,0,0").unwrap();
            } else {
                writeln!(csv, "{number}.png,{name},{x},{y},1").unwrap();
            }
        }
    }
    write(&dir.join("marks.csv"), csv);
}

pub(super) fn csv_patients(dir: &Path) {
    let text = table(3, names(), ",", point);
    let mut text = text;
    for number in 0..3 {
        plain(&dir.join(format!("patient{number}/ceph.png")), number);
        text = text.replace(&format!("\n{number}.png"), &format!("\npatient{number}\\ceph.png"));
    }
    write(&dir.join("marks.csv"), text);
}

pub(super) fn csv_called_test(dir: &Path) {
    let mut text = table(6, names(), ",", point);
    for number in 0..6 {
        let name = if number < 2 { format!("test{number}.png") } else { format!("{number}.png") };
        plain(&dir.join(&name), number);
        text = text.replace(&format!("\n{number}.png"), &format!("\n{name}"));
    }
    write(&dir.join("test.csv"), text);
}

pub(super) fn csv_from_one_up(dir: &Path) {
    films(dir, 3);
    let mut csv = format!("image,{}\n", names().map(|name| format!("{name}_x,{name}_y")).join(","));
    for number in 0..3 {
        let cells = positions(number).map(|[x, y]| format!("{},{}", x + 1.0, f64::from(SIZE[1]) - y)).join(",");
        writeln!(csv, "{number}.png,{cells}").unwrap();
    }
    write(&dir.join("marks.csv"), csv);
}

pub(super) fn csv_percent(dir: &Path) {
    films(dir, 3);
    let mut csv = format!("image,{}\n", names().map(|name| format!("{name}_x,{name}_y")).join(","));
    for number in 0..3 {
        let share = |v: f64, side: u32| (v + 0.5) * 100.0 / f64::from(side);
        let cells = positions(number).map(|[x, y]| format!("{},{}", share(x, SIZE[0]), share(y, SIZE[1]))).join(",");
        writeln!(csv, "{number}.png,{cells}").unwrap();
    }
    write(&dir.join("marks.csv"), csv);
}

pub(super) fn csv_turned(dir: &Path) {
    let mut csv = format!("image,{}\n", names().map(|name| format!("{name}_x,{name}_y")).join(","));
    for exif in 1..=8u8 {
        let number = u32::from(exif) - 1;
        turned_copy(&dir.join(format!("{number}.jpg")), number, exif);
        let cells = positions(number % 3).map(|[x, y]| format!("{x},{y}")).join(",");
        writeln!(csv, "{number}.jpg,{cells}").unwrap();
    }
    write(&dir.join("marks.csv"), csv);
}

pub(super) fn csv_outside(dir: &Path) {
    films(dir, 3);
    let [x, y] = position(1, 2);
    write(
        &dir.join("marks.csv"),
        table(3, names(), ",", point).replace(&format!("{x},{y}"), &format!("{x},{}", y + 60.0)),
    );
}

pub(super) fn csv_capitals(dir: &Path) {
    for (number, name) in (0..).zip(["0.PNG", "1.png", "2.Png"]) {
        let path = dir.join("plain.png");
        plain(&path, number);
        fs::rename(path, dir.join(name)).unwrap();
    }
    let text = table(3, names(), ",", point).replace("\n0.png", "\n0.PNG").replace("\n1.png", "\n1.PNG");
    write(&dir.join("marks.csv"), text);
}

// DICOM.

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
pub(super) fn dicoms() -> [Dicom; 4] {
    [NEGATIVE, MONOCHROME1, INVERSE, BARE]
}

pub(super) fn dicom_negative_slope(dir: &Path) {
    dicom(dir, &NEGATIVE);
}

pub(super) fn dicom_monochrome1(dir: &Path) {
    dicom(dir, &MONOCHROME1);
}

pub(super) fn dicom_inverse(dir: &Path) {
    dicom(dir, &INVERSE);
}

pub(super) fn dicom_oblong(dir: &Path) {
    let texts = &[(0x28, 0x30, "DS", "0.3\\0.1"), (0x28, 0x1050, "DS", "128"), (0x28, 0x1051, "DS", "256")];
    dicom(dir, &Dicom { texts, ..Dicom::PLAIN });
}

pub(super) fn dicom_magnified(dir: &Path) {
    let texts = &[
        (0x18, 0x1114, "DS", "1.1"),
        (0x18, 0x1164, "DS", "0.22\\0.22"),
        (0x28, 0x1050, "DS", "128"),
        (0x28, 0x1051, "DS", "256"),
    ];
    dicom(dir, &Dicom { texts, ..Dicom::PLAIN });
}

pub(super) fn dicom_bare(dir: &Path) {
    for number in 0..2 {
        BARE.write(&dir.join(format!("IM{number:06}")), number);
    }
    let text = table(2, names(), ",", point).replace("\n0.png", "\nIM000000").replace("\n1.png", "\nIM000001");
    write(&dir.join("marks.csv"), text);
}

// Deep values.

fn deep(path: &Path, number: u32, value: impl Fn(u8) -> u16, marker: Option<u16>) {
    let mut picture = ImageBuffer::from_fn(SIZE[0], SIZE[1], |x, y| Luma([value(film(number).get_pixel(x, y)[0])]));
    if let Some(marker) = marker {
        picture.put_pixel(80, 100, Luma([marker]));
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture.save(path).unwrap();
}

pub(super) fn narrow_range(dir: &Path) {
    for number in 0..3 {
        // From 33 000 to 37 080: all of it is shown.
        deep(&dir.join(format!("{number}.png")), number, |v| 33_000 + u16::from(v) * 16, None);
    }
    write(&dir.join("marks.csv"), table(3, names(), ",", point));
}

pub(super) fn white_marker(dir: &Path) {
    for number in 0..3 {
        let marker = (number == 1).then_some(65_535);
        deep(&dir.join(format!("{number}.png")), number, |v| u16::from(v) * 16, marker);
    }
    write(&dir.join("marks.csv"), table(3, names(), ",", point));
}
