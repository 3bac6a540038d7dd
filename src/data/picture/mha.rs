//! MetaImage (`.mha`): lines `Key = Value` until `ElementDataFile = LOCAL`, then raw or zlib-compressed values, slice
//! by slice.

use std::io::Read;
use std::str::FromStr;

use super::{Grey, damaged, depth, possible};
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
    spacing: Option<Spacing>,
    element: Element,
    channels: usize,
    big_endian: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    F64,
}

/// Longest header that is looked through.
pub(crate) const MAX_HEADER: usize = 1 << 16;

/// Whether the bytes begin as MetaImage files do.
pub(super) fn is(bytes: &[u8]) -> bool {
    [&b"ObjectType"[..], b"NDims", b"Comment ="].iter().any(|key| bytes.starts_with(key))
}

/// Reads an image of one slice.
pub(super) fn decode(bytes: &[u8]) -> Result<Grey> {
    let header = Header::parse(bytes)?;
    if header.slices != 1 {
        return Err(Error::input(format!("a stack of {} images, not one image", header.slices))
            .remedy("stacks are read by `sweep data import --format cl-detection` together with their JSON"));
    }
    let values = bytes.get(header.offset..).unwrap_or_default();
    let slice = if header.compressed {
        header.take_slice(&mut flate2::read::ZlibDecoder::new(values))?
    } else {
        header.take_slice(&mut &values[..])?
    };
    header.grey(&slice)
}

impl Header {
    /// Reads the header at the start of these bytes.
    ///
    /// # Errors
    /// Names the key that is wrong.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut facts: Vec<(String, String)> = Vec::new();
        let mut offset = 0;
        loop {
            let rest = &bytes[offset..bytes.len().min(MAX_HEADER)];
            let Some(end) = rest.iter().position(|b| *b == b'\n') else {
                return Err(damaged("the header does not end in `ElementDataFile = LOCAL`"));
            };
            let line = String::from_utf8_lossy(&rest[..end]);
            let (key, value) = line
                .split_once('=')
                .ok_or_else(|| damaged(format!("byte {offset} of the header: not a line `Key = Value`")))?;
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            offset += end + 1;
            if key == "ElementDataFile" {
                if value != "LOCAL" {
                    return Err(Error::input(format!("its values lie in another file, `{value}`"))
                        .at("ElementDataFile")
                        .remedy("write image and values into one .mha file"));
                }
                break;
            }
            facts.push((key, value));
        }
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
        Ok(Self {
            size,
            slices: slices as usize,
            offset,
            compressed: yes("CompressedData"),
            // Writers put 1 where they do not know.
            spacing: spacing.filter(|s| s.is_valid() && *s != Spacing { x: 1.0, y: 1.0 }),
            element,
            channels,
            big_endian: yes("BinaryDataByteOrderMSB") || yes("ElementByteOrderMSB"),
        })
    }

    /// Bytes of a slice.
    pub(crate) fn slice_bytes(&self) -> usize {
        self.size.area() * self.channels * self.element.bytes()
    }

    /// The next slice's bytes; takes no more memory than there are.
    ///
    /// # Errors
    /// When there are fewer, or they are damaged.
    pub(crate) fn take_slice(&self, values: &mut dyn Read) -> Result<Vec<u8>> {
        let mut slice = Vec::new();
        let read = values.take(self.slice_bytes() as u64).read_to_end(&mut slice).map_err(damaged)?;
        if read < self.slice_bytes() {
            return Err(damaged(format!("it ends {} bytes early", self.slice_bytes() - read)));
        }
        Ok(slice)
    }

    /// A slice of the image. Unsigned values keep black, others are stretched between their least and their greatest.
    ///
    /// # Errors
    /// When these are not a slice's bytes.
    pub(crate) fn grey(&self, slice: &[u8]) -> Result<Grey> {
        if slice.len() != self.slice_bytes() {
            return Err(damaged("it ends early"));
        }
        let values = self.luma(slice);
        let pixels = match self.element {
            Element::U8 => values.iter().map(|v| v.round() as u8).collect(),
            Element::U16 => depth::of_16_bits(&values.iter().map(|v| v.round() as u16).collect::<Vec<_>>()),
            _ => depth::stretched(&values),
        };
        Ok(Grey { spacing: self.spacing, ..Grey::plain(self.size, pixels) })
    }

    /// A value per pixel; of colours the luma of ITU-R BT.709, as of other formats.
    fn luma(&self, slice: &[u8]) -> Vec<f64> {
        let value = |bytes: &[u8]| self.element.value(bytes, self.big_endian);
        let width = self.element.bytes();
        let pixel = |bytes: &[u8]| match self.channels {
            1 => value(bytes),
            _ => {
                0.2126 * value(&bytes[..width])
                    + 0.7152 * value(&bytes[width..2 * width])
                    + 0.0722 * value(&bytes[2 * width..3 * width])
            }
        };
        slice.chunks_exact(width * self.channels).map(pixel).collect()
    }
}

impl Element {
    fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The value of its bytes.
    fn value(self, bytes: &[u8], big_endian: bool) -> f64 {
        let mut raw = [0u8; 8];
        // Little-endian from here on, in the lowest places.
        for (to, from) in raw.iter_mut().zip(0..self.bytes()) {
            let at = if big_endian { self.bytes() - 1 - from } else { from };
            *to = bytes.get(at).copied().unwrap_or(0);
        }
        let bits = u64::from_le_bytes(raw);
        match self {
            Self::U8 | Self::U16 | Self::U32 => bits as f64,
            Self::I8 => f64::from(bits as i8),
            Self::I16 => f64::from(bits as i16),
            Self::I32 => f64::from(bits as i32),
            Self::F32 => f64::from(f32::from_bits(bits as u32)),
            Self::F64 => f64::from_bits(bits),
        }
    }
}

fn numbers<T: FromStr>(key: &str, text: &str) -> Result<Vec<T>> {
    let parse = |word: &str| word.parse().map_err(|_| damaged(format!("`{word}` is not such a number")).at(key));
    text.split_whitespace().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let outside = b"NDims = 2\nElementDataFile = ../secret.raw\n";
        assert!(decode(outside).unwrap_err().to_string().contains("another file"));
    }
}
