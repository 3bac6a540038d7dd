//! An image in 81 numbers: its grey values, its layout and its sharpness, at the size that a network reads.

use sweep_core::units::Size;

/// Quantiles of the grey values.
pub(super) const QUANTILES: usize = 16;
/// Rows and columns of the layout.
const SIDE: usize = 8;
/// Bytes of an appearance without its sharpness.
pub(super) const BYTES: usize = QUANTILES + SIDE * SIDE;
/// A layout's standard deviation in bytes: ±4 standard deviations are kept.
const DEVIATION: f64 = 31.0;
/// Layouts of less contrast than this are none; grey values reach from 0 to 1.
const FLAT: f64 = 0.01;
/// Side of the blocks whose differences are coarse.
const BLOCK: usize = 4;

/// How an image looks to a network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Appearance {
    /// Grey values below which 1/32, 3/32, … of the pixels lie, 255 is white.
    pub(super) quantiles: [u8; QUANTILES],
    /// Mean grey values of a grid of rectangles over the image, less their mean and in shares of their deviation; 0 without
    /// contrast.
    layout: [i8; SIDE * SIDE],
    /// Logarithm of the differences of neighbouring pixels to those of neighbouring blocks of pixels.
    pub(super) sharpness: f64,
}

impl Appearance {
    /// Of an image's planes, one after the other, `[C, H, W]`, whose values lie in [0, 1].
    #[must_use]
    pub fn of(planes: &[f32], size: Size) -> Self {
        let grey = mean_plane(planes, size);
        let mut sorted = grey.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let byte = |v: f32| (f64::from(v) * 255.0).round().clamp(0.0, 255.0) as u8;
        let quantile = |i: usize| {
            let rank = (2 * i + 1) * sorted.len() / (2 * QUANTILES);
            sorted.get(rank).copied().map_or(0, byte)
        };
        Self {
            quantiles: std::array::from_fn(quantile),
            layout: layout(&grey, size),
            sharpness: sharpness(&grey, size),
        }
    }

    /// Logarithm of the differences of neighbouring pixels to those of neighbouring blocks of pixels: the greater, the sharper
    /// or the noisier.
    #[must_use]
    pub fn sharpness(&self) -> f64 {
        self.sharpness
    }

    /// Mean difference of the quantiles, in shares of the way from black to white.
    pub(super) fn grey_distance(&self, other: &Self) -> f64 {
        let differences = self.quantiles.iter().zip(&other.quantiles).map(|(a, b)| f64::from(a.abs_diff(*b)));
        differences.sum::<f64>() / (QUANTILES as f64 * 255.0)
    }

    /// One less the correlation of the layouts: 0 of equal ones, 2 of opposite ones, 1 where one has no contrast.
    pub(super) fn layout_distance(&self, other: &Self) -> f64 {
        let product = |a: &[i8], b: &[i8]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let lengths = (product(&self.layout, &self.layout) * product(&other.layout, &other.layout)).sqrt();
        if lengths > 0.0 { 1.0 - product(&self.layout, &other.layout) / lengths } else { 1.0 }
    }

    /// All but its sharpness.
    pub(super) fn bytes(&self) -> impl Iterator<Item = u8> {
        self.quantiles.into_iter().chain(self.layout.map(i8::cast_unsigned))
    }

    /// Reads the bytes of [`Appearance::bytes`].
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (quantiles, layout) = bytes.split_first_chunk()?;
        let layout: [u8; SIDE * SIDE] = layout.try_into().ok()?;
        Some(Self { quantiles: *quantiles, layout: layout.map(u8::cast_signed), sharpness: f64::NAN })
    }

    /// One of three blocks of features: grey values, layout, sharpness.
    pub(super) fn features(&self, block: usize) -> Vec<f64> {
        match block {
            0 => self.quantiles.iter().copied().map(f64::from).collect(),
            1 => self.layout.iter().copied().map(f64::from).collect(),
            _ => vec![self.sharpness],
        }
    }

    /// The mean grey value, 255 is white.
    #[must_use]
    pub fn mean_grey(&self) -> f64 {
        self.quantiles.iter().map(|q| f64::from(*q)).sum::<f64>() / QUANTILES as f64
    }
}

/// The mean of the planes.
fn mean_plane(planes: &[f32], size: Size) -> Vec<f32> {
    let count = (planes.len() / size.area().max(1)).max(1);
    let mut mean = vec![0.0; size.area()];
    for plane in planes.chunks_exact(size.area().max(1)) {
        for (sum, value) in mean.iter_mut().zip(plane) {
            *sum += value / count as f32;
        }
    }
    mean
}

