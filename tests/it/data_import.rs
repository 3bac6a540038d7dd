//! Heatmap folders: generated ones, and four published radiographs.

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma};
use landmark_sweep::data::import::{self, Format, Options};
use landmark_sweep::data::{Dataset, Split, folder};
use landmark_sweep::error::Result;
use sweep_testing::shared_data;

const NAMES: [&str; 10] =
    ["sella", "nasion", "orbitale", "porion", "subspinale", "supramentale", "pogonion", "menton", "gnathion", "gonion"];

fn heatmap(x: f64, y: f64) -> GrayImage {
    GrayImage::from_fn(160, 200, |i, j| {
        let distance = (f64::from(i) - x).abs() + (f64::from(j) - y).abs();
        Luma([(255.0 * (-0.004_83 * distance).exp()) as u8])
    })
}

/// Two training images and one validation image of the same name; landmarks lie at `position(image number, landmark)`.
fn folders(root: &Path, position: impl Fn(usize, usize) -> (f64, f64)) {
    for (number, image) in ["train/NAME/a.png", "train/NAME/b.png", "val/NAME/a.png"].iter().enumerate() {
        let path = |name: &str| root.join(image.replace("NAME", name));
        let save = |name: &str, picture: &GrayImage| {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            picture.save(path(name)).unwrap();
        };
        save("0img", &GrayImage::from_pixel(160, 200, Luma([number as u8])));
        for landmark in 0..10 {
            let (x, y) = position(number, landmark);
            save(&format!("{}", 101 + landmark), &heatmap(x, y));
        }
    }
}

fn position(number: usize, landmark: usize) -> (f64, f64) {
    let n = (number * 10 + landmark) as f64;
    (20.0 + 4.1 * n, 170.0 - 4.27 * n)
}

/// Imports a data set and reads it back.
fn import(source: &Path) -> Result<Dataset> {
    let draft = import::read(source, Some(Format::HeatmapFolders), &Options::default())?;
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("set");
    import::write(&draft, &out)?;
    folder::read(&out)
}

#[test]
fn slopes_tell_the_landmark_to_a_tenth_of_a_pixel() {
    let root = tempfile::tempdir().unwrap();
    folders(root.path(), position);
    let dataset = import(root.path()).unwrap();
    assert_eq!(dataset.landmarks, NAMES);
    let names: Vec<_> = dataset.samples.iter().map(|s| (s.image.as_str(), s.split)).collect();
    assert_eq!(names, [("train-a.png", Split::Train), ("b.png", Split::Train), ("val-a.png", Split::Val)]);
    assert!((dataset.samples[0].spacing.unwrap().x - 193.5 / 160.0).abs() < 1e-12);
    assert!((dataset.samples[0].spacing.unwrap().y - 240.0 / 200.0).abs() < 1e-12);
    let mut worst = 0.0f64;
    for (number, sample) in dataset.samples.iter().enumerate() {
        assert_eq!(sample.pixels[0], number as u8);
        for (landmark, point) in sample.landmarks.iter().enumerate() {
            let (x, y) = position(number, landmark);
            worst = worst.max((point.unwrap().x - x).hypot(point.unwrap().y - y));
        }
    }
    assert!(worst < 0.1, "{worst} px");
}

#[test]
fn a_landmark_at_the_border_falls_back_to_the_plateau() {
    let root = tempfile::tempdir().unwrap();
    folders(root.path(), |number, landmark| if landmark == 3 { (0.3, 199.0) } else { position(number, landmark) });
    let point = import(root.path()).unwrap().samples[0].landmarks[3].unwrap();
    assert!((point.x - 0.3).hypot(point.y - 199.0) < 1.0, "{point:?}");
}

#[test]
fn what_is_missing_is_named() {
    let root = tempfile::tempdir().unwrap();
    folders(root.path(), position);
    let black = root.path().join("train/104/b.png");
    GrayImage::new(160, 200).save(&black).unwrap();
    let dataset = import(root.path()).unwrap();
    assert_eq!(dataset.samples[1].landmarks.iter().filter(|p| p.is_none()).count(), 1);

    let mut two = heatmap(20.0, 20.0);
    heatmap(120.0, 150.0).enumerate_pixels().for_each(|(x, y, p)| two[(x, y)].0[0] = two[(x, y)].0[0].max(p.0[0]));
    two.save(&black).unwrap();
    let error = import(root.path()).unwrap_err().to_string();
    assert!(error.contains("b.png") && error.contains("more than one peak"), "{error}");

    fs::remove_file(&black).unwrap();
    let error = import(root.path()).unwrap_err().to_string();
    assert!(error.contains("b.png") && error.contains("104") && error.contains("missing"), "{error}");

    fs::remove_dir_all(root.path().join("val/107")).unwrap();
    let error = import(root.path()).unwrap_err().to_string();
    assert!(error.contains("val") && error.contains("same landmarks"), "{error}");

    let error = import(&root.path().join("train")).unwrap_err().to_string();
    assert!(error.contains("0img"), "{error}");
}

#[test]
fn published_heatmaps_agree_with_the_plateaus_of_the_csv() {
    let (Some(heatmaps), Some(csv)) = (shared_data("heatmap-folders-mini"), shared_data("ceph10")) else { return };
    let (imported, known) = (import(&heatmaps).unwrap(), folder::read(&csv).unwrap());
    assert_eq!(imported.landmarks, known.landmarks);
    let images: Vec<_> = imported.samples.iter().map(|s| s.image.as_str()).collect();
    assert_eq!(images, ["001.png", "002.png", "099.png", "100.png"]);
    let (mut worst, mut sum, mut lattice) = (0.0f64, 0.0, 0.0f64);
    for sample in &imported.samples {
        let other = known.samples.iter().find(|s| s.image == sample.image).unwrap();
        assert_eq!((&sample.pixels, sample.spacing), (&other.pixels, other.spacing));
        for (a, b) in sample.landmarks.iter().zip(&other.landmarks) {
            let (a, b) = (a.unwrap(), b.unwrap());
            worst = worst.max((a.x - b.x).abs()).max((a.y - b.y).abs());
            sum += a.distance(b).0;
            // Two observers marked whole pixels of 1935×2400, and their mean was taken: a correct fit gives halves.
            for halves in [a.x * 1935.0 / 640.0 * 2.0, a.y * 3.0 * 2.0] {
                lattice = lattice.max((halves - halves.round()).abs() / 2.0);
            }
        }
    }
    println!("per axis at most {worst:.3} px, distance on average {:.3} px", sum / 40.0);
    println!("from the observers' half-pixel lattice at most {lattice:.3} px of 1935×2400");
    assert!(worst < 0.5, "{worst} px");
    assert!(lattice < 0.1, "{lattice} px of the original");
}
