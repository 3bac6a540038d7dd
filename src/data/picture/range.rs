//! The range of deep grey values that is shown: which value is black and which is white.
//!
//! A picture of more than 8 bits says seldom how many of its values matter. [`GreyRange::of`] finds it from the values
//! themselves, so that neither one bright pixel nor a wide empty range costs contrast:
//!
//! 1. A lone value at an end is left out: the value of burnt-in markers, or of padding, which the gap to all others tells.
//! 2. The range reaches from the 0.5th to the 99.5th percentile, and beyond them to the farthest values within one and a half
//!    times that distance: bright details are kept, stray pixels are not.
//! 3. Unsigned whole numbers that use much of what 8, 10, 12, 14 or 16 bits hold keep those bits, black being 0, so that
//!    films of one scanner look alike whatever they show.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The grey values that become 0 and 255; those beyond are clipped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GreyRange {
    /// The value that becomes 0, black.
    pub low: f64,
    /// The value that becomes 255, white.
    pub high: f64,
}

/// How often which grey value occurs, in ascending order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    counts: Vec<(f64, u64)>,
    /// Whether all values are whole numbers from 0 to 65535.
    whole: bool,
}

/// The share of pixels beyond a percentile, of either end.
const TAIL: f64 = 0.005;
/// How far beyond the percentiles values still count, in distances of the percentiles.
const REACH: f64 = 1.5;
/// The share of a number of bits that values use at least if they are to keep those bits: sixty grey levels.
const USED: f64 = 0.25;
/// Fewer values than these are a mask, not a film with a marker on it.
const FEW_VALUES: usize = 8;
/// As many values are told apart.
const MAX_VALUES: usize = 1 << 17;

impl GreyRange {
    /// Whether it can be shown.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.low.is_finite() && self.high.is_finite() && self.low < self.high
    }

    /// The range of a picture's values, or of all pictures of a data set; `None` without a value.
    #[must_use]
    pub fn of(tally: &Tally) -> Option<Self> {
        let counts = without_lone_ends(&tally.counts);
        let (first, last) = (counts.first()?.0, counts.last()?.0);
        let total: u64 = counts.iter().map(|(_, count)| count).sum();
        let (least, most) =
            (rank(counts, (total as f64 * TAIL) as u64), rank_from_end(counts, (total as f64 * TAIL) as u64));
        let reach = (most - least) * REACH;
        // Where nearly all pixels are alike, there is no distance to judge others by.
        let (low, high) = if reach > 0.0 {
            let inside = |v: &f64| *v >= least - reach && *v <= most + reach;
            let values = || counts.iter().map(|(value, _)| *value).filter(inside);
            (values().fold(least, f64::min), values().fold(most, f64::max))
        } else {
            (first, last)
        };
        if tally.whole {
            // A stray pixel does not decide how many bits a film has.
            let stray = rank_from_end(counts, (total / 10_000).max(1));
            let bits = (8..=16).step_by(2).map(|bits| f64::from((1u32 << bits) - 1));
            let white = bits.into_iter().find(|white| *white >= high.min(stray.max(most))).unwrap_or(65_535.0);
            if high - low >= USED * white || white <= 255.0 {
                return Some(Self { low: 0.0, high: white });
            }
        }
        Some(if low < high { Self { low, high } } else { Self { low, high: low + 1.0 } })
    }

    /// The 8-bit grey value of a deep one; what is no number is black.
    #[must_use]
    pub fn grey(self, value: f64) -> u8 {
        // Halves, so that the width of the widest range is still a number. A number that is none casts to 0.
        let width = (self.high / 2.0 - self.low / 2.0).max(f64::MIN_POSITIVE);
        ((value / 2.0 - self.low / 2.0) / width * 255.0).round().clamp(0.0, 255.0) as u8
    }

    /// Whether pictures of these ranges can share one of them all: each keeps a quarter of the grey levels.
    pub(crate) fn is_shared_by(self, ranges: &[Self]) -> bool {
        ranges.iter().all(|own| (own.high.min(self.high) - own.low.max(self.low)) * 4.0 >= self.high - self.low)
    }
}

impl Tally {
    /// Of unsigned values.
    pub(super) fn of_whole(values: &[u16]) -> Self {
        let mut counts = vec![0u64; 1 << 16];
        for value in values {
            counts[usize::from(*value)] += 1;
        }
        let counts = counts.into_iter().enumerate().filter(|(_, count)| *count > 0);
        Self { counts: counts.map(|(value, count)| (value as f64, count)).collect(), whole: true }
    }

