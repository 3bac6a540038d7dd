//! Files of each tool, written from one description of images and their marks.

use std::fmt::Write as _;
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;

use landmark_sweep::data::import::{Options, PositionUnit};
use serde_json::{Value, json};

use super::{Entry, Mark, Text, cephalograms};
use crate::cases::pictures::SIZE;

/// The picture whose pixels a tool marks, where EXIF turns it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    Shown,
    Stored,
    /// Nobody knows, so that turned pictures are refused.
    Unknown,
}

pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) write: fn(&Path, &[Entry], Text),
    /// The folder of its images.
    pub(super) folder: &'static str,
    pub(super) frame: Frame,
    /// What a landmark is called in the data set, by its index and its name in the table.
    pub(super) landmark: fn(usize, &str) -> String,
    /// Landmarks of the tool that are not in the table.
    pub(super) other_landmarks: usize,
    /// Whether files of annotations are called as their images, which they do not name.
    pub(super) is_by_stem: bool,
    /// Whether it says that a landmark is missing, by a flag or by leaving it out.
    pub(super) has_missing: bool,
    /// Whether a landmark is named with every mark, and not once for all images.
    pub(super) names_marks: bool,
    /// Where it counts from, so that what it writes for a missing landmark becomes what is read.
    pub(super) unit: Option<PositionUnit>,
}

const PLAIN: Tool = Tool {
    name: "",
    write: |_, _, _| {},
    folder: "",
    frame: Frame::Shown,
    landmark: |_, name| name.to_owned(),
    other_landmarks: 0,
    is_by_stem: false,
    has_missing: true,
    names_marks: true,
    unit: None,
};

/// Every tool whose files can be written by hand.
pub(super) const TOOLS: &[Tool] = &[
    Tool { name: "labelme", write: labelme, ..PLAIN },
    Tool { name: "cvat", write: cvat, ..PLAIN },
    Tool { name: "coco", write: coco, names_marks: false, ..PLAIN },
    Tool { name: "label-studio", write: label_studio, ..PLAIN },
    Tool { name: "datumaro", write: datumaro, names_marks: false, ..PLAIN },
    Tool { name: "yolo-pose", write: yolo, folder: "images/train", is_by_stem: true, names_marks: false, ..PLAIN },
    Tool { name: "via", write: via_csv, ..PLAIN },
    Tool { name: "via", write: via_json, ..PLAIN },
    Tool { name: "mmpose", write: mmpose, is_by_stem: true, has_missing: false, names_marks: false, ..PLAIN },
    Tool { name: "csv", write: csv, names_marks: false, ..PLAIN },
    Tool { name: "csv-long", write: csv_long, ..PLAIN },
    Tool { name: "csv-long", write: csv_visible, ..PLAIN },
    Tool { name: "excel", write: excel, names_marks: false, ..PLAIN },
    Tool {
        name: "openpose",
        write: openpose,
        landmark: |index, _| format!("hand_left{index}"),
        is_by_stem: true,
        names_marks: false,
        ..PLAIN
    },
    Tool {
        name: "aariz",
        write: cephalograms::aariz,
        folder: "Train/Cephalograms",
        frame: Frame::Unknown,
        is_by_stem: true,
        ..PLAIN
    },
    Tool {
        name: "payer",
        write: cephalograms::payer,
        frame: Frame::Unknown,
        landmark: numbered,
        is_by_stem: true,
        ..PLAIN
    },
    Tool {
        name: "isbi2015",
        write: cephalograms::isbi,
        folder: "RawImage/TrainingData",
        frame: Frame::Unknown,
        landmark: |index, _| ["sella", "nasion", "orbitale", "porion"][index].to_owned(),
        other_landmarks: 15,
        is_by_stem: true,
        has_missing: false,
        ..PLAIN
    },
    Tool { name: "deeplabcut", write: deeplabcut, folder: "labeled-data/video", names_marks: false, ..PLAIN },
    Tool {
        name: "slicer",
        write: slicer,
        frame: Frame::Stored,
        is_by_stem: true,
        unit: Some(PositionUnit::Pixels),
        ..PLAIN
    },
    Tool {
        name: "imagej",
        write: imagej,
        frame: Frame::Stored,
        landmark: numbered,
        has_missing: false,
        unit: Some(PositionUnit::Pixels),
        ..PLAIN
    },
    Tool { name: "dlib", write: dlib, frame: Frame::Stored, ..PLAIN },
    Tool {
        name: "pts",
        write: pts,
        frame: Frame::Unknown,
        landmark: numbered,
        is_by_stem: true,
        has_missing: false,
        ..PLAIN
    },
    Tool { name: "tps", write: tps, frame: Frame::Unknown, landmark: numbered, has_missing: false, ..PLAIN },
];

