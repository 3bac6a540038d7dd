//! Quantisation of a chart to 256 colours: a third of the bytes without a visible difference.

use std::collections::{BTreeMap, HashMap};

const COLOURS: usize = 256;
/// Bits of each channel that distinguish colours if there are too many.
const CHANNEL_BITS: u32 = 5;

type Rgb = [u8; 3];

/// The palette, three bytes per colour, and the palette index of each RGB pixel.
///
/// Flat areas keep their colour exactly: similar colours are represented by the most frequent of them, and the most
/// frequent representatives make up the palette. Other pixels, those on slanted edges, take the nearest colour.
pub(super) fn indexed(pixels: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut counts: BTreeMap<Rgb, usize> = BTreeMap::new();
    // Most pixels have their left neighbour's colour.
    for run in pixels.as_chunks::<3>().0.chunk_by(|a, b| a == b) {
        *counts.entry(run[0]).or_default() += run.len();
    }
    let mut buckets: BTreeMap<Rgb, (usize, Rgb, usize)> = BTreeMap::new();
    for (colour, count) in &counts {
        let key = if counts.len() > COLOURS { colour.map(|c| c >> (8 - CHANNEL_BITS)) } else { *colour };
        let bucket = buckets.entry(key).or_insert((0, *colour, 0));
        bucket.0 += count;
        if *count > bucket.2 {
            (bucket.1, bucket.2) = (*colour, *count);
        }
    }
    let mut frequent: Vec<(usize, Rgb)> = buckets.into_values().map(|(total, colour, _)| (total, colour)).collect();
    frequent.sort_by(|a, b| b.cmp(a));
    frequent.truncate(COLOURS);
    let palette: Vec<Rgb> = frequent.into_iter().map(|(_, colour)| colour).collect();
    let nearest = |colour: &Rgb| -> u8 {
        let distance = |other: &Rgb| -> i32 {
            colour.iter().zip(other).map(|(a, b)| (i32::from(*a) - i32::from(*b)).pow(2)).sum()
        };
        let closest = palette.iter().enumerate().min_by_key(|(_, other)| distance(other));
        closest.map_or(0, |(index, _)| index as u8)
    };
    let kept: BTreeMap<Rgb, u8> = palette.iter().zip(0..=u8::MAX).map(|(colour, index)| (*colour, index)).collect();
    let indices: HashMap<Rgb, u8> =
        counts.keys().map(|colour| (*colour, kept.get(colour).copied().unwrap_or_else(|| nearest(colour)))).collect();
    let runs = pixels.as_chunks::<3>().0.chunk_by(|a, b| a == b);
    (palette.concat(), runs.flat_map(|run| std::iter::repeat_n(indices[&run[0]], run.len())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_colours_are_exact_and_many_are_near() {
        let few: Vec<u8> = (0..200u8).flat_map(|i| [i, 255 - i, 7]).collect();
        let (palette, indices) = indexed(&few);
        let back: Vec<u8> = indices.iter().flat_map(|p| palette[usize::from(*p) * 3..][..3].to_vec()).collect();
        assert_eq!(back, few);
        let many: Vec<u8> =
            (0..20_000u32).flat_map(|i| [(i % 256) as u8, (i / 256) as u8, 90]).chain([1; 3000]).collect();
        let (palette, indices) = indexed(&many);
        assert!(palette.len() <= 768 && indices.len() == many.len() / 3);
        assert_eq!(palette[..3], [1, 1, 1], "the most frequent colour is kept as it is");
        let far = many.chunks(3).zip(&indices).map(|(p, index)| {
            let quantised = &palette[usize::from(*index) * 3..][..3];
            p.iter().zip(quantised).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
        });
        assert!(far.max().unwrap() < 80);
    }
}
