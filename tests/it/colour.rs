//! Data sets in colour, and data sets with a left and a right side, through the commands that users run.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::{DynamicImage, GrayImage, Rgb, RgbImage, Rgba, RgbaImage};
use serde_json::Value;
use sweep_testing::{python, torch};

use crate::harness::{Sandbox, trial_folders};

const SIZE: u32 = 40;

const DEFINITION: &str = r#"
name = "dots"
[trial]
epochs = 12
batch_size = 4
evaluate_every = 12
dataset = { name = "folder", path = "dots", channels = 3 }
input = { height = 40, width = 40 }
model = { name = "unet", filters = [6, 8], norm = { name = "batch" } }
heatmap = { name = "gaussian", sigma = 2 }
loss = { name = "nll" }
decode = { name = "soft-argmax" }
optimizer = { name = "adamw", lr = 1e-2 }
"#;

/// Red and cyan that are the same grey.
const RED: [u8; 3] = [255, 80, 80];
const CYAN: [u8; 3] = [0, 148, 148];

/// A red and a cyan dot on black, at places that depend on the number.
fn dots(number: u32) -> (RgbImage, [(u32, u32); 2]) {
    let place = |k: u32| (6 + (number * 7 + k * 13) % 28, 6 + (number * 11 + k * 17) % 28);
    let places = [place(0), place(1)];
    let image = RgbImage::from_fn(SIZE, SIZE, |x, y| {
        let near = |(px, py): (u32, u32)| x.abs_diff(px).pow(2) + y.abs_diff(py).pow(2) <= 5;
        Rgb(if near(places[0]) {
            RED
        } else if near(places[1]) {
            CYAN
        } else {
            [0; 3]
        })
    });
    (image, places)
}

/// A data set of dots: `red` and `cyan`.
fn data_set(sandbox: &Sandbox) {
    let folder = sandbox.path("dots");
    fs::create_dir_all(folder.join("images")).unwrap();
    let mut csv = "image,split,red_x,red_y,cyan_x,cyan_y\n".to_owned();
    for number in 0..20 {
        let (image, [red, cyan]) = dots(number);
        image.save(folder.join(format!("images/{number}.png"))).unwrap();
        let split = if number < 16 { "train" } else { "val" };
        writeln!(csv, "{number}.png,{split},{},{},{},{}", red.0, red.1, cyan.0, cyan.1).unwrap();
    }
    fs::write(folder.join("landmarks.csv"), csv).unwrap();
    let header = "name = \"dots\"\nimages = \"images\"\nlandmarks = \"landmarks.csv\"\n";
    fs::write(folder.join("dataset.toml"), header).unwrap();
}

fn mre_px(sandbox: &Sandbox, checkpoint: &Path, more: &[&str]) -> f64 {
    let eval = [&["eval", "--json", "--checkpoint", checkpoint.to_str().unwrap()], more].concat();
    let output = sandbox.sweep(&eval);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["mre_px"].as_f64().unwrap()
}

