//! Positions that say that a landmark is missing.
//!
//! Many programs have no other way to write a missing landmark than a position that cannot be one: (0, 0), (−1, −1),
//! (−999, −999). No anatomical landmark lies exactly on the first pixel, so these are taken as missing in every format, and a note
//! counts them; `--missing` says otherwise.

use std::collections::BTreeMap;

use sweep_core::error::{Error, Result};
use sweep_core::units::Point;

use super::parsed::{ParsedDataset, Record, Unit};
use super::{Missing, Options};
use crate::Split;

/// Removes such positions and says so.
pub(super) fn settle(parsed: &mut ParsedDataset, options: &Options) -> Result<()> {
    let first = options.origin.map(super::Origin::first);
    let value = |record: &Record, point: Point| match &options.missing {
        Missing::Never => None,
        Missing::Usual => usual(record, point),
        Missing::Marks { numbers, .. } => {
            // Importers have taken off the origin, except for what the record says is still to be taken off.
            let raw = |v: f64| [v, v + first.unwrap_or(0.0), v + 0.5, v + 1.0];
            let is = |v: f64, number: f64| raw(v).iter().any(|raw| (raw - number).abs() < 1e-9);
            numbers.iter().copied().find(|number| is(point.x, *number) && is(point.y, *number))
        }
    };
    let mut found: BTreeMap<String, BTreeMap<usize, usize>> = BTreeMap::new();
    let mut images = 0;
    for record in &mut parsed.records {
        let mut any = false;
        for index in 0..record.landmarks.len() {
            let Some(mark) = record.landmarks[index].and_then(|point| value(record, point)) else { continue };
            record.landmarks[index] = None;
            any = true;
            *found.entry(format!("({mark}, {mark})")).or_default().entry(index).or_default() += 1;
        }
        images += usize::from(any);
    }
    for (mark, counts) in found {
        let total: usize = counts.values().sum();
        let some = counts.iter().take(8).map(|(index, n)| format!("{} {n}", parsed.landmarks[*index]));
        let more = if counts.len() > 8 { ", …" } else { "" };
        let list = some.collect::<Vec<_>>().join(", ");
        parsed.notes.push(format!(
            "{total} landmarks at {mark} were taken as missing ({list}{more}); --missing none counts them as positions"
        ));
    }
    if images > 0 {
        let before = parsed.records.len();
        let is_empty = |record: &Record| record.landmarks.iter().all(Option::is_none);
        parsed.records.retain(|record| !is_empty(record) || record.split == Some(Split::Test));
        if parsed.records.is_empty() {
            return Err(Error::input("every landmark of every image is missing").remedy("see --missing"));
        }
        if parsed.records.len() < before {
            let n = before - parsed.records.len();
            parsed.notes.push(format!("{n} images have no landmark left and were left out"));
        }
    }
    Ok(())
}

/// The mark that a position is: both coordinates 0, −1, −9, −99, −999 and so on, whichever origin was taken off.
fn usual(record: &Record, point: Point) -> Option<f64> {
    if (point.x - point.y).abs() > 1e-9 {
        return None;
    }
    let is = |value: f64, mark: f64| (value - mark).abs() < 1e-9;
    match record.unit {
        // Shares are not yet less an origin; a percent of −1 is a share of −0.01.
        Unit::Shares(_) => [0.0, -1.0, -0.01].into_iter().find(|mark| is(point.x, *mark)),
        Unit::Pixels | Unit::Millimetres => {
            let nines = (1..=6).map(|digits| 1.0 - 10f64.powi(digits));
            let marks: Vec<f64> = [0.0, -1.0].into_iter().chain(nines).collect();
            [0.0, 0.5, 1.0].iter().find_map(|taken| marks.iter().copied().find(|mark| is(point.x + taken, *mark)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::import::PixelSource;

    fn parsed(points: &[(f64, f64)]) -> ParsedDataset {
        let record = |(index, (x, y)): (usize, &(f64, f64))| {
            let marks = vec![Some(Point { x: *x, y: *y }), Some(Point { x: 5.0, y: 6.0 })];
            let image = format!("{index}.png");
            Record::new(Path::new(&image), PixelSource::File(image.clone().into()), marks, image.clone())
        };
        ParsedDataset {
            name: String::new(),
            landmarks: vec!["Me".into(), "S".into()],
            observer_mre: None,
            records: points.iter().enumerate().map(record).collect(),
            notes: vec![],
        }
    }

    fn missing_of(points: &[(f64, f64)], missing: Missing) -> (Vec<bool>, Vec<String>) {
        let mut set = parsed(points);
        settle(&mut set, &Options { missing, ..Options::default() }).unwrap();
        (set.records.iter().map(|record| record.landmarks[0].is_none()).collect(), set.notes)
    }

    #[test]
    fn positions_that_cannot_be_landmarks_are_missing_and_counted() {
        // The third is (−1, −1) of a tool that counts from the corner, less ½.
        let points =
            [(0.0, 0.0), (-1.0, -1.0), (-1.5, -1.5), (-9999.0, -9999.0), (0.0, 7.0), (-3.0, -3.0), (40.0, 40.0)];
        let (missing, notes) = missing_of(&points, Missing::Usual);
        assert_eq!(missing, [true, true, true, true, false, false, false]);
        assert!(notes[0].contains("2 landmarks at (-1, -1)") && notes[0].contains("(Me 2)"), "{notes:?}");
        assert!(notes.iter().any(|note| note.contains("1 landmarks at (0, 0)")), "{notes:?}");
        assert_eq!(missing_of(&points, Missing::Never), (vec![false; 7], vec![]));
        let marks = Missing::Marks { numbers: vec![40.0], words: vec![] };
        assert_eq!(missing_of(&points, marks).0, [false, false, false, false, false, false, true]);
    }

    #[test]
    fn images_with_nothing_left_are_left_out() {
        let mut set = parsed(&[(0.0, 0.0), (4.0, 4.0)]);
        set.records[0].landmarks[1] = None;
        settle(&mut set, &Options::default()).unwrap();
        assert_eq!(set.records.len(), 1);
        assert!(set.notes[1].contains("1 images have no landmark left"), "{:?}", set.notes);
    }
}
