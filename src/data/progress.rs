//! A sign of life while images are read, which may take longer than training them: a count that only grows.

use std::sync::atomic::{AtomicU64, Ordering};

static READ: AtomicU64 = AtomicU64::new(0);

/// Number of images that this process has decoded so far.
#[must_use]
pub fn images_read() -> u64 {
    READ.load(Ordering::Relaxed)
}

/// Counts one more.
pub(crate) fn count_image() {
    READ.fetch_add(1, Ordering::Relaxed);
}
