//! A scan's values (T.87, annex A).

use super::bits::Bits;
use super::context::{Interruption, Regular};
use super::{Interleave, Picture, failed};
use sweep_core::error::Result;

/// Lengths of runs, as powers of 2 (T.87, A.2.1).
const J: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Parameters of codes and contexts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters {
    max: i32,
    near: i32,
    range: i32,
    /// Bits of an error that is written out.
    written: u32,
    limit: u32,
    thresholds: [i32; 3],
    reset: i32,
}

impl Parameters {
    /// From a frame's bits, a scan's tolerance and the presets, of which 0 keeps the default (T.87, C.2.4.1.1).
    pub(super) fn new(bits: u32, near: i32, presets: [u16; 5]) -> Result<Self> {
        let [max, t1, t2, t3, reset] = presets.map(i32::from);
        let max = if max == 0 { (1 << bits) - 1 } else { max };
        if max >= 1 << bits || near > (max / 2).min(255) {
            return Err(failed("impossible presets"));
        }
        let range = (max + 2 * near) / (2 * near + 1) + 1;
        let bits_of = |values: i32| 32 - (values - 1).leading_zeros();
        let bpp = bits_of(max + 1).max(2);
        let clamp = |value: i32, least: i32| if value > max || value < least { least } else { value };
        let default = |basic: i32, base: i32, share: i32, least: i32| {
            let value = if max >= 128 {
                let factor = (max.min(4095) + 128) >> 8;
                factor * (basic - base) + base + share * near
            } else {
                let factor = 256 / (max + 1);
                (basic / factor + share * near).max(base)
            };
            clamp(value, least)
        };
        let or = |preset: i32, value: i32| if preset == 0 { value } else { preset };
        let t1 = or(t1, default(3, 2, 3, near + 1));
        let t2 = or(t2, default(7, 3, 5, t1));
        let t3 = or(t3, default(21, 4, 7, t2));
        let reset = or(reset, 64);
        if t1 <= near || t2 < t1 || t3 < t2 || t3 > max || reset < 3 {
            return Err(failed("impossible presets"));
        }
        Ok(Self {
            max,
            near,
            range,
            written: bits_of(range),
            limit: 2 * (bpp + bpp.max(8)),
            thresholds: [t1, t2, t3],
            reset,
        })
    }

    /// A gradient in one of nine classes.
    fn class(&self, gradient: i32) -> i32 {
        let [t1, t2, t3] = self.thresholds;
        let magnitude = match gradient.abs() {
            d if d <= self.near => 0,
            d if d < t1 => 1,
            d if d < t2 => 2,
            d if d < t3 => 3,
            _ => 4,
        };
        magnitude * gradient.signum()
    }

    /// A value from its prediction and the error, which wraps round.
    fn value(&self, predicted: i32, error: i32) -> i32 {
        let step = 2 * self.near + 1;
        let mut value = predicted + error * step;
        if value < -self.near {
            value += self.range * step;
        } else if value > self.max + self.near {
            value -= self.range * step;
        }
        value.clamp(0, self.max)
    }
}

/// A line of a component with one value before it and one behind.
type Line = Vec<i32>;

/// The values around the one to be read: left, above, above left, above right.
#[derive(Clone, Copy)]
struct Around {
    a: i32,
    b: i32,
    c: i32,
    d: i32,
}

impl Around {
    fn of(above: &Line, line: &Line, x: usize) -> Self {
        Self { a: line[x], b: above[x + 1], c: above[x], d: above[x + 2] }
    }

    /// The median edge detector.
    fn predicted(self) -> i32 {
        let (low, high) = (self.a.min(self.b), self.a.max(self.b));
        if self.c >= high {
            low
        } else if self.c <= low {
            high
        } else {
            self.a + self.b - self.c
        }
    }
}

struct Scan<'a> {
    bits: Bits<'a>,
    parameters: &'a Parameters,
    regular: Vec<Regular>,
    interruptions: [Interruption; 2],
}

