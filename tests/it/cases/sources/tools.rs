//! Label Studio, YOLO pose, VIA, 3D Slicer, TPS, ibug, dlib, DeepLabCut and ImageJ.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::{names, write};
use crate::cases::pictures::{SIZE, film, plain, positions};

pub(in crate::cases) fn label_studio(dir: &Path) {
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

pub(in crate::cases) fn yolo(dir: &Path) {
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

pub(in crate::cases) fn yolo_one_folder(dir: &Path) {
    yolo(dir);
    let yaml = std::fs::read_to_string(dir.join("data.yaml")).unwrap();
    write(&dir.join("data.yaml"), yaml.replace("images/train", "images").replace("images/val", "images"));
}

pub(in crate::cases) fn via_csv(dir: &Path) {
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

pub(in crate::cases) fn slicer(dir: &Path) {
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

pub(in crate::cases) fn tps(dir: &Path) {
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

pub(in crate::cases) fn pts(dir: &Path) {
    for number in 0..3u32 {
        plain(&dir.join(format!("{number}.png")), number);
        let points = positions(number).map(|[x, y]| format!("{:.3} {:.3}\n", x + 1.0, y + 1.0)).concat();
        write(&dir.join(format!("{number}.pts")), format!("version: 1\nn_points: 4\n{{\n{points}}}\n"));
    }
}

pub(in crate::cases) fn dlib(dir: &Path) {
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

pub(in crate::cases) fn deeplabcut(dir: &Path) {
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

pub(in crate::cases) fn imagej(dir: &Path) {
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
