//! Pages of every number of bits, packed and written here byte by byte.

use super::*;
use crate::picture::{DeepGrey, decode_stored};

/// A page as a scanner may write it.
struct Sheet {
    size: (usize, usize),
    bits: usize,
    samples: usize,
    photometric: u32,
    is_big_endian: bool,
    /// Width and height of tiles, else one strip.
    tile: Option<(usize, usize)>,
    is_lowest_bit_first: bool,
    more: &'static [(u16, u32)],
}

const SHEET: Sheet = Sheet {
    size: (21, 5),
    bits: 12,
    samples: 1,
    photometric: 1,
    is_big_endian: false,
    tile: None,
    is_lowest_bit_first: false,
    more: &[],
};

impl Sheet {
    /// The value at a place: all values of the range occur, dark to the left.
    fn value(&self, x: usize, y: usize, sample: usize) -> u32 {
        let white = (1u64 << self.bits) - 1;
        ((white * (x + y + 3 * sample) as u64 / 40).min(white)) as u32
    }

    fn rows(&self, from: (usize, usize), size: (usize, usize)) -> Vec<u8> {
        let mut bytes = Vec::new();
        for y in from.1..from.1 + size.1 {
            let (mut buffer, mut held) = (0u64, 0);
            for x in from.0..from.0 + size.0 {
                for sample in 0..self.samples {
                    let is_inside = x < self.size.0 && y < self.size.1;
                    buffer = buffer << self.bits | u64::from(if is_inside { self.value(x, y, sample) } else { 0 });
                    held += self.bits;
                    while held >= 8 {
                        held -= 8;
                        bytes.push((buffer >> held) as u8);
                    }
                }
            }
            if held > 0 {
                bytes.push((buffer << (8 - held)) as u8);
            }
        }
        if self.is_lowest_bit_first {
            for byte in &mut bytes {
                *byte = byte.reverse_bits();
            }
        }
        bytes
    }

    fn file(&self) -> Vec<u8> {
        let short = |v: u16| if self.is_big_endian { v.to_be_bytes() } else { v.to_le_bytes() };
        let long = |v: u32| if self.is_big_endian { v.to_be_bytes() } else { v.to_le_bytes() };
        let (width, height) = self.size;
        let chunks: Vec<Vec<u8>> = match self.tile {
            // A plane of each sample; what is in it is not read.
            None if self.more.contains(&(284, 2)) => vec![self.rows((0, 0), self.size); self.samples],
            None => vec![self.rows((0, 0), self.size)],
            Some((wide, high)) => (0..height.div_ceil(high))
                .flat_map(|y| (0..width.div_ceil(wide)).map(move |x| (x * wide, y * high)))
                .map(|from| self.rows(from, (wide, high)))
                .collect(),
        };
        let mut bytes = if self.is_big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
        bytes.extend(long(0));
        // Numbers, each list at a place of its own.
        let put = |bytes: &mut Vec<u8>, numbers: &[u32]| {
            let at = bytes.len() as u32;
            bytes.extend(numbers.iter().flat_map(|v| long(*v)));
            at
        };
        let places: Vec<u32> = chunks
            .iter()
            .map(|chunk| {
                let at = bytes.len() as u32;
                bytes.extend(chunk);
                at
            })
            .collect();
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        let sizes: Vec<u32> = chunks.iter().map(|chunk| chunk.len() as u32).collect();
        let bits = vec![self.bits as u32; self.samples];
        let mut tags: Vec<(u16, Vec<u32>)> = vec![
            (256, vec![width as u32]),
            (257, vec![height as u32]),
            (258, bits),
            (259, vec![1]),
            (262, vec![self.photometric]),
            (277, vec![self.samples as u32]),
        ];
        match self.tile {
            None => tags.extend([(273, places), (278, vec![height as u32]), (279, sizes)]),
            Some((wide, high)) => {
                tags.extend([(322, vec![wide as u32]), (323, vec![high as u32]), (324, places), (325, sizes)]);
            }
        }
        if self.is_lowest_bit_first {
            tags.push((266, vec![2]));
        }
        tags.extend(self.more.iter().map(|(tag, value)| (*tag, vec![*value])));
        tags.sort();
        let entries: Vec<(u16, u32, u32)> = tags
            .iter()
            .map(|(tag, values)| match values[..] {
                [one] => (*tag, 1, one),
                _ => (*tag, values.len() as u32, put(&mut bytes, values)),
            })
            .collect();
        let directory = bytes.len() as u32;
        bytes[4..8].copy_from_slice(&long(directory));
        bytes.extend(short(entries.len() as u16));
        for (tag, count, value) in entries {
            // Little-endian, a short number that is written as a long one begins alike.
            let kind = if tag == 338 { 3 } else { 4 };
            bytes.extend([&short(tag)[..], &short(kind), &long(count), &long(value)].concat());
        }
        bytes.extend(long(0));
        bytes
    }

    /// Reads it: returns values as they are stored, and 8-bit values as they are shown.
    fn read(&self, wanted: Channels) -> Result<Vec<u32>> {
        let decoded = decode_stored(&self.file(), wanted)?;
        assert_eq!((decoded.size.width, decoded.size.height), self.size);
        Ok(match decoded.values {
            Values::Shown(values) => values.into_iter().map(u32::from).collect(),
            Values::Whole(values) => values.into_iter().map(u32::from).collect(),
            Values::Numbers { .. } => panic!("numbers"),
        })
    }

