//! The range of grey values that all deep images of a source share.

use crate::picture::{GreyRange, Tally};

use super::Options;

/// The values of images of more than 8 bits: of each, and of all.
#[derive(Default)]
pub(super) struct Deep {
    all: Tally,
    each: Vec<GreyRange>,
}

impl Deep {
    /// Adds an image; nothing of 8 bits.
    pub(super) fn add(&mut self, tally: Option<Tally>) {
        if let Some(tally) = tally {
            self.each.extend(GreyRange::of(&tally));
            self.all.add(&tally);
        }
    }

    /// The range that all images of more than 8 bits are shown by, the user's or the one that is found, with a note for the
    /// user; `None` without such an image, and where they differ so much that one range would leave some of them few grey
    /// levels.
    pub(super) fn shared(&self, total: usize, options: &Options) -> (Option<GreyRange>, Vec<String>) {
        if let Some(range) = options.grey {
            let GreyRange { low, high } = range;
            let note = format!("images of more than 8 bits are shown by their values from {low} to {high} (--grey)");
            return (Some(range), vec![note]);
        }
        let count = self.each.len();
        match GreyRange::of(&self.all) {
            Some(all) if all.is_shared_by(&self.each) => {
                let GreyRange { low, high } = all;
                let note = format!(
                    "{count} of {total} images have more than 8 bits: their values from {low} to {high} are shown from black to \
                     white; `grey` in dataset.toml keeps that for the images to predict"
                );
                (Some(all), vec![note])
            }
            Some(_) => {
                let ends = |end: fn(&GreyRange) -> f64| {
                    let least = self.each.iter().map(end).fold(f64::INFINITY, f64::min);
                    (least, self.each.iter().map(end).fold(f64::NEG_INFINITY, f64::max))
                };
                let ((low, lows), (high, highs)) = (ends(|range| range.low), ends(|range| range.high));
                let note = format!(
                    "{count} of {total} images have more than 8 bits and differ widely: black is from {low} to {lows}, white \
                     from {high} to {highs}; each is shown by its own range"
                );
                (None, vec![note])
            }
            None => (None, Vec::new()),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "writes sources")]
mod tests {
    use std::fmt::Write as _;
    use std::fs;

    use image::{ImageBuffer, Luma};

    use crate::import::{self, Options, Written};
    use crate::picture::GreyRange;
    use crate::{Dataset, DatasetIndex};
    use sweep_core::units::Spacing;

    /// Imports pictures of 16 bits, each a ramp between two values, with a pixel of another value.
    fn imported(pictures: &[(u16, u16, u16)]) -> (Written, Dataset, Option<GreyRange>) {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("source");
        fs::create_dir(&source).unwrap();
        let mut csv = "image,split,a_x,a_y\n".to_owned();
        for (index, (low, high, stray)) in pictures.iter().enumerate() {
            let ramp = |x: u32, y: u32| *low + ((u32::from(high - low) * (x + y)) / 118) as u16;
            let pixel = |x, y| Luma([if (x, y) == (50, 3) { *stray } else { ramp(x, y) }]);
            ImageBuffer::from_fn(60, 60, pixel).save(source.join(format!("{index}.png"))).unwrap();
            writeln!(csv, "{index}.png,{},5,5", if index == 0 { "val" } else { "train" }).unwrap();
        }
        fs::write(source.join("marks.csv"), csv).unwrap();
        let options = Options { spacing: Some(Spacing { x: 0.1, y: 0.1 }), ..Options::default() };
        let out = root.path().join("out");
        let written = import::write_saying(&import::read(&source, None, &options).unwrap(), &out, &options).unwrap();
        let index = DatasetIndex::untrained(&out).unwrap();
        (written, index.load().unwrap(), index.grey())
    }

    #[test]
    fn films_of_one_scanner_share_a_range_whatever_is_burnt_in() {
        let (written, dataset, grey) = imported(&[(300, 3000, 300), (100, 3900, 65_535), (0, 2000, 40_000)]);
        assert_eq!(grey, Some(GreyRange { low: 0.0, high: 4095.0 }));
        assert!(written.notes[0].starts_with("3 of 3 images have more than 8 bits"), "{:?}", written.notes);
        for (sample, low) in dataset.samples.iter().zip([300u32, 100, 0]) {
            assert_eq!(u32::from(sample.pixels[0]), (low * 255 + 2047) / 4095, "{}", sample.image);
        }
        assert_eq!(dataset.samples[1].pixels[3 * 60 + 50], 255);
    }

    #[test]
    fn a_narrow_range_is_shared_and_keeps_its_levels() {
        let (_, dataset, grey) = imported(&[(33_100, 36_863, 33_100), (33_069, 36_000, 0)]);
        assert_eq!(grey, Some(GreyRange { low: 33_069.0, high: 36_863.0 }));
        let mut levels = dataset.samples[0].pixels.clone();
        levels.sort_unstable();
        levels.dedup();
        assert!(levels.len() > 100);
    }

    #[test]
    fn pictures_that_differ_widely_are_shown_each_by_its_own() {
        let (written, dataset, grey) = imported(&[(0, 1000, 0), (0, 60_000, 0)]);
        assert_eq!(grey, None);
        assert!(written.notes[0].contains("differ widely"), "{:?}", written.notes);
        assert!(dataset.samples.iter().all(|sample| sample.pixels.iter().max() > Some(&200)));
    }
}
