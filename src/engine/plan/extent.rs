//! Extents of maps, in blocks of sixteen channels.

use sweep_core::units::Size;

/// Channels of a block: maps are planned, and weights packed, in blocks of this many.
pub(crate) const LANES: usize = sweep_graph::BLOCK;

/// Height, width and number of images of the maps that a kernel works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Images.
    pub(crate) images: usize,
    /// Height and width.
    pub(crate) size: Size,
}

impl Extent {
    /// Numbers of one block of one image.
    pub(crate) fn plane(self) -> usize {
        self.size.area() * LANES
    }

    /// Divides every image's rows into `per_image` chunks, at least one and at most one per row. The division depends
    /// on the shape alone, so that results do not depend on the number of threads.
    pub(crate) fn row_chunks(self, per_image: usize) -> RowChunks {
        RowChunks { images: self.images, height: self.size.height, per_image: per_image.clamp(1, self.size.height) }
    }
}

/// A fixed division of all images' rows into chunks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowChunks {
    images: usize,
    height: usize,
    per_image: usize,
}

impl RowChunks {
    /// Chunks of an image.
    pub(crate) fn per_image(self) -> usize {
        self.per_image
    }

    /// Number of chunks.
    pub(crate) fn len(self) -> usize {
        self.images * self.per_image
    }

    /// Image, first row and end row of a chunk.
    pub(crate) fn get(self, chunk: usize) -> (usize, usize, usize) {
        let (image, part) = (chunk / self.per_image, chunk % self.per_image);
        (image, self.height * part / self.per_image, self.height * (part + 1) / self.per_image)
    }

    /// Length of the longest chunk, in rows.
    pub(crate) fn longest(self) -> usize {
        self.height.div_ceil(self.per_image)
    }
}
