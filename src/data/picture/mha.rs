//! MetaImage: lines `Key = Value` until `ElementDataFile`, then raw or zlib-compressed values, slice by slice: in the same
//! file (`.mha`) or in one beside it (`.mhd` and `.raw` or `.zraw`).

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::str::FromStr;

use super::budget::{BYTES_A_PIXEL, most_bytes, permit, possible};
use super::raw::{Element, Layout};
use super::{Decoded, ReadSeek, damaged, sibling};
use crate::Channels;
use sweep_core::error::{Error, Result};
use sweep_core::units::{Size, Spacing};

/// More slices than any data set has.
const MAX_SLICES: u64 = 1 << 20;

/// Content of the header's lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Header {
    /// Rows and columns of a slice.
    pub(crate) size: Size,
    /// Slices; 1 of a plain image.
    pub(crate) slices: usize,
    /// Where values begin, in bytes from the start of the file.
    pub(crate) offset: usize,
    /// Whether values are compressed by zlib.
    pub(crate) compressed: bool,
    /// The file beside this one that holds the values, and the bytes before them; −1 means that they end the file.
    pub(crate) beside: Option<(String, i64)>,
    spacing: Option<Spacing>,
    layout: Layout,
}

/// Longest header that is looked through.
pub(crate) const MAX_HEADER: usize = 1 << 16;

/// Whether the bytes begin as MetaImage files do.
pub(super) fn is(bytes: &[u8]) -> bool {
    [&b"ObjectType"[..], b"NDims", b"Comment ="].iter().any(|key| bytes.starts_with(key))
}

/// Reads an image of one slice; `folder` is that of a header whose values lie beside it.
pub(super) fn decode(source: &mut dyn ReadSeek, folder: Option<&Path>, wanted: Channels) -> Result<Decoded> {
    let header = head(source)?;
    if header.slices != 1 {
        return Err(Error::input(format!("a stack of {} images, not one image", header.slices))
            .remedy("stacks are read by `sweep data import --format cl-detection` together with their JSON"));
    }
    let _permit = permit(header.size, BYTES_A_PIXEL);
    let plain = |values: &mut dyn Read| {
        let values = if header.compressed {
            header.layout.read(&mut flate2::read::ZlibDecoder::new(values), wanted)?
        } else {
            header.layout.read(values, wanted)?
        };
        Ok(Decoded { spacing: header.spacing, ..Decoded::plain(header.size, values) })
    };
    let Some((name, before)) = &header.beside else {
        source.seek(SeekFrom::Start(header.offset as u64)).map_err(damaged)?;
        return plain(source);
    };
    let at = |e: Error| e.at("ElementDataFile");
    let path = sibling(folder, name).map_err(at)?;
    let unreadable = |e: std::io::Error| at(Error::input(format!("cannot be read: {e}")).at(path.display()));
    let mut file = BufReader::new(File::open(&path).map_err(unreadable)?);
    let length = file.get_ref().metadata().map_err(unreadable)?.len();
    let start = u64::try_from(*before).unwrap_or_else(|_| length.saturating_sub(header.layout.bytes() as u64));
    file.seek(SeekFrom::Start(start)).map_err(unreadable)?;
    plain(&mut file).map_err(|e| e.at(path.display()))
}

/// Whether it has more than 8 bits.
pub(super) fn is_deep(source: &mut dyn ReadSeek) -> Result<bool> {
    Ok(head(source)?.layout.is_deep())
}

fn head(source: &mut dyn ReadSeek) -> Result<Header> {
    source.seek(SeekFrom::Start(0)).map_err(damaged)?;
    let mut start = Vec::new();
    source.take(MAX_HEADER as u64).read_to_end(&mut start).map_err(damaged)?;
    Header::parse(&start)
}

/// The file beside a header that holds its values, for what a data set's files are.
pub(super) fn companion(head: &[u8]) -> Option<String> {
    Header::parse(head).ok()?.beside.map(|(name, _)| name)
}