/// Decodes the scan at the start of these bytes into these components of the picture; how many bytes it takes.
pub(super) fn decode(
    bytes: &[u8],
    parameters: &Parameters,
    components: &[usize],
    interleave: Interleave,
    picture: &mut Picture,
) -> Result<usize> {
    let mut scan = Scan {
        bits: Bits::new(bytes),
        parameters,
        regular: vec![Regular::new(parameters.range); 365],
        interruptions: [0, 1].map(|kind| Interruption::new(parameters.range, kind)),
    };
    let (width, height, stride) = (picture.size.width, picture.size.height, picture.components);
    let mut above: Vec<Line> = vec![vec![0; width + 2]; components.len()];
    let mut lines = above.clone();
    // Components that are interleaved by pixels have their runs together.
    let mut run_indices = vec![0usize; components.len()];
    for y in 0..height {
        for (above, line) in above.iter_mut().zip(&mut lines) {
            above[width + 1] = above[width];
            line[0] = above[1];
        }
        if interleave == Interleave::Sample {
            scan.line(&above, &mut lines, &mut run_indices[0])?;
        } else {
            for ((above, line), run_index) in above.chunks(1).zip(lines.chunks_mut(1)).zip(&mut run_indices) {
                scan.line(above, line, run_index)?;
            }
        }
        for (line, place) in lines.iter().zip(components) {
            let values = picture.values[y * width * stride..].iter_mut().skip(*place).step_by(stride);
            values.zip(&line[1..=width]).for_each(|(to, from)| *to = *from as u16);
        }
        std::mem::swap(&mut above, &mut lines);
    }
    Ok(scan.bits.end())
}

impl Scan<'_> {
    /// A line of one component, or of several pixel by pixel.
    fn line(&mut self, above: &[Line], lines: &mut [Line], run_index: &mut usize) -> Result<()> {
        let width = lines[0].len() - 2;
        let mut x = 0;
        while x < width {
            let mut is_run = true;
            for (above, line) in above.iter().zip(lines.iter()) {
                is_run &= self.context(Around::of(above, line, x)) == 0;
            }
            if is_run {
                x += self.run(above, lines, x, run_index)?;
            } else {
                for (above, line) in above.iter().zip(lines.iter_mut()) {
                    line[x + 1] = self.regular(Around::of(above, line, x))?;
                }
                x += 1;
            }
        }
        Ok(())
    }

    fn context(&self, around: Around) -> i32 {
        let class = |gradient| self.parameters.class(gradient);
        81 * class(around.d - around.b) + 9 * class(around.b - around.c) + class(around.c - around.a)
    }

    fn regular(&mut self, around: Around) -> Result<i32> {
        let parameters = self.parameters;
        let signed = self.context(around);
        let (place, sign) = (signed.unsigned_abs() as usize, if signed < 0 { -1 } else { 1 });
        let context = self.regular[place];
        let predicted = (around.predicted() + sign * context.c).clamp(0, parameters.max);
        let k = context.k();
        let code = self.code(k, parameters.limit)?;
        let error = context.error(code, k, parameters.near);
        self.regular[place].update(error, parameters.near, parameters.reset);
        Ok(parameters.value(predicted, sign * error))
    }

    /// A Golomb code of limited length (T.87, A.5.3).
    fn code(&mut self, k: u32, limit: u32) -> Result<i32> {
        let longest = limit.saturating_sub(self.parameters.written + 1);
        let zeros = self.bits.zeros(longest)?;
        let code = if zeros < longest {
            (u64::from(zeros) << k) | u64::from(self.bits.take(k)?)
        } else {
            u64::from(self.bits.take(self.parameters.written)?) + 1
        };
        // An error's magnitude is at most half the range, and its code twice that.
        if code > 2 * self.parameters.range as u64 {
            return Err(failed("an error beyond the range of values"));
        }
        Ok(code as i32)
    }

    /// A run from `x` on and the value that ends it; how many pixels these are.
    fn run(&mut self, above: &[Line], lines: &mut [Line], x: usize, run_index: &mut usize) -> Result<usize> {
        let left = lines[0].len() - 2 - x;
        let mut length = 0;
        while length < left && self.bits.take(1)? == 1 {
            let step = 1usize << J[*run_index];
            if step <= left - length && *run_index < 31 {
                *run_index += 1;
            }
            length += step.min(left - length);
        }
        let is_line_done = length == left;
        if !is_line_done {
            length += self.bits.take(J[*run_index])? as usize;
            if length >= left {
                return Err(failed("a run is longer than its line"));
            }
        }
        for line in lines.iter_mut() {
            let value = line[x];
            line[x + 1..=x + length].fill(value);
        }
        if is_line_done {
            return Ok(length);
        }
        let limit = self.parameters.limit - J[*run_index] - 1;
        let is_single = lines.len() == 1;
        for (above, line) in above.iter().zip(lines.iter_mut()) {
            let (before, over) = (line[x + length], above[x + length + 1]);
            let is_alike = is_single && (before - over).abs() <= self.parameters.near;
            let k = self.interruptions[usize::from(is_alike)].k();
            let code = self.code(k, limit)?;
            let error = self.interruptions[usize::from(is_alike)].error(code, k, self.parameters.reset);
            line[x + length + 1] = match (is_alike, before > over) {
                (true, _) => self.parameters.value(before, error),
                (false, true) => self.parameters.value(over, -error),
                (false, false) => self.parameters.value(over, error),
            };
        }
        *run_index = run_index.saturating_sub(1);
        Ok(length + 1)
    }
}
