//! Lookup tables: a descriptor of three numbers and the entries (PS3.3 C.11.1.1, C.11.2.1.1, C.7.6.3.1.5, C.7.9.2).

use super::attribute::Attribute;
use super::elements::Elements;
use crate::picture::damaged;
use sweep_core::error::{Error, Result};

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lookup {
    /// The value that the first entry is for; lower ones have it too, and those behind the last have the last.
    first: i32,
    entries: Vec<u16>,
    /// Bits of an entry.
    bits: u32,
}

/// Fields of a descriptor.
struct Descriptor {
    count: usize,
    first: i32,
    bits: u32,
}

impl Descriptor {
    /// The descriptor; `is_signed` says whether values that are looked up may be negative.
    fn read(file: &Elements, attribute: Attribute, is_signed: bool) -> Result<Self> {
        let [count, first, bits] = file.shorts(attribute).unwrap_or_default()[..] else {
            return Err(damaged("a lookup table needs three numbers here").at(attribute));
        };
        if !(1..=16).contains(&bits) {
            return Err(damaged(format!("entries of {bits} bits")).at(attribute));
        }
        let first = if is_signed { i32::from(first.cast_signed()) } else { i32::from(first) };
        let count = if count == 0 { 1 << 16 } else { usize::from(count) };
        Ok(Self { count, first, bits: bits.into() })
    }
}

impl Lookup {
    /// The table that two attributes hold, if the file has it.
    ///
    /// # Errors
    /// When one of them lacks, or is not what the other says.
    pub(super) fn read(
        file: &Elements,
        descriptor: Attribute,
        data: Attribute,
        is_signed: bool,
    ) -> Result<Option<Self>> {
        let raw = match (file.value(descriptor), file.value(data)) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(damaged("the file lacks it").at(data)),
            (None, Some(_)) => return Err(damaged("the file lacks it").at(descriptor)),
            (Some(_), Some(raw)) => raw,
        };
        let Descriptor { count, first, bits } = Descriptor::read(file, descriptor, is_signed)?;
        let words = file.shorts(data).unwrap_or_default();
        // Entries of 8 bits may lie in bytes of their own, whatever number of bits the descriptor says.
        let (entries, bits) = if words.len() >= count {
            (words[..count].to_vec(), bits)
        } else if raw.len() >= count {
            let at = |index: usize| if file.is_big_endian() { index ^ 1 } else { index };
            let byte = |index| raw.get(at(index)).or(raw.get(index)).copied().unwrap_or(0);
            ((0..count).map(|index| byte(index).into()).collect(), bits.min(8))
        } else {
            return Err(damaged(format!("{} bytes are too few for {count} entries", raw.len())).at(data));
        };
        let mask = ((1u32 << bits) - 1) as u16;
        Ok(Some(Self { first, entries: entries.into_iter().map(|entry| entry & mask).collect(), bits }))
    }

    /// The table that a descriptor and segments hold, if the file has segments.
    ///
    /// # Errors
    /// When they are damaged, or repeat segments.
    pub(super) fn of_segments(
        file: &Elements,
        descriptor: Attribute,
        data: Attribute,
        is_signed: bool,
    ) -> Result<Option<Self>> {
        let Some(raw) = file.value(data) else { return Ok(None) };
        let Descriptor { count, first, bits } = Descriptor::read(file, descriptor, is_signed)?;
        let numbers =
            if bits > 8 { file.shorts(data).unwrap_or_default() } else { raw.iter().map(|b| (*b).into()).collect() };
        let entries = expanded(&numbers, count).map_err(|e| e.at(data))?;
        if entries.len() < count {
            return Err(damaged(format!("{} of {count} entries", entries.len())).at(data));
        }
        Ok(Some(Self { first, entries, bits }))
    }

    /// The entry for a value.
    pub(super) fn entry(&self, value: f64) -> u16 {
        let last = self.entries.len().saturating_sub(1);
        // Casts of what is below 0 give 0.
        let index = ((value - f64::from(self.first)) as usize).min(last);
        self.entries.get(index).copied().unwrap_or(0)
    }

    /// The greatest value that an entry may have.
    pub(super) fn white(&self) -> f64 {
        f64::from((1u32 << self.bits) - 1)
    }

    /// With no more bits than entries need, where the descriptor says 16. Some writers say 16 whatever the table holds;
    /// dcm4che (`LookupTableFactory.adjustVOILUTDescriptor`) does the same.
    pub(super) fn with_bits_in_use(mut self) -> Self {
        let most = self.entries.iter().copied().max().unwrap_or(0);
        if self.bits == 16 && most > 0 {
            self.bits = (u16::BITS - most.leading_zeros()).max(8);
        }
        self
    }
}

/// Segments written out (PS3.3 C.7.9.2), no more entries than needed.
fn expanded(numbers: &[u16], count: usize) -> Result<Vec<u16>> {
    let mut entries: Vec<u16> = Vec::new();
    let mut rest = numbers;
    let cut = || damaged("a segment is cut off");
    while entries.len() < count {
        let [kind, length, after @ ..] = rest else { return Ok(entries) };
        let length = usize::from(*length);
        let wanted = length.min(count - entries.len());
        match kind {
            0 => {
                entries.extend(&after.get(..length).ok_or_else(cut)?[..wanted]);
                rest = &after[length..];
            }
            1 => {
                let (to, after) = after.split_first().ok_or_else(cut)?;
                let from = *entries.last().ok_or_else(|| damaged("a line without a start"))?;
                let (from, to) = (f64::from(from), f64::from(*to));
                let value = |step: usize| from + (to - from) * step as f64 / length as f64;
                entries.extend((1..=wanted).map(|step| value(step).round_ties_even() as u16));
                rest = after;
            }
            2 => {
                return Err(Error::input("segments that repeat others are not read")
                    .remedy("write the palette without segments, e.g. by `gdcmconv`"));
            }
            other => return Err(damaged(format!("{other} is no kind of segment"))),
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_become_entries() {
        assert_eq!(expanded(&[0, 2, 10, 20, 1, 4, 40, 0, 1, 7], 7).unwrap(), [10, 20, 25, 30, 35, 40, 7]);
        assert_eq!(expanded(&[0, 3, 1, 2, 3, 9], 2).unwrap(), [1, 2]);
        assert!(expanded(&[1, 4, 40], 4).is_err() && expanded(&[0, 9, 1], 4).is_err() && expanded(&[5, 1], 4).is_err());
        assert!(expanded(&[0, 1, 5, 2, 1, 0, 0], 4).unwrap_err().to_string().contains("repeat"));
        assert!(expanded(&[0, 0], 4).unwrap().is_empty());
    }

    #[test]
    fn values_beyond_the_table_have_its_ends() {
        let table = Lookup { first: -2, entries: vec![5, 6, 300], bits: 16 };
        assert_eq!([-9.0, -2.0, -1.0, 0.4, 7.0, 1e300].map(|value| table.entry(value)), [5, 5, 6, 300, 300, 300]);
        assert!((table.clone().with_bits_in_use().white() - 511.0).abs() < 1e-9);
        assert!((table.white() - 65_535.0).abs() < 1e-9);
    }
}
