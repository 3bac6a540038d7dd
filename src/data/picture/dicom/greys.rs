//! From stored grey values to shown ones (PS3.4 annex N.2): the modality's values, those of interest of them, and which
//! end is white. A table of all values that a sample can store does it for every pixel.

use super::attribute::{
    MODALITY_LUT_DATA, MODALITY_LUT_DESCRIPTOR, PIXEL_PADDING_RANGE_LIMIT, PIXEL_PADDING_VALUE, PRESENTATION_LUT_SHAPE,
    RESCALE_INTERCEPT, RESCALE_SLOPE, VOI_LUT_DATA, VOI_LUT_DESCRIPTOR, VOI_LUT_FUNCTION, WINDOW_CENTER, WINDOW_WIDTH,
};
use super::elements::Elements;
use super::layout::{Layout, Photometric};
use super::lookup::Lookup;
use crate::picture::damaged;
use sweep_core::error::{Error, Result};

/// 8-bit grey values of samples.
///
/// # Errors
/// When an attribute is not what it must be, or contradicts another; names it.
pub(super) fn shown(file: &Elements, layout: &Layout, samples: &[u16]) -> Result<Vec<u8>> {
    let modality = Modality::of(file, layout)?;
    let padding = padding(file, layout);
    let is_padding = |number: i32| padding.is_some_and(|(low, high)| (low..=high).contains(&number));
    let numbers = (0..1u32 << layout.stored).map(|bits| layout.number(bits as u16));
    let interest = match Interest::of(file, modality.least(layout) < 0.0)? {
        Some(interest) => interest,
        None if layout.stored <= 8 => Interest::between(modality.range(layout)),
        None => {
            let mut counts = vec![0u64; 1 << layout.stored];
            for sample in samples {
                if let Some(count) = counts.get_mut(usize::from(*sample)) {
                    *count += 1;
                }
            }
            let used = numbers.clone().zip(counts).filter(|(number, count)| *count > 0 && !is_padding(*number));
            let tally = used.map(|(number, count)| (modality.value(number), count)).collect();
            Interest::between(in_use(tally, &modality.ranges(layout)))
        }
    };
    let is_inverted = is_inverted(file, layout.photometric)?;
    let grey = |number: i32| {
        if is_padding(number) {
            return 0;
        }
        let share = interest.share(modality.value(number));
        (255.0 * if is_inverted { 1.0 - share } else { share }).round() as u8
    };
    let table: Vec<u8> = numbers.map(grey).collect();
    // A value beyond the table is padding above the stored bits.
    Ok(samples.iter().map(|sample| table.get(usize::from(*sample)).copied().unwrap_or(0)).collect())
}

/// Transformation of stored values to the modality's values (PS3.3 C.11.1).
enum Modality {
    Rescale { slope: f64, intercept: f64 },
    Table(Lookup),
}

impl Modality {
    fn of(file: &Elements, layout: &Layout) -> Result<Self> {
        if let Some(table) = Lookup::read(file, MODALITY_LUT_DESCRIPTOR, MODALITY_LUT_DATA, layout.is_signed)? {
            return Ok(Self::Table(table));
        }
        let slope = file.number(RESCALE_SLOPE)?.unwrap_or(1.0);
        if slope == 0.0 {
            return Err(damaged("0 makes all pixels alike").at(RESCALE_SLOPE));
        }
        Ok(Self::Rescale { slope, intercept: file.number(RESCALE_INTERCEPT)?.unwrap_or(0.0) })
    }

    fn value(&self, number: i32) -> f64 {
        match self {
            Self::Rescale { slope, intercept } => f64::from(number) * slope + intercept,
            Self::Table(table) => table.entry(number.into()).into(),
        }
    }

    /// The least and the greatest value that there can be.
    fn range(&self, layout: &Layout) -> (f64, f64) {
        match self {
            Self::Rescale { .. } => {
                let least = if layout.is_signed { -(1 << (layout.stored - 1)) } else { 0 };
                let ends = [least, least + (1 << layout.stored) - 1].map(|number| self.value(number));
                (ends[0].min(ends[1]), ends[0].max(ends[1]))
            }
            Self::Table(table) => (0.0, table.white()),
        }
    }

