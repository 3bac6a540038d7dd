//! DICOM: one frame, grey or colour, uncompressed, run-length encoded or as JPEG (also lossless), shown as its file asks:
//! rescaled, windowed, MONOCHROME1 inverted.
//!
//! Elements are read by dicom-parser, value by value, so that no length a file claims takes more memory than the file.

use std::io::Cursor;

use dicom_core::Tag;
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_parser::StatefulDecode;
use dicom_parser::dataset::LazyDataToken;
use dicom_parser::dataset::lazy_read::LazyDataSetReader;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use super::{Grey, MAX_BYTES, damaged, depth, possible};
use sweep_core::error::{Error, Result};
use sweep_core::units::{Size, Spacing};

const PATIENT_ID: Tag = Tag(0x0010, 0x0020);
const IMAGER_PIXEL_SPACING: Tag = Tag(0x0018, 0x1164);
const SAMPLES_PER_PIXEL: Tag = Tag(0x0028, 0x0002);
const PHOTOMETRIC_INTERPRETATION: Tag = Tag(0x0028, 0x0004);
const PLANAR_CONFIGURATION: Tag = Tag(0x0028, 0x0006);
const NUMBER_OF_FRAMES: Tag = Tag(0x0028, 0x0008);
const ROWS: Tag = Tag(0x0028, 0x0010);
const COLUMNS: Tag = Tag(0x0028, 0x0011);
const PIXEL_SPACING: Tag = Tag(0x0028, 0x0030);
const BITS_ALLOCATED: Tag = Tag(0x0028, 0x0100);
const BITS_STORED: Tag = Tag(0x0028, 0x0101);
const PIXEL_REPRESENTATION: Tag = Tag(0x0028, 0x0103);
const WINDOW_CENTER: Tag = Tag(0x0028, 0x1050);
const WINDOW_WIDTH: Tag = Tag(0x0028, 0x1051);
const RESCALE_INTERCEPT: Tag = Tag(0x0028, 0x1052);
const RESCALE_SLOPE: Tag = Tag(0x0028, 0x1053);
const PIXEL_DATA: Tag = Tag(0x7fe0, 0x0010);

/// All of the above that are read.
const WANTED: [Tag; 17] = [
    PATIENT_ID,
    IMAGER_PIXEL_SPACING,
    SAMPLES_PER_PIXEL,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    NUMBER_OF_FRAMES,
    ROWS,
    COLUMNS,
    PIXEL_SPACING,
    BITS_ALLOCATED,
    BITS_STORED,
    PIXEL_REPRESENTATION,
    WINDOW_CENTER,
    WINDOW_WIDTH,
    RESCALE_INTERCEPT,
    RESCALE_SLOPE,
    PIXEL_DATA,
];

const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
const RUN_LENGTH: &str = "1.2.840.10008.1.2.5";
/// Baseline, extended, and the two lossless processes.
const JPEG: [&str; 4] =
    ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"];

/// Whether it is a DICOM file.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.get(128..132).is_some_and(|magic| magic == b"DICM")
}

/// Reads the image of a file for which [`is`].
pub(super) fn decode(bytes: &[u8]) -> Result<Grey> {
    let (syntax, start) = transfer_syntax(bytes)?;
    let file = File::read(bytes, start, syntax)?;
    let frames = file.number(NUMBER_OF_FRAMES).unwrap_or(1.0);
    if frames > 1.0 {
        return Err(Error::input(format!("{frames} frames, not one image"))
            .at("NumberOfFrames")
            .remedy("write the frame to use into a file of its own"));
    }
    let size = possible(file.whole(COLUMNS, "Columns")?, file.whole(ROWS, "Rows")?)?;
    let (values, bits) = file.values(size)?;
    let photometric = file.text(PHOTOMETRIC_INTERPRETATION).unwrap_or_else(|| "MONOCHROME2".into());
    let mut pixels = match photometric.as_str() {
        "MONOCHROME1" | "MONOCHROME2" => file.shown(&values, bits),
        // JPEG decoders return RGB.
        "RGB" | "YBR_FULL" | "YBR_FULL_422" | "YBR_PARTIAL_422" if file.is_jpeg() || photometric == "RGB" => {
            depth::between(&values, 0.0, f64::from((1u32 << bits.clamp(1, 16)) - 1))
        }
        other => {
            return Err(Error::input(format!("`{other}` is not read"))
                .at("PhotometricInterpretation")
                .remedy("MONOCHROME1, MONOCHROME2 and RGB are"));
        }
    };
    if photometric == "MONOCHROME1" {
        for grey in &mut pixels {
            *grey = 255 - *grey;
        }
    }
    // The distance of rows comes first. Calibrated to the patient, if it is there; else that on the detector.
    let spacing = |tag| match file.numbers(tag)[..] {
        [rows, columns] => Some(Spacing { x: columns, y: rows }).filter(|s| s.is_valid()),
        _ => None,
    };
    let patient = file.text(PATIENT_ID).filter(|id| !id.is_empty());
    Ok(Grey {
        size,
        pixels,
        spacing: spacing(PIXEL_SPACING).or_else(|| spacing(IMAGER_PIXEL_SPACING)),
        // Who it is is nobody's business; that two images are of one patient is.
        patient: patient.map(|id| format!("p{}", &blake3::hash(id.as_bytes()).to_hex()[..12])),
    })
}