    /// Of numbers of any kind, from no more than a million of them.
    pub(super) fn of_numbers(values: &[f32], offset: f64) -> Self {
        let stride = (values.len() >> 20).max(1);
        let mut some: Vec<f32> = values.iter().step_by(stride).copied().filter(|v| v.is_finite()).collect();
        some.sort_unstable_by(f32::total_cmp);
        let counts = some
            .chunk_by(|a, b| a.total_cmp(b).is_eq())
            .map(|same| (f64::from(same[0]) + offset, same.len() as u64))
            .collect();
        Self { counts, whole: false }.limited()
    }

    /// Adds the values of another picture.
    pub(crate) fn add(&mut self, other: &Self) {
        self.whole = (self.whole || self.counts.is_empty()) && other.whole;
        let mut sum: Vec<(f64, u64)> = Vec::with_capacity(self.counts.len() + other.counts.len());
        let (mut a, mut b) = (self.counts.iter().peekable(), other.counts.iter().peekable());
        while let Some((value, count)) = match (a.peek(), b.peek()) {
            (Some(left), Some(right)) => {
                if left.0 <= right.0 {
                    a.next()
                } else {
                    b.next()
                }
            }
            (Some(_), None) => a.next(),
            (None, _) => b.next(),
        } {
            match sum.last_mut() {
                Some(last) if last.0.total_cmp(value).is_eq() => last.1 += count,
                _ => sum.push((*value, *count)),
            }
        }
        self.counts = sum;
        *self = std::mem::take(self).limited();
    }

    /// Neighbouring values joined, if there are too many; the ends stay.
    fn limited(mut self) -> Self {
        let size = self.counts.len().div_ceil(MAX_VALUES);
        if size > 1 {
            let joined = |some: &[(f64, u64)]| (some[some.len() / 2].0, some.iter().map(|(_, count)| count).sum());
            let (first, last) = (self.counts[0].0, self.counts[self.counts.len() - 1].0);
            self.counts = self.counts.chunks(size).map(joined).collect();
            let end = self.counts.len() - 1;
            (self.counts[0].0, self.counts[end].0) = (first, last);
        }
        self
    }
}

/// Without single values at the ends that lie farther from all others than those from one another, as far as they are not
/// most of the picture.
fn without_lone_ends(counts: &[(f64, u64)]) -> &[(f64, u64)] {
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let (mut rest, mut left_out) = (counts, 0);
    while let [first, second, .., before, last] = rest {
        if rest.len() <= FEW_VALUES {
            break;
        }
        // A few pixels need less of a gap than a border of the picture.
        let is_lone = |count: u64, gap: f64, range: f64| {
            let few = (left_out + count) as f64 <= total as f64 * TAIL;
            gap > if few { range / 2.0 } else { range } && (left_out + count) * 2 <= total
        };
        if is_lone(last.1, last.0 - before.0, before.0 - first.0) {
            left_out += last.1;
            rest = &rest[..rest.len() - 1];
        } else if is_lone(first.1, second.0 - first.0, last.0 - second.0) {
            left_out += first.1;
            rest = &rest[1..];
        } else {
            break;
        }
    }
    rest
}

/// The value of this rank, from the least.
fn rank(counts: &[(f64, u64)], rank: u64) -> f64 {
    at_rank(counts.iter(), rank)
}

/// The value of this rank, from the greatest.
fn rank_from_end(counts: &[(f64, u64)], rank: u64) -> f64 {
    at_rank(counts.iter().rev(), rank)
}

