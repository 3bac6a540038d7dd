//! JPEG of 12 bits: the extended sequential process (ITU-T T.81, annex F), of one component with Huffman codes. No crate
//! without C reads it.

use crate::picture::damaged;
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;

/// Places of a block's coefficients, from low to high frequencies (T.81, figure A.6).
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Decodes a picture of this size.
///
/// # Errors
/// When it is damaged or cut off.
pub(super) fn decode(data: &[u8], size: Size) -> Result<Vec<u16>> {
    let mut tables = Tables { quantization: [None; 4], dc: Default::default(), ac: Default::default(), restart: 0 };
    let mut quantization = 0;
    let mut at = 2;
    loop {
        let start = data.get(at..).unwrap_or_default();
        let [mark, kind, l0, l1] = *start.first_chunk().ok_or_else(cut)?;
        if mark != 0xff {
            return Err(failed("no marker where one must be"));
        }
        if kind == 0xff {
            at += 1;
            continue;
        }
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let segment = start.get(4..length + 2).ok_or_else(cut)?;
        at += length + 2;
        match (kind, segment) {
            (0xdb, _) => tables.read_quantization(segment)?,
            (0xc4, _) => tables.read_codes(segment)?,
            (0xdd, [high, low]) => tables.restart = u16::from_be_bytes([*high, *low]).into(),
            // Bits, rows, columns, one component: its number, its sampling, its table.
            (0xc0 | 0xc1, [_, _, _, _, _, 1, _, _, table]) => quantization = usize::from(*table),
            (0xda, [1, _, codes, ..]) => {
                let (dc, ac) = (usize::from(codes >> 4), usize::from(codes & 15));
                let scan = Scan {
                    quantization: tables.quantization.get(quantization).copied().flatten(),
                    dc: tables.dc.get(dc).and_then(Option::as_ref),
                    ac: tables.ac.get(ac).and_then(Option::as_ref),
                    restart: tables.restart,
                };
                return scan.decode(data.get(at..).unwrap_or_default(), size);
            }
            (0xc0..=0xc3 | 0xc5..=0xcf | 0xda | 0xdd, _) => return Err(failed("a process that is not read")),
            _ => {}
        }
    }
}

fn failed(what: &str) -> Error {
    damaged(format!("JPEG of 12 bits: {what}"))
}

fn cut() -> Error {
    failed("it is cut off")
}

struct Tables {
    quantization: [Option<[u16; 64]>; 4],
    dc: [Option<Codes>; 4],
    ac: [Option<Codes>; 4],
    restart: usize,
}

impl Tables {
    fn read_quantization(&mut self, mut segment: &[u8]) -> Result<()> {
        while let [kind, rest @ ..] = segment {
            let width = if kind >> 4 == 0 { 1 } else { 2 };
            let (raw, rest) = rest.split_at_checked(64 * width).ok_or_else(cut)?;
            let table = self.quantization.get_mut(usize::from(kind & 15)).ok_or_else(|| failed("a fifth table"))?;
            let step = |index: usize| match raw[index * width..(index + 1) * width] {
                [high, low] => u16::from_be_bytes([high, low]),
                ref bytes => bytes[0].into(),
            };
            *table = Some(std::array::from_fn(step));
            segment = rest;
        }
        Ok(())
    }

    fn read_codes(&mut self, mut segment: &[u8]) -> Result<()> {
        while let [kind, rest @ ..] = segment {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(cut)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or_else(cut)?;
            let tables = if kind >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let table = tables.get_mut(usize::from(kind & 15)).ok_or_else(|| failed("a fifth table"))?;
            *table = Some(Codes { counts: *counts, symbols: symbols.to_vec() });
            segment = rest;
        }
        Ok(())
    }
}

/// Huffman codes: how many there are of each length, and what they mean in ascending order.
struct Codes {
    counts: [u8; 16],
    symbols: Vec<u8>,
}

struct Scan<'a> {
    quantization: Option<[u16; 64]>,
    dc: Option<&'a Codes>,
    ac: Option<&'a Codes>,
    /// Blocks between restarts; 0 is none.
    restart: usize,
}

