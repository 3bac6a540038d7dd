//! The data-set folder: written data is read back, and errors name the location and the remedy.

use std::fs;
use std::path::Path;

use landmark_sweep::data::{Dataset, Sample, Split, folder};
use landmark_sweep::error::Error;
use landmark_sweep::units::{Millimetres, Point, Size, Spacing};

fn dataset() -> Dataset {
    let sample = |image: &str, split, seed: usize, landmarks| Sample {
        image: image.into(),
        split,
        size: Size { height: 6, width: 8 + seed },
        pixels: (0..6 * (8 + seed)).map(|i| (i * 37 + seed * 11) as u8).collect(),
        landmarks,
        spacing: Some(Spacing { x: 0.302_343_75, y: 0.3 }),
        patient: None,
    };
    let (a, b) = (Some(Point { x: 1.0 / 3.0, y: 2.5 }), Some(Point { x: 7.5, y: -0.5 }));
    Dataset {
        name: "a \"quoted\" name".into(),
        landmarks: vec!["upper_lip".into(), "b, the second".into()],
        observer_mre: Some(Millimetres(1.18)),
        normalise: None,
        samples: vec![
            sample("1.png", Split::Train, 0, vec![a, b]),
            sample("sub/2.png", Split::Val, 1, vec![a, None]),
            sample("3.png", Split::Test, 2, vec![None, None]),
        ],
    }
}

#[test]
fn what_is_written_is_read_back() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("new/set");
    folder::write(&dataset(), &dir).unwrap();
    assert_eq!(folder::read(&dir).unwrap(), dataset());

    let mut own_spacing = dataset();
    own_spacing.samples[1].spacing = Some(Spacing { x: 0.1, y: 0.125 });
    own_spacing.observer_mre = None;
    let dir = root.path().join("empty");
    fs::create_dir(&dir).unwrap();
    folder::write(&own_spacing, &dir).unwrap();
    assert_eq!(folder::read(&dir).unwrap(), own_spacing);
    assert!(
        fs::read_to_string(dir.join("landmarks.csv")).unwrap().starts_with("image,split,spacing_x_mm,spacing_y_mm,")
    );
    // No other files are left.
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
}

#[test]
fn writing_never_overwrites_and_leaves_no_half_data_set() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("set");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("notes.txt"), "mine").unwrap();
    assert!(folder::write(&dataset(), &dir).unwrap_err().message.contains("something already"));
    assert_eq!(fs::read_to_string(dir.join("notes.txt")).unwrap(), "mine");

    // Two images with the same file name: found only while the folder is written.
    let mut clash = dataset();
    clash.samples[0].image = "3.bmp".into();
    assert!(folder::write(&clash, &root.path().join("other")).unwrap_err().message.contains("3.bmp"));
    // A folder that cannot be created, because a file has its name.
    clash.samples[0].image = "sub.png".into();
    clash.samples[1].image = "sub.png/2.png".into();
    assert!(folder::write(&clash, &root.path().join("other")).is_err());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

/// Writes the data set, damages it, and returns the error of reading it, without the temporary folder's name.
fn complaint(damage: impl Fn(&Path)) -> String {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("set");
    folder::write(&dataset(), &dir).unwrap();
    damage(&dir);
    let error: Error = folder::read(&dir).unwrap_err();
    assert!(error.remedy.is_some(), "no remedy: {error}");
    assert!(error.location.is_some(), "no location: {error}");
    error.to_string().replace(&root.path().display().to_string(), "").replace('\\', "/")
}

/// Replaces text in a file; the text must occur.
fn edit(file: &str, from: &str, to: &str) -> impl Fn(&Path) {
    let (file, from, to) = (file.to_owned(), from.to_owned(), to.to_owned());
    move |dir| {
        let text = fs::read_to_string(dir.join(&file)).unwrap();
        assert!(text.contains(&from), "{from:?} is not in {text:?}");
        fs::write(dir.join(&file), text.replacen(&from, &to, 1)).unwrap();
    }
}

fn assert_says(complaint: &str, parts: &[&str]) {
    for part in parts {
        assert!(complaint.contains(part), "{part:?} is not in: {complaint}");
    }
}

#[test]
fn errors_in_the_header_name_key_and_line() {
    let toml = "dataset.toml";
    let says = |damage: &dyn Fn(&Path), parts: &[&str]| assert_says(&complaint(damage), parts);
    says(&|dir| fs::remove_file(dir.join(toml)).unwrap(), &["/set: ", "no dataset.toml", "sweep data import"]);
    says(&edit(toml, "images =", "pictures ="), &["dataset.toml: line 2", "pictures"]);
    says(&edit(toml, "\"images\"", "\"images"), &["dataset.toml: line 2"]);
    says(&edit(toml, "\"images\"", "\"../images\""), &["key `images`", "leads out"]);
    says(&edit(toml, "\"landmarks.csv\"", "\"/etc/passwd\""), &["key `landmarks`", "leads out"]);
    says(&edit(toml, "0.3 }", "0.0 }"), &["key `spacing_mm`", "positive"]);
    says(&edit(toml, "0.3 }", "-0.3 }"), &["key `spacing_mm`", "positive"]);
    says(&edit(toml, "0.3 }", "nan }"), &["key `spacing_mm`", "positive"]);
    let without = edit(toml, "spacing_mm", "# ");
    says(&without, &["key `observer_mre_mm`", "size of a pixel is not known"]);
    says(&edit(toml, "1.18", "-1"), &["key `observer_mre_mm`"]);
}