fn layout(grey: &[f32], size: Size) -> [i8; SIDE * SIDE] {
    let mut cells = [0.0f64; SIDE * SIDE];
    let mut counts = [0u32; SIDE * SIDE];
    for (y, row) in grey.chunks_exact(size.width.max(1)).enumerate() {
        for (x, value) in row.iter().enumerate() {
            let cell = y * SIDE / size.height * SIDE + x * SIDE / size.width;
            cells[cell] += f64::from(*value);
            counts[cell] += 1;
        }
    }
    for (cell, count) in cells.iter_mut().zip(counts) {
        *cell /= f64::from(count.max(1));
    }
    let mean = cells.iter().sum::<f64>() / cells.len() as f64;
    let deviation = (cells.iter().map(|cell| (cell - mean).powi(2)).sum::<f64>() / cells.len() as f64).sqrt();
    if deviation < FLAT {
        return [0; SIDE * SIDE];
    }
    cells.map(|cell| ((cell - mean) / deviation * DEVIATION).round().clamp(-127.0, 127.0) as i8)
}

fn sharpness(grey: &[f32], size: Size) -> f64 {
    let blocks = Size { height: size.height / BLOCK, width: size.width / BLOCK };
    if blocks.height < 2 || blocks.width < 2 {
        return 0.0;
    }
    let mut coarse = vec![0.0f32; blocks.area()];
    for (y, row) in grey.chunks_exact(size.width).take(blocks.height * BLOCK).enumerate() {
        for (x, value) in row.iter().take(blocks.width * BLOCK).enumerate() {
            coarse[y / BLOCK * blocks.width + x / BLOCK] += value / (BLOCK * BLOCK) as f32;
        }
    }
    // So that neither noise of a flat image nor its absence counts.
    ((differences(grey, size) + 1e-4) / (differences(&coarse, blocks) + 1e-3)).ln()
}

/// Mean absolute difference of neighbours in rows and columns.
fn differences(grey: &[f32], size: Size) -> f64 {
    let rows = grey.chunks_exact(size.width).flat_map(|row| row.windows(2).map(|pair| pair[1] - pair[0]));
    let columns = grey.iter().zip(grey.iter().skip(size.width)).map(|(above, below)| below - above);
    let (sum, count) = rows.chain(columns).fold((0.0, 0u64), |(sum, n), d| (sum + f64::from(d.abs()), n + 1));
    sum / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { height: 40, width: 32 };

    fn image(value: impl Fn(usize, usize) -> f32) -> Appearance {
        let pixels: Vec<f32> = (0..SIZE.area()).map(|i| value(i % SIZE.width, i / SIZE.width)).collect();
        Appearance::of(&pixels, SIZE)
    }

    #[test]
    fn equal_images_are_near_and_changed_ones_far() {
        let ramp = image(|_, y| y as f32 / 39.0);
        assert_eq!((ramp.grey_distance(&ramp), ramp.layout_distance(&ramp)), (0.0, 0.0));
        assert_eq!((ramp.quantiles[0], ramp.quantiles[15]), (7, 248));
        let (inverted, turned) = (image(|_, y| 1.0 - y as f32 / 39.0), image(|x, _| x as f32 / 31.0));
        assert!((ramp.layout_distance(&inverted) - 2.0).abs() < 1e-9 && ramp.grey_distance(&inverted) < 0.01);
        assert!((ramp.layout_distance(&turned) - 1.0).abs() < 0.01);
        let dark = image(|_, y| y as f32 / 78.0);
        // The mean of |v − v/2| over an even ramp is a quarter.
        assert!((ramp.grey_distance(&dark) - 0.25).abs() < 0.01 && ramp.layout_distance(&dark) < 1e-3);
        let blank = image(|_, _| 0.5);
        assert_eq!((blank.layout_distance(&ramp), blank.mean_grey()), (1.0, 128.0));
    }

    #[test]
    fn blur_and_noise_change_the_sharpness() {
        let blocks = image(|x, y| if (x / 4 + y / 4) % 2 == 0 { 0.0 } else { 1.0 });
        let stripes = image(|x, y| if x % 2 == 0 { 0.0 } else { y as f32 / 39.0 });
        let ramp = image(|x, _| x as f32 / 31.0);
        assert!(stripes.sharpness > blocks.sharpness && blocks.sharpness > -2.0, "{}", blocks.sharpness);
        // Along a ramp, neighbouring blocks differ four times as much as neighbouring pixels.
        assert!((ramp.sharpness - 0.25f64.ln()).abs() < 0.1, "{}", ramp.sharpness);
    }

    #[test]
    fn it_is_read_back_and_planes_are_averaged() {
        let ramp = image(|_, y| y as f32 / 39.0);
        let bytes: Vec<u8> = ramp.bytes().collect();
        assert_eq!(bytes.len(), BYTES);
        let back = Appearance::from_bytes(&bytes).unwrap();
        assert_eq!((back.quantiles, back.layout), (ramp.quantiles, ramp.layout));
        assert_eq!(Appearance::from_bytes(&bytes[1..]), None);
        let plane = |scale: f32| (0..SIZE.area()).map(move |i| scale * (i / SIZE.width) as f32 / 39.0);
        let colours: Vec<f32> = plane(0.5).chain(plane(1.0)).chain(plane(1.5)).collect();
        assert_eq!(Appearance::of(&colours, SIZE).quantiles, ramp.quantiles);
    }
}
