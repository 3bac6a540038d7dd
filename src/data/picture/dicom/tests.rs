use serde::Deserialize;

use super::*;
use sweep_core::units::Spacing;

fn decode(bytes: &[u8]) -> Result<Grey> {
    super::decode(bytes, Channels::Grey)
}

#[derive(Deserialize)]
struct Reference {
    files: std::collections::BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    file: String,
    width: usize,
    height: usize,
    tolerance: f64,
    greys: Vec<f64>,
}

/// `scripts/dicom_reference.py` made it, by pydicom.
fn reference() -> Reference {
    serde_json::from_str(include_str!("../../../../scripts/dicom_reference.json")).unwrap()
}

fn bytes(entry: &Entry) -> Vec<u8> {
    base64::decode(&entry.file).unwrap()
}

#[test]
fn greys_are_those_that_pydicom_makes() {
    let files = reference().files;
    let mut wrong = Vec::new();
    for (name, entry) in &files {
        let file = bytes(entry);
        assert!(is(&file), "{name} is not known");
        match decode(&file) {
            Err(error) => wrong.push(format!("{name}: {error}")),
            Ok(grey) => {
                assert_eq!((grey.size.width, grey.size.height), (entry.width, entry.height), "{name}");
                let off = |(ours, theirs): (&u8, &f64)| (f64::from(*ours) - theirs).abs();
                let worst = grey.pixels.iter().zip(&entry.greys).map(off).fold(0.0, f64::max);
                if worst > entry.tolerance {
                    wrong.push(format!("{name}: {worst} grey levels off: {:?}", &grey.pixels[..6]));
                }
            }
        }
    }
    assert!(files.len() > 60 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn cut_off_and_damaged_files_are_refused_or_read_but_never_more() {
    let mut seed = 7u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    for (name, entry) in reference().files {
        let file = bytes(&entry);
        for kept in [file.len() - 30, file.len() - 60, file.len() / 2, 140, 20] {
            // Two of the last bytes may be filling; what lacks more lacks pixels.
            assert!(decode(&file[..kept]).is_err(), "{name}: {kept} of {} bytes", file.len());
        }
        for _ in 0..20 {
            let mut damaged = file.clone();
            for _ in 0..=next() % 4 {
                let at = next() % damaged.len();
                damaged[at] = next() as u8;
            }
            let _ = decode(&damaged);
        }
    }
}

/// An element of an explicit little-endian file.
fn element(tag: (u16, u16), vr: &str, value: &[u8]) -> Vec<u8> {
    let mut raw = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    raw.extend(vr.bytes());
    if matches!(vr, "OW" | "OB" | "SQ" | "UN") {
        raw.extend([0, 0]);
        raw.extend((value.len() as u32).to_le_bytes());
    } else {
        raw.extend((value.len() as u16).to_le_bytes());
    }
    raw.extend(value);
    raw
}

fn text(tag: (u16, u16), vr: &str, value: &str) -> Vec<u8> {
    let filling = if value.len() % 2 == 1 { " " } else { "" };
    element(tag, vr, format!("{value}{filling}").as_bytes())
}

fn short(tag: (u16, u16), value: u16) -> Vec<u8> {
    element(tag, "US", &value.to_le_bytes())
}

/// A file of 2×2 pixels of 8 bits with these elements more, or instead.
fn file(more: &[Vec<u8>]) -> Vec<u8> {
    let syntax = text((2, 0x10), "UI", "1.2.840.10008.1.2.1");
    let plain = [
        text((8, 0x16), "UI", "1.2"),
        short((0x28, 2), 1),
        text((0x28, 4), "CS", "MONOCHROME2"),
        short((0x28, 0x10), 2),
        short((0x28, 0x11), 2),
        short((0x28, 0x100), 8),
        short((0x28, 0x101), 8),
        short((0x28, 0x102), 7),
        short((0x28, 0x103), 0),
        element((0x7fe0, 0x10), "OW", &[0, 50, 100, 255]),
    ];
    let tag = |element: &Vec<u8>| {
        let half = |at: usize| u16::from_le_bytes([element[at], element[at + 1]]);
        (half(0), half(2))
    };
    let mut elements: Vec<Vec<u8>> =
        plain.into_iter().filter(|own| more.iter().all(|other| tag(other) != tag(own))).collect();
    elements.extend(more.iter().cloned());
    elements.sort_by_key(tag);
    [vec![0; 128], b"DICM".to_vec(), syntax, elements.concat()].concat()
}

fn refused(more: &[Vec<u8>]) -> String {
    decode(&file(more)).unwrap_err().to_string()
}

const SPACING: (u16, u16) = (0x28, 0x30);
const IMAGER: (u16, u16) = (0x18, 0x1164);
const MAGNIFICATION: (u16, u16) = (0x18, 0x1114);

#[test]
fn millimetres_follow_the_calibration() {
    // To a billionth of a millimetre, as quotients are.
    let rounded = |v: f64| (v * 1e9).round() / 1e9;
    let spacing = |more: &[Vec<u8>]| decode(&file(more)).unwrap().spacing.map(|s| (rounded(s.x), rounded(s.y)));
    let pair = |tag, value| text(tag, "DS", value);
    let calibrated = |kind| text((0x28, 0xa02), "CS", kind);
    assert_eq!(spacing(&[]), None);
    assert_eq!(spacing(&[pair(SPACING, "0.2\\0.1")]), Some((0.1, 0.2)));
    assert_eq!(spacing(&[pair(IMAGER, "0.2\\0.1")]), Some((0.1, 0.2)));
    assert_eq!(spacing(&[pair((0x18, 0x2010), "0.2\\0.1")]), Some((0.1, 0.2)));
    // The detector's, with what magnifies the patient.
    assert_eq!(spacing(&[pair(IMAGER, "0.22\\0.11"), pair(MAGNIFICATION, "1.1")]), Some((0.1, 0.2)));
    let repeated = [pair(IMAGER, "0.22\\0.11"), pair(SPACING, "0.220\\0.110"), pair(MAGNIFICATION, "1.1")];
    assert_eq!(spacing(&repeated), Some((0.1, 0.2)));
    // A calibrated spacing is in the patient's plane already.
    let differs = [pair(IMAGER, "0.22\\0.11"), pair(SPACING, "0.19\\0.095"), pair(MAGNIFICATION, "1.1")];
    assert_eq!(spacing(&differs), Some((0.095, 0.19)));
    for kind in ["GEOMETRY", "FIDUCIAL"] {
        assert_eq!(spacing(&[&repeated[..], &[calibrated(kind)]].concat()), Some((0.11, 0.22)), "{kind}");
    }
    assert_eq!(spacing(&[pair(SPACING, "0.2\\0.1"), pair(MAGNIFICATION, "1.1")]), Some((0.1, 0.2)));
    // An unknown size stays unknown: a ratio is no size.
    assert_eq!(spacing(&[pair(SPACING, "0\\0"), text((0x28, 0x34), "IS", "2\\1")]), None);
    assert_eq!(spacing(&[pair(SPACING, "")]), None);
    for (attribute, more) in [
        ("PixelSpacing", pair(SPACING, "0,1\\0,1")),
        ("PixelSpacing", pair(SPACING, "0.1")),
        ("PixelSpacing", pair(SPACING, "-0.1\\0.1")),
        ("ImagerPixelSpacing", pair(IMAGER, "0.1\\0")),
        ("EstimatedRadiographicMagnificationFactor", pair(MAGNIFICATION, "110")),
    ] {
        let error = refused(&[more]);
        assert!(error.contains(attribute), "{error}");
    }
}

#[test]
fn what_sequences_say_is_about_other_images_but_functional_groups() {
    let item =
        |content: Vec<u8>| [vec![0xfe, 0xff, 0, 0xe0], (content.len() as u32).to_le_bytes().to_vec(), content].concat();
    let other = element((8, 0x2112), "SQ", &item([short((0x28, 0x10), 9), text(SPACING, "DS", "9\\9")].concat()));
    assert_eq!(decode(&file(&[other])).unwrap().spacing, None);
    let measures = element((0x28, 0x9110), "SQ", &item(text(SPACING, "DS", "0.2\\0.1")));
    let window = [text((0x28, 0x1050), "DS", "100"), text((0x28, 0x1051), "DS", "101")].concat();
    let window = element((0x28, 0x9132), "SQ", &item(window));
    let shared = element((0x5200, 0x9229), "SQ", &item([measures, window].concat()));
    let grey = decode(&file(&[shared])).unwrap();
    assert_eq!(grey.spacing, Some(Spacing { x: 0.1, y: 0.2 }));
    assert_eq!(grey.pixels, [0, 1, 129, 255]);
}

#[test]
fn a_narrow_range_without_a_window_is_stretched_and_padding_is_no_part_of_it() {
    let mut values: Vec<u16> = (0..400).map(|i| 20_000 + i * 5).collect();
    values[..60].fill(65_535);
    values[60] = 0;
    let more = |padding: u16| {
        vec![
            short((0x28, 0x10), 20),
            short((0x28, 0x11), 20),
            short((0x28, 0x100), 16),
            short((0x28, 0x101), 16),
            short((0x28, 0x102), 15),
            short((0x28, 0x120), padding),
            element((0x7fe0, 0x10), "OW", &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()),
        ]
    };
    let grey = decode(&file(&more(65_535))).unwrap();
    assert_eq!(grey.pixels[..61], [0; 61]);
    assert_eq!((grey.pixels[61], grey.pixels[399]), (0, 255));
    assert!(grey.pixels[61..].is_sorted() && (120..=135).contains(&grey.pixels[230]), "{}", grey.pixels[230]);
}

#[test]
fn every_refusal_names_its_attribute() {
    let code = |tag, value| text(tag, "CS", value);
    let decimal = |tag, value| text(tag, "DS", value);
    let window = || vec![decimal((0x28, 0x1050), "100"), decimal((0x28, 0x1051), "50")];
    let with = |mut more: Vec<Vec<u8>>, other| {
        more.push(other);
        more
    };
    for (attribute, more) in [
        ("Rows", vec![short((0x28, 0x10), 3)]),
        ("NumberOfFrames", vec![text((0x28, 8), "IS", "3")]),
        ("PhotometricInterpretation", vec![code((0x28, 4), "CMYK")]),
        ("SamplesPerPixel", vec![short((0x28, 2), 3)]),
        ("BitsAllocated", vec![short((0x28, 0x100), 32)]),
        ("BitsStored", vec![short((0x28, 0x101), 9)]),
        ("HighBit", vec![short((0x28, 0x102), 3)]),
        ("RescaleSlope", vec![decimal((0x28, 0x1053), "0")]),
        ("RescaleIntercept", vec![decimal((0x28, 0x1052), "many")]),
        ("WindowWidth", vec![decimal((0x28, 0x1050), "100"), decimal((0x28, 0x1051), "-5")]),
        ("VOILUTFunction", with(window(), code((0x28, 0x1056), "CUBIC"))),
        ("PresentationLUTShape", vec![code((0x2050, 0x20), "LIN OD")]),
        ("PresentationLUTShape", vec![code((0x28, 4), "MONOCHROME1"), code((0x2050, 0x20), "IDENTITY")]),
        ("RedPaletteColorLookupTableDescriptor", vec![code((0x28, 4), "PALETTE COLOR")]),
        ("FloatPixelData", vec![element((0x7fe0, 8), "OW", &[0; 16])]),
        ("PixelData", vec![element((0x7fe0, 0x10), "OW", &[0; 2])]),
        ("PatientID", vec![element((0x10, 0x20), "UN", &vec![b'x'; 1 << 19])]),
    ] {
        let error = refused(&more);
        let named = if attribute == "Rows" { "PixelData" } else { attribute };
        assert!(error.contains(named), "{attribute}: {error}");
    }
    let syntax = [&[0; 128][..], b"DICM", &text((2, 0x10), "UI", "1.2.3"), &text((8, 0x16), "UI", "1.2")].concat();
    assert!(decode(&syntax).unwrap_err().to_string().contains("TransferSyntaxUID"));
}

#[test]
fn compressed_pixels_of_a_file_that_does_not_say_how_are_refused() {
    let files = reference().files;
    let file = bytes(&files["jpeg-ls-12"]);
    let length = u32::from_le_bytes(file[140..144].try_into().unwrap()) as usize;
    let error = decode(&file[144 + length..]).unwrap_err().to_string();
    assert!(error.contains("preamble") && error.contains("TransferSyntaxUID"), "{error}");
}

#[test]
fn a_zero_window_is_none_and_whose_image_it_is_stays_hidden() {
    let grey = decode(&file(&[
        text((0x28, 0x1050), "DS", "0"),
        text((0x28, 0x1051), "DS", "0"),
        text((0x10, 0x20), "LO", "anna"),
    ]))
    .unwrap();
    assert_eq!(grey.pixels, [0, 50, 100, 255]);
    assert!(grey.patient.is_some_and(|patient| patient.starts_with('p') && !patient.contains("anna")));
}

#[test]
fn the_luma_of_a_files_colours_is_its_grey_picture() {
    let mut in_colour = 0;
    for (name, entry) in reference().files {
        let file = base64::decode(&entry.file).unwrap();
        let Ok(grey) = decode(&file) else { continue };
        let colour = super::decode(&file, Channels::Colour).unwrap();
        let area = grey.size.area();
        if colour.pixels.len() == area {
            assert_eq!(colour.pixels, grey.pixels, "{name}");
            continue;
        }
        in_colour += 1;
        for (pixel, grey) in colour.pixels.as_chunks::<3>().0.iter().zip(&grey.pixels) {
            let [r, g, b] = pixel.map(f64::from);
            let luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
            assert!((luma - f64::from(*grey)).abs() <= 1.01, "{name}: {luma} {grey}");
        }
    }
    assert!(in_colour >= 3, "only {in_colour} files in colour");
}
