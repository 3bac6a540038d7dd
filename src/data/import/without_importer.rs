//! Names the tools whose files have no importer, and says how their landmarks can be imported all the same.

use std::path::Path;

use super::json_outline::Outline;
use super::tree::Tree;

/// A table that any program can write.
const AS_TABLE: &str = "write a table with the columns image, landmark, x and y, and import it with --format csv-long";

/// What a source is and what to do, where a tool without an importer wrote it.
pub(super) fn describe(tree: &Tree) -> Option<(String, String)> {
    binary(tree).or_else(|| json(tree)).or_else(|| napari(tree))
}

fn binary(tree: &Tree) -> Option<(String, String)> {
    const ENDINGS: [(&str, &[u8], &str, &str); 5] = [
        (
            "slp",
            b"\x89HDF",
            "a project of SLEAP",
            "convert it to COCO with sleap-io, and import that with --format coco",
        ),
        ("roi", b"Iout", "a selection of ImageJ", IN_IMAGEJ),
        ("h5", b"\x89HDF", "an HDF5 file", "export its landmarks as CSV: DeepLabCut writes one beside it"),
        ("mat", b"MATLAB", "a file of MATLAB", AS_TABLE),
        ("pkl", b"\x80", "a file of Python objects, which may run programs when it is opened", AS_TABLE),
    ];
    const IN_IMAGEJ: &str =
        "open it in ImageJ, choose Analyze > Measure, and save the table of results as CSV: `imagej` reads it";
    let found = ENDINGS.iter().find_map(|(ending, magic, what, remedy)| {
        let begins = |file: &&&Path| tree.start(file, 16).is_ok_and(|start| start.starts_with(magic));
        let files = tree.some(ending);
        let file = files.iter().find(begins)?;
        Some((format!("{} is {what}, for which there is no importer", file.display()), (*remedy).to_owned()))
    });
    // ImageJ's manager of selections keeps several in one archive.
    found.or_else(|| {
        let has_rois = |file: &&&Path| {
            tree.start(file, 256)
                .is_ok_and(|start| start.starts_with(b"PK") && start.windows(4).any(|name| name == b".roi"))
        };
        let archives = tree.some("zip");
        let file = archives.iter().find(has_rois)?;
        Some((
            format!("{} holds selections of ImageJ, for which there is no importer", file.display()),
            IN_IMAGEJ.to_owned(),
        ))
    })
}

fn json(tree: &Tree) -> Option<(String, String)> {
    const DARWIN: &str = "convert it with `darwin convert cvat`, and import that with --format cvat; or ";
    tree.some("json").into_iter().find_map(|file| {
        let outline = Outline::of(tree, file);
        let is = |keys: &[&str]| outline.is_object_of(keys);
        let (what, remedy) = if is(&["item", "annotations"]) || is(&["dataset", "image", "annotations"]) {
            ("V7 Darwin", format!("{DARWIN}{AS_TABLE}"))
        } else if is(&["objects", "size", "tags"]) || is(&["classes", "tags", "projectType"]) {
            ("Supervisely", AS_TABLE.to_owned())
        } else if is(&["data_units", "label_hash"]) || outline.is_list_of(&["data_units", "label_hash"]) {
            ("Encord", AS_TABLE.to_owned())
        } else if is(&["instances", "metadata"]) {
            ("SuperAnnotate", AS_TABLE.to_owned())
        } else {
            return None;
        };
        Some((format!("{} is a file of {what}, for which there is no importer", file.display()), remedy))
    })
}

/// A layer of points: rows and columns of one image, without names.
fn napari(tree: &Tree) -> Option<(String, String)> {
    let is_layer = |file: &&Path| tree.head(file).is_ok_and(|text| text.starts_with("index,axis-0,axis-1"));
    let file = tree.some("csv").into_iter().find(is_layer)?;
    let what = format!(
        "{} is a layer of points of napari, which names neither the image nor the landmarks, and gives rows (axis-0) before \
         columns (axis-1)",
        file.display()
    );
    Some((what, AS_TABLE.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::test_source::{assert_says, source};
    use super::super::{Format, Options, read};

    #[test]
    fn files_of_tools_without_an_importer_are_named_with_a_way_out() {
        for (file, text, parts) in [
            (
                "a.json",
                r#"{"version": "2.0", "item": {}, "annotations": []}"#,
                ["a.json is a file of V7 Darwin", "darwin convert cvat"],
            ),
            (
                "ann/a.png.json",
                r#"{"description": "", "tags": [], "size": {}, "objects": []}"#,
                ["Supervisely", "csv-long"],
            ),
            ("a.json", r#"[{"label_hash": "1", "data_units": {}}]"#, ["Encord", "csv-long"]),
            ("a.json", r#"{"metadata": {}, "instances": []}"#, ["SuperAnnotate", "csv-long"]),
            ("points.csv", "index,axis-0,axis-1\n0,1,2\n", ["points.csv is a layer of points of napari", "csv-long"]),
            ("a.roi", "Iout\0\0", ["a.roi is a selection of ImageJ", "Measure"]),
            ("RoiSet.zip", "PK\u{3}\u{4}0001.roi", ["RoiSet.zip holds selections of ImageJ", "Measure"]),
            ("a.mat", "MATLAB 5.0 MAT-file", ["a.mat is a file of MATLAB", "csv-long"]),
        ] {
            let root = source(&[(file, text), ("a.png", "")]);
            let error = Format::detect(root.path()).unwrap_err().to_string();
            assert_says(&error, &["looks like no format that is known", parts[0], parts[1]]);
            assert!(read(root.path(), None, &Options::default()).is_err());
        }
    }
}
