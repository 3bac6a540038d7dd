//! Augmentation as users see it: the sheet of examples, from a data set on disk and with a definition's settings; and the
//! loss of detail if resized images are augmented instead of originals.

use std::fs;

use landmark_sweep::commands::augmented::sheet;
use landmark_sweep::data::augment::{AugmentSpec, Augmentation};
use landmark_sweep::data::folder;
use landmark_sweep::data::phantom::PhantomSpec;
use landmark_sweep::data::resize::resize;
use landmark_sweep::units::Size;

fn definition(augment: &str) -> String {
    format!(
        "name = \"a\"\nseeds = [3]\n[trial]\nepochs = 1\ninput = {{ height = 96, width = 64 }}\n\
         augment = {{ {augment} }}\nmodel = {{ name = \"unet\", filters = [4, 8] }}\nloss = {{ name = \"l1\" }}\n"
    )
}

#[test]
fn a_sheet_shows_what_training_will_see() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("set");
    let spec = PhantomSpec { train: 5, val: 1, height: 200, width: 160, ..PhantomSpec::default() };
    folder::write(&spec.generate().unwrap(), &dir).unwrap();
    let file = root.path().join("a.toml");
    let drawn = |augment: &str| {
        fs::write(&file, definition(augment)).unwrap();
        sheet(&dir, Some(&file))
    };
    let example = sheet(&dir, None).unwrap();
    let turned = drawn("rotation_degrees = 20").unwrap();
    for png in [&example, &turned] {
        let picture = image::load_from_memory(png).unwrap().to_rgb8();
        assert_eq!(picture.width(), 1600);
        // Ten landmarks on 24 images, except for those outside.
        let green = picture.pixels().filter(|p| p.0[1] > 150 && p.0[0] < 60).count();
        assert!(green > 2000, "{green} green pixels");
    }
    assert!(example != turned && turned == drawn("rotation_degrees = 20").unwrap());
    assert!(turned != drawn("rotation_degrees = 20, gamma = [0.5, 2]").unwrap());

    // Folds are different trials, though the definition's own data are not read.
    let folds = "dataset = { name = \"phantom\", train = 4, val = 2, folds = 2 }\n[axes]\n\"dataset.fold\" = [0, 1]\n";
    fs::write(&file, definition("rotation_degrees = 20") + folds).unwrap();
    assert!(sheet(&dir, Some(&file)).unwrap() == turned);

    let none = drawn("probability = 1").unwrap_err();
    assert!(none.to_string().contains("stay as they are") && none.to_string().contains("augment"), "{none}");
    let impossible = drawn("elastic_mm = 40").unwrap_err().to_string();
    assert!(impossible.contains("elastic_mm") && impossible.contains("48"), "{impossible}");
    assert!(sheet(&root.path().join("nowhere"), None).is_err());
}

/// Root-mean-square difference, in grey levels of 255, between two ways: reducing the original by `scale` at once, and
/// resizing it to the input before augmentation.
fn lost(input: Size, scale: f64, antialias: bool) -> f64 {
    let spec = PhantomSpec { train: 2, val: 1, height: 800, width: 640, ..PhantomSpec::default() };
    let augment = AugmentSpec { scale: [scale, scale], antialias, ..AugmentSpec::default() };
    let augment = Augmentation::new(&augment, &[]).unwrap();
    let small = Size { height: (input.height as f64 * scale) as usize, width: (input.width as f64 * scale) as usize };
    let (top, left) = ((input.height - small.height) / 2, (input.width - small.width) / 2);
    let (mut sum, mut count) = (0.0, 0.0);
    for sample in &spec.generate().unwrap().samples {
        let (at_once, picture) = (resize(sample, small), resize(sample, input));
        let mut changed = vec![0.0; input.area()];
        augment.apply(&picture, 0, 0, 0, &mut changed);
        // The border is left out, where the changed image fades into black.
        for y in 2..small.height - 2 {
            for x in 2..small.width - 2 {
                let off = changed[(y + top) * input.width + x + left] - at_once.pixels[y * small.width + x];
                sum += f64::from(255.0 * off).powi(2);
                count += 1.0;
            }
        }
    }
    f64::sqrt(sum / count)
}

#[test]
fn a_resized_picture_is_changed_as_well_as_the_original() {
    let (reduced, full) = (Size { height: 200, width: 160 }, Size { height: 800, width: 640 });
    for scale in [0.9, 0.75, 0.5] {
        let off = lost(reduced, scale, false);
        println!("200×160, scale {scale}: {off:.2} of 255 grey levels");
        assert!(off < 3.0, "{off} at {scale}");
    }
    // An input as fine as the original leaves room for aliasing.
    let (without, with) = (lost(full, 0.5, false), lost(full, 0.5, true));
    println!("800×640, scale 0.5: {without:.2}, with antialias {with:.2}");
    assert!(with < 0.7 * without, "{with} and {without}");
}