fn at_rank<'a>(counts: impl Iterator<Item = &'a (f64, u64)>, rank: u64) -> f64 {
    let mut passed = 0;
    let mut value = f64::NAN;
    for (next, count) in counts {
        (value, passed) = (*next, passed + count);
        if passed > rank {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A film: most values in the lower third of a range, some up to its end.
    fn film(low: u16, high: u16) -> Vec<u16> {
        let t = |i: u32| f64::from(i % 4001) / 4000.0;
        (0..20_000).map(|i| low + (f64::from(high - low) * t(i * 7).powi(2)) as u16).collect()
    }

    fn range(values: &[u16]) -> GreyRange {
        GreyRange::of(&Tally::of_whole(values)).unwrap()
    }

    const fn bits(bits: u32) -> GreyRange {
        GreyRange { low: 0.0, high: ((1u32 << bits) - 1) as f64 }
    }

    #[test]
    fn films_that_use_their_bits_keep_them() {
        for (bit, low, high) in [
            (8, 0, 255),
            (8, 90, 120),
            (10, 0, 1023),
            (12, 0, 4095),
            (12, 642, 3413),
            (14, 0, 9000),
            (16, 0, 65_535),
            (16, 10_280, 54_741),
        ] {
            assert_eq!(range(&film(low, high)), bits(bit), "{low} to {high}");
        }
    }

    #[test]
    fn no_marker_stray_pixel_or_border_changes_a_film() {
        let plain = film(0, 4095);
        for (what, value, count) in [
            ("pixel", 65_535, 1),
            ("pixel", 4096, 1),
            ("pixel", 6000, 1),
            ("marker", 65_535, 600),
            ("border", 65_535, 9000),
            ("marker", 16_383, 90),
        ] {
            let mut marked = plain.clone();
            marked[..count].fill(value);
            assert_eq!(range(&marked), bits(12), "{what} of {value} on {count} pixels");
        }
        let mut two = plain.clone();
        two[..50].fill(65_535);
        two[50..99].fill(40_000);
        assert_eq!(range(&two), bits(12));
        let mut stray = plain;
        for (index, value) in stray[..40].iter_mut().enumerate() {
            *value = 5000 + 1500 * index as u16;
        }
        let GreyRange { low, high } = range(&stray);
        assert!(low == 0.0 && high <= 16_383.0, "{low} to {high}");
    }

    #[test]
    fn a_narrow_range_far_from_zero_is_stretched() {
        let narrow = GreyRange { low: 33_069.0, high: 36_863.0 };
        assert_eq!(range(&film(33_069, 36_863)), narrow);
        let mut bordered = film(33_069, 36_863);
        bordered[..4000].fill(0);
        bordered[4000..4010].fill(65_535);
        assert_eq!(range(&bordered), narrow);
        assert_eq!(
            (narrow.grey(0.0), narrow.grey(33_069.0), narrow.grey(34_966.0), narrow.grey(65_535.0)),
            (0, 0, 128, 255)
        );
    }

    #[test]
    fn numbers_of_any_kind_are_stretched() {
        let of = |values: &[f32], offset| GreyRange::of(&Tally::of_numbers(values, offset)).unwrap();
        assert_eq!(of(&[-1.0, 3.0, f32::NAN, 2.0, f32::INFINITY], 10.0), GreyRange { low: 9.0, high: 13.0 });
        assert_eq!(of(&[3.0, 3.0], 0.0), GreyRange { low: 3.0, high: 4.0 });
        let mut hot: Vec<f32> = (0..3_000_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
        hot[7] = 1e30;
        assert!(of(&hot, 0.0).high < 1.0);
        assert_eq!(GreyRange::of(&Tally::default()), None);
        // Masks have few values, and all of them count.
        assert_eq!(range(&[0, 0, 0, 0, 0, 0, 1000]), GreyRange { low: 0.0, high: 1023.0 });
    }

    #[test]
    fn a_data_set_has_the_range_of_all_its_pictures() {
        let mut all = Tally::default();
        for values in [film(0, 4095), film(0, 3000), film(500, 3500)] {
            all.add(&Tally::of_whole(&values));
        }
        assert_eq!(GreyRange::of(&all), Some(bits(12)));
        let shared = bits(12);
        assert!(shared.is_shared_by(&[bits(12), GreyRange { low: 1000.0, high: 2100.0 }]));
        assert!(!bits(16).is_shared_by(&[bits(16), bits(12)]));
        all.add(&Tally::of_numbers(&[-1.0, 0.5], 0.0));
        assert!(!all.whole);
    }

    #[test]
    fn whole_numbers_become_what_their_bits_say() {
        for bit in [8, 10, 12, 14, 16] {
            let white = (1u32 << bit) - 1;
            for value in 0..=white {
                let nearest = (value * 255 + white / 2) / white;
                assert_eq!(u32::from(bits(bit).grey(f64::from(value))), nearest, "{value} of {bit} bits");
            }
        }
        let widest = GreyRange { low: -1e308, high: 1e308 };
        assert_eq!([widest.grey(-1e308), widest.grey(0.0), widest.grey(f64::NAN)], [0, 128, 0]);
    }
}