/// The transfer syntax, which the first group of elements, always explicit and little-endian, says; and where that
/// group ends.
fn transfer_syntax(bytes: &[u8]) -> Result<(String, usize)> {
    let mut at = 132;
    let mut syntax = None;
    let number = |at: usize, len: usize| -> Option<usize> {
        let raw = bytes.get(at..at + len)?;
        Some(raw.iter().rev().fold(0, |sum, b| sum << 8 | usize::from(*b)))
    };
    while number(at, 2) == Some(2) {
        let cut = || damaged(format!("it ends in the element at byte {at}"));
        let long = matches!(bytes.get(at + 4..at + 6), Some(b"OB" | b"OW" | b"UN" | b"UT" | b"SQ"));
        let (from, length) = if long { (at + 12, number(at + 8, 4)) } else { (at + 8, number(at + 6, 2)) };
        let value = length.and_then(|length| bytes.get(from..from.checked_add(length)?)).ok_or_else(cut)?;
        if number(at + 2, 2) == Some(0x10) {
            syntax = Some(String::from_utf8_lossy(value).trim_end_matches(['\0', ' ']).to_owned());
        }
        at = from + value.len();
    }
    let syntax = syntax.ok_or_else(|| damaged("it does not say how it is encoded").at("TransferSyntaxUID"))?;
    Ok((syntax, at))
}

/// The elements that matter.
struct File {
    syntax: String,
    values: Vec<(Tag, Vec<u8>)>,
    /// Fragments of encapsulated pixel data, without the table of offsets.
    fragments: Vec<Vec<u8>>,
}

impl File {
    fn read(bytes: &[u8], start: usize, syntax: String) -> Result<Self> {
        let known = TransferSyntaxRegistry.get(&syntax).filter(|known| known.can_decode_dataset());
        let known = known.ok_or_else(|| {
            Error::input(format!("the transfer syntax `{syntax}` is not read")).at("TransferSyntaxUID").remedy(REWRITE)
        })?;
        let body = Cursor::new(bytes.get(start..).unwrap_or_default());
        let mut reader = LazyDataSetReader::new_with_ts(body, known).map_err(damaged)?;
        let mut file = Self { syntax, values: Vec::new(), fragments: Vec::new() };
        // Sequences hold elements of the same names that are about other things.
        let mut level = 0u32;
        let mut pixels = false;
        let mut items = 0;
        while let Some(token) = reader.advance() {
            match token.map_err(damaged)? {
                LazyDataToken::SequenceStart { .. } => level += 1,
                LazyDataToken::PixelSequenceStart => {
                    (level, pixels) = (level + 1, level == 0);
                }
                LazyDataToken::SequenceEnd => {
                    level = level.saturating_sub(1);
                    if pixels {
                        break;
                    }
                }
                LazyDataToken::ItemStart { len } if pixels => {
                    items += 1;
                    if len.0 == 0 && items > 1 {
                        return Err(damaged("a fragment of its pixel data is empty"));
                    }
                }
                LazyDataToken::LazyItemValue { len, decoder } => {
                    let mut value = Vec::new();
                    decoder.read_to_vec(len, &mut value).map_err(damaged)?;
                    if pixels && items > 1 {
                        file.fragments.push(value);
                    }
                }
                LazyDataToken::LazyValue { header, decoder } => {
                    let wanted = level == 0 && WANTED.contains(&header.tag);
                    let length = header.len.get().ok_or_else(|| damaged(format!("{} has no length", header.tag)))?;
                    if u64::from(length) > MAX_BYTES {
                        return Err(damaged(format!("{} claims {length} bytes", header.tag)));
                    }
                    let mut value = Vec::new();
                    if wanted {
                        decoder.read_to_vec(length, &mut value).map_err(damaged)?;
                        if value.len() < length as usize {
                            let lacks = length as usize - value.len();
                            return Err(damaged(format!("it ends {lacks} bytes early")).at(header.tag));
                        }
                        file.values.push((header.tag, value));
                    } else {
                        decoder.skip_bytes(length).map_err(damaged)?;
                    }
                    if level == 0 && header.tag == PIXEL_DATA {
                        break;
                    }
                }
                _ => {}
            }
        }
        Ok(file)
    }

