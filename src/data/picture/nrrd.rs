//! NRRD of one slice: lines `field: value` until an empty one, then raw or gzip-compressed values, x fastest: in the same
//! file (`.nrrd`) or in one beside it (`.nhdr`).
//!
//! Source: <https://teem.sourceforge.net/nrrd/format.html>. Rows stay in the order of the file, as ITK's arrays have them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, SeekFrom};
use std::path::Path;

use crate::Channels;
use sweep_core::error::{Error, Result};
use sweep_core::units::Spacing;

use super::budget::{BYTES_A_PIXEL, permit, possible};
use super::raw::{Element, Layout};
use super::{Decoded, ReadSeek, damaged, sibling};

/// Longest header that is looked through.
const MAX_HEADER: usize = 1 << 16;

/// Whether the bytes begin as NRRD files do.
pub(super) fn is(head: &[u8]) -> bool {
    head.starts_with(b"NRRD000")
}

/// Reads a picture, of a file for which [`is`]; `folder` is that of a header whose values lie beside it.
pub(super) fn decode(source: &mut dyn ReadSeek, folder: Option<&Path>, wanted: Channels) -> Result<Decoded> {
    let header = head(source)?;
    let _permit = permit(header.layout.size, BYTES_A_PIXEL);
    let Some(name) = &header.beside else {
        source.seek(SeekFrom::Start(header.offset as u64)).map_err(damaged)?;
        return header.values(source, wanted);
    };
    let at = |e: Error| e.at("data file");
    let path = sibling(folder, name).map_err(at)?;
    let file = File::open(&path).map_err(|e| at(Error::input(format!("cannot be read: {e}")).at(path.display())))?;
    header.values(&mut BufReader::new(file), wanted).map_err(|e| e.at(path.display()))
}

/// Whether it has more than 8 bits.
pub(super) fn is_deep(source: &mut dyn ReadSeek) -> Result<bool> {
    Ok(head(source)?.layout.is_deep())
}

/// The file beside a header that holds its values, for what a data set's files are.
pub(super) fn companion(head: &[u8]) -> Option<String> {
    Header::parse(head).ok()?.beside
}

fn head(source: &mut dyn ReadSeek) -> Result<Header> {
    source.seek(SeekFrom::Start(0)).map_err(damaged)?;
    let mut start = Vec::new();
    source.take(MAX_HEADER as u64).read_to_end(&mut start).map_err(damaged)?;
    Header::parse(&start)
}