    /// The ranges that values may be meant to have, of 8, 10, 12 … bits: many writers say 16 whatever the detector has.
    fn ranges(&self, layout: &Layout) -> Vec<(f64, f64)> {
        let all = self.range(layout);
        let narrower = (8..16).step_by(2).map(|bits| (0.0, f64::from((1u32 << bits) - 1)));
        let is_plain =
            all.0 == 0.0 && matches!(self, Self::Rescale { slope, .. } if (slope - 1.0).abs() < f64::EPSILON);
        narrower.filter(|range| is_plain && range.1 < all.1).chain([all]).collect()
    }

    fn least(&self, layout: &Layout) -> f64 {
        self.range(layout).0
    }
}

/// Which values are of interest, and how they are spread from black to white (PS3.3 C.11.2).
enum Interest {
    Table(Lookup),
    /// Black up to the first value, white above the second.
    Linear(f64, f64),
    Sigmoid {
        center: f64,
        width: f64,
    },
}

impl Interest {
    /// The file's transformation: of several windows or tables the first, of both kinds the table.
    fn of(file: &Elements, is_signed: bool) -> Result<Option<Self>> {
        if let Some(table) = Lookup::read(file, VOI_LUT_DESCRIPTOR, VOI_LUT_DATA, is_signed)? {
            return Ok(Some(Self::Table(table.with_bits_in_use())));
        }
        let Some((center, width)) = file.number(WINDOW_CENTER)?.zip(file.number(WINDOW_WIDTH)?) else {
            return Ok(None);
        };
        // Writers that know no window leave zeros.
        if width == 0.0 {
            return Ok(None);
        }
        if width < 0.0 {
            return Err(damaged(format!("{width} is no width")).at(WINDOW_WIDTH));
        }
        let function = file.term(VOI_LUT_FUNCTION).unwrap_or_else(|| "LINEAR".into());
        Ok(Some(match function.as_str() {
            // Below a width of 1, which LINEAR forbids, there is but one way to understand it.
            "LINEAR" if width >= 1.0 => {
                let (middle, half) = (center - 0.5, (width - 1.0) / 2.0);
                Self::Linear(middle - half, middle + half)
            }
            "LINEAR" | "LINEAR_EXACT" => Self::Linear(center - width / 2.0, center + width / 2.0),
            "SIGMOID" => Self::Sigmoid { center, width },
            other => {
                return Err(Error::input(format!("`{other}` is not read"))
                    .at(VOI_LUT_FUNCTION)
                    .remedy("LINEAR, LINEAR_EXACT and SIGMOID are"));
            }
        }))
    }

    fn between((low, high): (f64, f64)) -> Self {
        Self::Linear(low, high)
    }

    /// How far a value is from black, 0, to white, 1.
    fn share(&self, value: f64) -> f64 {
        match self {
            Self::Table(table) => f64::from(table.entry(value)) / table.white(),
            Self::Linear(low, _) if value <= *low => 0.0,
            Self::Linear(_, high) if value > *high => 1.0,
            Self::Linear(low, high) => (value - low) / (high - low),
            Self::Sigmoid { center, width } => 1.0 / (1.0 + (-4.0 * (value - center) / width).exp()),
        }
    }
}

/// Values that pad the picture (PS3.3 C.7.5.1.1.2), from the least to the greatest. They are no part of what was imaged.
fn padding(file: &Elements, layout: &Layout) -> Option<(i32, i32)> {
    let number = |attribute| {
        file.short(attribute).map(
            |short: u16| {
                if layout.is_signed { i32::from(short.cast_signed()) } else { i32::from(short) }
            },
        )
    };
    let value = number(PIXEL_PADDING_VALUE)?;
    let limit = number(PIXEL_PADDING_RANGE_LIMIT).unwrap_or(value);
    Some((value.min(limit), value.max(limit)))
}

