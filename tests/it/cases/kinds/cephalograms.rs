//! Files of the public sets of cephalograms, as they are laid out.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::tools::{put, stem};
use super::{Entry, Mark, Text};

pub(super) fn aariz(dir: &Path, entries: &[Entry], text: Text) {
    for entry in entries {
        let landmark = |mark: &Mark| {
            let value = mark.is_visible.then(|| json!({ "x": mark.x, "y": mark.y }));
            json!({ "landmark_id": mark.name, "title": mark.name, "symbol": mark.name, "value": value })
        };
        let landmarks: Vec<Value> = entry.marks.iter().map(landmark).collect();
        let file = json!({ "ceph_id": stem(entry), "landmarks": landmarks });
        for observer in ["Senior Orthodontists", "Junior Orthodontists"] {
            let folder = dir.join("Train/Annotations/Cephalometric Landmarks").join(observer);
            put(&folder.join(stem(entry)).with_extension("json"), &file.to_string(), text);
        }
    }
}

pub(super) fn payer(dir: &Path, entries: &[Entry], text: Text) {
    // In millimetres; a pixel has 0.1.
    let pair = |mark: &Mark| {
        if mark.is_visible { format!(",{:.6},{:.6}", mark.x * 0.1, mark.y * 0.1) } else { ",,".to_owned() }
    };
    let row = |entry: &Entry| stem(entry) + &entry.marks.iter().map(pair).collect::<String>() + "\n";
    let rows: String = entries.iter().map(row).collect();
    put(&dir.join("junior.csv"), &rows, text);
    put(&dir.join("senior.csv"), &rows, text);
}

pub(super) fn isbi(dir: &Path, entries: &[Entry], text: Text) {
    for entry in entries {
        let mut lines = String::new();
        entry.marks.iter().for_each(|mark| writeln!(lines, "{},{}", mark.x, mark.y).unwrap());
        (0..15).for_each(|index| writeln!(lines, "{},{}", 10 + index, 20 + index).unwrap());
        (0..8).for_each(|_| lines.push_str("1\n"));
        for observer in ["400_junior", "400_senior"] {
            let folder = dir.join("AnnotationsByMD").join(observer);
            put(&folder.join(format!("{}.txt", stem(entry))), &lines, text);
        }
    }
}
