//! Films with a bright spot under every landmark, and the files that tools store them in.

use std::fs;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, GrayImage, ImageFormat, Luma};

/// Landmarks of the first film, whose spots have these brightnesses.
pub(super) const LANDMARKS: [(&str, [f64; 2], f64); 4] = [
    ("sella", [31.0, 22.5], 230.0),
    ("nasion", [66.25, 18.75], 190.0),
    ("menton", [58.5, 80.25], 150.0),
    ("gonion", [20.75, 70.5], 110.0),
];
/// Width and height of a film.
pub(super) const SIZE: [u32; 2] = [88, 104];
const BACKGROUND: f64 = 10.0;
const SPREAD: f64 = 2.0;

/// Where a landmark of a film lies; pixel centres are whole numbers.
pub(super) fn position(film: u32, landmark: usize) -> [f64; 2] {
    let [x, y] = LANDMARKS[landmark].1;
    [x + 2.0 * f64::from(film), y - 1.5 * f64::from(film)]
}

/// All positions of a film.
pub(super) fn positions(film: u32) -> [[f64; 2]; 4] {
    std::array::from_fn(|landmark| position(film, landmark))
}

/// A film as viewers show it.
pub(super) fn film(number: u32) -> GrayImage {
    let [width, height] = SIZE;
    GrayImage::from_fn(width, height, |x, y| {
        let spots = LANDMARKS.iter().zip(positions(number)).map(|((_, _, light), [at_x, at_y])| {
            let square = (f64::from(x) - at_x).powi(2) + (f64::from(y) - at_y).powi(2);
            light * (-square / (2.0 * SPREAD * SPREAD)).exp()
        });
        Luma([(BACKGROUND + spots.sum::<f64>()).round() as u8])
    })
}

/// The centre of the spot nearest to a position, with its brightness: of all pixels within six of it.
pub(super) fn spot(pixels: &[u8], width: usize, [x, y]: [f64; 2]) -> ([f64; 2], f64) {
    let height = pixels.len() / width;
    let (mut sum, mut at, mut peak) = (0.0, [0.0; 2], 0.0f64);
    for row in (y - 6.0).max(0.0) as usize..=((y + 6.0) as usize).min(height - 1) {
        for column in (x - 6.0).max(0.0) as usize..=((x + 6.0) as usize).min(width - 1) {
            let light = (f64::from(pixels[row * width + column]) - BACKGROUND - 8.0).max(0.0);
            sum += light;
            at = [at[0] + light * column as f64, at[1] + light * row as f64];
            peak = peak.max(f64::from(pixels[row * width + column]));
        }
    }
    ([at[0] / sum, at[1] / sum], peak)
}

/// The stored pixels of a film that viewers turn by this EXIF orientation (TIFF 6.0, tag 274).
pub(super) fn stored(shown: &GrayImage, exif: u8) -> GrayImage {
    use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
    match exif {
        2 => flip_horizontal(shown),
        3 => rotate180(shown),
        4 => flip_vertical(shown),
        5 => flip_horizontal(&rotate90(shown)),
        6 => rotate270(shown),
        7 => flip_horizontal(&rotate270(shown)),
        8 => rotate90(shown),
        _ => shown.clone(),
    }
}

/// Writes a film as JPEG, PNG or TIFF, by the file's ending, stored by this EXIF orientation.
pub(super) fn turned(path: &Path, number: u32, exif: u8) {
    let picture = stored(&film(number), exif);
    let bytes = match path.extension().unwrap().to_string_lossy().to_lowercase().as_str() {
        "png" => with_exif_chunk(&encoded(&picture, ImageFormat::Png), exif),
        "tif" | "tiff" => tiff(&picture, u16::from(exif)),
        _ => with_exif_segment(&jpeg(&picture), exif),
    };
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Writes a film as it is.
pub(super) fn plain(path: &Path, number: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    film(number).save(path).unwrap();
}

fn encoded(picture: &GrayImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(picture: &GrayImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (width, height) = picture.dimensions();
    JpegEncoder::new_with_quality(&mut bytes, 98)
        .encode(picture.as_raw(), width, height, ExtendedColorType::L8)
        .unwrap();
    bytes
}

/// A TIFF header whose only entry is an orientation, as EXIF begins.
fn exif_header(exif: u8) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0\x01\0".to_vec();
    bytes.extend(entry(274, 3, 1, u32::from(exif)));
    bytes.extend([0; 4]);
    bytes
}

fn entry(tag: u16, kind: u16, count: u32, value: u32) -> Vec<u8> {
    [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value.to_le_bytes()].concat()
}

fn with_exif_segment(jpeg: &[u8], exif: u8) -> Vec<u8> {
    let segment = [b"Exif\0\0", &exif_header(exif)[..]].concat();
    let length = u16::try_from(segment.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], b"\xff\xe1", &length, &segment, &jpeg[2..]].concat()
}

