//! Hashes of what data sets hold.

use crate::dataset::Split;
use crate::normalise::{BoxReference, Normaliser, Reference};
use sweep_core::units::{Point, Spacing};

/// Feeds a hash field by field; lengths go before contents, so that no two lists of fields spell the same bytes.
pub(crate) struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    pub(crate) fn new(purpose: &str) -> Self {
        Self(blake3::Hasher::new_derive_key(purpose))
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// Landmark names.
    pub(crate) fn names(&mut self, landmarks: &[String]) {
        self.number(landmarks.len() as u64);
        for name in landmarks {
            self.bytes(name.as_bytes());
        }
    }

    /// An image's name, split, spacing and landmarks; `content` is a hash of its bytes.
    pub(crate) fn image(
        &mut self,
        name: &str,
        split: Option<Split>,
        content: &blake3::Hash,
        spacing: Option<Spacing>,
        landmarks: &[Option<Point>],
    ) {
        self.bytes(name.as_bytes());
        if let Some(split) = split {
            self.bytes(split.name().as_bytes());
        }
        self.bytes(content.as_bytes());
        match spacing {
            Some(spacing) => {
                self.real(spacing.x);
                self.real(spacing.y);
            }
            None => self.bytes(&[]),
        }
        for point in landmarks {
            // Its length tells a missing landmark from any other.
            match point {
                Some(point) => {
                    self.real(point.x);
                    self.real(point.y);
                }
                None => self.bytes(&[]),
            }
        }
    }

    /// The reference lengths, if stated.
    pub(crate) fn normaliser(&mut self, normaliser: Option<&Normaliser>) {
        match normaliser.map(|normaliser| &normaliser.by) {
            Some(Reference::Landmarks(both)) => {
                self.bytes(b"normalised by two landmarks");
                for name in both {
                    self.bytes(name.as_bytes());
                }
            }
            Some(Reference::Box(BoxReference::BoundingBox)) => self.bytes(b"normalised by the bounding box"),
            None => {}
        }
    }

    pub(crate) fn real(&mut self, number: f64) {
        self.bytes(&number.to_le_bytes());
    }

    pub(crate) fn hash(&self) -> blake3::Hash {
        self.0.finalize()
    }

    /// Hexadecimal.
    pub(crate) fn finish(&self) -> String {
        self.hash().to_hex().to_string()
    }
}

/// A hash (hexadecimal) of which images train and which validate, by their names.
#[must_use]
pub fn split_hash<'a>(images: impl IntoIterator<Item = (&'a str, Split)>) -> String {
    let mut fields = ContentHasher::new("landmark-sweep 2026 which images train");
    for (image, split) in images.into_iter().filter(|(_, split)| *split != Split::Test) {
        fields.bytes(image.as_bytes());
        fields.bytes(split.name().as_bytes());
    }
    fields.finish()
}
