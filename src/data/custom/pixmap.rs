//! Pixels of a registered data set's image: in a file, in memory, or from a function.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Channels;
use crate::content_hash::ContentHasher;
use crate::picture::{self, DeepGrey};
use crate::pictures::Photograph;
use sweep_core::error::Result;
use sweep_core::units::Size;

/// Reads an image when its pixels are needed.
type Reader = Arc<dyn Fn() -> Result<Photograph> + Send + Sync>;

/// The pixels of an image.
#[derive(Clone)]
pub enum Pixmap {
    /// In a file of a format that data-set folders may have.
    File(PathBuf),
    /// In memory.
    Grey(Arc<Photograph>),
    /// From a function, called when they are needed.
    Lazy {
        /// Bytes that identify the image's content, for example its hash, or a number and a date.
        content: Vec<u8>,
        /// Reads it.
        read: Reader,
    },
}

impl Pixmap {
    /// Grey values, row by row, 0 is black; or red, green and blue, a plane of each.
    #[must_use]
    pub fn grey(size: Size, pixels: Vec<u8>) -> Self {
        Self::Grey(Arc::new(Photograph { size, pixels }))
    }

    /// Read by `read` when they are needed; `content` must differ between different images.
    #[must_use]
    pub fn lazy(content: impl Into<Vec<u8>>, read: impl Fn() -> Result<Photograph> + Send + Sync + 'static) -> Self {
        Self::Lazy { content: content.into(), read: Arc::new(read) }
    }

    /// In grey or in colour, whatever it is stored in.
    pub(super) fn read(&self, channels: Channels) -> Result<Photograph> {
        match self {
            Self::File(path) => Ok(Photograph::open(path, DeepGrey::Own, channels)?.0),
            Self::Grey(grey) => Ok(grey.as_ref().clone().into_channels(channels)),
            Self::Lazy { read, .. } => Ok(read()?.into_channels(channels)),
        }
    }

    /// A hash of the bytes that identify it.
    pub(super) fn digest(&self) -> Result<blake3::Hash> {
        match self {
            Self::File(path) => picture::digest(path),
            Self::Grey(grey) => {
                let mut hasher = ContentHasher::new("landmark-sweep 2026 grey values");
                hasher.number(grey.size.height as u64);
                hasher.number(grey.size.width as u64);
                hasher.bytes(&grey.pixels);
                Ok(hasher.hash())
            }
            Self::Lazy { content, .. } => {
                let mut hasher = ContentHasher::new("landmark-sweep 2026 what tells an image from others");
                hasher.bytes(content);
                Ok(hasher.hash())
            }
        }
    }
}

impl fmt::Debug for Pixmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Grey(grey) => f.debug_tuple("Grey").field(&grey.size).finish_non_exhaustive(),
            Self::Lazy { content, .. } => f.debug_struct("Lazy").field("content", content).finish_non_exhaustive(),
        }
    }
}
