//! Several observers in one table, told apart by a column.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sweep_core::error::{Error, Result};
use sweep_core::units::{Millimetres, Point, Spacing};

use super::cells::{Cells, OBSERVER, line};
use super::tree::Tree;
use super::{Format, Options, ParsedDataset, PixelSource, Record, workbook};
use crate::Split;

/// Names of the observers in a table's column, in the order they appear; none of other formats, and where the user names one.
///
/// # Errors
/// When the user names one who is not there, or a table cannot be read.
pub(super) fn names(tree: &Tree, format: Format, options: &Options) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    if !format.importer().is_table {
        return Ok(names);
    }
    // Bad rows are listed when the table is read for its landmarks.
    let all = Options { observer: None, skip_bad: true, ..options.clone() };
    let all = Tree::open(&tree.source(), &all)?;
    let files: Vec<&Path> = match format {
        Format::Excel => workbook::ENDINGS.iter().flat_map(|ending| all.annotations(ending)).collect(),
        _ => all.annotations("csv"),
    };
    for file in files {
        if Cells::header(&all, file).is_none_or(|header| header.column(&OBSERVER).is_none()) {
            continue;
        }
        let at = |e: Error| e.at(all.path(file).display());
        let cells = Cells::open(&all, file).map_err(at)?;
        let Some(column) = cells.column(&OBSERVER) else { continue };
        for (number, row) in &cells.rows {
            let name = row.get(column).unwrap_or_default();
            if name.is_empty() {
                return Err(at(Error::input("nobody is named")
                    .at(format!("{}: {}", line(*number), cells.column_label(column)))
                    .remedy("name the observer in every row, or remove the column")));
            }
            if !names.iter().any(|other| other == name) {
                names.push(name.to_owned());
            }
        }
    }
    match &options.observer {
        Some(wanted) if !names.contains(wanted) => {
            let list = if names.is_empty() { "there is no column `observer`".into() } else { names.join(", ") };
            Err(Error::input(format!("no row is by an observer {wanted}")).at("--observer").remedy(list))
        }
        Some(_) => Ok(Vec::new()),
        None => Ok(names),
    }
}

/// The observers' marks of an image.
struct Marks {
    record: Record,
    /// Landmarks by name, of each observer.
    by: Vec<BTreeMap<String, Point>>,
}

/// One data set of what observers marked on the same images: a landmark is the mean of those who marked the image, and missing
/// where one of them left it out.
///
/// # Errors
/// When what they say of an image differs in more than its landmarks.
pub(super) fn join(all: Vec<(String, ParsedDataset)>, options: &Options) -> Result<ParsedDataset> {
    let names: Vec<String> = all.iter().map(|(name, _)| name.clone()).collect();
    let mut joined = ParsedDataset {
        name: all.first().map(|(_, parsed)| format!("{}-mean", parsed.name)).unwrap_or_default(),
        landmarks: Vec::new(),
        observer_mre: None,
        records: Vec::new(),
        notes: Vec::new(),
    };
    let mut images: Vec<Marks> = Vec::new();
    let mut places: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for (_, parsed) in all {
        for name in &parsed.landmarks {
            if !joined.landmarks.contains(name) {
                joined.landmarks.push(name.clone());
            }
        }
        for note in parsed.notes {
            if !joined.notes.contains(&note) {
                joined.notes.push(note);
            }
        }
        for mut record in parsed.records {
            let points = std::mem::take(&mut record.landmarks);
            let marks = parsed.landmarks.iter().cloned().zip(points).filter_map(|(name, point)| Some((name, point?)));
            let (PixelSource::File(path) | PixelSource::Labelme(path) | PixelSource::Slice { stack: path, .. }) =
                &record.source;
            let index = *places.entry(path.clone()).or_insert(images.len());
            match images.get_mut(index) {
                Some(image) if is_same(&image.record, &record) => image.by.push(marks.collect()),
                Some(image) => {
                    return Err(Error::input(format!(
                        "split, patient or spacing differ from {}",
                        image.record.location
                    ))
                    .at(&record.location)
                    .remedy("say the same in every row of an image"));
                }
                None => images.push(Marks { by: vec![marks.collect()], record }),
            }
        }
    }
    let several = images.iter().filter(|image| image.by.len() > 1).count();
    joined.observer_mre = error_of_one(&images, options.spacing);
    let mut incomplete = 0;
    for Marks { record, by } in images {
        let landmarks = joined.landmarks.iter().map(|name| {
            let points: Vec<Point> = by.iter().filter_map(|marks| marks.get(name).copied()).collect();
            incomplete += usize::from(!points.is_empty() && points.len() < by.len());
            (points.len() == by.len()).then(|| mean(&points))
        });
        let landmarks = landmarks.collect();
        joined.records.push(Record { landmarks, ..record });
    }
    let left_out = if incomplete > 0 {
        format!("; {incomplete} landmarks that one of them left out are missing")
    } else {
        String::new()
    };
    joined.notes.push(format!(
        "{} observers ({}): landmarks are their mean, on {several} images of several{left_out}; --observer NAME takes one",
        names.len(),
        names.join(", ")
    ));
    Ok(joined)
}

/// Whether two rows say the same of an image but for its landmarks.
fn is_same(a: &Record, b: &Record) -> bool {
    (a.split, &a.patient, a.spacing) == (b.split, &b.patient, b.spacing)
}

