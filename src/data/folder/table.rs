//! The wide CSV of landmarks: `image,split,NAME_x,NAME_y,…`, a row per image.

use csv::StringRecord;

use crate::data::{Sample, Split, first_repeated};
use crate::error::{Error, Result};
use crate::units::{Point, Size, Spacing};

/// Columns of an image's own spacing.
pub(super) const SPACING: [&str; 2] = ["spacing_x_mm", "spacing_y_mm"];

/// What the CSV says.
#[derive(Debug)]
pub(super) struct Table {
    /// Landmark names, in the order of their x columns.
    pub(super) landmarks: Vec<String>,
    /// A row per image.
    pub(super) rows: Vec<Row>,
}

/// What it says of an image.
#[derive(Debug)]
pub(super) struct Row {
    /// The row's last line in the file, from 1.
    pub(super) line: u64,
    pub(super) image: String,
    pub(super) split: Split,
    pub(super) spacing: Spacing,
    pub(super) landmarks: Vec<Option<Point>>,
}

impl Row {
    /// The image's sample, given what its file holds.
    pub(super) fn sample(&self, size: Size, pixels: Vec<u8>) -> Sample {
        let (image, landmarks) = (self.image.clone(), self.landmarks.clone());
        Sample { image, split: self.split, size, pixels, landmarks, spacing: self.spacing }
    }
}

/// How errors name a line.
pub(super) fn place(line: u64) -> String {
    format!("line {line}")
}

/// Places of the columns.
struct Columns {
    image: usize,
    split: usize,
    spacing: Option<[usize; 2]>,
    landmarks: Vec<(String, [usize; 2])>,
}

/// Reads the text; `spacing` is what `dataset.toml` says of all images.
pub(super) fn parse(text: &str, spacing: Option<Spacing>) -> Result<Table> {
    // With a line end at the very end, the reader's line after a record is always the one below it.
    let text = text.replace("\r\n", "\n") + "\n";
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    let mut next = |record: &mut StringRecord| -> Result<Option<u64>> {
        let more = reader.read_record(record).map_err(|e| Error::input(format!("not CSV: {e}")))?;
        Ok(more.then(|| reader.position().line() - 1))
    };

    let line = next(&mut record)?.ok_or_else(|| {
        Error::input("the file is empty")
            .remedy("its first line is image,split,NAME_x,NAME_y,… for every landmark NAME")
    })?;
    let header = record.clone();
    let columns = Columns::find(&header, spacing.is_some()).map_err(|e| e.at(place(line)))?;
    let mut rows = Vec::new();
    while let Some(line) = next(&mut record)? {
        if record.len() != header.len() {
            return Err(Error::input(format!("{} cells under {} columns", record.len(), header.len()))
                .at(place(line))
                .remedy("give every column a cell; leave both cells of a missing landmark empty"));
        }
        rows.push(columns.row(&header, &record, line, spacing).map_err(|e| e.at(place(line)))?);
    }
    if rows.is_empty() {
        return Err(Error::input("there are no rows").remedy("add a row per image"));
    }
    Ok(Table { landmarks: columns.landmarks.into_iter().map(|(name, _)| name).collect(), rows })
}

impl Columns {
    fn find(header: &StringRecord, spacing_known: bool) -> Result<Self> {
        let find = |name: &str| header.iter().position(|column| column == name);
        if let Some(column) = first_repeated(header.iter()) {
            return Err(Error::input(format!("two columns are called `{column}`")).remedy("rename or remove one"));
        }
        let need = |name: &str| {
            find(name).ok_or_else(|| {
                Error::input(format!("there is no column `{name}`"))
                    .remedy("the columns are image,split,NAME_x,NAME_y,… separated by commas")
            })
        };
        let (image, split) = (need("image")?, need("split")?);

        let spacing = match SPACING.map(find) {
            [Some(x), Some(y)] => Some([x, y]),
            [None, None] => None,
            _ => {
                return Err(Error::input("spacing of one axis only")
                    .remedy("have both columns, spacing_x_mm and spacing_y_mm, or neither"));
            }
        };
        if spacing.is_some() == spacing_known {
            let what = if spacing_known { "spacing is said twice" } else { "the size of a pixel is not said" };
            return Err(Error::input(what).remedy(
                "either spacing_mm = { x = …, y = … } (mm per pixel) in dataset.toml, or columns spacing_x_mm and spacing_y_mm",
            ));
        }

        let mut landmarks = Vec::new();
        for (place, column) in header.iter().enumerate() {
            if ["image", "split"].contains(&column) || SPACING.contains(&column) {
                continue;
            }
            let unknown = || {
                Error::input(format!("unknown column `{column}`")).remedy(
                    "beside image, split and spacing_x_mm, spacing_y_mm there are NAME_x and NAME_y of landmarks",
                )
            };
            let (name, axis) = column.rsplit_once('_').filter(|(name, _)| !name.is_empty()).ok_or_else(unknown)?;
            let other = match axis {
                "x" => format!("{name}_y"),
                "y" => format!("{name}_x"),
                _ => return Err(unknown()),
            };
            let Some(partner) = find(&other) else {
                return Err(
                    Error::input(format!("column `{column}` without `{other}`")).remedy(format!("add `{other}`"))
                );
            };
            if axis == "x" {
                landmarks.push((name.to_owned(), [place, partner]));
            }
        }
        if landmarks.is_empty() {
            return Err(Error::input("there are no landmarks").remedy("add columns NAME_x and NAME_y for each"));
        }
        Ok(Self { image, split, spacing, landmarks })
    }