impl Tool {
    pub(super) fn options(&self) -> Options {
        Options { unit: self.unit, ..crate::cases::plain() }
    }
}

fn numbered(index: usize, _: &str) -> String {
    (index + 1).to_string()
}

pub(super) fn put(path: &Path, text: &str, encoding: Text) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, encoding.bytes(text)).unwrap();
}

pub(super) fn stem(entry: &Entry) -> String {
    Path::new(&entry.file).file_stem().unwrap().to_string_lossy().into_owned()
}

fn visible(entry: &Entry) -> impl Iterator<Item = &Mark> {
    entry.marks.iter().filter(|mark| mark.is_visible)
}

fn labelme(dir: &Path, entries: &[Entry], text: Text) {
    for entry in entries {
        let shape = |mark: &Mark| json!({ "label": mark.name, "points": [[mark.x + 0.5, mark.y + 0.5]], "shape_type": "point", "flags": {}, "group_id": null });
        let shapes: Vec<Value> = visible(entry).map(shape).collect();
        let file = json!({ "version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": entry.reference, "imageData": null, "imageHeight": SIZE[1], "imageWidth": SIZE[0] });
        put(&dir.join(stem(entry)).with_extension("json"), &file.to_string(), text);
    }
}

fn cvat(dir: &Path, entries: &[Entry], text: Text) {
    let mut xml = "<?xml version=\"1.0\"?>\n<annotations><version>1.1</version>".to_owned();
    for (id, entry) in entries.iter().enumerate() {
        write!(xml, "\n<image id=\"{id}\" name=\"{}\" width=\"{}\" height=\"{}\">", entry.reference, SIZE[0], SIZE[1])
            .unwrap();
        for mark in visible(entry) {
            let Mark { name, x, y, .. } = mark;
            write!(xml, "<points label=\"{name}\" occluded=\"0\" points=\"{:.2},{:.2}\"></points>", x + 0.5, y + 0.5)
                .unwrap();
        }
        xml += "</image>";
    }
    put(&dir.join("annotations.xml"), &(xml + "</annotations>"), text);
}

fn coco(dir: &Path, entries: &[Entry], text: Text) {
    let image = |(id, entry): (usize, &Entry)| json!({ "id": id, "file_name": entry.reference, "width": SIZE[0], "height": SIZE[1] });
    let points = |entry: &Entry| -> Vec<f64> {
        entry.marks.iter().flat_map(|mark| [mark.x, mark.y, if mark.is_visible { 2.0 } else { 0.0 }]).collect()
    };
    let annotation = |(id, entry): (usize, &Entry)| json!({ "id": id, "image_id": id, "category_id": 1, "keypoints": points(entry), "num_keypoints": 4 });
    let file = json!({
        "images": entries.iter().enumerate().map(image).collect::<Vec<_>>(),
        "annotations": entries.iter().enumerate().map(annotation).collect::<Vec<_>>(),
        "categories": [{ "id": 1, "name": "ceph", "keypoints": names(entries) }],
    });
    put(&dir.join("annotations.json"), &file.to_string(), text);
}

/// Names of landmarks, as the first image has them.
fn names(entries: &[Entry]) -> Vec<&str> {
    entries[0].marks.iter().map(|mark| mark.name.as_str()).collect()
}

fn share(v: f64, side: u32) -> f64 {
    (v + 0.5) / f64::from(side)
}