    fn expected(&self) -> Vec<u32> {
        let white = (1u32 << self.bits) - 1;
        let (width, height) = self.size;
        let value = |x: usize, y: usize, sample: usize| {
            let stored = self.value(x, y, sample);
            let shown = if self.bits < 8 { (stored * 255 + white / 2) / white } else { stored };
            let top = if self.bits < 8 { 255 } else { white };
            if self.photometric == 0 { top - shown } else { shown }
        };
        let samples = self.samples;
        (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| (0..samples).map(move |sample| (x, y, sample))))
            .map(|(x, y, sample)| value(x, y, sample))
            .collect()
    }
}

#[test]
fn every_number_of_bits_up_to_sixteen_is_read_with_black_or_white_as_zero() {
    for bits in 1..=16 {
        for photometric in [0, 1] {
            // Packed bits run from high to low whatever the order of bytes; 16 bits are whole numbers in that order.
            for is_big_endian in if bits == 16 { &[true][..] } else { &[false, true] } {
                for tile in [None, Some((16, 16))] {
                    let sheet = Sheet { bits, photometric, is_big_endian: *is_big_endian, tile, ..SHEET };
                    let read = sheet.read(Channels::Grey).unwrap_or_else(|e| panic!("{bits} bits: {e}"));
                    assert_eq!(read, sheet.expected(), "{bits} bits, {photometric}, {is_big_endian}, {tile:?}");
                }
            }
        }
    }
}

#[test]
fn colours_of_every_number_of_bits_are_read() {
    for bits in [2, 4, 10, 12, 14] {
        let sheet = Sheet { bits, samples: 3, photometric: 2, ..SHEET };
        assert_eq!(sheet.read(Channels::Colour).unwrap(), sheet.expected(), "{bits} bits");
        assert_eq!(sheet.read(Channels::Grey).unwrap().len(), 21 * 5);
    }
}

#[test]
fn a_further_sample_is_left_out() {
    let sheet = Sheet { samples: 2, more: &[(338, 2)], ..SHEET };
    let expected: Vec<u32> = sheet.expected().into_iter().step_by(2).collect();
    assert_eq!(sheet.read(Channels::Grey).unwrap(), expected);
}

#[test]
fn twelve_bits_are_deep_and_shown_by_their_range() {
    let file = Sheet { size: (64, 40), ..SHEET }.file();
    assert!(is_deep(&mut std::io::Cursor::new(&file)).unwrap());
    let picture = decode_stored(&file, Channels::Grey).unwrap().picture(DeepGrey::Own);
    let range = picture.range.unwrap();
    assert_eq!((range.low, range.high), (0.0, 4095.0));
    assert_eq!((picture.grey.pixels[0], picture.grey.pixels[63]), (0, 255));
}

#[test]
fn bits_that_are_stored_lowest_first_are_turned() {
    for bits in [1, 4, 8, 12] {
        let sheet = Sheet { bits, is_lowest_bit_first: true, ..SHEET };
        assert_eq!(sheet.read(Channels::Grey).unwrap(), sheet.expected(), "{bits} bits");
    }
}

#[test]
fn inks_leave_light() {
    for bits in [8, 12, 16] {
        let sheet = Sheet { bits, samples: 4, photometric: 5, is_big_endian: true, ..SHEET };
        let white = f64::from((1u32 << bits) - 1);
        let read = sheet.read(Channels::Colour).unwrap();
        for (index, value) in read.iter().enumerate() {
            let (x, y) = (index / 3 % 21, index / 63);
            let left = |sample: usize| white - f64::from(sheet.value(x, y, sample));
            let expected = left(index % 3) * left(3) / white;
            assert!((f64::from(*value) - expected).abs() <= 1.0, "{bits} bits: {value}, {expected}");
        }
    }
}

#[test]
fn pages_that_cannot_be_had_are_refused_with_a_way() {
    let cases = [
        (Sheet { bits: 24, ..SHEET }, "24 bits"),
        (Sheet { more: &[(339, 2)], ..SHEET }, "12 bits a value, with a sign"),
        (Sheet { more: &[(317, 2)], ..SHEET }, "as differences"),
        (Sheet { samples: 3, photometric: 2, more: &[(284, 2)], ..SHEET }, "in planes"),
        (Sheet { bits: 16, is_lowest_bit_first: true, ..SHEET }, "lowest first"),
        (Sheet { bits: 8, samples: 4, photometric: 5, more: &[(332, 2)], ..SHEET }, "inks other than"),
        (Sheet { bits: 8, samples: 3, photometric: 9, ..SHEET }, "L*a*b*"),
        (Sheet { bits: 8, photometric: 32_803, ..SHEET }, "kind"),
    ];
    for (sheet, part) in cases {
        let error = sheet.read(Channels::Grey).unwrap_err();
        assert!(error.message.contains(part), "{part}: {error}");
        assert!(error.remedy.is_some(), "{error}");
    }
}