#[test]
fn errors_in_the_csv_name_line_and_column() {
    let csv = "landmarks.csv";
    let says = |from: &str, to: &str, parts: &[&str]| assert_says(&complaint(edit(csv, from, to)), parts);
    says("image,", "picture,", &["landmarks.csv: line 1", "no column `image`"]);
    says("image,split,", "image;split;", &["line 1", "no column `image`", "commas"]);
    says("upper_lip_y", "upper_lip_z", &["line 1", "`upper_lip_x` without `upper_lip_y`"]);
    says("image,split", "image,age", &["line 1", "no column `split`"]);
    says("upper_lip_x,upper_lip_y", "age,weight", &["line 1", "unknown column `age`"]);
    says("upper_lip_x,upper_lip_y", "age_x,age_x", &["line 1", "two columns are called `age_x`"]);
    says("upper_lip_x,upper_lip_y", "spacing_x_mm,spacing_y_mm", &["line 1", "said twice"]);
    says("upper_lip_x,upper_lip_y", "spacing_x_mm,upper_lip_y", &["line 1", "one axis only"]);
    says("2.5,", "nan,", &["line 2: column upper_lip_y", "`nan` is not a number"]);
    says("2.5,", "inf,", &["line 2: column upper_lip_y", "`inf` is not a number"]);
    says("2.5,", "2 5,", &["line 2: column upper_lip_y", "`2 5` is not a number"]);
    says("2.5,", ",", &["line 2: column upper_lip_y", "has an x but no y"]);
    says("2.5,", "", &["line 2", "5 cells under 6 columns"]);
    says("2.5,", "5.6,", &["line 2: 1.png: landmark upper_lip", "outside the image of 8×6"]);
    says("1.png,train", "1.png,training", &["line 2: column split", "`training`", "train, val or test"]);
    says("1.png,train", "1.png,test", &["landmarks.csv", "no image of split `train`"]);
    says("2.png,val", "2.png,test", &["landmarks.csv", "no image of split `val`"]);
    says("3.png,test", "3.png,train", &["line 4: 3.png", "not one landmark is marked"]);
    says("3.png", "1.png", &["line 4: column image", "`1.png` is there twice"]);
    says("3.png", "./1.png", &["line 4: column image", "is there twice"]);
    says("3.png", "../3.png", &["line 4: column image", "`../3.png` leads out"]);
    says("3.png", "/3.png", &["line 4: column image", "`/3.png` leads out"]);
    says("3.png", "", &["line 4: column image", "no image is named"]);
    says("3.png", "3.PNG", &["line 4: column image", "no image `3.PNG`", "there is `3.png`"]);
    says("3.png", "4.png", &["line 4: column image", "no image `4.png`", "remove the row"]);
    let truncated = |rows: &'static str| move |dir: &Path| fs::write(dir.join(csv), rows).unwrap();
    assert_says(&complaint(truncated("")), &["landmarks.csv", "empty"]);
    assert_says(&complaint(truncated("image,split,a_x,a_y\n")), &["landmarks.csv", "no rows"]);
    assert_says(&complaint(truncated("image,split\n1.png,train\n")), &["line 1", "no landmarks"]);
    let latin1 = |dir: &Path| fs::write(dir.join(csv), b"image,split,\xe9_x,\xe9_y\n").unwrap();
    assert_says(&complaint(latin1), &["landmarks.csv", "not UTF-8"]);
    assert_says(&complaint(|dir| fs::remove_file(dir.join(csv)).unwrap_or(())), &["landmarks.csv", "cannot be read"]);
}

#[test]
fn errors_in_images_name_the_file() {
    let image = |dir: &Path| dir.join("images/1.png");
    let cut = complaint(|dir| {
        let bytes = fs::read(image(dir)).unwrap();
        fs::write(image(dir), &bytes[..bytes.len() - 20]).unwrap();
    });
    assert_says(&cut, &["images/1.png", "not a readable image", "intact copy"]);
    let missing = complaint(|dir| fs::remove_file(image(dir)).unwrap());
    assert_says(&missing, &["landmarks.csv: line 2: column image", "no image `1.png`"]);
    let gigantic = complaint(|dir| {
        let mut bytes = fs::read(image(dir)).unwrap();
        // Width and height in the header chunk, and that chunk's checksum.
        bytes[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        let checksum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
        fs::write(image(dir), bytes).unwrap();
    });
    assert_says(&gigantic, &["images/1.png", "65535×65535"]);
    let nowhere = complaint(edit("dataset.toml", "\"images\"", "\"pictures\""));
    assert_says(&nowhere, &["/set/pictures", "no such folder", "key `images`"]);
    let unlisted = complaint(|dir| {
        for name in ["7.png", "sub/8.JPG", "9.bmp", "10.jpeg"] {
            fs::write(dir.join("images").join(name), "").unwrap();
        }
        // Neither of these is an image.
        fs::write(dir.join("images/notes.txt"), "").unwrap();
        fs::write(dir.join("images/._1.png"), "").unwrap();
    });
    assert_says(&unlisted, &["landmarks.csv", "4 of the images", "`10.jpeg`, `7.png`, `9.bmp`, …"]);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_read() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("set");
    folder::write(&dataset(), &dir).unwrap();
    let csv = dir.join("landmarks.csv");
    let text = fs::read_to_string(&csv).unwrap().replace('\n', "\r\n");
    fs::write(&csv, format!("\u{feff}{text}")).unwrap();
    assert_eq!(folder::read(&dir).unwrap(), dataset());
}

/// The checksum of PNG chunks.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