struct Header {
    layout: Layout,
    spacing: Option<Spacing>,
    gzip: bool,
    /// Where values begin, if they are in this file.
    offset: usize,
    beside: Option<String>,
    line_skip: usize,
    /// −1 means that values end the file.
    byte_skip: i64,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut offset = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            offset += line.len();
            let line = String::from_utf8_lossy(line);
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            // `key:=value` is the writer's own.
            if let Some((field, value)) = line.split_once(':').filter(|(_, value)| !value.starts_with('=')) {
                fields.push((field.trim().to_lowercase(), value.trim().to_owned()));
            }
        }
        let text = |names: &[&str]| {
            fields.iter().find(|(field, _)| names.contains(&field.as_str())).map(|(_, value)| value.as_str())
        };
        let need = |name: &str| text(&[name]).ok_or_else(|| damaged("the header lacks it").at(name));

        let sizes: Vec<u64> = need("sizes")?.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let dimension: usize = need("dimension")?.parse().map_err(|e| damaged(e).at("dimension"))?;
        if sizes.len() != dimension || !(2..=5).contains(&dimension) {
            return Err(damaged(format!("{dimension} dimensions of sizes {sizes:?}")).at("sizes"));
        }
        let kinds: Vec<&str> = text(&["kinds"]).unwrap_or_default().split_whitespace().collect();
        let is_colour =
            |kind: &&str| ["rgb-color", "rgba-color", "3-color", "4-color"].contains(&kind.to_lowercase().as_str());
        let has_colours = kinds.first().is_some_and(is_colour) && matches!(sizes[0], 3 | 4);
        let channels = if has_colours { sizes[0] as usize } else { 1 };
        let from = usize::from(has_colours);
        // A slice of a volume may lie along any two of its axes.
        let mut axes: Vec<usize> = (from..dimension).filter(|axis| sizes[*axis] != 1).collect();
        if axes.len() > 2 {
            let sizes: Vec<String> = sizes.iter().map(u64::to_string).collect();
            return Err(Error::input(format!("a volume of {} values, not one image", sizes.join("×")))
                .at("sizes")
                .remedy(
                    "write the slice to use into a file of its own; colours need `kinds: RGB-color domain domain`",
                ));
        }
        for axis in from..dimension {
            if axes.len() < 2 && !axes.contains(&axis) {
                axes.push(axis);
            }
        }
        axes.sort_unstable();
        let [x, y] = axes[..] else { return Err(damaged("it has no two axes").at("sizes")) };
        let size = possible(sizes[x], sizes[y])?;
        let element = element(&need("type")?.to_lowercase())?;
        let big_endian = match text(&["endian"]) {
            Some("big") => true,
            Some("little") => false,
            _ if element.bytes() == 1 => false,
            _ => return Err(damaged("values of several bytes need `big` or `little`").at("endian")),
        };
        let gzip = match need("encoding")?.to_lowercase().as_str() {
            "raw" => false,
            "gzip" | "gz" => true,
            other => {
                return Err(Error::input(format!("`{other}` is not read"))
                    .at("encoding")
                    .remedy("write it raw or by gzip"));
            }
        };
        let beside = text(&["data file", "datafile"]).map(str::to_owned);
        if beside.as_ref().is_some_and(|name| name.starts_with("LIST") || name.contains(char::is_whitespace)) {
            return Err(Error::input("its values lie in several files")
                .at("data file")
                .remedy("write image and values into one .nrrd file"));
        }
        let skip = |names: &[&str]| text(names).map_or(Ok(0i64), |v| v.parse().map_err(|e| damaged(e).at(names[0])));
        let lines = skip(&["line skip", "lineskip"])?;
        let line_skip = usize::try_from(lines).map_err(|_| damaged("less than none").at("line skip"))?;
        let byte_skip = skip(&["byte skip", "byteskip"])?;
        let spacing = spacing(text(&["spacings"]), text(&["space directions"]), text(&["space units", "units"]), x, y);
        let layout = Layout { size, element, channels, big_endian, rescale: None };
        Ok(Self { layout, spacing, gzip, offset, beside, line_skip, byte_skip })
    }

    /// The picture, from the source of its values.
    fn values(&self, source: &mut dyn ReadSeek, wanted: Channels) -> Result<Decoded> {
        for _ in 0..self.line_skip {
            let mut line = Vec::new();
            // A line of a text is short; what has no end is no line.
            source.take(MAX_HEADER as u64).read_until(b'\n', &mut line).map_err(damaged)?;
        }
        let bytes = self.layout.bytes() as u64;
        if self.byte_skip < 0 && !self.gzip {
            let end = source.seek(SeekFrom::End(0)).map_err(damaged)?;
            source.seek(SeekFrom::Start(end.saturating_sub(bytes))).map_err(damaged)?;
        }
        let before = u64::try_from(self.byte_skip).unwrap_or(0);
        let values = if self.gzip {
            // Bytes to skip count within the compressed values.
            let mut values = flate2::bufread::MultiGzDecoder::new(source);
            std::io::copy(&mut values.by_ref().take(before), &mut std::io::sink()).map_err(damaged)?;
            self.layout.read(&mut values, wanted)?
        } else {
            source.seek_relative(i64::try_from(before).unwrap_or(i64::MAX)).map_err(damaged)?;
            self.layout.read(source, wanted)?
        };
        Ok(Decoded { spacing: self.spacing, ..Decoded::plain(self.layout.size, values) })
    }
}

fn element(name: &str) -> Result<Element> {
    Ok(match name {
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => Element::U8,
        "signed char" | "int8" | "int8_t" => Element::I8,
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => Element::U16,
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => Element::I16,
        "uint" | "unsigned int" | "uint32" | "uint32_t" => Element::U32,
        "int" | "signed int" | "int32" | "int32_t" => Element::I32,
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => Element::U64,
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64"
        | "int64_t" => Element::I64,
        "float" => Element::F32,
        "double" => Element::F64,
        other => return Err(damaged(format!("values of type `{other}` are not read")).at("type")),
    })
}