impl Header {
    /// Reads the header at the start of these bytes.
    ///
    /// # Errors
    /// Names the key that is wrong.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut facts: Vec<(String, String)> = Vec::new();
        let mut offset = 0;
        let data = loop {
            let rest = &bytes[offset..bytes.len().min(MAX_HEADER)];
            // A header whose values lie beside it may end without a line's end.
            let ends = rest.iter().position(|b| *b == b'\n');
            let Some(end) = ends.or_else(|| rest.starts_with(b"ElementDataFile").then_some(rest.len())) else {
                return Err(damaged("the header does not end in `ElementDataFile`"));
            };
            let line = String::from_utf8_lossy(&rest[..end]);
            let (key, value) = line
                .split_once('=')
                .ok_or_else(|| damaged(format!("byte {offset} of the header: not a line `Key = Value`")))?;
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            offset = bytes.len().min(offset + end + 1);
            if key == "ElementDataFile" {
                break value;
            }
            facts.push((key, value));
        };
        let text = |key: &str| facts.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
        let need = |key: &str| text(key).ok_or_else(|| damaged("the header lacks it").at(key));
        let yes = |key: &str| text(key).is_some_and(|v| v.eq_ignore_ascii_case("true"));

        let dimensions: Vec<u64> = numbers("DimSize", need("DimSize")?)?;
        let (width, height, slices) = match dimensions[..] {
            [width, height] => (width, height, 1),
            [width, height, slices] => (width, height, slices),
            _ => return Err(damaged("images have 2 dimensions, stacks 3").at("DimSize")),
        };
        let size = possible(width, height)?;
        if !(1..=MAX_SLICES).contains(&slices) {
            return Err(damaged(format!("it claims {slices} slices")).at("DimSize"));
        }
        let element = match need("ElementType")? {
            "MET_UCHAR" => Element::U8,
            "MET_CHAR" => Element::I8,
            "MET_USHORT" => Element::U16,
            "MET_SHORT" => Element::I16,
            "MET_UINT" => Element::U32,
            "MET_INT" => Element::I32,
            "MET_FLOAT" => Element::F32,
            "MET_DOUBLE" => Element::F64,
            other => return Err(damaged(format!("values of type `{other}` are not read")).at("ElementType")),
        };
        let channels = text("ElementNumberOfChannels").map_or(Ok(1), |v| v.parse::<usize>().map_err(damaged));
        let channels = channels.map_err(|e| e.at("ElementNumberOfChannels"))?;
        if ![1, 3, 4].contains(&channels) {
            return Err(damaged(format!("{channels} channels")).at("ElementNumberOfChannels"));
        }
        let spacing = text("ElementSpacing").or(text("ElementSize"));
        let spacing = spacing.map(|v| numbers::<f64>("ElementSpacing", v)).transpose()?;
        let spacing = spacing.filter(|v| v.len() >= 2).map(|v| Spacing { x: v[0], y: v[1] });
        let beside = match data.as_str() {
            "LOCAL" => None,
            "LIST" => {
                return Err(Error::input("its slices lie in several files").at("ElementDataFile").remedy(ONE_FILE));
            }
            name => {
                let before = text("HeaderSize").map_or(Ok(0), |v| v.parse::<i64>().map_err(damaged));
                Some((name.to_owned(), before.map_err(|e| e.at("HeaderSize"))?))
            }
        };
        let big_endian = yes("BinaryDataByteOrderMSB") || yes("ElementByteOrderMSB");
        Ok(Self {
            size,
            slices: slices as usize,
            offset,
            compressed: yes("CompressedData"),
            beside,
            // Writers put 1 where they do not know.
            spacing: spacing.filter(|s| s.is_valid() && *s != Spacing { x: 1.0, y: 1.0 }),
            layout: Layout { size, element, channels, big_endian, rescale: None },
        })
    }

    /// Bytes of a slice.
    pub(crate) fn slice_bytes(&self) -> usize {
        self.layout.bytes()
    }

    /// The next slice's bytes; takes no more memory than there are.
    ///
    /// # Errors
    /// When there are fewer, they are damaged, or too many for a picture.
    pub(crate) fn take_slice(&self, values: &mut dyn Read) -> Result<Vec<u8>> {
        if self.slice_bytes() as u64 > most_bytes(self.size) {
            return Err(damaged(format!("{} bytes a pixel", self.slice_bytes() / self.size.area())));
        }
        let mut slice = Vec::new();
        let read = values.take(self.slice_bytes() as u64).read_to_end(&mut slice).map_err(damaged)?;
        if read < self.slice_bytes() {
            return Err(damaged(format!("it ends {} bytes early", self.slice_bytes() - read)));
        }
        Ok(slice)
    }

    /// A slice of a stack.
    ///
    /// # Errors
    /// When these are not a slice's bytes.
    pub(crate) fn slice(&self, slice: &[u8], wanted: Channels) -> Result<Decoded> {
        let values = self.layout.read(&mut &*slice, wanted)?;
        Ok(Decoded { spacing: self.spacing, ..Decoded::plain(self.size, values) })
    }
}

