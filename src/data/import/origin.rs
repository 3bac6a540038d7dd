//! Where a tool starts to count pixels.

use sweep_core::error::Result;
use sweep_core::units::Point;

use super::parsed::position;

/// The place that has the coordinates 0, 0 (or 1, 1). Data sets here count from the first pixel's centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The first pixel's centre is 0, 0.
    Centre,
    /// The first pixel's upper left corner is 0, 0, so that its centre is ½, ½.
    Corner,
    /// The first pixel's centre is 1, 1.
    One,
}

impl Origin {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Centre, Self::Corner, Self::One];

    /// Name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Centre => "centre",
            Self::Corner => "corner",
            Self::One => "one",
        }
    }

    /// Both coordinates of the first pixel's centre.
    pub(super) fn first(self) -> f64 {
        match self {
            Self::Centre => 0.0,
            Self::Corner => 0.5,
            Self::One => 1.0,
        }
    }

    /// The position here of one that the tool counts from this origin.
    pub(super) fn position(self, x: f64, y: f64) -> Result<Point> {
        position(x - self.first(), y - self.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pixels_centre_is_zero() {
        for (origin, first) in [(Origin::Centre, 0.0), (Origin::Corner, 0.5), (Origin::One, 1.0)] {
            assert_eq!(origin.position(first, first + 2.0).unwrap(), Point { x: 0.0, y: 2.0 }, "{}", origin.name());
        }
        assert!(Origin::Centre.position(f64::NAN, 0.0).is_err());
    }
}