fn label_studio(dir: &Path, entries: &[Entry], text: Text) {
    let region = |mark: &Mark| {
        json!({ "id": mark.name, "type": "keypointlabels", "from_name": "kp", "to_name": "image", "original_width": SIZE[0], "original_height": SIZE[1],
            "value": { "x": share(mark.x, SIZE[0]) * 100.0, "y": share(mark.y, SIZE[1]) * 100.0, "width": 0.4, "keypointlabels": [mark.name] } })
    };
    let task = |entry: &Entry| json!({ "data": { "image": entry.reference }, "annotations": [{ "was_cancelled": false, "result": visible(entry).map(region).collect::<Vec<_>>() }] });
    put(&dir.join("project.json"), &Value::Array(entries.iter().map(task).collect()).to_string(), text);
}

fn datumaro(dir: &Path, entries: &[Entry], text: Text) {
    let labels: Vec<Value> = names(entries).iter().map(|name| json!({ "name": name, "parent": "" })).collect();
    let point = |(label, mark): (usize, &Mark)| json!({ "type": "points", "label_id": label, "points": [mark.x + 0.5, mark.y + 0.5], "visibility": [if mark.is_visible { 2 } else { 0 }] });
    let item = |entry: &Entry| json!({ "id": stem(entry), "annotations": entry.marks.iter().enumerate().map(point).collect::<Vec<_>>(), "image": { "path": entry.reference, "size": [SIZE[1], SIZE[0]] } });
    let file = json!({ "info": {}, "categories": { "label": { "labels": labels } }, "items": entries.iter().map(item).collect::<Vec<_>>() });
    put(&dir.join("annotations/default.json"), &file.to_string(), text);
}

fn yolo(dir: &Path, entries: &[Entry], text: Text) {
    let names = names(entries).join("\", \"");
    let yaml =
        format!("path: .\ntrain: images/train\nkpt_shape: [4, 3]\nnames:\n  0: head\nkpt_names:\n  0: [\"{names}\"]\n");
    put(&dir.join("data.yaml"), &yaml, text);
    for entry in entries {
        let mut line = "0 0.5 0.5 0.9 0.9".to_owned();
        for mark in &entry.marks {
            let v = if mark.is_visible { 2 } else { 0 };
            write!(line, " {:.9} {:.9} {v}", share(mark.x, SIZE[0]), share(mark.y, SIZE[1])).unwrap();
        }
        put(&dir.join(format!("labels/train/{}.txt", stem(entry))), &line, text);
    }
}

fn via_csv(dir: &Path, entries: &[Entry], text: Text) {
    let mut csv =
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
            .to_owned();
    for entry in entries {
        for (index, mark) in visible(entry).enumerate() {
            let quoted = |value: Value| value.to_string().replace('"', "\"\"");
            let shape = quoted(json!({ "name": "point", "cx": mark.x.round(), "cy": mark.y.round() }));
            let label = quoted(json!({ "landmark": mark.name }));
            writeln!(csv, "{},100,\"{{}}\",4,{index},\"{shape}\",\"{label}\"", entry.reference).unwrap();
        }
    }
    put(&dir.join("via_export_csv.csv"), &csv, text);
}

fn via_json(dir: &Path, entries: &[Entry], text: Text) {
    let region = |mark: &Mark| json!({ "shape_attributes": { "name": "point", "cx": mark.x.round(), "cy": mark.y.round() }, "region_attributes": { "landmark": mark.name } });
    let image = |(id, entry): (usize, &Entry)| {
        (
            format!("{}{id}", entry.reference),
            json!({ "filename": entry.reference, "size": 100, "regions": visible(entry).map(region).collect::<Vec<_>>(), "file_attributes": {} }),
        )
    };
    let images: serde_json::Map<String, Value> = entries.iter().enumerate().map(image).collect();
    put(&dir.join("via.json"), &Value::Object(images).to_string(), text);
}

