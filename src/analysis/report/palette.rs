//! A chart's pixels in 256 colours: a third of the bytes, and no eye tells.

use std::collections::BTreeMap;

const COLOURS: usize = 256;
/// Bits of a channel by which colours are told apart where there are too many.
const KEPT: u32 = 5;

type Rgb = [u8; 3];

/// The palette, three bytes a colour, and each RGB pixel's place in it.
///
/// Flat areas keep their colour exactly: of similar colours the most frequent stands for all, and the most frequent of
/// those make the palette; what is left, pixels on slanted edges, takes the nearest.
pub(super) fn indexed(pixels: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let all = || pixels.chunks_exact(3).map(|p| [p[0], p[1], p[2]]);
    let mut counts: BTreeMap<Rgb, usize> = BTreeMap::new();
    all().for_each(|colour| *counts.entry(colour).or_default() += 1);
    let mut buckets: BTreeMap<Rgb, (usize, Rgb, usize)> = BTreeMap::new();
    for (colour, count) in &counts {
        let key = if counts.len() > COLOURS { colour.map(|c| c >> (8 - KEPT)) } else { *colour };
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
        let places = palette.iter().enumerate().min_by_key(|(_, other)| distance(other));
        places.map_or(0, |(at, _)| at as u8)
    };
    let places: BTreeMap<Rgb, u8> = counts.keys().map(|colour| (*colour, nearest(colour))).collect();
    (palette.concat(), all().map(|colour| places[&colour]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_colours_are_exact_and_many_are_near() {
        let few: Vec<u8> = (0..200u8).flat_map(|i| [i, 255 - i, 7]).collect();
        let (palette, places) = indexed(&few);
        let back: Vec<u8> = places.iter().flat_map(|p| palette[usize::from(*p) * 3..][..3].to_vec()).collect();
        assert_eq!(back, few);
        let many: Vec<u8> =
            (0..20_000u32).flat_map(|i| [(i % 256) as u8, (i / 256) as u8, 90]).chain([1; 3000]).collect();
        let (palette, places) = indexed(&many);
        assert!(palette.len() <= 768 && places.len() == many.len() / 3);
        assert_eq!(palette[..3], [1, 1, 1], "the most frequent colour is kept as it is");
        let far = many.chunks(3).zip(&places).map(|(p, at)| {
            let kept = &palette[usize::from(*at) * 3..][..3];
            p.iter().zip(kept).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
        });
        assert!(far.max().unwrap() < 80);
    }
}
