//! Columns of a landmark in a table with a row per image.

use std::collections::BTreeMap;

use csv::StringRecord;

use sweep_core::error::Result;

use super::cells::{Cells, CommonColumns};

/// Words of a column that says whether a landmark is there.
pub(super) const VISIBLE: [&str; 5] = ["visible", "visibility", "v", "vis", "is_visible"];
/// Words of a column that says that a landmark is not there.
pub(super) const ABSENT: [&str; 3] = ["missing", "absent", "is_missing"];

/// A landmark and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Coordinates {
    pub(super) name: String,
    pub(super) x: usize,
    pub(super) y: usize,
    visible: Option<usize>,
    absent: Option<usize>,
}

impl Coordinates {
    pub(super) fn columns(&self) -> impl Iterator<Item = usize> {
        [Some(self.x), Some(self.y), self.visible, self.absent].into_iter().flatten()
    }

    /// Whether a column of visibility says that the landmark is missing.
    pub(super) fn is_invisible(&self, cells: &Cells, row: &StringRecord) -> Result<bool> {
        is_invisible(cells, row, self.visible, self.absent)
    }
}

/// Whether one of the columns, visible or absent, says that a landmark is missing.
pub(super) fn is_invisible(
    cells: &Cells,
    row: &StringRecord,
    visible: Option<usize>,
    absent: Option<usize>,
) -> Result<bool> {
    let flag = |column: Option<usize>| column.map_or(Ok(None), |column| cells.flag(row, column));
    Ok(flag(visible)? == Some(false) || flag(absent)? == Some(true))
}

/// Columns by name; by lower-case name only where that is one column's, so that `N_y` is never taken for `n_y`.
struct Names<'a> {
    exact: BTreeMap<&'a str, usize>,
    lower: BTreeMap<String, Vec<usize>>,
}

impl<'a> Names<'a> {
    fn of(header: &'a [String]) -> Self {
        let (mut exact, mut lower) = (BTreeMap::new(), BTreeMap::<String, Vec<usize>>::new());
        for (index, column) in header.iter().enumerate() {
            exact.entry(column.as_str()).or_insert(index);
            lower.entry(column.to_lowercase()).or_default().push(index);
        }
        Self { exact, lower }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.exact.get(name).copied()
    }

    /// The only column of this name in whatever case.
    fn alone(&self, name: &str) -> Option<usize> {
        let found = self.lower.get(&name.to_lowercase()).map(Vec::as_slice);
        if let Some([one]) = found { Some(*one) } else { None }
    }
}

/// Landmarks and their columns: `NAME_x` and `NAME_y`, also with a dot, a colon, a blank or a hyphen, `p1x` and `p1y`, `NameX`
/// and `NameY`, or `x_NAME` and `y_NAME`. Names that differ by case alone are different landmarks.
pub(super) fn pairs(cells: &Cells) -> Vec<Coordinates> {
    let known = CommonColumns::find(cells).ok();
    let names = Names::of(&cells.header);
    let mut pairs: Vec<Coordinates> = Vec::new();
    for (x, column) in cells.header.iter().enumerate() {
        if known.as_ref().is_some_and(|known| known.has(x)) {
            continue;
        }
        let Some(parts) = Parts::of(column) else { continue };
        // A second column of this name would get the first one's y.
        let same = names.find(column) == Some(x);
        let exact = same.then(|| parts.with(parts.y)).and_then(|name| names.find(&name));
        let other = || {
            let y = if parts.y == "y" { "Y" } else { "y" };
            let found = names.find(&parts.with(y)).or_else(|| names.alone(&parts.with("y")))?;
            // It is the other half of a column that is spelt like it.
            let own = Parts::with_axis(&cells.header[found], parts.is_suffix)?;
            let taken = ["x", "X"].iter().any(|axis| names.find(&own.with(axis)).is_some_and(|other| other != x));
            (!taken).then_some(found)
        };
        let Some(y) = exact.or_else(other) else { continue };
        let flag = |words: &[&str]| {
            let find = |word: &str| names.find(&parts.with(word));
            words
                .iter()
                .find_map(|word| find(word).or_else(|| find(&capital(word))).or_else(|| find(&word.to_uppercase())))
        };
        pairs.push(Coordinates {
            name: parts.name().to_owned(),
            x,
            y,
            visible: flag(&VISIBLE).filter(|column| *column != y),
            absent: flag(&ABSENT),
        });
    }
    pairs
}

