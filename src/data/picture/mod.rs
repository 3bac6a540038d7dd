//! Image files as 8-bit grey values, and back: PNG, JPEG, JPEG 2000, BMP, TIFF, DICOM and MetaImage. What a file is, its first
//! bytes say, not its name.

#![expect(clippy::disallowed_methods, reason = "reads and writes image files")]

use std::fs;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;

use image::{ExtendedColorType, ImageEncoder};

use sweep_core::error::{Error, Result};
use sweep_core::units::{Size, Spacing};

mod depth;
mod dicom;
mod jpeg2000;
mod jpeg_ls;
pub(super) mod mha;
mod raster;

/// File names that end in one of these are images.
const EXTENSIONS: [&str; 13] =
    ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "dcm", "dicom", "mha", "jp2", "j2k", "j2c", "jpc"];

/// A damaged header can claim any size: 64 million pixels are ten times the largest cephalogram in use.
const MAX_PIXELS: u64 = 1 << 26;
/// Enough to decode [`MAX_PIXELS`] in 16-bit colour with alpha.
const MAX_BYTES: u64 = MAX_PIXELS * 8 + (1 << 20);

/// An image in memory, row by row, 0 is black, with what its file says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Grey {
    /// Rows and columns.
    pub size: Size,
    /// One grey value per pixel.
    pub pixels: Vec<u8>,
    /// Size of a pixel, where the file states it: DICOM and MetaImage do; resolutions of other files are seldom meant.
    pub spacing: Option<Spacing>,
    /// A fingerprint of whose image it is, where a DICOM file names a patient.
    pub patient: Option<String>,
}

impl Grey {
    /// An image of which the file says nothing else.
    fn plain(size: Size, pixels: Vec<u8>) -> Self {
        Self { size, pixels, spacing: None, patient: None }
    }
}

/// Whether the name looks like an image's; hidden files do not.
pub(super) fn is_image(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|n| n.to_string_lossy().starts_with('.'));
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    !hidden && extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str()))
}

/// Whether a file is an image: by its name, or by its first bytes where a name says nothing, as those of DICOM files on
/// patients' disks and from archives do (`IM000001`, `1.2.840.113619.2.55`). The list of such a disk's files is none.
pub(super) fn is_image_file(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|n| n.to_string_lossy().starts_with('.'));
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    // Parts of a number that names an instance, and what some scanners write.
    let says_nothing = extension.bytes().all(|byte| byte.is_ascii_digit()) || extension == "ima";
    if hidden || !says_nothing {
        return is_image(path);
    }
    let mut start = Vec::new();
    let read = |file: fs::File| file.take(dicom::LOOKED_AT as u64).read_to_end(&mut start);
    path.is_file() && fs::File::open(path).and_then(read).is_ok() && dicom::is(&start) && !dicom::is_directory(&start)
}

/// Reads an image: colours become luma, deeper values 8 bits (see `depth`), and what a DICOM file says of its
/// presentation is done.
///
/// # Errors
/// When the file cannot be read, is none of these, is damaged or larger than any radiograph; names the file.
pub fn read(path: &Path) -> Result<Grey> {
    let unreadable = |e: &dyn std::fmt::Display| Error::input(format!("cannot be read: {e}")).at(path.display());
    let facts = fs::metadata(path).map_err(|e| unreadable(&e))?;
    if !facts.is_file() {
        return Err(unreadable(&"not a file"));
    }
    if facts.len() > MAX_BYTES {
        return Err(Error::input(format!("{} MiB are more than an image takes", facts.len() >> 20)).at(path.display()));
    }
    let bytes = fs::read(path).map_err(|e| unreadable(&e))?;
    decode(&bytes).map_err(|e| unlike_its_name(path, &bytes, e).at(path.display()))
}

/// The error of a file, or that it is no DICOM file where its name says so.
fn unlike_its_name(path: &Path, bytes: &[u8], error: Error) -> Error {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    if !["dcm", "dicom", "ima"].contains(&extension.as_str()) || dicom::is(bytes) {
        return error;
    }
    Error::input("not a DICOM file: neither a preamble of 128 bytes and DICM nor a data element stands at its start")
        .remedy("replace it by an intact copy")
}

/// [`read`] for a file's bytes.
///
/// # Errors
/// Same errors as [`read`], without the file's name.
pub fn decode(bytes: &[u8]) -> Result<Grey> {
    let grey = match bytes {
        _ if dicom::is(bytes) => dicom::decode(bytes),
        _ if mha::is(bytes) => mha::decode(bytes),
        _ if jpeg2000::is(bytes) => jpeg2000_grey(bytes),
        _ => raster::decode(bytes),
    };
    grey.map_err(|e| {
        e.remedy(
            "replace it by an intact copy; PNG, JPEG, BMP and TIFF images of 8 or 16 bits, JPEG 2000, DICOM and \
             MetaImage (.mha) are read",
        )
    })
}

/// A picture of JPEG 2000.
fn jpeg2000_grey(bytes: &[u8]) -> Result<Grey> {
    let picture = jpeg2000::decode(bytes)?;
    let (size, bits) = (picture.size, picture.bits);
    let values = picture.luma();
    Ok(Grey::plain(size, if bits > 8 { depth::of_16_bits(&values) } else { depth::of_bits(&values, bits) }))
}

/// The error of a damaged file.
fn damaged(what: impl std::fmt::Display) -> Error {
    Error::input(format!("not a readable image: {what}"))
}

/// The size, if it is one that an image has.
fn possible(width: u64, height: u64) -> Result<Size> {
    if width == 0 || height == 0 {
        return Err(damaged(format!("it is {width}×{height} pixels")));
    }
    if width.saturating_mul(height) > MAX_PIXELS {
        return Err(Error::input(format!("claims to be {width}×{height} pixels, more than {MAX_PIXELS} in all")));
    }
    Ok(Size { height: height as usize, width: width as usize })
}

/// Writes an 8-bit grey PNG.
pub(super) fn write_png(path: &Path, size: Size, pixels: &[u8]) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::input(format!("cannot be written: {e}")).at(path.display());
    let mut file = BufWriter::new(fs::File::create(path).map_err(|e| failed(&e))?);
    image::codecs::png::PngEncoder::new(&mut file)
        .write_image(pixels, size.width as u32, size.height as u32, ExtendedColorType::L8)
        .map_err(|e| failed(&e))?;
    file.flush().map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, ImageFormat, Luma, Rgb};

    use super::*;

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
        assert!(!is_image(Path::new("a/._001.png")) && !is_image(Path::new("landmarks.csv")));
    }
}
