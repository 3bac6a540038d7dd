//! Image files as 8-bit grey values, and back: PNG, JPEG, JPEG 2000, BMP, TIFF, DICOM, MetaImage, NRRD and `NIfTI`. A file's
//! first bytes say what it is, not its name.
//!
//! Every reader gives a picture as viewers show it: turned as EXIF asks ([`Orientation`]), deep grey values mapped by a range
//! ([`GreyRange`]). Reading takes no more than 12 bytes a pixel and 64 MiB, whatever a file claims; of JPEG 2000, 16 bytes a
//! pixel and channel.

#![expect(clippy::disallowed_methods, reason = "reads and writes image files")]

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Cursor, Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::Channels;
use crate::channels::{planes, rgb};
use image::{ExtendedColorType, ImageEncoder};
use sweep_core::error::{Error, Result};
use sweep_core::units::{Size, Spacing};

mod budget;
mod dicom;
mod jpeg2000;
mod jpeg_ls;
pub(super) mod mha;
mod nifti;
mod nrrd;
mod orientation;
mod range;
mod raster;
mod raw;
mod spool;
mod strips;
mod tiff;
mod values;

use budget::possible;
use values::Values;

pub(crate) use dicom::Place as DicomPlace;
pub(crate) use spool::{Kept, Spool};

pub use budget::VARIABLE as MEGAPIXELS_VARIABLE;
pub use orientation::Orientation;
pub use range::{GreyRange, Tally};
pub use values::DeepGrey;

/// File names that end in one of these are images.
const EXTENSIONS: [&str; 17] = [
    "png", "jpg", "jpeg", "bmp", "tif", "tiff", "dcm", "dicom", "mha", "mhd", "nii", "nrrd", "nhdr", "jp2", "j2k",
    "j2c", "jpc",
];
/// The ending of a compressed image, of which the last part says nothing.
const COMPRESSED: &str = ".nii.gz";
/// The most that a DICOM file may take, and claim for a value: 64 million pixels of 16-bit colour with alpha.
const MAX_BYTES: u64 = (1 << 26) * 8 + (1 << 20);
/// As much of a file tells what it is.
const HEAD: usize = 1 << 16;

/// An image in memory, row by row, 0 is black, with what its file says of it. Where it is wanted in colour and its file has
/// colours, a plane of red, one of green and one of blue follow one another.
#[derive(Debug, Clone, PartialEq)]
pub struct Grey {
    /// Rows and columns.
    pub size: Size,
    /// One value per pixel and plane.
    pub pixels: Vec<u8>,
    /// Size of a pixel, where the file states it: medical formats do; resolutions of other files are seldom meant.
    pub spacing: Option<Spacing>,
    /// A fingerprint of whose image it is, where a DICOM file names a patient.
    pub patient: Option<String>,
}

/// A picture as viewers show it, and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// The picture.
    pub grey: Grey,
    /// How the stored picture was turned.
    pub orientation: Orientation,
    /// The range of grey values that is shown, where they have more than 8 bits and the file does not say itself.
    pub range: Option<GreyRange>,
}

/// A picture as its file stores it.
pub(crate) struct Decoded {
    size: Size,
    values: Values,
    orientation: Orientation,
    spacing: Option<Spacing>,
    patient: Option<String>,
    /// Height and width of a pixel in an unknown unit, where its file says that they differ and does not say their size.
    aspect: Option<[f64; 2]>,
    /// Whether its file is in colour and the values here are only its luma.
    lost_colours: bool,
}

/// A file, or a file's bytes.
trait ReadSeek: BufRead + Seek {}

impl<T: BufRead + Seek> ReadSeek for T {}

impl Decoded {
    /// A picture of which the file says nothing else.
    fn plain(size: Size, values: Values) -> Self {
        let orientation = Orientation::default();
        Self { size, values, orientation, spacing: None, patient: None, aspect: None, lost_colours: false }
    }

    /// As it is shown.
    pub(crate) fn picture(self, deep: DeepGrey) -> Picture {
        let Self { size, values, orientation, spacing, patient, .. } = self;
        let range = values.range(deep);
        let channels = values.len() / size.area().max(1);
        let pixels = if channels > 1 {
            let planes = planes(&values.shown(range), channels);
            planes.chunks_exact(size.area()).flat_map(|plane| orientation.turn(size, plane.to_vec())).collect()
        } else {
            orientation.turn(size, values.shown(range))
        };
        let spacing = spacing.map(|spacing| orientation.spacing(spacing));
        Picture { grey: Grey { size: orientation.size(size), pixels, spacing, patient }, orientation, range }
    }

