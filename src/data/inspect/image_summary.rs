//! Summary of an image: its size, its range of grey values, and a fingerprint.

use std::path::Path;

use super::fingerprint::Fingerprint;
use crate::Sample;
use sweep_core::error::Result;
use sweep_core::units::Size;

/// An image in a few numbers.
#[derive(Debug, Clone)]
pub struct ImageSummary {
    /// Its size in pixels.
    pub size: Size,
    /// The least and the greatest grey value.
    pub range: [u8; 2],
    /// The grey values that a hundredth of the pixels lie below and above.
    pub central: [u8; 2],
    /// Equal for images with equal pixels.
    pub(super) digest: [u8; 32],
    /// `None` for an image without contrast.
    pub(super) fingerprint: Option<Fingerprint>,
}

/// An image whose grey values, without a hundredth at either end, span no more than this has no contrast.
const FLAT: u8 = 8;

impl ImageSummary {
    /// Summarizes an image.
    #[must_use]
    pub fn of(sample: &Sample) -> Self {
        let mut counts = [0usize; 256];
        for grey in &sample.pixels {
            counts[usize::from(*grey)] += 1;
        }
        let total = sample.pixels.len();
        // The least grey that more than this many pixels do not exceed.
        let above = |passed: usize| -> u8 {
            let mut seen = 0;
            let reached = |count: &usize| {
                seen += count;
                seen > passed
            };
            counts.iter().position(reached).map_or(255, |grey| grey as u8)
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(sample.size.width as u64).to_le_bytes());
        hasher.update(&sample.pixels);
        let central = [above(total / 100), above(total - 1 - total / 100)];
        let mut summary = Self {
            size: sample.size,
            range: [above(0), above(total - 1)],
            central,
            digest: *hasher.finalize().as_bytes(),
            fingerprint: None,
        };
        summary.fingerprint = (!summary.is_flat()).then(|| Fingerprint::of(sample));
        summary
    }

    /// Whether it has no contrast.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        self.central[1] - self.central[0] <= FLAT
    }
}

/// An image of a data set: its row and its summary.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its row.
    pub row: crate::folder::SurveyedRow,
    /// Its summary, or why it could not be read.
    pub summary: Result<ImageSummary>,
}

/// The last part of a path, which says enough in a line about one data set.
pub(super) fn file(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