fn mmpose(dir: &Path, entries: &[Entry], text: Text) {
    for entry in entries {
        let names: serde_json::Map<String, Value> =
            entry.marks.iter().enumerate().map(|(i, mark)| (i.to_string(), mark.name.clone().into())).collect();
        let points: Vec<[f64; 2]> = entry.marks.iter().map(|mark| [mark.x, mark.y]).collect();
        let file = json!({ "meta_info": { "keypoint_id2name": names }, "instance_info": [{ "keypoints": points, "keypoint_scores": [0.9, 0.9, 0.9, 0.9] }] });
        put(&dir.join(stem(entry)).with_extension("json"), &file.to_string(), text);
    }
}

fn cells(entry: &Entry) -> String {
    let pair = |mark: &Mark| if mark.is_visible { format!("{},{}", mark.x, mark.y) } else { ",".to_owned() };
    entry.marks.iter().map(pair).collect::<Vec<_>>().join(",")
}

fn csv(dir: &Path, entries: &[Entry], text: Text) {
    let mut csv = "image".to_owned();
    for name in names(entries) {
        write!(csv, ",{name}_x,{name}_y").unwrap();
    }
    for entry in entries {
        write!(csv, "\n\"{}\",{}", entry.reference, cells(entry)).unwrap();
    }
    put(&dir.join("marks.csv"), &(csv + "\n"), text);
}

fn csv_long(dir: &Path, entries: &[Entry], text: Text) {
    let mut csv = "image,landmark,x,y\n".to_owned();
    for entry in entries {
        for mark in visible(entry) {
            writeln!(csv, "\"{}\",{},{},{}", entry.reference, mark.name, mark.x, mark.y).unwrap();
        }
    }
    put(&dir.join("marks.csv"), &csv, text);
}

fn csv_visible(dir: &Path, entries: &[Entry], text: Text) {
    let mut csv = "image,landmark,x,y,visible\n".to_owned();
    for entry in entries {
        for Mark { name, x, y, is_visible } in &entry.marks {
            writeln!(csv, "\"{}\",{name},{x},{y},{}", entry.reference, u8::from(*is_visible)).unwrap();
        }
    }
    put(&dir.join("marks.csv"), &csv, text);
}

fn deeplabcut(dir: &Path, entries: &[Entry], text: Text) {
    let parts = names(entries).iter().map(|name| format!("{name},{name}")).collect::<Vec<_>>().join(",");
    let mut csv = format!("scorer{}\nbodyparts,{parts}\ncoords{}\n", ",anna".repeat(8), ",x,y".repeat(4));
    for entry in entries {
        writeln!(csv, "\"{}\",{}", entry.reference, cells(entry)).unwrap();
    }
    put(&dir.join("labeled-data/video/CollectedData_anna.csv"), &csv, text);
}

