//! Damaged sources: errors name their location, nothing is left, and no path leads out of a source.

use std::fs;
use std::path::Path;

use landmark_sweep::data::folder;
use landmark_sweep::data::import::{self, Format, Options};
use landmark_sweep::error::Error;

use super::{fixtures, imported, options, truth};

/// Damages a copy of a small file and returns the error of its import, without the folder's name.
fn complaint(source: &str, damage: impl Fn(&Path)) -> String {
    let root = tempfile::tempdir().unwrap();
    let here = root.path().join(source);
    copy(&fixtures().join(source), &here);
    damage(&here);
    let expected = &truth()[source];
    let format = Format::ALL.into_iter().find(|f| source.starts_with(f.name()) && f.name().len() == source.len());
    let error: Error = imported(&here, format, &options(expected.spacing.as_deref())).unwrap_err();
    assert!(error.location.is_some(), "no location: {error}");
    error.to_string().replace(&root.path().canonicalize().unwrap().display().to_string(), "")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn edit(file: &str, from: &str, to: &str) -> impl Fn(&Path) {
    let (file, from, to) = (file.to_owned(), from.to_owned(), to.to_owned());
    move |dir| {
        let text = fs::read_to_string(dir.join(&file)).unwrap();
        assert!(text.contains(&from), "{from:?} is not in {text:?}");
        fs::write(dir.join(&file), text.replacen(&from, &to, 1)).unwrap();
    }
}

#[test]
fn errors_name_file_line_or_field_and_nothing_is_left() {
    let says = |source: &str, damage: &dyn Fn(&Path), parts: &[&str]| {
        let complaint = complaint(source, damage);
        for part in parts {
            assert!(complaint.contains(part), "{source}: {part:?} is not in: {complaint}");
        }
    };
    let junior = "AnnotationsByMD/400_junior/001.txt";
    says("isbi2015", &edit(junior, "10,12", "10;12"), &[junior, "line 2: nasion", "`10;12` is not x,y"]);
    says("isbi2015", &|dir| fs::write(dir.join(junior), "1,2\n").unwrap(), &[junior, "ends before nasion"]);
    says("isbi2015", &|dir| fs::remove_file(dir.join(junior)).unwrap(), &["001.bmp", "junior", "--truth senior"]);
    says("isbi2015", &edit(junior, "10,12", "5000,12"), &["001.bmp", "outside the image of 26×34"]);
    says("payer", &edit("junior.csv", "001,", "001,x"), &["junior.csv: line 1: cell 2", "is not a number"]);
    says("payer", &edit("test1.txt", "003", "001"), &["test1.txt: line 1", "`001` is in two lists"]);
    says("payer", &edit("junior.csv", "002,", "001,"), &["junior.csv: line 2", "stands in line 1 already"]);
    says(
        "cl-detection",
        &edit("train-gt.json", ", 1]", ", 9]"),
        &["train-gt.json: field points[0]", "image 9 of a stack of 4"],
    );
    says("cl-detection", &edit("train-gt.json", "\"0.1\"", "\"fine\""), &["points[0].scale", "`fine` is not a number"]);
    says("cl-detection", &edit("train-gt.json", "\"name\": 2", "\"name\": 1"), &["points[1]", "has landmark p1 twice"]);
    says(
        "coco",
        &edit("annotations/person_keypoints_val2017.json", "3.jpg", "../../x.jpg"),
        &["images[0].file_name", "no image"],
    );
    says(
        "coco",
        &edit("annotations/person_keypoints_val2017.json", "\"keypoints\": [", "\"keypoints\": [7, "),
        &["annotations[0].keypoints"],
    );
    says(
        "coco",
        &edit("annotations/person_keypoints_val2017.json", "\"image_id\": 3", "\"image_id\": 4"),
        &["of image 4", "not there"],
    );
    says(
        "coco",
        &edit("annotations/person_keypoints_val2017.json", "\"width\": 26", "\"width\": 27"),
        &["27×34", "26×34"],
    );
    says(
        "coco",
        &edit("annotations/person_keypoints_val2017.json", "\"images\"", "\"image\""),
        &["person_keypoints_val2017.json"],
    );
    says(
        "labelme",
        &edit("ceph 1.json", "\"S\"", "\"N\""),
        &["ceph 1.json: field shapes[1]", "landmark N is there twice"],
    );
    says("labelme", &edit("ceph 2.json", "iVBOR", "!VBOR"), &["ceph 2.json", "imageData", "base64"]);
    says("labelme", &edit("ceph 1.json", "{", ""), &["ceph 1.json: ", "line 2"]);
    says(
        "cvat",
        &edit("annotations.xml", "name=\"1.png\"", "name=\"9.png\""),
        &["annotations.xml: line ", "attribute name", "no image `9.png`"],
    );
    says("cvat", &edit("annotations.xml", "</image>", ""), &["annotations.xml: line ", "an <image> within <image>"]);
    says(
        "cvat",
        &edit(
            "annotations.xml",
            "label=\"lip\" source=\"manual\" occluded=\"0\" points=\"",
            "label=\"lip\" points=\"x",
        ),
        &["attribute points", "not a number"],
    );
    says("csv", &edit("marks.csv", "NaN", "7"), &["marks.csv: line 3", "has one coordinate"]);
    says(
        "csv",
        &edit("marks.csv", "validation", "perhaps"),
        &["marks.csv: line 4: column Split", "unknown split `perhaps`"],
    );
    says("csv", &edit("marks.csv", "fine", "fine;more"), &["marks.csv: line 2", "11 cells under 10 columns"]);
    says(
        "csv-long",
        &edit("marks.csv", "1.dcm,sella", "0.dcm,sella"),
        &["marks.csv: line ", "stands in line 2 already"],
    );
    let mapping = "cephalogram_machine_mappings.csv";
    says("aariz", &edit(mapping, "pixel_size", "size"), &[mapping, "line 1", "sizes of pixels"]);
    says("aariz", &|dir| fs::remove_file(dir.join(mapping)).unwrap(), &["size of a pixel", "--spacing"]);
    says(
        "csv-long",
        &|dir| fs::write(dir.join("2.dcm"), "DICM").unwrap(),
        &["marks.csv: line ", "2.dcm", "not a readable image"],
    );
}

#[test]
fn no_path_leads_out_of_the_source() {
    for outside in ["../secret.png", "/etc/hostname", "link.png", "..\\secret.png", "a/../../secret.png"] {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("source");
        fs::create_dir_all(source.join("a")).unwrap();
        fs::copy(fixtures().join("images/deep.png"), root.path().join("secret.png")).unwrap();
        std::os::unix::fs::symlink(root.path().join("secret.png"), source.join("link.png")).unwrap();
        fs::write(source.join("marks.csv"), format!("image,a_x,a_y\n\"{outside}\",1,1\n")).unwrap();
        let error = imported(&source, Some(Format::Csv), &options(Some("0.1"))).unwrap_err().to_string();
        assert!(error.contains("marks.csv: line 2: column image"), "{outside}: {error}");
    }
}

#[test]
fn a_data_set_reads_no_file_outside_itself() {
    let root = tempfile::tempdir().unwrap();
    let set = root.path().join("set");
    let draft = import::read(&fixtures().join("csv"), None, &Options::default()).unwrap();
    import::write(&draft, &set).unwrap();
    fs::rename(set.join("images/0.png"), root.path().join("0.png")).unwrap();
    std::os::unix::fs::symlink(root.path().join("0.png"), set.join("images/0.png")).unwrap();
    let error = folder::read(&set).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("leads out of the data set"), "{error}");

    // A link within the data set counts as a file.
    fs::remove_file(set.join("images/0.png")).unwrap();
    fs::rename(root.path().join("0.png"), set.join("original.png")).unwrap();
    std::os::unix::fs::symlink("../original.png", set.join("images/0.png")).unwrap();
    folder::read(&set).unwrap();
    // The data set itself may be a link too.
    std::os::unix::fs::symlink(&set, root.path().join("link")).unwrap();
    folder::read(&root.path().join("link")).unwrap();
}
