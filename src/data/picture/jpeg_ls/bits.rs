//! Bits of a scan (T.87, A.1): behind a byte 0xff, the next byte has only seven.

use super::failed;
use sweep_core::error::Result;

/// Reads bits, highest first.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bits that are read but not used yet, the next one highest.
    buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, buffer: 0, count: 0 }
    }

    /// Fills the buffer up to where a marker begins.
    fn fill(&mut self) {
        while self.count <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            let is_stuffed = self.at > 0 && self.bytes[self.at - 1] == 0xff;
            if byte == 0xff && self.bytes.get(self.at + 1).is_none_or(|next| *next >= 0x80) {
                return;
            }
            let width = if is_stuffed { 7 } else { 8 };
            self.buffer |= u64::from(byte) << (64 - width - self.count);
            self.count += width;
            self.at += 1;
        }
    }

    /// The next `count` bits, at most 32.
    pub(super) fn take(&mut self, count: u32) -> Result<u32> {
        if count == 0 {
            return Ok(0);
        }
        if self.count < count {
            self.fill();
            if self.count < count {
                return Err(failed("it is cut off"));
            }
        }
        let value = (self.buffer >> (64 - count)) as u32;
        self.buffer <<= count;
        self.count -= count;
        Ok(value)
    }

    /// How many zeros come before the next one, which is taken too; no more than `limit`.
    pub(super) fn zeros(&mut self, limit: u32) -> Result<u32> {
        let mut zeros = 0;
        loop {
            if self.count == 0 {
                self.fill();
                if self.count == 0 {
                    return Err(failed("it is cut off"));
                }
            }
            let run = self.buffer.leading_zeros().min(self.count);
            zeros += run;
            if zeros > limit {
                return Err(failed("a code is too long"));
            }
            if run < self.count {
                self.buffer = if run == 63 { 0 } else { self.buffer << (run + 1) };
                self.count -= run + 1;
                return Ok(zeros);
            }
            (self.buffer, self.count) = (0, 0);
        }
    }

    /// Where the scan ends: the next marker behind what was read.
    pub(super) fn end(&self) -> usize {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let marker = rest.windows(2).position(|pair| pair[0] == 0xff && pair[1] >= 0x80);
        self.at + marker.unwrap_or(rest.len())
    }
}