fn with_exif_chunk(png: &[u8], exif: u8) -> Vec<u8> {
    let content = [b"eXIf", &exif_header(exif)[..]].concat();
    let length = u32::try_from(content.len() - 4).unwrap().to_be_bytes();
    // After the signature and the header's chunk.
    [&png[..33], &length, &content, &crc(&content).to_be_bytes(), &png[33..]].concat()
}

/// The checksum of PNG's chunks.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// A TIFF of 8 bits in one strip.
fn tiff(picture: &GrayImage, orientation: u16) -> Vec<u8> {
    let (width, height) = picture.dimensions();
    let pixels = picture.as_raw();
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    let entries = [
        entry(256, 4, 1, width),
        entry(257, 4, 1, height),
        entry(258, 3, 1, 8),
        entry(259, 3, 1, 1),
        entry(262, 3, 1, 1),
        entry(273, 4, 1, 8 + 2 + 12 * 10 + 4),
        entry(274, 3, 1, u32::from(orientation)),
        entry(277, 3, 1, 1),
        entry(278, 4, 1, height),
        entry(279, 4, 1, width * height),
    ];
    bytes.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
    bytes.extend(entries.concat());
    bytes.extend([0; 4]);
    bytes.extend(pixels);
    bytes
}

/// Elements of a DICOM file of a film, besides its size and pixels.
pub(super) struct Dicom {
    /// Stored value of a grey value.
    pub(super) store: fn(u8) -> u16,
    pub(super) photometric: &'static str,
    /// Group, element, representation and text of further attributes, in ascending order.
    pub(super) texts: &'static [(u16, u16, &'static str, &'static str)],
    /// Whether 128 bytes and DICM stand at its start.
    pub(super) has_preamble: bool,
}

impl Dicom {
    pub(super) const PLAIN: Self =
        Self { store: |v| u16::from(v), photometric: "MONOCHROME2", texts: &[], has_preamble: true };

    /// Writes a film, 16 bits allocated and 12 stored, explicit little endian.
    pub(super) fn write(&self, path: &Path, number: u32) {
        let [width, height] = SIZE.map(|side| side as u16);
        let short = |v: u16| v.to_le_bytes().to_vec();
        let mut elements: Vec<(u16, u16, &str, Vec<u8>)> = vec![
            (0x08, 0x60, "CS", padded("CR")),
            (0x28, 0x02, "US", short(1)),
            (0x28, 0x04, "CS", padded(self.photometric)),
            (0x28, 0x10, "US", short(height)),
            (0x28, 0x11, "US", short(width)),
            (0x28, 0x100, "US", short(16)),
            (0x28, 0x101, "US", short(12)),
            (0x28, 0x102, "US", short(11)),
            (0x28, 0x103, "US", short(0)),
        ];
        elements.extend(self.texts.iter().map(|(group, element, vr, text)| (*group, *element, *vr, padded(text))));
        let pixels = film(number).as_raw().iter().flat_map(|v| (self.store)(*v).to_le_bytes()).collect();
        elements.push((0x7fe0, 0x10, "OW", pixels));
        elements.sort_by_key(|(group, element, ..)| (*group, *element));
        let mut bytes = Vec::new();
        if self.has_preamble {
            bytes.extend([0; 128]);
            bytes.extend(b"DICM");
            let syntax = element(2, 0x10, "UI", b"1.2.840.10008.1.2.1\0");
            bytes.extend(element(2, 0, "UL", &u32::try_from(syntax.len()).unwrap().to_le_bytes()));
            bytes.extend(syntax);
        }
        for (group, number, vr, value) in elements {
            bytes.extend(element(group, number, vr, &value));
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn padded(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(b' ');
    }
    bytes
}

/// An element of explicit representation, little endian (DICOM PS3.5, 7.1.2).
fn element(group: u16, number: u16, vr: &str, value: &[u8]) -> Vec<u8> {
    let length = if vr == "OW" {
        [&[0, 0][..], &u32::try_from(value.len()).unwrap().to_le_bytes()].concat()
    } else {
        u16::try_from(value.len()).unwrap().to_le_bytes().to_vec()
    };
    [&group.to_le_bytes()[..], &number.to_le_bytes(), vr.as_bytes(), &length, value].concat()
}