impl Scan<'_> {
    fn decode(&self, data: &[u8], size: Size) -> Result<Vec<u16>> {
        let (Some(quantization), Some(dc), Some(ac)) = (&self.quantization, self.dc, self.ac) else {
            return Err(failed("a table lacks"));
        };
        let cosines = cosines();
        let mut bits = Bits { data, at: 0, buffer: 0, count: 0 };
        let across = size.width.div_ceil(8);
        let mut values = vec![0u16; size.area()];
        let mut before = 0i32;
        for block in 0..across * size.height.div_ceil(8) {
            if self.restart > 0 && block > 0 && block % self.restart == 0 {
                bits.restart()?;
                before = 0;
            }
            let mut coefficients = [0f32; 64];
            let width = bits.symbol(dc)?;
            before = bits.number(width)?.saturating_add(before);
            coefficients[0] = before as f32 * f32::from(quantization[0]);
            let mut index = 1;
            while index < 64 {
                let symbol = bits.symbol(ac)?;
                let (zeros, width) = (usize::from(symbol >> 4), symbol & 15);
                if width == 0 && zeros < 15 {
                    break;
                }
                index += zeros;
                let value = bits.number(width)?;
                let place = *ZIGZAG.get(index).ok_or_else(|| failed("a block of too many values"))?;
                coefficients[place] = value as f32 * f32::from(quantization[index]);
                index += 1;
            }
            let (left, top) = (block % across * 8, block / across * 8);
            let block = inverse(&coefficients, &cosines);
            for (y, row) in block.chunks_exact(8).enumerate().take(size.height - top) {
                let to = (top + y) * size.width + left;
                for (value, from) in values[to..].iter_mut().zip(row).take((size.width - left).min(8)) {
                    *value = (from + 2048.0).round().clamp(0.0, 4095.0) as u16;
                }
            }
        }
        Ok(values)
    }
}

/// Factors of the inverse transform, by place and frequency (T.81, A.3.3).
fn cosines() -> [[f32; 8]; 8] {
    std::array::from_fn(|x| {
        std::array::from_fn(|u| {
            let scale = if u == 0 { std::f64::consts::FRAC_1_SQRT_2 } else { 1.0 };
            (scale / 2.0 * ((2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0).cos()) as f32
        })
    })
}

/// The values of a block from its coefficients: along rows, then along columns.
fn inverse(coefficients: &[f32; 64], cosines: &[[f32; 8]; 8]) -> [f32; 64] {
    let dot = |factors: &[f32; 8], values: [f32; 8]| factors.iter().zip(values).map(|(a, b)| a * b).sum::<f32>();
    let mut rows = [0f32; 64];
    for v in 0..8 {
        let row = std::array::from_fn(|u| coefficients[v * 8 + u]);
        for (x, factors) in cosines.iter().enumerate() {
            rows[v * 8 + x] = dot(factors, row);
        }
    }
    let mut values = [0f32; 64];
    for x in 0..8 {
        let column = std::array::from_fn(|v| rows[v * 8 + x]);
        for (y, factors) in cosines.iter().enumerate() {
            values[y * 8 + x] = dot(factors, column);
        }
    }
    values
}

/// Bits of a scan, highest first; a byte 0xff is followed by 0.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    buffer: u32,
    count: u32,
}

impl Bits<'_> {
    fn bit(&mut self) -> Result<u32> {
        if self.count == 0 {
            let byte = *self.data.get(self.at).ok_or_else(cut)?;
            self.at += 1;
            if byte == 0xff {
                if self.data.get(self.at) != Some(&0) {
                    return Err(cut());
                }
                self.at += 1;
            }
            (self.buffer, self.count) = (byte.into(), 8);
        }
        self.count -= 1;
        Ok(self.buffer >> self.count & 1)
    }

    /// The next symbol (T.81, F.2.2.3).
    fn symbol(&mut self, codes: &Codes) -> Result<u8> {
        let (mut code, mut first, mut place) = (0, 0, 0);
        for count in codes.counts {
            let count = i64::from(count);
            code = code << 1 | i64::from(self.bit()?);
            if code - first < count {
                let symbol = codes.symbols.get((place + code - first) as usize);
                return symbol.copied().ok_or_else(|| failed("a code that is not in its table"));
            }
            place += count;
            first = (first + count) << 1;
        }
        Err(failed("a code that is not in its table"))
    }

    /// A number of so many bits (T.81, F.2.2.1).
    fn number(&mut self, width: u8) -> Result<i32> {
        if width > 15 {
            return Err(failed("a number of too many bits"));
        }
        let mut value = 0;
        for _ in 0..width {
            value = value << 1 | self.bit()? as i32;
        }
        let is_negative = width > 0 && value < 1 << (width - 1);
        Ok(if is_negative { value - (1 << width) + 1 } else { value })
    }

    /// Goes behind the next restart marker.
    fn restart(&mut self) -> Result<()> {
        self.count = 0;
        match self.data.get(self.at..self.at + 2) {
            Some([0xff, 0xd0..=0xd7]) => {
                self.at += 2;
                Ok(())
            }
            _ => Err(failed("a restart lacks")),
        }
    }
}
