//! Landmarks' names that are probably one name, spelt in several ways.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use super::parsed::ParsedDataset;

/// More names that some images lack than anybody types by hand.
const MAX_NAMES: usize = 500;

/// Notes pairs of names that look alike and never stand together in an image.
pub(super) fn note(parsed: &mut ParsedDataset) {
    let images = parsed.records.len();
    let marked: Vec<Vec<bool>> = (0..parsed.landmarks.len())
        .map(|index| parsed.records.iter().map(|record| record.landmarks[index].is_some()).collect())
        .collect();
    let count = |index: usize| marked[index].iter().filter(|is| **is).count();
    let partly: Vec<usize> = (0..marked.len()).filter(|index| (1..images).contains(&count(*index))).collect();
    if partly.len() > MAX_NAMES {
        return;
    }
    for (position, a) in partly.iter().enumerate() {
        for b in &partly[position + 1..] {
            let together = marked[*a].iter().zip(&marked[*b]).any(|(a, b)| *a && *b);
            let (name_a, name_b) = (&parsed.landmarks[*a], &parsed.landmarks[*b]);
            if !together && alike(name_a, name_b) {
                parsed.notes.push(format!(
                    "landmarks `{name_a}` (in {} images) and `{name_b}` (in {}) have similar names and never stand together in \
                     an image: if they are one landmark, unite them with --rename FILE (a row {name_b},{name_a})",
                    count(*a),
                    count(*b)
                ));
            }
        }
    }
}

/// Whether two names differ by case, accents, blanks or a slip of the keys, and not by a number.
fn alike(a: &str, b: &str) -> bool {
    let (a, b) = (plain(a), plain(b));
    if a == b {
        return true;
    }
    let digits = |name: &str| name.chars().filter(char::is_ascii_digit).collect::<String>();
    let shorter = a.chars().count().min(b.chars().count());
    let slips = match shorter {
        0..=3 => return false,
        4..=7 => 1,
        _ => 2,
    };
    digits(&a) == digits(&b) && strsim::osa_distance(&a, &b) <= slips && !sides(&a, &b)
}

/// Whether the names differ by a side, as `left eye` and `right eye` or `eye_l` and `eye_r` do.
fn sides(a: &str, b: &str) -> bool {
    let last = |name: &str| name.chars().next_back();
    let first = |name: &str| name.chars().next();
    let pair = |x: Option<char>, y: Option<char>| {
        matches!((x, y), (Some('l'), Some('r' | 'u')) | (Some('r' | 'u'), Some('l')))
    };
    pair(last(a), last(b)) || pair(first(a), first(b))
}

/// A name in lower case, without accents and what parts words.
fn plain(name: &str) -> String {
    let kept = name.nfkd().filter(|c| !is_combining_mark(*c) && c.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sweep_core::units::Point;

    use super::*;
    use crate::import::{PixelSource, Record};

    #[test]
    fn slips_are_alike_and_numbers_and_sides_are_not() {
        for (a, b) in [("Sella", "sella"), ("Mentn", "Menton"), ("epine", "\u{e9}pine"), ("A-point", "A point")] {
            assert!(alike(a, b), "{a} {b}");
        }
        let others = [("L1", "L2"), ("point12", "point13"), ("eye_l", "eye_r"), ("Go", "Gn"), ("upper", "lower")];
        for (a, b) in others {
            assert!(!alike(a, b), "{a} {b}");
        }
    }

    #[test]
    fn names_are_noted_only_if_they_never_stand_together() {
        let names = |marks: &[(usize, usize)]| {
            let record = |image: usize| {
                let points = (0..3).map(|k| {
                    let is = k == 2 || marks.contains(&(image, k));
                    is.then_some(Point { x: 1.0, y: 2.0 })
                });
                Record::new(Path::new("x.png"), PixelSource::File("x.png".into()), points.collect(), String::new())
            };
            let mut parsed = ParsedDataset {
                name: String::new(),
                landmarks: ["N", "n", "S"].map(str::to_owned).to_vec(),
                observer_mre: None,
                records: (0..3).map(record).collect(),
                notes: vec![],
            };
            note(&mut parsed);
            parsed.notes
        };
        let apart = names(&[(0, 0), (1, 1), (2, 1)]);
        assert!(apart.len() == 1 && apart[0].contains("`N` (in 1 images) and `n` (in 2)"), "{apart:?}");
        assert!(names(&[(0, 0), (0, 1), (1, 1)]).is_empty(), "soft and hard tissue");
    }
}