    fn is_jpeg(&self) -> bool {
        JPEG.contains(&self.syntax.as_str())
    }

    fn value(&self, tag: Tag) -> Option<&[u8]> {
        self.values.iter().find(|(t, _)| *t == tag).map(|(_, value)| value.as_slice())
    }

    fn text(&self, tag: Tag) -> Option<String> {
        self.value(tag).map(|v| String::from_utf8_lossy(v).trim_matches(['\0', ' ']).to_owned())
    }

    /// A number, or several divided by `\`, written as text.
    fn numbers(&self, tag: Tag) -> Vec<f64> {
        let text = self.text(tag).unwrap_or_default();
        text.split('\\').filter_map(|word| word.trim().parse().ok()).filter(|v: &f64| v.is_finite()).collect()
    }

    fn number(&self, tag: Tag) -> Option<f64> {
        self.numbers(tag).first().copied()
    }

    /// A binary number of 16 bits.
    fn short(&self, tag: Tag) -> Option<u16> {
        self.value(tag)?.first_chunk().map(|raw| self.short_of(*raw))
    }

    fn short_of(&self, raw: [u8; 2]) -> u16 {
        if self.syntax == BIG_ENDIAN { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) }
    }

    fn whole(&self, tag: Tag, name: &str) -> Result<u64> {
        self.short(tag).map(u64::from).ok_or_else(|| damaged("the file lacks it").at(name))
    }

    /// A stored value per pixel (of colours, the luma), and how many bits of it count.
    fn values(&self, size: Size) -> Result<(Vec<f64>, u32)> {
        let samples = usize::from(self.short(SAMPLES_PER_PIXEL).unwrap_or(1));
        if ![1, 3].contains(&samples) {
            return Err(damaged(format!("{samples} samples a pixel")).at("SamplesPerPixel"));
        }
        let allocated = self.short(BITS_ALLOCATED).unwrap_or(16);
        if ![8, 16].contains(&allocated) {
            return Err(damaged(format!("{allocated} bits a sample; 8 and 16 are read")).at("BitsAllocated"));
        }
        let stored = u32::from(self.short(BITS_STORED).unwrap_or(allocated).clamp(1, allocated));
        let count = size.area() * samples;
        let raw = self.raw(size, samples, allocated)?;
        let mut values: Vec<f64> = if allocated == 8 {
            raw.iter().take(count).map(|v| self.stored((*v).into(), stored)).collect()
        } else {
            // Codecs give little-endian values, files what their syntax says.
            let encapsulated = !self.fragments.is_empty();
            let short = |pair: [u8; 2]| if encapsulated { u16::from_le_bytes(pair) } else { self.short_of(pair) };
            raw.as_chunks::<2>().0.iter().take(count).map(|pair| self.stored(short(*pair), stored)).collect()
        };
        if values.len() < count {
            return Err(damaged(format!("it ends {} values early", count - values.len())).at("PixelData"));
        }
        if samples == 3 {
            let luma = |r: f64, g: f64, b: f64| 0.2126 * r + 0.7152 * g + 0.0722 * b;
            let planes = self.short(PLANAR_CONFIGURATION) == Some(1) && !self.is_jpeg();
            values = if planes {
                let (r, rest) = values.split_at(size.area());
                let (g, b) = rest.split_at(size.area());
                r.iter().zip(g).zip(b).map(|((r, g), b)| luma(*r, *g, *b)).collect()
            } else {
                values.chunks_exact(3).map(|p| luma(p[0], p[1], p[2])).collect()
            };
        }
        Ok((values, stored))
    }

    /// The number that `bits` of a sample mean; others may hold overlays.
    fn stored(&self, sample: u16, bits: u32) -> f64 {
        let value = u32::from(sample) & ((1u32 << bits) - 1);
        let is_negative = self.short(PIXEL_REPRESENTATION) == Some(1) && value >> (bits - 1) == 1;
        f64::from(value) - if is_negative { f64::from(1u32 << bits) } else { 0.0 }
    }

    /// Samples' bytes.
    fn raw(&self, size: Size, samples: usize, allocated: u16) -> Result<Vec<u8>> {
        if self.fragments.is_empty() {
            let value = self.value(PIXEL_DATA).ok_or_else(|| damaged("the file lacks it").at("PixelData"))?;
            return Ok(value.to_vec());
        }
        let failed = |e: &dyn std::fmt::Display| damaged(e).at("PixelData");
        match self.syntax.as_str() {
            RUN_LENGTH => run_lengths(&self.fragments.concat(), size.area(), samples * usize::from(allocated / 8)),
            _ if self.is_jpeg() => {
                let data = self.fragments.concat();
                let mut decoder = jpeg_decoder::Decoder::new(Cursor::new(data));
                decoder.set_max_decoding_buffer_size(MAX_BYTES as usize);
                decoder.read_info().map_err(|e| failed(&e))?;
                let info = decoder.info().ok_or_else(|| failed(&"no image in it"))?;
                let bytes = info.pixel_format.pixel_bytes();
                if (usize::from(info.width), usize::from(info.height)) != (size.width, size.height)
                    || bytes != samples * usize::from(allocated / 8)
                {
                    return Err(failed(&format!(
                        "a JPEG image of {}×{} pixels of {bytes} bytes",
                        info.width, info.height
                    )));
                }
                let values = decoder.decode().map_err(|e| failed(&e))?;
                // Values of 16 bits come in the machine's order.
                Ok(if allocated == 16 {
                    values.as_chunks::<2>().0.iter().flat_map(|v| u16::from_ne_bytes(*v).to_le_bytes()).collect()
                } else {
                    values
                })
            }
            other => Err(Error::input(format!("its pixels are compressed by `{other}`, which is not read"))
                .at("TransferSyntaxUID")
                .remedy(REWRITE)),
        }
    }

    /// Grey values as the file wants them seen: rescaled, then through its first window, or all that can be stored.
    fn shown(&self, values: &[f64], bits: u32) -> Vec<u8> {
        let slope = self.number(RESCALE_SLOPE).filter(|slope| *slope > 0.0).unwrap_or(1.0);
        let intercept = self.number(RESCALE_INTERCEPT).unwrap_or(0.0);
        let window = self.number(WINDOW_CENTER).zip(self.number(WINDOW_WIDTH)).filter(|(_, width)| *width > 1.0);
        // PS3.3 C.11.2.1.2.1: from c − ½ − (w − 1)/2 to c − ½ + (w − 1)/2.
        let window = window.map(|(c, w)| (c - 0.5 - (w - 1.0) / 2.0, c - 0.5 + (w - 1.0) / 2.0));
        let low = if self.short(PIXEL_REPRESENTATION) == Some(1) { -f64::from(1u32 << (bits - 1)) } else { 0.0 };
        let all = (low * slope + intercept, (low + f64::from((1u32 << bits) - 1)) * slope + intercept);
        let rescaled: Vec<f64> = values.iter().map(|v| v * slope + intercept).collect();
        let (low, high) = window.unwrap_or(all);
        depth::between(&rescaled, low, high)
    }
}