    /// Height and width of a pixel, where its file says that they differ and does not say their size.
    pub(crate) fn aspect(&self) -> Option<[f64; 2]> {
        self.aspect
    }

    /// Whether its file shows colours, which became grey: more than the noise of a grey scan in three equal channels.
    pub(crate) fn lost_colours(&self) -> bool {
        self.lost_colours
    }

    /// How often which deep value occurs; none of 8 bits.
    pub(crate) fn tally(&self) -> Option<Tally> {
        self.values.tally()
    }
}

/// Whether the name looks like an image's; hidden files do not.
pub(super) fn is_image(path: &Path) -> bool {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy().to_lowercase()) else { return false };
    let extension = Path::new(&name).extension().map(|e| e.to_string_lossy().into_owned());
    let ends = extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str())) || name.ends_with(COMPRESSED);
    !name.starts_with('.') && ends
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
    let start = file(path).and_then(|mut source| head(&mut source)).unwrap_or_default();
    dicom::is(&start) && !dicom::is_directory(&start)
}

/// Whether the first bytes of a file are those of an image, whatever its name.
pub(super) fn begins_as_image(path: &Path) -> bool {
    let start = file(path).and_then(|mut source| head(&mut source)).unwrap_or_default();
    dicom::is(&start) || jpeg2000::is(&start) || mha::is(&start) || image::guess_format(&start).is_ok()
}

/// Reads an image as viewers show it: colours become luma, deep values 8 bits by their own range.
///
/// # Errors
/// When the file cannot be read, is none of these, is damaged or larger than the limit; names the file.
pub fn read(path: &Path) -> Result<Grey> {
    Ok(open(path, DeepGrey::Own)?.grey)
}

/// Reads an image, deep values by this range, and says how it was turned.
///
/// # Errors
/// Same errors as [`read`].
pub fn open(path: &Path, deep: DeepGrey) -> Result<Picture> {
    open_in(path, deep, Channels::Grey)
}

/// [`open`] in grey, or in colour where the file has colours; else it stays grey.
///
/// # Errors
/// Same errors as [`read`].
pub fn open_in(path: &Path, deep: DeepGrey, wanted: Channels) -> Result<Picture> {
    Ok(load(path, wanted)?.picture(deep))
}

/// Reads an image as it is stored.
///
/// # Errors
/// Same errors as [`read`].
pub(crate) fn load(path: &Path, wanted: Channels) -> Result<Decoded> {
    let mut source = file(path)?;
    decoded(&mut source, path.parent(), wanted).map_err(|e| unlike_its_name(path, &mut source, e).at(path.display()))
}

/// The error of a file, or that it is no DICOM file where its name says so.
fn unlike_its_name(path: &Path, source: &mut dyn ReadSeek, error: Error) -> Error {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let named = ["dcm", "dicom", "ima"].contains(&extension.as_str());
    if !named || head(source).is_ok_and(|head| dicom::is(&head)) {
        return error;
    }
    Error::input("not a DICOM file: neither a preamble of 128 bytes and DICM nor a data element stands at its start")
        .remedy("replace it by an intact copy")
}

/// Whether a file's first bytes are those of a DICOM file.
pub(crate) fn is_dicom(start: &[u8]) -> bool {
    dicom::is(start)
}

/// Where the pixels of a DICOM file lie in the patient; none of another file.
///
/// # Errors
/// When the file is damaged; names the attribute.
pub(crate) fn dicom_place(bytes: &[u8]) -> Result<Option<DicomPlace>> {
    dicom::is(bytes).then(|| dicom::place(bytes)).transpose()
}

/// A fingerprint of whose image a file is, where it is a DICOM file that names a patient. What is wrong with a file shows when
/// it is decoded.
pub(crate) fn patient(path: &Path) -> Option<String> {
    let mut source = file(path).ok()?;
    if !dicom::is(&head(&mut source).ok()?) {
        return None;
    }
    dicom::patient(&contents(&mut source).ok()?)
}

/// Decodes a file's bytes, deep values by their own range.
///
/// # Errors
/// Same errors as [`read`], without the file's name.
pub fn decode(bytes: &[u8]) -> Result<Grey> {
    Ok(decode_stored(bytes, Channels::Grey)?.picture(DeepGrey::Own).grey)
}

