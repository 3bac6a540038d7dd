//! Grey values as a file holds them, and as they are shown.

use super::range::{GreyRange, Tally};

/// One value per pixel, row by row; of a picture that is wanted and stored in colour red, green and blue of each.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    /// Shown as they are.
    Shown(Vec<u8>),
    /// Unsigned values of up to 16 bits.
    Whole(Vec<u16>),
    /// Other numbers: signed, larger or broken ones.
    Numbers {
        /// To be added to each: single precision would lose small differences of large numbers.
        offset: f64,
        /// The rest.
        values: Vec<f32>,
    },
}

/// Which range of deep values is shown.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum DeepGrey {
    /// Each picture's own, [`GreyRange::of`].
    #[default]
    Own,
    /// The same for all.
    Fixed(GreyRange),
    /// From the least to the greatest value, for maps; unsigned values from 0, in as many bits as are in use.
    Whole,
}

impl Values {
    /// Number of values.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Shown(values) => values.len(),
            Self::Whole(values) => values.len(),
            Self::Numbers { values, .. } => values.len(),
        }
    }

    /// How often which deep value occurs; nothing of 8 bits.
    pub(super) fn tally(&self) -> Option<Tally> {
        match self {
            Self::Shown(_) => None,
            Self::Whole(values) => Some(Tally::of_whole(values)),
            Self::Numbers { offset, values } => Some(Tally::of_numbers(values, *offset)),
        }
    }

    /// The range that is shown; none of 8 bits.
    pub(super) fn range(&self, deep: DeepGrey) -> Option<GreyRange> {
        let nothing = GreyRange { low: 0.0, high: 1.0 };
        match (self, deep) {
            (Self::Shown(_), _) => None,
            (_, DeepGrey::Fixed(range)) => Some(range),
            (_, DeepGrey::Own) => Some(self.tally().and_then(|tally| GreyRange::of(&tally)).unwrap_or(nothing)),
            (Self::Whole(values), DeepGrey::Whole) => {
                let brightest = values.iter().copied().max().unwrap_or(0);
                let bits = (u16::BITS - brightest.leading_zeros()).next_multiple_of(2).max(8);
                Some(GreyRange { low: 0.0, high: f64::from((1u32 << bits) - 1) })
            }
            (Self::Numbers { offset, values }, DeepGrey::Whole) => {
                let finite = || values.iter().copied().filter(|v| v.is_finite()).map(f64::from);
                let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
                Some(GreyRange { low: low + offset, high: high + offset })
            }
        }
    }

    /// 8-bit grey values of this range.
    pub(super) fn shown(self, range: Option<GreyRange>) -> Vec<u8> {
        let range = range.unwrap_or(GreyRange { low: 0.0, high: 255.0 });
        match self {
            Self::Shown(values) => values,
            Self::Whole(values) => {
                let table: Vec<u8> = (0..=u16::MAX).map(|value| range.grey(value.into())).collect();
                values.into_iter().map(|value| table[usize::from(value)]).collect()
            }
            Self::Numbers { offset, values } => {
                values.into_iter().map(|value| range.grey(f64::from(value) + offset)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(values: Values, deep: DeepGrey) -> Vec<u8> {
        let range = values.range(deep);
        values.shown(range)
    }

    #[test]
    fn maps_keep_all_their_values() {
        let whole = |values: &[u16]| shown(Values::Whole(values.to_vec()), DeepGrey::Whole);
        assert_eq!(whole(&[0, 1, 255]), [0, 1, 255]);
        assert_eq!(whole(&[0, 512, 1023]), [0, 128, 255]);
        assert_eq!(whole(&[0, 2048, 4095, 2100]), [0, 128, 255, 131]);
        assert_eq!(whole(&[0, 4096]), [0, 64]);
        assert_eq!(whole(&[65535, 257]), [255, 1]);
        assert!(whole(&[]).is_empty());
        let numbers = |values: &[f32]| shown(Values::Numbers { offset: 0.0, values: values.to_vec() }, DeepGrey::Whole);
        assert_eq!(numbers(&[-1e38, 1e38, 0.0, f32::NAN]), [0, 255, 128, 0]);
        assert_eq!(numbers(&[3.0, 3.0]), [0, 0]);
        assert!(numbers(&[]).is_empty());
    }

    #[test]
    fn large_numbers_keep_small_differences() {
        let values = Values::Numbers { offset: 1e9, values: vec![0.0, 1.0, 2.0] };
        assert_eq!(shown(values.clone(), DeepGrey::Own), [0, 128, 255]);
        assert_eq!(shown(values, DeepGrey::Fixed(GreyRange { low: 1e9, high: 1e9 + 4.0 })), [0, 64, 128]);
    }

    #[test]
    fn eight_bits_are_what_they_are() {
        let range = GreyRange { low: 10.0, high: 20.0 };
        for deep in [DeepGrey::Own, DeepGrey::Whole, DeepGrey::Fixed(range)] {
            assert_eq!(shown(Values::Shown(vec![0, 15, 255]), deep), [0, 15, 255]);
        }
    }
}