    fn row(&self, header: &StringRecord, cells: &StringRecord, line: u64, shared: Option<Spacing>) -> Result<Row> {
        let image = cells[self.image].to_owned();
        if image.is_empty() {
            return Err(Error::input("no image is named").at("column image").remedy("write the image's file name"));
        }
        let split = Split::ALL.into_iter().find(|s| s.name() == &cells[self.split]).ok_or_else(|| {
            Error::input(format!("unknown split `{}`", &cells[self.split]))
                .at("column split")
                .remedy("write train, val or test")
        })?;
        let number = |column: usize, remedy: &str| match cells[column].parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(Error::input(format!("`{}` is not a number", &cells[column]))
                .at(format!("column {}", &header[column]))
                .remedy(remedy)),
        };
        let own = self.spacing.map(|[x, y]| {
            let positive = |column: usize| {
                let remedy = "write the millimetres per pixel of this image, above 0";
                match number(column, remedy)? {
                    value if value > 0.0 => Ok(value),
                    value => Err(Error::input(format!("spacing must be positive, not {value}"))
                        .at(format!("column {}", &header[column]))
                        .remedy(remedy)),
                }
            };
            Ok::<_, Error>(Spacing { x: positive(x)?, y: positive(y)? })
        });
        let spacing = own.transpose()?.or(shared).ok_or_else(|| Error::input("no spacing"))?;
        let landmarks = self.landmarks.iter().map(|(name, [x, y])| {
            let pixel = |column| {
                number(
                    column,
                    "write a pixel coordinate such as 274.5, or leave the cell empty where the landmark is missing",
                )
            };
            match (cells[*x].is_empty(), cells[*y].is_empty()) {
                (true, true) => Ok(None),
                (false, false) => Ok(Some(Point { x: pixel(*x)?, y: pixel(*y)? })),
                (empty, _) => {
                    let (has, lacks) = if empty { ("y", "x") } else { ("x", "y") };
                    Err(Error::input(format!("landmark {name} has an {has} but no {lacks}"))
                        .at(format!("column {name}_{lacks}"))
                        .remedy("fill both cells, or leave both empty where the landmark is missing"))
                }
            }
        });
        Ok(Row { line, spacing, split, landmarks: landmarks.collect::<Result<_>>()?, image })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_an_editor_does() {
        for (text, line) in [
            ("image,split,a_x,a_y\n1.png,train,1,2\n2.png,val,x,2", 3),
            ("image,split,a_x,a_y\r\n1.png,train,1,2\r\n2.png,val,x,2\r\n", 3),
            ("image,split,a_x,a_y\n\n1.png,train,1,2\n\n\n2.png,val,x,2\n3.png,val,1,2\n", 6),
        ] {
            let error = parse(text, Some(Spacing { x: 1.0, y: 1.0 })).unwrap_err();
            assert_eq!(error.place, Some(format!("line {line}: column a_x")), "{text:?}");
        }
    }

    #[test]
    fn columns_may_stand_in_any_order() {
        let text = "b_y, a_x,split,spacing_y_mm,image,b_x,a_y,spacing_x_mm\n4, 1,val,0.25,1.png,3,2,0.5\n";
        let table = parse(text, None).unwrap();
        assert_eq!(table.landmarks, ["a", "b"]);
        let row = &table.rows[0];
        assert_eq!(row.landmarks, [Some(Point { x: 1.0, y: 2.0 }), Some(Point { x: 3.0, y: 4.0 })]);
        assert_eq!((row.line, row.spacing), (2, Spacing { x: 0.5, y: 0.25 }));
    }
}