/// Decodes a file's bytes as they are stored.
///
/// # Errors
/// Same errors as [`read`], without the file's name.
pub(crate) fn decode_stored(bytes: &[u8], wanted: Channels) -> Result<Decoded> {
    decoded(&mut Cursor::new(bytes), None, wanted)
}

/// A hash of all that a picture is made of: its file, the file beside it that holds its values, and how they are read, where
/// that is not as the first release read them.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn digest(path: &Path) -> Result<blake3::Hash> {
    let hash = |path: &Path| {
        let unreadable = |e: std::io::Error| Error::input(format!("cannot be read: {e}")).at(path.display());
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path).map_err(unreadable)?).map_err(unreadable)?;
        Ok(hasher.finalize())
    };
    let mut source = file(path)?;
    let stored = hash(path)?;
    let head = head(&mut source).unwrap_or_default();
    let orientation = match head.as_slice() {
        head if dicom::is(head) => Ok(Orientation::default()),
        head if tiff::is(head) => tiff::orientation(&mut source),
        head => raster::orientation(head, &mut source),
    };
    // A file that is no picture is refused when its values are needed.
    let orientation = orientation.unwrap_or_default();
    let is_deep = is_deep(&mut source).unwrap_or_default();
    let name = if mha::is(&head) { mha::companion(&head) } else { nrrd::companion(&head) };
    let beside = name.and_then(|name| sibling(path.parent(), &name).ok()).map(|path| hash(&path)).transpose()?;
    if !orientation.is_turned() && !is_deep && beside.is_none() {
        return Ok(stored);
    }
    let mut hasher = blake3::Hasher::new_derive_key("landmark-sweep 2026 a picture's file and how it is read");
    hasher.update(stored.as_bytes()).update(&[orientation.exif(), u8::from(is_deep)]);
    if let Some(beside) = beside {
        hasher.update(beside.as_bytes());
    }
    Ok(hasher.finalize())
}

/// Whether channels of a pixel differ by more than a sixteenth of white anywhere: the first three of so many.
fn shows_colours<T: Copy + Ord + Into<u32>>(values: &[T], channels: usize, white: u32) -> bool {
    values.chunks_exact(channels.max(3)).any(|pixel| {
        let [red, green, blue]: [u32; 3] = [pixel[0].into(), pixel[1].into(), pixel[2].into()];
        red.max(green).max(blue) - red.min(green).min(blue) > white / 16
    })
}

/// Opens a regular file.
fn file(path: &Path) -> Result<BufReader<File>> {
    let unreadable = |e: &dyn std::fmt::Display| Error::input(format!("cannot be read: {e}")).at(path.display());
    // Reading a pipe would block for ever.
    if !fs::metadata(path).map_err(|e| unreadable(&e))?.is_file() {
        return Err(unreadable(&"not a file"));
    }
    Ok(BufReader::with_capacity(HEAD, File::open(path).map_err(|e| unreadable(&e))?))
}

/// A file's first bytes.
fn head(source: &mut dyn ReadSeek) -> Result<Vec<u8>> {
    source.seek(SeekFrom::Start(0)).map_err(damaged)?;
    let mut head = Vec::new();
    source.take(HEAD as u64).read_to_end(&mut head).map_err(damaged)?;
    Ok(head)
}

/// Decodes a file, whose folder may hold a part of it.
fn decoded(source: &mut dyn ReadSeek, folder: Option<&Path>, wanted: Channels) -> Result<Decoded> {
    let head = head(source)?;
    let decoded = match head.as_slice() {
        // First, since the bytes before its mark may be those of a TIFF.
        head if dicom::is(head) => dicom_picture(source, wanted),
        head if jpeg2000::is(head) => jpeg2000_picture(source, wanted),
        head if mha::is(head) => mha::decode(source, folder, wanted),
        head if nrrd::is(head) => nrrd::decode(source, folder, wanted),
        head if nifti::is(head) || nifti::is_gzip(head) => nifti::decode(source, wanted),
        head if tiff::is(head) => tiff::decode(source, wanted),
        head => raster::decode(head, source, wanted),
    };
    decoded.map_err(|e| e.remedy(READ))
}

/// The remedy of a file that is not read.
const READ: &str = "replace it by an intact copy; PNG, JPEG, JPEG 2000, BMP and TIFF images of 8 or 16 bits, DICOM, and one slice of \
                    MetaImage (.mha, .mhd), NRRD or NIfTI are read";

