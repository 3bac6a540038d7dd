//! The unit of a data set's errors.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Pixels that stand for a millimetre where a threshold in pixels has no example in the field. Thresholds are made for heads on
/// radiographs; four pixels for one millimetre is a head of 250 mm on an image of 1000 pixels.
const PIXELS_FOR_MILLIMETRE: f64 = 4.0;

/// The unit that a data set's landmark errors are measured in. Every data set has one unit; units never mix in a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorUnit {
    /// The size of every image's pixels is known.
    #[default]
    #[serde(rename = "mm")]
    Millimetres,
    /// It is not: errors are pixels of the original image.
    #[serde(rename = "px")]
    Pixels,
}

impl ErrorUnit {
    /// Symbol: `mm` or `px`.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Millimetres => "mm",
            Self::Pixels => "px",
        }
    }

    /// Name in sentences: `millimetres` or `pixels`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Millimetres => "millimetres",
            Self::Pixels => "pixels",
        }
    }

    /// Whether it is the default, which files need not say.
    #[must_use]
    pub fn is_millimetres(&self) -> bool {
        *self == Self::Millimetres
    }

    /// Radii of the success detection rates. Millimetres: those of the ISBI challenges (Wang et al., Medical Image Analysis 31,
    /// 2016). Pixels: the larger ones of TAP-Vid's 1, 2, 4, 8 and 16 px (Doersch et al., `NeurIPS` 2022).
    #[must_use]
    pub fn radii(self) -> [f64; 4] {
        match self {
            Self::Millimetres => [2.0, 2.5, 3.0, 4.0],
            Self::Pixels => [2.0, 4.0, 8.0, 16.0],
        }
    }

    /// A threshold that is known in millimetres, in this unit.
    #[must_use]
    pub fn threshold(self, mm: f64) -> f64 {
        match self {
            Self::Millimetres => mm,
            Self::Pixels => PIXELS_FOR_MILLIMETRE * mm,
        }
    }

    /// A landmark with an error above this was not found at all: 10 mm or 40 px.
    #[must_use]
    pub fn gross(self) -> f64 {
        self.threshold(10.0)
    }

    /// Default margin of the regression gate: 0.1 mm or 0.4 px.
    #[must_use]
    pub fn margin(self) -> f64 {
        self.threshold(0.1)
    }
}

/// Its symbol.
impl fmt::Display for ErrorUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_has_its_own_thresholds() {
        let all = [ErrorUnit::Millimetres, ErrorUnit::Pixels];
        assert_eq!(all.map(ErrorUnit::symbol), ["mm", "px"]);
        assert_eq!(all.map(ErrorUnit::radii), [[2.0, 2.5, 3.0, 4.0], [2.0, 4.0, 8.0, 16.0]]);
        assert_eq!(all.map(ErrorUnit::gross).map(|gross| gross as u32), [10, 40]);
        let json = serde_json::to_string(&all).unwrap();
        assert_eq!(json, r#"["mm","px"]"#);
        assert_eq!(serde_json::from_str::<Vec<ErrorUnit>>(&json).unwrap(), all);
    }
}
