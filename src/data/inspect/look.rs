//! What is kept of an image that was looked at: its size, its greys, and what it is recognised by.

use std::path::Path;

use super::fingerprint::Fingerprint;
use crate::Sample;
use sweep_core::error::Result;
use sweep_core::units::Size;

/// An image in a few numbers.
#[derive(Debug, Clone)]
pub struct Look {
    /// Its size in pixels.
    pub size: Size,
    /// The least and the greatest grey value.
    pub range: [u8; 2],
    /// The grey values that a hundredth of the pixels lie below and above.
    pub central: [u8; 2],
    /// Equal for images whose pixels are.
    pub(super) digest: [u8; 32],
    /// `None` of an image that shows nothing.
    pub(super) fingerprint: Option<Fingerprint>,
}

/// Where all greys but a hundredth at either end are this near, there is nothing to see.
const FLAT: u8 = 8;

impl Look {
    /// TtaViews at an image.
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
        let mut look = Self {
            size: sample.size,
            range: [above(0), above(total - 1)],
            central,
            digest: *hasher.finalize().as_bytes(),
            fingerprint: None,
        };
        look.fingerprint = (!look.is_flat()).then(|| Fingerprint::of(sample));
        look
    }

    /// Whether there is nothing to see on it.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        self.central[1] - self.central[0] <= FLAT
    }
}

/// An image of a data set: what its row says, and what was seen of it.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its row.
    pub entry: crate::folder::Entry,
    /// What was seen, or why nothing was.
    pub look: Result<Look>,
}

/// The last part of a path, which says enough in a line about one data set.
pub(super) fn file(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