/// Whether an image's values are deeper than 8 bits, without the file saying which of them are shown.
fn is_deep(source: &mut dyn ReadSeek) -> Result<bool> {
    let head = head(source)?;
    match head.as_slice() {
        head if dicom::is(head) => Ok(false),
        head if jpeg2000::is(head) => jpeg2000::is_deep(&contents(source)?),
        head if mha::is(head) => mha::is_deep(source),
        head if nrrd::is(head) => nrrd::is_deep(source),
        head if nifti::is(head) || nifti::is_gzip(head) => nifti::is_deep(source),
        head if tiff::is(head) => tiff::is_deep(source),
        head => Ok(raster::is_deep(head)),
    }
}

/// All bytes of a file.
fn contents(source: &mut dyn ReadSeek) -> Result<Vec<u8>> {
    let length = source.seek(SeekFrom::End(0)).map_err(damaged)?;
    if length > MAX_BYTES {
        return Err(Error::input(format!("{} MiB are more than an image takes", length >> 20)));
    }
    source.seek(SeekFrom::Start(0)).map_err(damaged)?;
    let mut bytes = Vec::new();
    source.take(length).read_to_end(&mut bytes).map_err(damaged)?;
    Ok(bytes)
}

/// A DICOM file, which says itself what is shown.
fn dicom_picture(source: &mut dyn ReadSeek, wanted: Channels) -> Result<Decoded> {
    let bytes = contents(source)?;
    let Grey { size, pixels, spacing, patient } = dicom::decode(&bytes, wanted)?;
    let aspect = dicom::aspect(&bytes)?;
    Ok(Decoded { spacing, patient, aspect, ..Decoded::plain(size, Values::Shown(pixels)) })
}

/// A picture of JPEG 2000.
fn jpeg2000_picture(source: &mut dyn ReadSeek, wanted: Channels) -> Result<Decoded> {
    let bytes = contents(source)?;
    let (size, channels) = jpeg2000::size(&bytes)?;
    let _permit = budget::permit(size, budget::JPEG_2000_BYTES_A_VALUE * channels as u64);
    let picture = jpeg2000::decode(&bytes)?;
    let (size, bits) = (picture.size, picture.bits);
    let lost_colours = wanted.is_grey() && picture.shows_colours();
    let values = picture.shown(wanted);
    let values = if bits > 8 {
        Values::Whole(values)
    } else {
        let white = (1 << bits) - 1;
        Values::Shown(values.into_iter().map(|v| ((v * 255 + white / 2) / white).min(255) as u8).collect())
    };
    Ok(Decoded { lost_colours, ..Decoded::plain(size, values) })
}

/// The file beside another, by its plain name: no file may lead out of its folder.
fn sibling(folder: Option<&Path>, name: &str) -> Result<PathBuf> {
    let is_plain = Path::new(name).file_name().is_some_and(|file| file == name) && !name.contains(['/', '\\', '\0']);
    match folder {
        Some(folder) if is_plain => {
            let path = folder.join(name);
            // A link may lead elsewhere, and a pipe would block for ever.
            let is_file = fs::symlink_metadata(&path).is_ok_and(|facts| facts.is_file());
            is_file.then_some(path).ok_or_else(|| {
                Error::input(format!("its values lie in `{name}`, and there is no such file beside it"))
                    .remedy("put the file beside this one, or write image and values into one file")
            })
        }
        _ => Err(Error::input(format!("its values lie in another file, `{name}`"))
            .remedy("write image and values into one file, or put both into one folder")),
    }
}

/// The error of a damaged file.
fn damaged(what: impl std::fmt::Display) -> Error {
    Error::input(format!("not a readable image: {what}"))
}

/// Writes an 8-bit PNG, grey or, of three planes, in colour.
pub(super) fn write_png(path: &Path, size: Size, pixels: &[u8]) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::input(format!("cannot be written: {e}")).at(path.display());
    let (values, colour) = if pixels.len() > size.area() {
        (Cow::Owned(rgb(pixels, size.area())), ExtendedColorType::Rgb8)
    } else {
        (Cow::Borrowed(pixels), ExtendedColorType::L8)
    };
    let mut file = BufWriter::new(File::create(path).map_err(|e| failed(&e))?);
    image::codecs::png::PngEncoder::new(&mut file)
        .write_image(&values, size.width as u32, size.height as u32, colour)
        .map_err(|e| failed(&e))?;
    file.flush().map_err(|e| failed(&e))
}

#[cfg(test)]
mod colour_tests;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod memory;
#[cfg(test)]
mod tests;
