//! A split's pictures on a GPU: changed for training there, so that a batch costs the processor a few numbers.
#![expect(unsafe_code, reason = "promises the layout of the kernels' structures")]

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;

use super::augment::Change;
use crate::error::Result;
use crate::gpu::{Address, Gpu, Launch, Memory, Parameters, Scratch, bytes};
use crate::units::Size;

/// What becomes of one picture, as in `gpu/kernels/pictures.cuh`: an address, eight doubles, two floats and a flag.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct KernelChange {
    picture: Address,
    inverse: [f64; 4],
    centre: [f64; 2],
    shift: [f64; 2],
    brightness: f32,
    contrast: f32,
    applies: i32,
    unused: i32,
}

/// As in `gpu/kernels/pictures.cuh`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Pictures {
    changes: Address,
    partials: Address,
    means: Address,
    to: Address,
    count: i32,
    height: i32,
    width: i32,
    chunks: i32,
    pixels: i32,
    unused: i32,
}

// SAFETY: `repr(C)`, of plain numbers, as the kernels'; a test compares their sizes.
unsafe impl Parameters for Pictures {}
// SAFETY: numbers without padding: an address, eight doubles and four numbers of four bytes.
unsafe impl crate::gpu::Number for KernelChange {}

/// Share of the free memory that pictures may take.
const SHARE: usize = 4;
/// Pixels that are summed by one block.
const PIXELS: usize = 1 << 14;

/// Pictures of one size on a GPU.
pub(super) struct Resident {
    gpu: Arc<dyn Gpu>,
    size: Size,
    memory: Box<dyn Memory>,
    scratch: Mutex<Scratch>,
}

impl std::fmt::Debug for Resident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resident").field("size", &self.size).finish_non_exhaustive()
    }
}

// SAFETY: memory on a GPU, which is written before this is made and only read after.
unsafe impl Sync for Resident {}

impl Resident {
    /// Takes pictures to a GPU; `None` where they would take more than their share of its memory.
    ///
    /// # Errors
    /// When the GPU fails.
    pub(super) fn new<'a>(
        gpu: Arc<dyn Gpu>,
        size: Size,
        pictures: impl ExactSizeIterator<Item = &'a [f32]>,
    ) -> Result<Option<Self>> {
        let bytes_of_one = 4 * size.area();
        if pictures.len() * bytes_of_one > gpu.room()?.free / SHARE {
            return Ok(None);
        }
        let memory = gpu.allocate(pictures.len() * bytes_of_one)?;
        for (place, picture) in pictures.enumerate() {
            gpu.write(memory.address() + (place * bytes_of_one) as Address, bytes(picture))?;
        }
        Ok(Some(Self { gpu, size, memory, scratch: Mutex::default() }))
    }

    /// Some of the pictures `[B, 1, H, W]`, each with its change.
    ///
    /// # Errors
    /// When the GPU has no room.
    pub(super) fn batch(&self, pictures: &[(usize, Option<Change>)]) -> Result<Tensor> {
        let Size { height, width } = self.size;
        let of = |(place, change): &(usize, Option<Change>)| {
            let picture = self.memory.address() + (place * 4 * self.size.area()) as Address;
            let unchanged = KernelChange { picture, ..KernelChange::default() };
            change.as_ref().map_or(unchanged, |change| {
                let [[a, b], [c, d]] = change.inverse();
                let (centre, shift) = (change.centre(), change.shift());
                KernelChange {
                    inverse: [a, b, c, d],
                    centre: [centre.x, centre.y],
                    shift: [shift.x, shift.y],
                    brightness: change.brightness,
                    contrast: change.contrast,
                    applies: 1,
                    ..unchanged
                }
            })
        };
        let changes: Vec<KernelChange> = pictures.iter().map(of).collect();
        let (count, chunks) = (changes.len(), self.size.area().div_ceil(PIXELS));
        let gpu = self.gpu.as_ref();
        let images = gpu.tensor(&[count, 1, height, width])?;
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let start = scratch.room(gpu, count * (size_of::<KernelChange>() + 8 * chunks + 4))?;
        gpu.write(start, bytes(&changes))?;
        let partials = start + (count * size_of::<KernelChange>()) as Address;
        let parameters = Pictures {
            changes: start,
            partials,
            means: partials + (8 * count * chunks) as Address,
            to: gpu.address(&images)?,
            count: count as i32,
            height: height as i32,
            width: width as i32,
            chunks: chunks as i32,
            pixels: PIXELS as i32,
            unused: 0,
        };
        if pictures.iter().any(|(_, change)| change.is_some()) {
            gpu.launch(&Launch::new("sum_brightened", [chunks, count, 1], 256, &parameters).shared(8 * 256))?;
            gpu.launch(&Launch::each("mean_brightened", count, 128, &parameters))?;
        }
        gpu.launch(&Launch::each("change_pictures", count * self.size.area(), 256, &parameters))?;
        Ok(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::augment::AugmentSpec;
    use crate::data::resize::Picture;
    use crate::gpu::emulator::Emulator;
    use crate::gpu::places::places;
    use crate::units::{Point, Spacing};

    #[test]
    fn parameters_are_laid_out_as_the_kernels_have_them() {
        let Some(emulator) = Emulator::new(false) else { return };
        assert_eq!(emulator.parameter_size("change_pictures"), size_of::<Pictures>());
        assert_eq!(size_of::<KernelChange>(), 8 * 9 + 16);
    }

    #[test]
    fn pictures_change_as_on_the_processor() {
        let size = Size { height: 150, width: 121 };
        let pixels = |i: usize| (0.5 + 0.5 * (i as f32 * 0.37).sin() * (i as f32 * 0.011).cos()).clamp(0.0, 1.0);
        let picture = |start: usize| Picture {
            size,
            pixels: (start..start + size.area()).map(pixels).collect::<Vec<f32>>().into(),
            landmarks: vec![Some(Point { x: 60.0, y: 70.0 }), None],
            spacing: Spacing { x: 1.0, y: 0.8 },
        };
        let pictures = [picture(0), picture(9000)];
        let strong = AugmentSpec {
            probability: 0.7,
            rotation_degrees: 25.0,
            translate: 0.1,
            scale: [0.8, 1.2],
            brightness: 0.5,
            contrast: 0.5,
        };
        for place in places() {
            let all = pictures.iter().map(|picture| &picture.pixels[..]);
            let resident = Resident::new(Arc::clone(&place.gpu), size, all).unwrap().unwrap();
            for epoch in 0..4 {
                let changes = [1, 0].map(|i| (i, strong.change(&pictures[i], 3, epoch, i as u64)));
                let found: Vec<f32> = resident.batch(&changes).unwrap().flatten_all().unwrap().to_vec1().unwrap();
                for (found, i) in found.chunks(size.area()).zip([1, 0]) {
                    let mut expected = vec![0.0; size.area()];
                    strong.apply(&pictures[i], 3, epoch, i as u64, &mut expected);
                    let worst = found.iter().zip(&expected).fold(0.0f32, |m, (f, e)| m.max((f - e).abs()));
                    assert!(worst < 1e-5, "{}, epoch {epoch}, picture {i}: off by {worst}", place.name);
                }
            }
        }
    }
}