fn mean(points: &[Point]) -> Point {
    let count = points.len() as f64;
    Point { x: points.iter().map(|p| p.x).sum::<f64>() / count, y: points.iter().map(|p| p.y).sum::<f64>() / count }
}

/// Mean distance of an observer from the mean of all, over validation images if there are any.
fn error_of_one(images: &[Marks], spacing: Option<Spacing>) -> Option<Millimetres> {
    let is_judged = images.iter().any(|image| image.record.split == Some(Split::Val));
    let (mut sum, mut count) = (0.0, 0usize);
    for image in images.iter().filter(|image| image.by.len() > 1) {
        if is_judged && image.record.split != Some(Split::Val) {
            continue;
        }
        let Some(spacing) = spacing.or(image.record.spacing) else { continue };
        for name in image.by[0].keys() {
            let points: Vec<Point> = image.by.iter().filter_map(|marks| marks.get(name).copied()).collect();
            if points.len() == image.by.len() {
                let middle = mean(&points);
                sum += points.iter().map(|p| spacing.distance(*p, middle).0).sum::<f64>();
                count += points.len();
            }
        }
    }
    (count > 0).then(|| Millimetres(sum / count as f64))
}

#[cfg(test)]
mod tests {
    use super::super::test_source::{assert_says, points, source};
    use super::super::{Options, read};
    use sweep_core::units::Spacing;

    const LONG: &str = "image,landmark,x,y,observer\n\
                        0.png,S,10,10,anna\n0.png,N,20,10,anna\n1.png,S,11,10,anna\n\
                        0.png,S,12,10,ben\n0.png,N,20,14,ben\n1.png,S,11,16,ben\n1.png,N,30,30,ben\n\
                        0.png,S,14,10,cleo\n0.png,N,20,12,cleo\n2.png,S,5,6,cleo\n";
    const IMAGES: [(&str, &str); 3] = [("0.png", ""), ("1.png", ""), ("2.png", "")];

    fn options() -> Options {
        Options { spacing: Some(Spacing { x: 0.5, y: 0.5 }), ..Options::default() }
    }

    fn parsed(table: &str, options: &Options) -> sweep_core::error::Result<super::ParsedDataset> {
        let root = source(&[&IMAGES[..], &[("marks.csv", table)]].concat());
        read(root.path(), None, options)
    }

    #[test]
    fn a_landmark_is_the_mean_of_the_observers_and_one_can_be_taken() {
        let all = parsed(LONG, &options()).unwrap();
        assert_eq!(points(&all, "0.png"), [Some((12.0, 10.0)), Some((20.0, 12.0))]);
        // Anna left N of 1.png out; 2.png was marked by Cleo alone.
        assert_eq!(points(&all, "1.png"), [Some((11.0, 13.0)), None]);
        assert_eq!(points(&all, "2.png"), [Some((5.0, 6.0)), None]);
        // 2 + 0 + 2 px and 2 + 2 + 0 px on 0.png, 3 + 3 px on 1.png: 14 px over 8 marks, of half a millimetre.
        assert!((all.observer_mre.unwrap().0 - 14.0 / 8.0 * 0.5).abs() < 1e-12, "{:?}", all.observer_mre);
        assert!(all.name.ends_with("-mean"), "{}", all.name);
        let note = all.notes.iter().find(|note| note.starts_with("3 observers (anna, ben, cleo)")).unwrap();
        assert_says(note, &["on 2 images of several", "1 landmarks that one of them left out"]);
        assert!(!all.notes.iter().any(|note| note.contains("not read")), "{:?}", all.notes);
        let ben = parsed(LONG, &Options { observer: Some("ben".into()), ..options() }).unwrap();
        assert_eq!(points(&ben, "0.png"), [Some((12.0, 10.0)), Some((20.0, 14.0))]);
        assert!(ben.observer_mre.is_none() && ben.records.len() == 2);
    }

    #[test]
    fn tables_with_a_row_per_image_have_observers_too() {
        let wide = "image;Annotator;S_x;S_y\n0.png;a;1;2\n0.png;b;3;2\n1.png;a;4;4\n1.png;b;4;8\n2.png;a;5;5\n";
        let all = parsed(wide, &options()).unwrap();
        assert_eq!(points(&all, "0.png"), [Some((2.0, 2.0))]);
        assert_eq!(points(&all, "1.png"), [Some((4.0, 6.0))]);
        // One observer is none to compare with.
        let one = parsed("image,observer,S_x,S_y\n0.png,a,1,2\n1.png,a,3,2\n", &options()).unwrap();
        assert!(one.observer_mre.is_none() && !one.name.ends_with("-mean"));
    }

    #[test]
    fn what_is_unclear_is_refused() {
        let error = |table: &str, options: &Options| parsed(table, options).unwrap_err().to_string();
        let nobody = LONG.replacen(",anna", ",", 1);
        assert_says(&error(&nobody, &options()), &["marks.csv", "line 2: column observer", "nobody is named"]);
        let wrong = Options { observer: Some("dora".into()), ..options() };
        assert_says(&error(LONG, &wrong), &["--observer", "anna, ben, cleo"]);
        let differs = "image,observer,patient,S_x,S_y\n0.png,a,p,1,2\n0.png,b,q,3,2\n1.png,a,r,4,4\n";
        assert_says(&error(differs, &options()), &["marks.csv: line 3", "differ from"]);
    }
}