const ONE_FILE: &str = "write image and values into one .mha file";

fn numbers<T: FromStr>(key: &str, text: &str) -> Result<Vec<T>> {
    let parse = |word: &str| word.parse().map_err(|_| damaged(format!("`{word}` is not such a number")).at(key));
    text.split_whitespace().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use crate::picture::decode;

    fn file(facts: &str, values: &[u8]) -> Vec<u8> {
        [format!("ObjectType = Image\nNDims = 2\n{facts}\nElementDataFile = LOCAL\n").as_bytes(), values].concat()
    }

    #[test]
    fn depths_and_byte_orders_are_read() {
        let decode = |facts: &str, values: &[u8]| decode(&file(facts, values)).map(|grey| grey.pixels);
        assert_eq!(decode("DimSize = 2 1\nElementType = MET_UCHAR", &[7, 250]).unwrap(), [7, 250]);
        let big = "DimSize = 2 1\nElementType = MET_USHORT\nBinaryDataByteOrderMSB = True";
        assert_eq!(decode(big, &[0x0f, 0xff, 0, 0]).unwrap(), [255, 0]);
        assert_eq!(decode("DimSize = 2 1\nElementType = MET_SHORT", &[0xff, 0xff, 1, 0]).unwrap(), [0, 255]);
        let float = [0.5f32, 1.5, 1.0].map(f32::to_le_bytes).concat();
        assert_eq!(decode("DimSize = 3 1\nElementType = MET_FLOAT", &float).unwrap(), [0, 255, 128]);
        let colour = "DimSize = 1 1\nElementType = MET_UCHAR\nElementNumberOfChannels = 3";
        assert_eq!(decode(colour, &[0, 255, 0]).unwrap(), [182]);
    }

    #[test]
    fn headers_that_lie_are_refused() {
        for (facts, says) in [
            ("DimSize = 40000 40000\nElementType = MET_UCHAR", "40000×40000"),
            ("DimSize = 99999999999999999999 2\nElementType = MET_UCHAR", "DimSize"),
            ("DimSize = 2 2 99999999\nElementType = MET_UCHAR", "slices"),
            ("DimSize = 2 2\nElementType = MET_UCHAR", "ends 2 bytes early"),
            ("DimSize = 2 -2\nElementType = MET_UCHAR", "DimSize"),
            ("DimSize = 2 2\nElementType = MET_STRING", "ElementType"),
            ("ElementType = MET_UCHAR", "DimSize"),
            ("nonsense", "Key = Value"),
        ] {
            let error = decode(&file(facts, &[1, 2])).unwrap_err().to_string();
            assert!(error.contains(says), "{facts:?}: {error}");
        }
        for outside in ["../secret.raw", "/etc/passwd", "a/b.raw", "..", "LIST"] {
            let header = format!("NDims = 2\nDimSize = 1 1\nElementType = MET_UCHAR\nElementDataFile = {outside}");
            let error = decode(header.as_bytes()).unwrap_err();
            assert!(error.location.unwrap().contains("ElementDataFile"), "{outside}");
        }
    }
}