const REWRITE: &str = "write it anew without compression, e.g. `gdcmconv --raw IN OUT` or `dcmdjpeg IN OUT`";

/// Run lengths of PS3.5 annex G: a segment per byte of a pixel, highest first, to pixels of little-endian samples, the
/// colours of a pixel side by side.
fn run_lengths(data: &[u8], pixels: usize, bytes: usize) -> Result<Vec<u8>> {
    let failed = |what: &str| damaged(format!("run lengths: {what}")).at("PixelData");
    let word = |at: usize| data.get(at..at + 4).and_then(|w| w.try_into().ok()).map(u32::from_le_bytes);
    if word(0) != Some(bytes as u32) || bytes > 15 {
        return Err(failed("another number of segments"));
    }
    let width = if bytes.is_multiple_of(3) { bytes / 3 } else { bytes };
    let mut samples = vec![0u8; pixels * bytes];
    for segment in 0..bytes {
        let from = word(4 + 4 * segment).ok_or_else(|| failed("no table of segments"))? as usize;
        let mut rest = data.get(from..).ok_or_else(|| failed("a segment begins behind the end"))?;
        // The byte's place in a pixel: samples in order, each turned round.
        let place = segment / width * width + (width - 1 - segment % width);
        let mut places = samples.iter_mut().skip(place).step_by(bytes);
        let mut left = pixels;
        while left > 0 {
            let (count, after) = rest.split_first().ok_or_else(|| failed("a segment is cut off"))?;
            rest = after;
            let run = match *count as i8 {
                -128 => continue,
                literal @ 0.. => {
                    let length = literal as usize + 1;
                    let (values, after) = rest.split_at_checked(length).ok_or_else(|| failed("a run is cut off"))?;
                    // The values first: what comes first is taken before it is known whether the other is at its end.
                    values.iter().zip(places.by_ref()).for_each(|(from, to)| *to = *from);
                    rest = after;
                    length
                }
                repeat => {
                    let length = 1 + repeat.unsigned_abs() as usize;
                    let (value, after) = rest.split_first().ok_or_else(|| failed("a run is cut off"))?;
                    places.by_ref().take(length).for_each(|to| *to = *value);
                    rest = after;
                    length
                }
            };
            left = left.saturating_sub(run);
        }
    }
    Ok(samples)
}
