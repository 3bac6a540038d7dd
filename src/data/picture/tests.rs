//! Files of every kind: made here by the image crate, and by `scripts/picture_fixtures.py` with other tools.

use std::collections::BTreeMap;
use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Luma, Rgb};
use serde::Deserialize;

use super::*;

/// Values expected from files of other tools.
#[derive(Deserialize)]
struct Fixtures {
    picture: Vec<u8>,
    files: BTreeMap<String, Fixture>,
}

#[derive(Deserialize)]
struct Fixture {
    width: usize,
    height: usize,
    spacing: Option<[f64; 2]>,
    grey: Option<Vec<u8>>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/pictures").join(name)
}

#[test]
fn files_of_every_tool_are_the_picture_that_was_written() {
    let expected: Fixtures = serde_json::from_str(&fs::read_to_string(fixture("expected.json")).unwrap()).unwrap();
    assert!(expected.files.len() > 60);
    let mut wrong = Vec::new();
    for (name, wanted) in &expected.files {
        let grey = match read(&fixture(name)) {
            Ok(grey) => grey,
            Err(error) => {
                wrong.push(error.to_string());
                continue;
            }
        };
        let values = wanted.grey.as_ref().unwrap_or(&expected.picture);
        // Colours and JPEG round, at each step.
        let most = if [".jpg", "jpeg", "cmyk"].iter().any(|lossy| name.contains(lossy)) { 6 } else { 1 };
        let off = grey.pixels.iter().zip(values).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(255);
        if grey.size != (Size { width: wanted.width, height: wanted.height }) || off > most {
            wrong.push(format!("{name}: {}×{}, {off} grey levels off", grey.size.width, grey.size.height));
        }
        let spacing = grey.spacing.map(|s| [s.x, s.y]);
        let near = |a: [f64; 2], b: [f64; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        if spacing.is_some() != wanted.spacing.is_some()
            || spacing.zip(wanted.spacing).is_some_and(|(a, b)| !near(a, b))
        {
            wrong.push(format!("{name}: spacing {spacing:?}"));
        }
        // The facts that import asks for before reading agree with the picture as read.
        let is_deep = load(&fixture(name), Channels::Grey).unwrap().tally().is_some();
        if is_deep != open(&fixture(name), DeepGrey::Own).unwrap().range.is_some() {
            wrong.push(format!("{name}: deep or not"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn turned_files_say_so_and_are_told_apart() {
    for ending in ["jpg", "png", "tif"] {
        let mut digests = Vec::new();
        for value in 1..=8u8 {
            let path = fixture(&format!("turned-{value}.{ending}"));
            assert_eq!(open(&path, DeepGrey::Own).unwrap().orientation.exif(), value, "{ending}");
            digests.push(digest(&path).unwrap());
            let plain = blake3::hash(&fs::read(&path).unwrap());
            assert_eq!(digest(&path).unwrap() == plain, value == 1, "{ending}: what is read as before keeps its hash");
        }
        digests.sort_unstable_by_key(|digest| *digest.as_bytes());
        digests.dedup();
        assert_eq!(digests.len(), 8);
    }
}

#[test]
fn values_beside_a_header_are_part_of_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["apart.mhd", "apart.raw", "apart.nhdr"] {
        fs::copy(fixture(name), folder.path().join(name)).unwrap();
    }
    for name in ["apart.mhd", "apart.nhdr"] {
        let path = folder.path().join(name);
        let before = digest(&path).unwrap();
        let raw = folder.path().join("apart.raw");
        let mut bytes = fs::read(&raw).unwrap();
        bytes[7] ^= 1;
        fs::write(&raw, bytes).unwrap();
        assert_ne!(digest(&path).unwrap(), before, "{name}");
    }
    fs::remove_file(folder.path().join("apart.raw")).unwrap();
    assert!(read(&folder.path().join("apart.mhd")).unwrap_err().message.contains("no such file beside it"));
}

#[test]
fn one_range_shows_all_pictures_alike() {
    let range = GreyRange { low: 0.0, high: 65_535.0 };
    let picture = open(&fixture("marked.png"), DeepGrey::Fixed(range)).unwrap();
    assert_eq!(picture.range, Some(range));
    assert!(picture.grey.pixels.iter().filter(|grey| **grey > 16).count() == 1, "only its marker is bright");
    // A picture of 8 bits knows no range.
    let plain = open(&fixture("grey.bmp"), DeepGrey::Fixed(range)).unwrap();
    assert_eq!((plain.range, &plain.grey.pixels), (None, &read(&fixture("grey.bmp")).unwrap().pixels));
}

#[test]
fn colours_in_bands_are_those_of_the_whole_picture() {
    let colours = image::RgbImage::from_fn(1 << 10, 1500, |x, y| Rgb([(x * 7) as u8, (y * 3) as u8, (x ^ y) as u8]));
    let whole = DynamicImage::ImageRgb8(colours.clone()).into_luma8().into_raw();
    assert!(decode(&encoded(colours, ImageFormat::Png)).unwrap().pixels == whole);
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn ramp() -> image::GrayImage {
    image::GrayImage::from_fn(24, 16, |x, y| Luma([(x * 7 + y * 3) as u8]))
}

#[test]
fn colours_become_luma_and_sixteen_bits_become_eight() {
    let grey_in_colour = image::RgbImage::from_fn(4, 2, |x, _| Rgb([x as u8 * 80; 3]));
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff] {
        let grey = decode(&encoded(grey_in_colour.clone(), format)).unwrap();
        assert_eq!((grey.size.width, grey.size.height), (4, 2));
        assert_eq!(grey.pixels[..4], [0, 80, 160, 240], "{format:?}");
    }
    let deep = image::ImageBuffer::<Luma<u16>, _>::from_fn(3, 1, |x, _| Luma([x as u16 * 0x7fff]));
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        assert_eq!(decode(&encoded(deep.clone(), format)).unwrap().pixels, [0, 127, 255]);
    }
    let green = image::RgbImage::from_pixel(1, 1, Rgb([0, 255, 0]));
    assert_eq!(decode(&encoded(green, ImageFormat::Png)).unwrap().pixels, [182]);
}

#[test]
fn cut_off_files_are_refused_in_every_format() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff] {
        let bytes = encoded(ramp(), format);
        assert!(decode(&bytes).is_ok(), "{format:?}");
        for kept in [bytes.len() - 13, bytes.len() / 2, 10, 0] {
            assert!(decode(&bytes[..kept]).is_err(), "{format:?} cut to {kept} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn a_gigantic_claim_is_refused_before_memory_is_taken() {
    let mut bytes = encoded(ramp(), ImageFormat::Bmp);
    bytes[18..26].copy_from_slice(&[0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0]);
    assert!(decode(&bytes).unwrap_err().message.contains("65535×65535"));
}

#[test]
fn dicom_files_without_an_ending_are_known_by_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let element = b"\x08\0\x16\0UI\x02\x001\0";
    let class = b"\x02\0\x02\0UI\x14\x001.2.840.10008.1.3.10";
    let path = |name: &str| folder.path().join(name);
    for name in ["IM000001", "1.2.840.5", "a.IMA", ".hidden", "notes.md"] {
        fs::write(path(name), [&[0; 128][..], b"DICM", element].concat()).unwrap();
    }
    fs::write(path("DICOMDIR"), [&[0; 128][..], b"DICM", class].concat()).unwrap();
    fs::write(path("README"), "text").unwrap();
    fs::create_dir(path("folder")).unwrap();
    for (name, is) in [
        ("IM000001", true),
        ("1.2.840.5", true),
        ("a.IMA", true),
        (".hidden", false),
        ("notes.md", false),
        ("DICOMDIR", false),
        ("README", false),
        ("folder", false),
        ("lacks", false),
        ("lacks.png", true),
    ] {
        assert_eq!(is_image_file(&path(name)), is, "{name}");
    }
    fs::write(path("b.dcm"), "text").unwrap();
    let error = read(&path("b.dcm")).unwrap_err().to_string();
    assert!(error.contains("preamble") && error.contains("DICM") && error.contains("b.dcm"), "{error}");
}

#[test]
fn images_are_known_by_their_names() {
    assert!(is_image(Path::new("a/001.PNG")) && is_image(Path::new("x.jpeg")));
    assert!(is_image(Path::new("a/b.nii.gz")) && is_image(Path::new("b.mhd")) && !is_image(Path::new("b.tar.gz")));
    assert!(!is_image(Path::new("a/._001.png")) && !is_image(Path::new("landmarks.csv")));
}