#[test]
fn a_network_in_colour_tells_what_is_the_same_grey() {
    let sandbox = Sandbox::new(DEFINITION);
    data_set(&sandbox);
    sandbox.write("grey.toml", &DEFINITION.replace("dots\"\n[", "grey\"\n[").replace(", channels = 3", ""));
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    sandbox.expect(0, &["run", "grey.toml", "--quiet"]);
    let checkpoint = |sweep: &str| trial_folders(&sandbox.path("results").join(sweep))[0].join("last.safetensors");
    let (colour, grey) = (checkpoint("dots"), checkpoint("grey"));
    let (in_colour, in_grey) = (mre_px(&sandbox, &colour, &[]), mre_px(&sandbox, &grey, &[]));
    assert!(in_colour < 1.5 && in_grey > 4.0, "{in_colour} px in colour, {in_grey} px in grey");
    // Read in colour whatever the folder is named by.
    assert!((mre_px(&sandbox, &colour, &["--dataset", "dots", "--split", "val"]) - in_colour).abs() < 1e-9);
    let trial = fs::read_to_string(trial_folders(&sandbox.path("results/dots"))[0].join("trial.toml")).unwrap();
    assert!(trial.contains("channels = 3"), "{trial}");

    // The same picture with alpha, and one in grey, which a note points out.
    let (image, [red, _]) = dots(18);
    fs::create_dir(sandbox.path("new")).unwrap();
    RgbaImage::from_fn(SIZE, SIZE, |x, y| {
        let [r, g, b] = image.get_pixel(x, y).0;
        Rgba([r, g, b, 30])
    })
    .save(sandbox.path("new/alpha.png"))
    .unwrap();
    let grey_image: GrayImage = DynamicImage::ImageRgb8(image).into_luma8();
    grey_image.save(sandbox.path("new/grey.png")).unwrap();
    let predict = |file: &str| {
        let flags = ["--overlay", "drawn", "--heatmaps", "maps", "--checkpoint", colour.to_str().unwrap()];
        let output = sandbox.sweep(&[&["predict", file], &flags[..]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (rows, notes) = predict("new/alpha.png");
    let row: Vec<&str> = rows.lines().find(|row| row.contains(",red,")).unwrap().split(',').collect();
    let [x, y] = [2, 3].map(|cell| row[cell].parse::<f64>().unwrap());
    assert!((x - f64::from(red.0)).hypot(y - f64::from(red.1)) < 2.0, "{rows}");
    assert!(!notes.contains("grey"), "{notes}");
    assert!(predict("new/grey.png").1.contains("its grey values are taken for red, green and blue"));
    let drawn = image::open(sandbox.path("drawn/alpha.png")).unwrap().into_rgb8();
    assert!(drawn.pixels().any(|pixel| pixel.0 == CYAN), "drawn in colour");
    let maps = fs::read(sandbox.path("maps/alpha.safetensors")).unwrap();
    assert_eq!(safetensors::SafeTensors::deserialize(&maps).unwrap().tensor("image").unwrap().shape(), [1, 3, 40, 40]);

    // A network for colours and one for grey see other pictures.
    let both = ["predict", "new", "--checkpoint", colour.to_str().unwrap(), "--checkpoint", grey.to_str().unwrap()];
    let said = sandbox.expect(2, &both);
    assert!(said.contains("dataset.channels"), "{said}");
}

#[test]
fn imports_keep_colours_where_they_are_wanted() {
    let sandbox = Sandbox::new(DEFINITION);
    data_set(&sandbox);
    sandbox.expect(0, &["data", "import", "dots/landmarks.csv", "grey", "--format", "csv", "--colour", "--dry-run"]);
    for (out, more) in [("kept", &["--colour"][..]), ("lost", &[])] {
        let import = ["data", "import", "dots", out, "--format", "csv"];
        fs::copy(sandbox.path("dots/landmarks.csv"), sandbox.path("dots/images/landmarks.csv")).unwrap();
        let import: Vec<&str> =
            import.into_iter().map(|word| if word == "dots" { "dots/images" } else { word }).collect();
        sandbox.expect(0, &[&import, more].concat());
    }
    let open = |folder: &str| image::open(sandbox.path(folder).join("images/3.png")).unwrap();
    assert_eq!(open("kept").into_rgb8(), dots(3).0);
    assert_eq!(open("lost").color(), image::ColorType::L8);
    sandbox.write("mirrored.toml", &format!("{DEFINITION}augment = {{ flip = 0.5 }}\n"));
    sandbox.expect(0, &["data", "inspect", "kept", "--augment", "mirrored.toml"]);
}

fn script(python: &Path, name: &str, arguments: &[&Path]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name);
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&output.stdout));
}

/// Trained networks in colour that standardise their input, with the maps of an image.
fn standardised(sandbox: &Sandbox) -> Vec<(PathBuf, PathBuf)> {
    data_set(sandbox);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let trained = trial_folders(&sandbox.path("results/dots")).into_iter().enumerate().map(|(index, folder)| {
        let (checkpoint, maps) = (folder.join("last.safetensors"), format!("maps{index}"));
        let predict = ["predict", "dots/images/17.png", "--heatmaps", &maps, "--output", "landmarks.csv"];
        sandbox.expect(0, &[&predict[..], &["--checkpoint", checkpoint.to_str().unwrap()]].concat());
        (checkpoint, sandbox.path(&maps).join("17.safetensors"))
    });
    trained.collect()
}