fn slicer(dir: &Path, entries: &[Entry], text: Text) {
    for entry in entries {
        let point = |mark: &Mark| json!({ "label": mark.name, "position": [mark.x, mark.y, 0.0], "positionStatus": if mark.is_visible { "defined" } else { "undefined" } });
        let points: Vec<Value> = entry.marks.iter().map(point).collect();
        let file = json!({ "markups": [{ "type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points }] });
        put(&dir.join(format!("{}.mrk.json", stem(entry))), &file.to_string(), text);
    }
}

fn imagej(dir: &Path, entries: &[Entry], text: Text) {
    let mut table = " \tLabel\tX\tY\n".to_owned();
    for entry in entries {
        for mark in &entry.marks {
            writeln!(table, "1\t{}\t{:.3}\t{:.3}", entry.reference, mark.x, mark.y).unwrap();
        }
    }
    put(&dir.join("Results.txt"), &table, text);
}

fn dlib(dir: &Path, entries: &[Entry], text: Text) {
    let mut xml = "<?xml version='1.0'?><dataset><images>".to_owned();
    for entry in entries {
        write!(xml, "\n<image file='{}'><box top='2' left='2' width='80' height='95'>", entry.reference).unwrap();
        for Mark { name, x, y, .. } in visible(entry) {
            write!(xml, "<part name='{name}' x='{}' y='{}'/>", x.round(), y.round()).unwrap();
        }
        xml += "</box></image>";
    }
    put(&dir.join("training.xml"), &(xml + "</images></dataset>"), text);
}

fn pts(dir: &Path, entries: &[Entry], text: Text) {
    for entry in entries {
        let mut points = String::new();
        for mark in &entry.marks {
            writeln!(points, "{:.3} {:.3}", mark.x + 1.0, mark.y + 1.0).unwrap();
        }
        put(&dir.join(format!("{}.pts", stem(entry))), &format!("version: 1\nn_points: 4\n{{\n{points}}}\n"), text);
    }
}

fn tps(dir: &Path, entries: &[Entry], text: Text) {
    let mut file = String::new();
    for (id, entry) in entries.iter().enumerate() {
        file += "LM=4\n";
        for mark in &entry.marks {
            writeln!(file, "{:.5} {:.5}", mark.x + 0.5, f64::from(SIZE[1]) - (mark.y + 0.5)).unwrap();
        }
        writeln!(file, "IMAGE={}\nID={id}", entry.reference).unwrap();
    }
    put(&dir.join("films.tps"), &file, text);
}

/// A workbook of one sheet, as Excel lays it out; its text has one encoding only.
fn excel(dir: &Path, entries: &[Entry], _: Text) {
    let text = |text: &str| format!(" t=\"inlineStr\"><is><t>{}</t></is>", text.replace('&', "&amp;"));
    let number = |value: f64| format!("><v>{value}</v>");
    let pair = |mark: &Mark| [mark.x, mark.y].map(|v| if mark.is_visible { number(v) } else { ">".to_owned() });
    let named = names(entries).into_iter().flat_map(|name| [text(&format!("{name}_x")), text(&format!("{name}_y"))]);
    let head: Vec<String> = [text("image")].into_iter().chain(named).collect();
    let cells = |entry: &Entry| [text(&entry.reference)].into_iter().chain(entry.marks.iter().flat_map(pair)).collect();
    let rows = [head].into_iter().chain(entries.iter().map(cells)).zip(1..).map(|(cells, row): (Vec<String>, u32)| {
        let cell = |(cell, column): (&String, char)| format!("<c r=\"{column}{row}\"{cell}</c>");
        format!("<row r=\"{row}\">{}</row>", cells.iter().zip('A'..).map(cell).collect::<String>())
    });
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let packages = "http://schemas.openxmlformats.org/package/2006";
    let related = |id: &str, kind: &str, target: &str| {
        format!(
            "<Relationships xmlns=\"{packages}/relationships\"><Relationship Id=\"{id}\" Type=\"{office}/{kind}\" Target=\"{target}\"/></Relationships>"
        )
    };
    let parts = [
        ("[Content_Types].xml", format!("<Types xmlns=\"{packages}/content-types\"/>")),
        ("_rels/.rels", related("rId1", "officeDocument", "xl/workbook.xml")),
        (
            "xl/workbook.xml",
            format!(
                "<workbook xmlns=\"{main}\" xmlns:r=\"{office}\"><sheets><sheet name=\"marks\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>"
            ),
        ),
        ("xl/_rels/workbook.xml.rels", related("rId1", "worksheet", "worksheets/sheet1.xml")),
        (
            "xl/worksheets/sheet1.xml",
            format!("<worksheet xmlns=\"{main}\"><sheetData>{}</sheetData></worksheet>", rows.collect::<String>()),
        ),
    ];
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("marks.xlsx"), writer.finish().unwrap().into_inner()).unwrap();
}

fn openpose(dir: &Path, entries: &[Entry], text: Text) {
    for entry in entries {
        let triple = |mark: &Mark| if mark.is_visible { [mark.x, mark.y, 0.9] } else { [0.0; 3] };
        let points: Vec<f64> = entry.marks.iter().flat_map(triple).collect();
        let file = json!({ "version": 1.3, "people": [{ "hand_left_keypoints_2d": points }] });
        put(&dir.join(format!("{}_keypoints.json", stem(entry))), &file.to_string(), text);
    }
}
