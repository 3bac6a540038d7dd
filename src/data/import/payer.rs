//! Payer's layout: a CSV without a header, `id,x1,y1,…` in millimetres, and lists of ids, one a line, in `train.txt`,
//! `test1.txt` and `test2.txt` or `cv/setN/{train,val}.txt`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Split;
use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Spacing};

use super::cells::{Cells, line};
use super::observers::{Marks, error_of_one};
use super::parsed::{ParsedDataset, PixelSource, Record, position};
use super::tree::Tree;
use super::{Frame, Importer, Options, Origin, Unit};

pub(super) const IMPORTER: Importer = Importer {
    name: "payer",
    reads: "a CSV without header, `id,x1,y1,…` in mm (`junior.csv` and `senior.csv`: `--truth`), and lists of ids: \
            train.txt, test1.txt, test2.txt as train, val, test (never pooled), or with `--fold N` cv/setN/train.txt and \
            val.txt; spacing from the image files or `--spacing`",
    loses: "nothing; ids in no list are left out and counted",
    origin: Origin::Centre,
    leaves_origin: true,
    has_categories: false,
    is_table: false,
    recognizes: |tree| tree.annotations("csv").iter().any(|file| is_table(tree, file)),
    read,
};

/// The layout is read by ITK, which turns no picture, and written by hand from marks of viewers, which do.
const FRAME: Frame = Frame::Unknown;

/// A name and then pairs of numbers from the first line on.
fn is_table(tree: &Tree, file: &Path) -> bool {
    let Ok(text) = tree.head(file) else { return false };
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
    let Ok(cells) = Cells::without_header(&first) else { return false };
    let row = cells.rows.first().map(|(_, row)| row);
    row.is_some_and(|row| row.len() > 2 && row.len() % 2 == 1 && row.iter().skip(1).all(|c| c.parse::<f64>().is_ok()))
}

fn read(tree: &Tree, options: &Options) -> Result<ParsedDataset> {
    let tables: Vec<&Path> = tree.annotations("csv");
    let named = |name: &str| tables.iter().find(|file| file.file_stem().is_some_and(|stem| stem == name)).copied();
    let (junior, senior) = (named("junior"), named("senior"));
    let both = junior.zip(senior);
    let mut marks: BTreeMap<String, Marks> = BTreeMap::new();
    let mut locations = BTreeMap::new();
    let mut count = 0;
    let mut load = |file: &Path, store: &dyn Fn(&mut Marks, Vec<Option<Point>>)| {
        let rows = rows(tree, file).map_err(|e| e.at(tree.path(file).display()))?;
        for (number, id, points) in rows {
            count = points.len();
            let location = format!("{}: {}", tree.path(file).display(), line(number));
            locations.entry(id.clone()).or_insert(location);
            store(marks.entry(id).or_default(), points);
        }
        Ok::<_, Error>(count)
    };
    let landmarks = if let Some((junior, senior)) = both {
        let (a, b) = (
            load(junior, &|marks, points| marks.junior = Some(points))?,
            load(senior, &|marks, points| marks.senior = Some(points))?,
        );
        if a != b {
            return Err(Error::input(format!("{a} landmarks by the junior observer, {b} by the senior")));
        }
        a
    } else {
        let [only] = tables[..] else {
            return Err(Error::input(format!("{} tables of landmarks", tables.len()))
                .remedy("name the CSV file itself as the source"));
        };
        load(only, &|marks, points| (marks.junior, marks.senior) = (Some(points.clone()), Some(points)))?
    };
    let splits = lists(tree, options)?;
    let (mut records, mut observations, mut unlisted) = (Vec::new(), Vec::new(), 0);
    for (id, observed) in &marks {
        let split = splits.get(id).copied();
        if split.is_none() && !splits.is_empty() {
            unlisted += 1;
            continue;
        }
        let location = locations[id].clone();
        let image = tree.find(Path::new(""), id).map_err(|e| e.at(&location))?;
        let landmarks = options.truth.choose(observed).map_err(|e| e.at(&location))?;
        records.push(Record {
            split,
            unit: Unit::Millimetres,
            frame: FRAME,
            ..Record::new(&image, PixelSource::File(tree.path(&image)), landmarks, location)
        });
        observations.push((observed.clone(), split));
    }
    let mut notes = Vec::new();
    if unlisted > 0 {
        notes.push(format!("{unlisted} ids are in no list and were left out"));
    }
    // Positions are in millimetres already.
    let millimetre = Some(Spacing { x: 1.0, y: 1.0 });
    Ok(ParsedDataset {
        name: if both.is_some() { format!("{}-{}", tree.name(), options.truth.name()) } else { tree.name() },
        landmarks: (1..=landmarks).map(|number| number.to_string()).collect(),
        observer_mre: both.and_then(|_| error_of_one(&observations, |_| millimetre)),
        records,
        notes,
    })
}