const STANDARDISED: &str = r#"
name = "dots"
[axes]
standardise = [ { name = "imagenet" }, { name = "values", mean = [0.1, 0.2, 0.3], deviation = [0.4, 0.5, 0.6] } ]
model = [
    { name = "unet", filters = [3, 4] },
    { name = "two-stage", coarse = { name = "unet", filters = [3, 4] }, fine = { name = "unet++", filters = [3, 4] }, crop = 16, size = { height = 40, width = 40 } },
]
[trial]
epochs = 1
batch_size = 4
dataset = { name = "folder", path = "dots", channels = 3 }
input = { height = 37, width = 29 }
loss = { name = "mse" }
"#;

#[test]
fn pytorch_reads_networks_in_colour() {
    let Some(python) = torch() else { return };
    let sandbox = Sandbox::new(STANDARDISED);
    for (checkpoint, maps) in standardised(&sandbox) {
        script(&python, "pytorch_networks.py", &[&checkpoint, Path::new("--check"), &maps]);
    }
}

#[test]
fn onnxruntime_reads_networks_in_colour() {
    let Some(python) = python("onnx, onnxruntime, safetensors") else { return };
    let sandbox = Sandbox::new(STANDARDISED);
    for (index, (checkpoint, maps)) in standardised(&sandbox).into_iter().enumerate() {
        let folder = sandbox.path(&format!("onnx{index}"));
        let output = folder.join("net.onnx");
        let said =
            sandbox.sweep(&["export", "onnx", checkpoint.to_str().unwrap(), "--output", output.to_str().unwrap()]);
        assert!(String::from_utf8_lossy(&said.stdout).contains("image [batch, 3, "), "{said:?}");
        for entry in fs::read_dir(&folder).unwrap() {
            script(&python, "onnx_check.py", &[&entry.unwrap().path(), &maps]);
        }
    }
}

#[test]
fn flips_need_to_know_left_and_right() {
    let sandbox = Sandbox::new(&DEFINITION.replace(", channels = 3", "").replace("epochs = 12", "epochs = 1"));
    data_set(&sandbox);
    let rename = |sides: &str, more: &str| {
        let csv = fs::read_to_string(sandbox.path("dots/landmarks.csv")).unwrap();
        let (_, rows) = csv.split_once('\n').unwrap();
        fs::write(sandbox.path("dots/landmarks.csv"), format!("image,split,{sides}\n{rows}")).unwrap();
        let header = "name = \"dots\"\nimages = \"images\"\nlandmarks = \"landmarks.csv\"\n";
        fs::write(sandbox.path("dots/dataset.toml"), format!("{header}{more}")).unwrap();
    };
    let plan = |code: i32, more: &[&str]| {
        sandbox
            .expect(code, &[&["plan", "tiny.toml", "--no-calibrate", "--set", "augment={ flip = 0.5 }"], more].concat())
    };
    let plain = "red_x,red_y,cyan_x,cyan_y";
    let sided = "ear_left_x,ear_left_y,ear_right_x,ear_right_y";
    rename(plain, "");
    plan(0, &[]);
    rename(sided, "");
    let said = plan(2, &[]);
    assert!(
        said.contains("flip_pairs = [[\"ear_left\", \"ear_right\"]]") && said.contains("flip_pairs = []"),
        "{said}"
    );
    assert!(said.contains("--set augment"), "{said}");
    sandbox.expect(0, &["plan", "tiny.toml", "--no-calibrate"]);
    plan(0, &["--set", "augment.flip_pairs=[[\"ear_left\", \"ear_right\"]]"]);
    rename(sided, "flip_pairs = [[\"ear_left\", \"ear_rght\"]]\n");
    assert!(plan(2, &[]).contains("no landmark `ear_rght`"));
    rename(sided, "flip_pairs = [[\"ear_left\", \"ear_right\"]]\n");
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--set", "augment={ flip = 0.5 }"]);
    let folder = trial_folders(&sandbox.path("results/dots"))[0].clone();
    assert!(
        fs::read_to_string(folder.join("trial.toml")).unwrap().contains("flip_pairs = [[\"ear_left\", \"ear_right\"]]")
    );
    let checkpoint = folder.join("last.safetensors");
    let views = |count: &str| mre_px(&sandbox, &checkpoint, &["--tta", count]);
    assert!(views("1").is_finite() && views("2").is_finite());
}