/// The spacing along two axes in mm, if it is said in a unit that is known.
fn spacing(plain: Option<&str>, directions: Option<&str>, units: Option<&str>, x: usize, y: usize) -> Option<Spacing> {
    let millimetres = match units.map(str::to_lowercase) {
        None => 1.0,
        Some(units) if units.contains("\"mm\"") => 1.0,
        Some(units) if units.contains("\"cm\"") => 10.0,
        Some(units) if units.contains("\"m\"") => 1000.0,
        Some(units) if units.contains("\"um\"") || units.contains("\"µm\"") => 0.001,
        Some(_) => return None,
    };
    let lengths: Vec<Option<f64>> = match (plain, directions) {
        (Some(plain), _) => plain.split_whitespace().map(|word| word.parse().ok()).collect(),
        // `none` stands for an axis of colours.
        (_, Some(directions)) => {
            let vectors = directions.replace(", ", ",");
            let length = |vector: &str| -> Option<f64> {
                let parts: Option<Vec<f64>> =
                    vector.strip_prefix('(')?.strip_suffix(')')?.split(',').map(|p| p.trim().parse().ok()).collect();
                Some(parts?.iter().map(|part| part * part).sum::<f64>().sqrt())
            };
            vectors.split_whitespace().map(length).collect()
        }
        (None, None) => return None,
    };
    let along = |axis: usize| lengths.get(axis).copied().flatten().map(|length| length.abs() * millimetres);
    // Writers put 1 where they do not know.
    Some(Spacing { x: along(x)?, y: along(y)? }).filter(|s| s.is_valid() && *s != Spacing { x: 1.0, y: 1.0 })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::picture::{self, decode as read};

    fn file(fields: &str, values: &[u8]) -> Vec<u8> {
        [format!("NRRD0004\n# a comment\n{fields}\nmark:=up\n\n").as_bytes(), values].concat()
    }

    const PLAIN: &str =
        "type: uint8\ndimension: 3\nsizes: 3 2 1\nencoding: raw\nspace directions: (0.25,0,0) (0,0.5,0) (0,0,1)";

    #[test]
    fn a_slice_is_read_from_one_file_and_from_two() {
        let grey = read(&file(PLAIN, &[1, 2, 3, 4, 5, 6])).unwrap();
        assert_eq!((grey.size.width, grey.pixels.as_slice()), (3, &[1, 2, 3, 4, 5, 6][..]));
        assert_eq!(grey.spacing, Some(Spacing { x: 0.25, y: 0.5 }));

        let folder = tempfile::tempdir().unwrap();
        let header =
            "type: short\ndimension: 2\nsizes: 2 1\nendian: big\nencoding: gzip\nspacings: 0.1 0.2\ndata file: v.gz";
        std::fs::write(folder.path().join("a.nhdr"), file(header, &[])).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&[0xff, 0xff, 0, 1]).unwrap();
        std::fs::write(folder.path().join("v.gz"), gzip.finish().unwrap()).unwrap();
        let grey = picture::read(&folder.path().join("a.nhdr")).unwrap();
        assert_eq!((grey.pixels, grey.spacing), (vec![0, 255], Some(Spacing { x: 0.1, y: 0.2 })));
    }

    #[test]
    fn colours_and_skips_are_obeyed() {
        let colour =
            "type: uchar\ndimension: 3\nsizes: 3 1 1\nkinds: RGB-color domain domain\nencoding: raw\nline skip: 1";
        assert_eq!(read(&file(colour, b"a line\n\x00\xff\x00")).unwrap().pixels, [182]);
        let last = "type: uchar\ndimension: 2\nsizes: 2 1\nencoding: raw\nbyte skip: -1";
        assert_eq!(read(&file(last, b"somewhere before\x07\x09")).unwrap().pixels, [7, 9]);
    }

    #[test]
    fn what_is_no_slice_is_refused() {
        let with = |from: &str, to: &str| file(&PLAIN.replace(from, to), &[0; 5]);
        for (bytes, says) in [
            (with("3 2 1", "3 2 2"), "a volume of 3×2×2"),
            (with("uint8", "block"), "block"),
            (with("raw", "bzip2"), "bzip2"),
            (with("uint8", "float"), "endian"),
            (with("sizes: 3 2 1", "sizes: 3 2"), "sizes"),
            (with("encoding: raw", "encoding: raw\ndata file: ../x.raw"), "data file"),
            (with("encoding: raw", "encoding: raw\ndata file: a%03d.raw 1 9 1"), "several files"),
            (with("a", "a"), "ends 1 bytes early"),
            (b"NRRD0001\n".to_vec(), "sizes"),
        ] {
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