/// A row's line, id and positions.
type PositionRow = (u64, String, Vec<Option<Point>>);

fn rows(tree: &Tree, file: &Path) -> Result<Vec<PositionRow>> {
    let cells = Cells::without_header(&tree.text(file)?)?;
    let length = cells.rows.first().map_or(0, |(_, row)| row.len());
    let mut found = Vec::new();
    let mut seen = BTreeMap::new();
    for (number, row) in &cells.rows {
        let at = |e: Error| e.at(line(*number));
        if row.len() != length {
            return Err(at(Error::input(format!("{} cells, {length} in the first line", row.len()))
                .remedy("an id, then x and y of every landmark")));
        }
        let points = (0..(length.saturating_sub(1)) / 2).map(|k| {
            let pair = (cells.number(row, 2 * k + 1)?, cells.number(row, 2 * k + 2)?);
            pair.0.zip(pair.1).map(|(x, y)| position(x, y)).transpose()
        });
        let id = row.get(0).unwrap_or_default().to_owned();
        if let Some(before) = seen.insert(id.clone(), *number) {
            return Err(at(Error::input(format!("id `{id}` stands in line {before} already"))));
        }
        found.push((*number, id, points.collect::<Result<_>>().map_err(at)?));
    }
    Ok(found)
}

/// Ids and their splits; none without lists.
fn lists(tree: &Tree, options: &Options) -> Result<BTreeMap<String, Split>> {
    let names: Vec<(String, Split)> = match options.fold {
        Some(fold) => {
            vec![(format!("cv/set{fold}/train.txt"), Split::Train), (format!("cv/set{fold}/val.txt"), Split::Val)]
        }
        None => vec![
            ("train.txt".into(), Split::Train),
            ("test1.txt".into(), Split::Val),
            ("test2.txt".into(), Split::Test),
            ("val.txt".into(), Split::Val),
            ("test.txt".into(), Split::Test),
        ],
    };
    let mut splits = BTreeMap::new();
    for (name, split) in &names {
        let is_list = |file: &&Path| file.ends_with(name) && (options.fold.is_some() || !is_of_fold(file));
        let found: Vec<&Path> = tree.files().filter(is_list).collect();
        let file = match found[..] {
            [] if options.fold.is_some() => {
                return Err(Error::input(format!("there is no list {name}")).remedy("folds are counted as in cv/setN"));
            }
            [] => continue,
            [one] => one,
            [a, b, ..] => {
                return Err(Error::input(format!("two lists, {} and {}", a.display(), b.display()))
                    .remedy("name the folder of one of them as the source"));
            }
        };
        for (number, id) in tree.text(file)?.lines().enumerate().filter(|(_, id)| !id.trim().is_empty()) {
            if splits.insert(id.trim().to_owned(), *split).is_some_and(|before| before != *split) {
                return Err(Error::input(format!("id `{}` is in two lists", id.trim()))
                    .at(format!("{}: {}", tree.path(file).display(), line(number as u64 + 1)))
                    .remedy("keep every id in one list"));
            }
        }
    }
    Ok(splits)
}

fn is_of_fold(file: &Path) -> bool {
    file.components().any(|c| c.as_os_str() == "cv")
}