/// A column's name without its axis.
struct Parts<'a> {
    /// With what parts it from the axis.
    rest: &'a str,
    is_suffix: bool,
    /// The other axis in this column's case.
    y: &'static str,
}

/// A word with a capital.
fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn parted(c: char) -> bool {
    matches!(c, '_' | '.' | ' ' | '-' | ':')
}

impl<'a> Parts<'a> {
    /// Of a column of x.
    fn of(column: &'a str) -> Option<Self> {
        if let Some(rest) = column.strip_suffix(['x', 'X']) {
            let is_capital = column.ends_with('X');
            let ends = rest.ends_with(|c: char| parted(c) || c.is_ascii_digit() || (is_capital && c.is_lowercase()));
            if ends && !rest.trim_end_matches(parted).is_empty() {
                return Some(Self { rest, is_suffix: true, y: if is_capital { "Y" } else { "y" } });
            }
        }
        let rest = column.strip_prefix(['x', 'X'])?;
        let starts = rest.starts_with(|c: char| parted(c) || c.is_ascii_digit());
        let y = if column.starts_with('X') { "Y" } else { "y" };
        (starts && !rest.trim_start_matches(parted).is_empty()).then_some(Self { rest, is_suffix: false, y })
    }

    /// Of a column of any axis.
    fn with_axis(column: &'a str, is_suffix: bool) -> Option<Self> {
        let axes = ['x', 'X', 'y', 'Y'];
        let rest = if is_suffix { column.strip_suffix(axes) } else { column.strip_prefix(axes) };
        rest.map(|rest| Self { rest, is_suffix, y: "y" })
    }

    fn with(&self, axis: &str) -> String {
        if self.is_suffix { format!("{}{axis}", self.rest) } else { format!("{axis}{}", self.rest) }
    }

    fn name(&self) -> &'a str {
        if self.is_suffix { self.rest.trim_end_matches(parted) } else { self.rest.trim_start_matches(parted) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(header: &str) -> Vec<(String, usize, usize, Option<usize>)> {
        let cells = Cells::read(header).unwrap();
        pairs(&cells).into_iter().map(|pair| (pair.name, pair.x, pair.y, pair.visible.or(pair.absent))).collect()
    }

    fn names(header: &str) -> Vec<(String, usize, usize)> {
        found(header).into_iter().map(|(name, x, y, _)| (name, x, y)).collect()
    }

    fn pair(name: &str, x: usize, y: usize) -> (String, usize, usize) {
        (name.to_owned(), x, y)
    }

    #[test]
    fn names_that_differ_by_case_keep_their_own_columns() {
        assert_eq!(names("image,N_x,N_y,n_x,n_y"), [pair("N", 1, 2), pair("n", 3, 4)]);
        assert_eq!(names("image,n_x,N_x,N_y,n_y"), [pair("n", 1, 4), pair("N", 2, 3)]);
        assert_eq!(names("image,N_x,n_y,n_x,N_y"), [pair("N", 1, 4), pair("n", 3, 2)]);
        // n has no y of its own, and N's is N's.
        assert_eq!(names("image,N_x,N_y,n_x"), [pair("N", 1, 2)]);
        assert_eq!(names("image,N_X,N_Y,n_x,n_y"), [pair("N", 1, 2), pair("n", 3, 4)]);
        assert_eq!(names("image,sella_x,Sella_Y"), [pair("sella", 1, 2)]);
        assert_eq!(names("image,S_X,S_y,p1x,p1y"), [pair("S", 1, 2), pair("p1", 3, 4)]);
        assert_eq!(names("image,x_a,y_a,x1,y1"), [pair("a", 1, 2), pair("1", 3, 4)]);
        assert_eq!(names("image,SellaX,SellaY,max,may"), [pair("Sella", 1, 2)]);
    }

    #[test]
    fn columns_of_visibility_belong_to_their_landmark() {
        let columns = found("image,N_x,N_y,N_v,n_x,n_y,S_x,S_y,S_visible,A_x,A_y,A_missing");
        let flags: Vec<_> = columns.into_iter().map(|(name, _, _, flag)| (name, flag)).collect();
        let flag = |name: &str, column| (name.to_owned(), column);
        assert_eq!(flags, [flag("N", Some(3)), flag("n", None), flag("S", Some(8)), flag("A", Some(11))]);
    }
}
