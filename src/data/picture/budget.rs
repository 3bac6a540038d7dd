//! Bounds of what reading pictures takes: pixels of a picture, and memory of all pictures that are read at a time.

use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

use sweep_core::error::{Error, Result};
use sweep_core::units::Size;

use super::damaged;

/// Environment variable that raises the largest picture.
pub const VARIABLE: &str = "LANDMARK_SWEEP_MAX_MEGAPIXELS";

/// The largest picture, in millions of pixels, unless [`VARIABLE`] says otherwise: a film of 14 × 17 inches at 900 dpi.
const MEGAPIXELS: u64 = 200;

/// As high as the limit can be raised.
const MOST_MEGAPIXELS: u64 = 100_000;

/// Memory that pictures being read take together. One that needs more is read alone.
const MEMORY: u64 = 2 << 30;

/// The most that reading takes for a pixel, in bytes, but for JPEG 2000.
pub(super) const BYTES_A_PIXEL: u64 = 12;

/// Most bytes that reading JPEG 2000 takes per value; a pixel in colour has three values. The decoder keeps the coefficients of
/// all channels as floating-point numbers.
pub(super) const JPEG_2000_BYTES_A_VALUE: u64 = 16;

/// Greatest size of a value or table beside the pixels.
pub(super) const BESIDE: u64 = 1 << 24;

/// The size, if it is one that a picture may have.
///
/// # Errors
/// When there is no pixel, or there are more than the limit.
pub(super) fn possible(width: u64, height: u64) -> Result<Size> {
    static LIMIT: OnceLock<Result<u64>> = OnceLock::new();
    let limit = LIMIT.get_or_init(|| megapixels(std::env::var(VARIABLE).ok().as_deref()));
    within(width, height, limit.clone()?)
}

/// The limit that the environment says.
fn megapixels(said: Option<&str>) -> Result<u64> {
    let Some(said) = said.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(MEGAPIXELS) };
    said.parse().ok().filter(|limit| (1..=MOST_MEGAPIXELS).contains(limit)).ok_or_else(|| {
        Error::input(format!("`{said}` is no number of megapixels from 1 to {MOST_MEGAPIXELS}"))
            .at(VARIABLE)
            .remedy(format!("write a whole number, for example {VARIABLE}=400"))
    })
}

fn within(width: u64, height: u64, megapixels: u64) -> Result<Size> {
    if width == 0 || height == 0 {
        return Err(damaged(format!("it is {width}×{height} pixels")));
    }
    let pixels = width.saturating_mul(height);
    if pixels > megapixels * 1_000_000 {
        return Err(Error::input(format!(
            "claims to be {width}×{height} pixels, more than the limit of {megapixels} million in all"
        ))
        .remedy(format!(
            "if it really is that large, raise the limit: {VARIABLE}={}",
            pixels.div_ceil(1_000_000).min(MOST_MEGAPIXELS)
        )));
    }
    Ok(Size { height: height as usize, width: width as usize })
}

/// The most bytes that a picture's values take in its file, from which a file's claims and length are judged.
pub(super) fn most_bytes(size: Size) -> u64 {
    size.area() as u64 * 8 + BESIDE
}

/// Memory that a picture holds while it is read; given back when dropped.
#[must_use]
pub(super) struct Permit<'a> {
    budget: &'a Budget,
    bytes: u64,
}

struct Budget {
    total: u64,
    taken: Mutex<u64>,
    given_back: Condvar,
}

/// Waits until a picture of this size may be read. Whoever holds a permit must neither ask for another nor wait for other
/// threads: all would wait for ever.
pub(super) fn permit(size: Size, bytes_a_pixel: u64) -> Permit<'static> {
    static BUDGET: Budget = Budget { total: MEMORY, taken: Mutex::new(0), given_back: Condvar::new() };
    BUDGET.take(size.area() as u64 * bytes_a_pixel + BESIDE)
}

impl Budget {
    fn take(&self, bytes: u64) -> Permit<'_> {
        let bytes = bytes.min(self.total);
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let lacks = |taken: &mut u64| *taken + bytes > self.total;
        let mut taken = self.given_back.wait_while(taken, lacks).unwrap_or_else(PoisonError::into_inner);
        *taken += bytes;
        Permit { budget: self, bytes }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut taken = self.budget.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_sub(self.bytes);
        self.budget.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn the_limit_is_said_with_the_way_to_raise_it() {
        assert_eq!(within(9600, 12_000, 200).unwrap(), Size { width: 9600, height: 12_000 });
        let error = within(20_000, 20_001, 200).unwrap_err();
        assert!(error.message.contains("20000×20001"), "{error}");
        assert!(error.remedy.unwrap().contains("LANDMARK_SWEEP_MAX_MEGAPIXELS=401"));
        assert!(within(20_000, 20_001, 401).is_ok());
        assert!(within(u64::MAX, u64::MAX, MOST_MEGAPIXELS).is_err() && within(0, 4, 200).is_err());
        assert_eq!((megapixels(None).unwrap(), megapixels(Some(" 400 ")).unwrap()), (200, 400));
        assert!(megapixels(Some("many")).is_err() && megapixels(Some("0")).is_err());
    }

    #[test]
    fn threads_share_one_budget_and_a_larger_picture_goes_alone() {
        let budget = Budget { total: 100, taken: Mutex::new(0), given_back: Condvar::new() };
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for bytes in [30, 60, 500, 40, 100, 1, 70, 30] {
                let (budget, now, most) = (&budget, &now, &most);
                scope.spawn(move || {
                    let permit = budget.take(bytes);
                    most.fetch_max(now.fetch_add(permit.bytes, Ordering::SeqCst) + permit.bytes, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(3));
                    now.fetch_sub(permit.bytes, Ordering::SeqCst);
                });
            }
        });
        assert!(most.into_inner() <= 100);
        assert_eq!(*budget.taken.lock().unwrap(), 0);
    }
}