/// Whether the least value is white. `PresentationLUTShape` says it of what was windowed, and so includes what
/// `MONOCHROME1` says (PS3.3 C.8.11.3.1.2); DCMTK and dcm4che read it so.
fn is_inverted(file: &Elements, photometric: Photometric) -> Result<bool> {
    let is_monochrome1 = photometric == Photometric::Monochrome1;
    match file.term(PRESENTATION_LUT_SHAPE).as_deref() {
        None => Ok(is_monochrome1),
        Some("INVERSE") => Ok(true),
        // Toolkits show such files as the shape says, most viewers as MONOCHROME1 says.
        Some("IDENTITY") if is_monochrome1 => {
            Err(Error::input("IDENTITY says that the least value is black, MONOCHROME1 that it is white")
                .at(PRESENTATION_LUT_SHAPE)
                .remedy(
                    "if bones are bright in a viewer, write INVERSE: `dcmodify -m PresentationLUTShape=INVERSE FILE`",
                ))
        }
        Some("IDENTITY") => Ok(false),
        Some(other) => Err(Error::input(format!("`{other}` is not read"))
            .at(PRESENTATION_LUT_SHAPE)
            .remedy("IDENTITY and INVERSE are")),
    }
}

/// The share of pixels beyond either end that does not decide what is shown.
const TAIL: f64 = 0.005;
/// How far beyond those ends values still count, in distances of the ends.
const REACH: f64 = 3.0;
/// Values that use this share of what can be stored are shown as they are, so that films of one scanner look alike.
const USED: f64 = 0.25;

/// The range to show where the file says none, given how often which value occurs and the ranges that values may be meant
/// to have, from the narrowest to that of all that can be stored.
fn in_use(mut tally: Vec<(f64, u64)>, ranges: &[(f64, f64)]) -> (f64, f64) {
    let all = ranges.last().copied().unwrap_or((0.0, 1.0));
    tally.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: u64 = tally.iter().map(|(_, count)| count).sum();
    let tail = (total as f64 * TAIL) as u64;
    let backwards: Vec<(f64, u64)> = tally.iter().rev().copied().collect();
    let (Some(low), Some(high)) = (behind(&tally, tail), behind(&backwards, tail)) else { return all };
    if high <= low {
        return all;
    }
    let reach = REACH * (high - low);
    let near = || tally.iter().map(|(value, _)| *value).filter(|value| (low - reach..=high + reach).contains(value));
    let (low, high) = (near().fold(low, f64::min), near().fold(high, f64::max));
    let meant = ranges.iter().copied().find(|range| range.1 >= high).unwrap_or(all);
    if high - low >= USED * (meant.1 - meant.0) { meant } else { (low, high) }
}

/// The first value that comes behind so many pixels.
fn behind(tally: &[(f64, u64)], pixels: u64) -> Option<f64> {
    let mut passed = 0;
    let found = tally.iter().find(|(_, count)| {
        passed += count;
        passed > pixels
    });
    found.map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Most values in the lower part of a range, some up to its end.
    fn film(low: f64, high: f64) -> Vec<(f64, u64)> {
        (0..=1000u64).map(|i| (low + (high - low) * i as f64 / 1000.0, 1 + (1000 - i) / 50)).collect()
    }

    const RANGES: [(f64, f64); 5] = [(0.0, 255.0), (0.0, 1023.0), (0.0, 4095.0), (0.0, 16_383.0), (0.0, 65_535.0)];

    #[test]
    fn films_keep_their_bits_and_narrow_ranges_are_stretched() {
        let shown = |low, high| in_use(film(low, high), &RANGES);
        assert_eq!(shown(642.0, 3413.0), (0.0, 4095.0));
        assert_eq!(shown(0.0, 900.0), (0.0, 1023.0));
        assert_eq!(shown(10_280.0, 54_741.0), (0.0, 65_535.0));
        assert_eq!(shown(33_069.0, 36_863.0), (33_069.0, 36_863.0));
        let mut marked = film(0.0, 4000.0);
        marked.push((65_535.0, 20));
        assert_eq!(in_use(marked, &RANGES), (0.0, 4095.0));
        assert_eq!(in_use(Vec::new(), &RANGES), (0.0, 65_535.0));
        assert_eq!(in_use(vec![(7.0, 9)], &RANGES), (0.0, 65_535.0));
        assert_eq!(in_use(film(-900.0, 3000.0), &[(-1024.0, 3071.0)]), (-1024.0, 3071.0));
    }
}
