//! Values one after the other, as MetaImage, NRRD and `NIfTI` hold them.

use std::io::Read;

use sweep_core::error::{Error, Result};
use sweep_core::units::Size;

use super::damaged;
use super::values::Values;
use crate::Channels;

/// Number types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

/// How a slice's values lie in a file, row by row from the top.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Layout {
    pub(super) size: Size,
    pub(super) element: Element,
    /// Values of a pixel, one after the other: grey, RGB or RGBA.
    pub(super) channels: usize,
    pub(super) big_endian: bool,
    /// Scale of a value: `slope · value + intercept`.
    pub(super) rescale: Option<(f64, f64)>,
}

impl Element {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
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
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => bits as f64,
            Self::I8 => f64::from(bits as i8),
            Self::I16 => f64::from(bits as i16),
            Self::I32 => f64::from(bits as i32),
            Self::I64 => bits as i64 as f64,
            Self::F32 => f64::from(f32::from_bits(bits as u32)),
            Self::F64 => f64::from_bits(bits),
        }
    }
}

impl Layout {
    /// Whether there are more than 8 bits, or other numbers than unsigned ones.
    pub(super) fn is_deep(&self) -> bool {
        self.element != Element::U8 || self.rescale.is_some()
    }

    /// Bytes of a slice.
    pub(super) fn bytes(&self) -> usize {
        self.size.area() * self.channels * self.element.bytes()
    }

    /// The next slice's values, of colours the luma of ITU-R BT.709, as of other formats, unless they are wanted in colour;
    /// takes no more memory than they do.
    ///
    /// # Errors
    /// When there are fewer, or they are damaged.
    pub(super) fn read(&self, source: &mut dyn Read, wanted: Channels) -> Result<Values> {
        let per_pixel = if self.channels < 3 { 1 } else { wanted.count() };
        let area = self.size.area() * per_pixel;
        let mut row = vec![0u8; self.size.width * self.channels * self.element.bytes()];
        let mut rows = 0..self.size.height;
        let mut next = |row: &mut [u8]| -> Result<bool> {
            let Some(done) = rows.next() else { return Ok(false) };
            let read = fill(source, row).map_err(damaged)?;
            if read < row.len() {
                let lacks = (self.size.height - done) * row.len() - read;
                return Err(damaged(format!("it ends {lacks} bytes early")));
            }
            Ok(true)
        };
        match self.element {
            Element::U8 if self.rescale.is_none() => {
                let mut values = Vec::new();
                while next(&mut row)? {
                    reserve(&mut values, area)?;
                    values.extend(self.shown(&row, per_pixel).map(|v| v.round() as u8));
                }
                Ok(Values::Shown(values))
            }
            Element::U16 if self.rescale.is_none() => {
                let mut values = Vec::new();
                while next(&mut row)? {
                    reserve(&mut values, area)?;
                    values.extend(self.shown(&row, per_pixel).map(|v| v.round() as u16));
                }
                Ok(Values::Whole(values))
            }
            _ => {
                let (mut values, mut offset) = (Vec::new(), None);
                while next(&mut row)? {
                    reserve(&mut values, area)?;
                    let mut finite = self.shown(&row, per_pixel).filter(|v| v.is_finite());
                    let offset = *offset.get_or_insert_with(|| finite.next().unwrap_or(0.0));
                    values.extend(self.shown(&row, per_pixel).map(|v| (v - offset) as f32));
                }
                Ok(Values::Numbers { offset: offset.unwrap_or(0.0), values })
            }
        }
    }

    /// One value per pixel of a row, or red, green and blue of each.
    fn shown<'a>(&'a self, row: &'a [u8], per_pixel: usize) -> impl Iterator<Item = f64> + 'a {
        let width = self.element.bytes();
        let (slope, intercept) = self.rescale.unwrap_or((1.0, 0.0));
        let value = move |bytes: &[u8]| self.element.value(bytes, self.big_endian);
        let pixel = move |bytes: &[u8]| match self.channels {
            1 | 2 => [value(bytes), 0.0, 0.0],
            _ => {
                let colour = [0, 1, 2].map(|channel| value(&bytes[channel * width..(channel + 1) * width]));
                if per_pixel == 1 { [luma(colour), 0.0, 0.0] } else { colour }
            }
        };
        let pixels = row.chunks_exact(width * self.channels);
        pixels.flat_map(move |bytes| pixel(bytes).map(|v| v * slope + intercept).into_iter().take(per_pixel))
    }
}

/// ITU-R BT.709.
fn luma([red, green, blue]: [f64; 3]) -> f64 {
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// Memory for all values, asked for when the first of them are there: a file cannot take what it only claims.
fn reserve<T>(values: &mut Vec<T>, area: usize) -> Result<()> {
    let more = area - values.len();
    values.try_reserve_exact(more).map_err(|_| Error::input(format!("not enough memory for {area} pixels")))
}

/// Fills the buffer as far as there are bytes.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(element: Element, big_endian: bool, rescale: Option<(f64, f64)>, bytes: &[u8]) -> Values {
        let width = bytes.len() / element.bytes();
        let layout = Layout { size: Size { height: 1, width }, element, channels: 1, big_endian, rescale };
        layout.read(&mut &*bytes, Channels::Grey).unwrap()
    }

    #[test]
    fn every_number_type_is_read_in_both_byte_orders() {
        assert_eq!(read(Element::U8, false, None, &[7, 250]), Values::Shown(vec![7, 250]));
        assert_eq!(read(Element::U16, true, None, &[0x0f, 0xff, 0, 1]), Values::Whole(vec![4095, 1]));
        let numbers = |offset: f64, values: &[f32]| Values::Numbers { offset, values: values.to_vec() };
        assert_eq!(read(Element::I8, false, None, &[0xff, 1]), numbers(-1.0, &[0.0, 2.0]));
        assert_eq!(read(Element::I16, true, None, &[0xff, 0xfe, 0, 3]), numbers(-2.0, &[0.0, 5.0]));
        let large = [4_000_000_000u32, 4_000_000_001].map(u32::to_le_bytes).concat();
        assert_eq!(read(Element::U32, false, None, &large), numbers(4e9, &[0.0, 1.0]));
        let large = [-9_000_000_000i64, -8_999_999_999].map(i64::to_be_bytes).concat();
        assert_eq!(read(Element::I64, true, None, &large), numbers(-9e9, &[0.0, 1.0]));
        let broken = [f64::NAN, 0.5, 1.5].map(f64::to_le_bytes).concat();
        let Values::Numbers { offset, values } = read(Element::F64, false, None, &broken) else { panic!() };
        assert!((offset - 0.5).abs() < 1e-12 && values[0].is_nan() && values[1..] == [0.0, 1.0]);
        assert_eq!(read(Element::U8, false, Some((-2.0, 10.0)), &[0, 3]), numbers(10.0, &[0.0, -6.0]));
    }
}
