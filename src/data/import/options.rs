//! Options by which the user completes or corrects a source.

use std::path::PathBuf;

use sweep_core::error::{Error, Result};
use sweep_core::units::Spacing;

use super::observers::Truth;
use super::origin::Origin;
use crate::Channels;
use crate::picture::GreyRange;

/// The user's additions to a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The data set's name, if not the source's.
    pub name: Option<String>,
    /// Size of every image's pixels, whatever the source says.
    pub spacing: Option<Spacing>,
    /// The observer whose landmarks count, where there are two.
    pub truth: Truth,
    /// Share of the training images that validate, where the source has none that do.
    pub val_fraction: f64,
    /// Which ones.
    pub seed: u64,
    /// The fold of cross-validation lists.
    pub fold: Option<usize>,
    /// The category (class, object) whose points are the landmarks, where a source has several.
    pub category: Option<String>,
    /// Where positions are counted from, whatever the tool does.
    pub origin: Option<Origin>,
    /// Columns of tables: the name that an importer looks for, and the name that the header has instead.
    pub columns: Vec<(String, String)>,
    /// Whether y is counted upwards from the image's lower edge, whatever the format's tool does.
    pub y_up: Option<bool>,
    /// How missing landmarks are written.
    pub missing: Missing,
    /// The unit of positions, whatever the format's is.
    pub unit: Option<PositionUnit>,
    /// Landmarks' names in the source, and the names they get.
    pub rename: Vec<(String, String)>,
    /// A regular expression whose first group, or else whose match, in an image's path is the group of the image: splits
    /// keep a group together.
    pub group: Option<String>,
    /// Whether splits that the source says do not count.
    pub no_split: bool,
    /// Whether rows and images with an error are left out, counted and listed.
    pub skip_bad: bool,
    /// Whether images in colour are written in colour.
    pub channels: Channels,
    /// The values of images of more than 8 bits that become black and white, if not found from all of them.
    pub grey: Option<GreyRange>,
    /// The sheet of a workbook, if not the first.
    pub sheet: Option<String>,
    /// The observer whose rows count, of a table with a column of observers; without it, all of them.
    pub observer: Option<String>,
    /// The same images as marked by a second observer, in any format.
    pub second: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: None,
            spacing: None,
            truth: Truth::default(),
            val_fraction: 0.2,
            seed: 0,
            fold: None,
            category: None,
            origin: None,
            columns: Vec::new(),
            y_up: None,
            missing: Missing::default(),
            unit: None,
            rename: Vec::new(),
            group: None,
            no_split: false,
            skip_bad: false,
            channels: Channels::Grey,
            grey: None,
            sheet: None,
            observer: None,
            second: None,
        }
    }
}

/// Which positions, or which words in a table, say that a landmark is missing.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Missing {
    /// (0, 0), (−1, −1) and the like, which are no landmarks: a note counts them.
    #[default]
    Usual,
    /// None: every position counts.
    Never,
    /// These alone: both coordinates are one of the numbers, or a cell is one of the words.
    Marks {
        /// Values of both coordinates.
        numbers: Vec<f64>,
        /// Content of a cell, in whatever case.
        words: Vec<String>,
    },
}

impl Missing {
    /// Of `none`, or numbers and words parted by commas.
    ///
    /// # Errors
    /// When there is no value.
    pub fn parse(text: &str) -> Result<Self> {
        if text.trim().eq_ignore_ascii_case("none") {
            return Ok(Self::Never);
        }
        let (mut numbers, mut words) = (Vec::new(), Vec::new());
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word.parse::<f64>() {
                Ok(number) if number.is_finite() => numbers.push(number),
                _ => words.push(word.to_lowercase()),
            }
        }
        if numbers.is_empty() && words.is_empty() {
            return Err(Error::input("no value").at("--missing").remedy("write for example -1, or none"));
        }
        Ok(Self::Marks { numbers, words })
    }

    /// Words that stand for a missing number in a table, in lower case.
    pub(super) fn words(&self) -> &[String] {
        match self {
            Self::Marks { words, .. } => words,
            Self::Usual | Self::Never => &[],
        }
    }
}

/// Units of positions that a user can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PositionUnit {
    /// Pixels of the image.
    Pixels,
    /// Millimetres.
    Millimetres,
    /// Percent of the image's width and height.
    Percent,
    /// Shares of the image's width and height, 0 to 1.
    Relative,
}

impl PositionUnit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pixels, Self::Millimetres, Self::Percent, Self::Relative];

    /// Name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pixels => "px",
            Self::Millimetres => "mm",
            Self::Percent => "percent",
            Self::Relative => "relative",
        }
    }
}

/// A column of a table by the user's word, `image=FILE`.
///
/// # Errors
/// When there is no `=` with a name on both sides.
pub fn column_of(text: &str) -> Result<(String, String)> {
    match text.split_once('=').map(|(name, header)| (name.trim(), header.trim())) {
        Some((name, header)) if !name.is_empty() && !header.is_empty() => Ok((name.to_owned(), header.to_owned())),
        _ => Err(Error::input(format!("`{text}` does not name a column"))
            .at("--columns")
            .remedy("write NAME=HEADER, for example image=FILE,x=X,y=Y")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_missing_landmarks_are_numbers_or_words() {
        assert_eq!(Missing::parse("none").unwrap(), Missing::Never);
        let marks = Missing::Marks { numbers: vec![-1.0, 9999.0], words: vec!["x".into()] };
        assert_eq!(Missing::parse("-1, X,9999").unwrap(), marks);
        assert_eq!(Missing::parse(" , ").unwrap_err().location.as_deref(), Some("--missing"));
    }

    #[test]
    fn columns_are_name_and_header() {
        assert_eq!(column_of("image = FILE").unwrap(), ("image".into(), "FILE".into()));
        assert!(column_of("image").is_err() && column_of("=x").is_err());
    }
}
