//! A split's pictures on a GPU: changed for training there, so that a batch costs the processor a few numbers.
#![expect(unsafe_code, reason = "promises the layout of the kernels' structures")]

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;

use super::augment::Change;
use super::pixels::Pixels;
use sweep_core::error::Result;
use sweep_core::units::Size;
use sweep_graph::gpu::{Address, Gpu, Launch, Memory, Parameters, Scratch, bytes};

/// Control points of the curve, and the largest radius of a blur, as the kernels have them.
const POINTS: usize = 10;
const RADIUS: usize = 60;

/// The change of one picture, laid out as in `gpu/kernels/pictures.cuh`: three addresses, ten doubles and 84 numbers of four
/// bytes.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct KernelChange {
    picture: Address,
    nodes: Address,
    noise_key: u64,
    inverse: [f64; 4],
    centre: [f64; 2],
    shift: [f64; 2],
    cells: [f64; 2],
    brightness: f32,
    contrast: f32,
    gamma: f32,
    noise: f32,
    curve: [f32; POINTS],
    weights: [f32; RADIUS + 1],
    reach: [i32; 2],
    top: i32,
    left: i32,
    rows: i32,
    columns: i32,
    curved: i32,
    radius: i32,
    applies: i32,
}

/// Same layout as in `gpu/kernels/pictures.cuh`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Pictures {
    changes: Address,
    partials: Address,
    means: Address,
    grey: Address,
    spare: Address,
    to: Address,
    count: i32,
    height: i32,
    width: i32,
    chunks: i32,
    pixels: i32,
    channels: i32,
}

// SAFETY: `repr(C)`, of plain numbers, as the kernels'; a test compares their layouts.
unsafe impl Parameters for Pictures {}
// SAFETY: numbers without padding: 13 of eight bytes, then an even number of four bytes.
unsafe impl sweep_graph::gpu::Number for KernelChange {}

impl KernelChange {
    /// A picture that stays as it is.
    fn unchanged(picture: Address) -> Self {
        Self {
            picture,
            nodes: 0,
            noise_key: 0,
            inverse: [0.0; 4],
            centre: [0.0; 2],
            shift: [0.0; 2],
            cells: [0.0; 2],
            brightness: 1.0,
            contrast: 1.0,
            gamma: 1.0,
            noise: 0.0,
            curve: [0.0; POINTS],
            weights: [0.0; RADIUS + 1],
            reach: [0; 2],
            top: 0,
            left: 0,
            rows: 0,
            columns: 0,
            curved: 0,
            radius: 0,
            applies: 0,
        }
    }

    /// A picture that is changed, without its control points.
    fn new(picture: Address, change: &Change) -> Self {
        let [[a, b], [c, d]] = change.affine.inverse();
        let (centre, shift) = (change.affine.centre, change.affine.shift);
        let mut kernel = Self {
            noise_key: change.noise_key,
            inverse: [a, b, c, d],
            centre: [centre.x, centre.y],
            shift: [shift.x, shift.y],
            brightness: change.values.brightness,
            contrast: change.values.contrast,
            gamma: change.values.gamma,
            noise: change.noise,
            applies: 1,
            ..Self::unchanged(picture)
        };
        if let Some(curve) = change.values.curve {
            (kernel.curve, kernel.curved) = (curve, 1);
        }
        if let Some(weights) = change.blur_weights() {
            kernel.weights[..weights.len()].copy_from_slice(&weights);
            kernel.radius = weights.len() as i32 - 1;
        }
        if let Some(cutout) = change.cutout {
            (kernel.top, kernel.left) = (cutout.top as i32, cutout.left as i32);
            (kernel.rows, kernel.columns) = (cutout.size.height as i32, cutout.size.width as i32);
        }
        kernel
    }
}

/// Share of the free memory that pictures may take.
const SHARE: usize = 4;
/// Pixels that are summed by one block.
const PIXELS: usize = 1 << 14;

/// Pictures of one size on a GPU, plane by plane.
pub(super) struct Resident {
    gpu: Arc<dyn Gpu>,
    size: Size,
    channels: usize,
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
    /// When the GPU fails, or a picture cannot be read.
    pub(super) fn new(
        gpu: Arc<dyn Gpu>,
        size: Size,
        channels: usize,
        pictures: impl ExactSizeIterator<Item = Result<Pixels>>,
    ) -> Result<Option<Self>> {
        let bytes_of_one = 4 * channels * size.area();
        if pictures.len() * bytes_of_one > gpu.memory_info()?.free / SHARE {
            return Ok(None);
        }
        let memory = gpu.allocate(pictures.len() * bytes_of_one)?;
        for (place, picture) in pictures.enumerate() {
            gpu.write(memory.address() + (place * bytes_of_one) as Address, bytes(&picture?))?;
        }
        Ok(Some(Self { gpu, size, channels, memory, scratch: Mutex::default() }))
    }

    /// Some of the pictures `[B, C, H, W]`, each with its change. The kernels change plane after plane.
    ///
    /// # Errors
    /// When the GPU has no room.
    pub(super) fn batch(&self, pictures: &[(usize, Option<Change>)]) -> Result<Tensor> {
        let Size { height, width } = self.size;
        let plane = |index: usize| self.memory.address() + (index * 4 * self.size.area()) as Address;
        let mut changes: Vec<KernelChange> = Vec::with_capacity(pictures.len() * self.channels);
        for (place, change) in pictures {
            changes.extend((place * self.channels..(place + 1) * self.channels).map(|index| match change {
                Some(change) => KernelChange::new(plane(index), change),
                None => KernelChange::unchanged(plane(index)),
            }));
        }
        let (count, chunks, area) = (changes.len(), self.size.area().div_ceil(PIXELS), self.size.area());
        let blurred = changes.iter().any(|change| change.radius > 0);
        let fields = || pictures.iter().map(|(_, change)| change.as_ref().and_then(|change| change.elastic.as_ref()));
        let nodes: Vec<f32> = fields().flatten().flat_map(|field| field.nodes().as_flattened()).copied().collect();
        let gpu = self.gpu.as_ref();
        let images = gpu.tensor(&[pictures.len(), self.channels, height, width])?;
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        // One after the other; what is made of numbers of eight bytes first.
        let sizes = [
            count * size_of::<KernelChange>(),
            8 * count * chunks,
            4 * nodes.len(),
            4 * count,
            if blurred { 4 * count * area } else { 0 },
            if blurred { 4 * count * area } else { 0 },
        ];
        let mut end = scratch.reserve(gpu, sizes.iter().sum())?;
        let [at_changes, partials, mut at_nodes, means, grey, spare] = sizes.map(|bytes| {
            end += bytes as Address;
            end - bytes as Address
        });
        gpu.write(at_nodes, bytes(&nodes))?;
        for (planes, field) in changes.chunks_mut(self.channels).zip(fields()) {
            let Some(field) = field else { continue };
            for change in planes {
                (change.nodes, change.cells, change.reach) = (at_nodes, field.cells(), field.reach().map(|n| n as i32));
            }
            at_nodes += size_of_val(field.nodes()) as Address;
        }
        gpu.write(at_changes, bytes(&changes))?;
        let parameters = Pictures {
            changes: at_changes,
            partials,
            means,
            grey,
            spare,
            to: gpu.address(&images)?,
            count: count as i32,
            height: height as i32,
            width: width as i32,
            chunks: chunks as i32,
            pixels: PIXELS as i32,
            channels: self.channels as i32,
        };
        if pictures.iter().any(|(_, change)| change.is_some()) {
            gpu.launch(&Launch::new("sum_brightened", [chunks, count, 1], 256, &parameters).shared(8 * 256))?;
            gpu.launch(&Launch::per_element("mean_brightened", count, 128, &parameters))?;
        }
        if blurred {
            for kernel in ["change_values", "blur_rows", "blur_columns"] {
                gpu.launch(&Launch::per_element(kernel, count * area, 256, &parameters))?;
            }
        }
        gpu.launch(&Launch::per_element("change_pictures", count * area, 256, &parameters))?;
        Ok(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{AugmentSpec, Augmentation};
    use crate::resize::Picture;
    use sweep_core::units::{Point, Spacing};
    use sweep_emulator::{Emulator, assert_layout, gpus};

    const SIZE: Size = Size { height: 150, width: 121 };

    #[test]
    fn parameters_are_laid_out_as_the_kernels_have_them() {
        let Some(emulator) = Emulator::new(false) else { return };
        assert_layout!(
            emulator,
            "change_pictures",
            Pictures { changes, partials, means, grey, spare, to, count, height, width, chunks, pixels, channels }
        );
        assert_layout!(
            emulator,
            "Change",
            KernelChange {
                picture,
                nodes,
                noise_key,
                inverse,
                centre,
                shift,
                cells,
                brightness,
                contrast,
                gamma,
                noise,
                curve,
                weights,
                reach,
                top,
                left,
                rows,
                columns,
                curved,
                radius,
                applies
            }
        );
    }

    /// The largest difference between what the GPU and the processor make of two pictures in some epochs.
    fn worst(spec: &AugmentSpec, channels: usize, check: impl Fn(&str, f32)) {
        let augmentation = Augmentation::new(spec, &["a".to_owned(), "b".to_owned()]).unwrap();
        let values = channels * SIZE.area();
        let pixels = |i: usize| (0.5 + 0.5 * (i as f32 * 0.37).sin() * (i as f32 * 0.011).cos()).clamp(0.0, 1.0);
        let picture = |start: usize| Picture {
            size: SIZE,
            pixels: (start..start + values).map(pixels).collect::<Vec<f32>>().into(),
            landmarks: vec![Some(Point { x: 60.0, y: 70.0 }), None],
            spacing: Spacing { x: 1.0, y: 0.8 },
        };
        let pictures = [picture(0), picture(9000)];
        for place in gpus() {
            let all = pictures.iter().map(|picture| Ok(picture.pixels.clone()));
            let resident = Resident::new(Arc::clone(&place.gpu), SIZE, channels, all).unwrap().unwrap();
            let mut worst = 0.0f32;
            for epoch in 0..4 {
                let changes = [1, 0]
                    .map(|i| (i, augmentation.change((pictures[i].size, pictures[i].spacing), 3, epoch, i as u64)));
                let found: Vec<f32> = resident.batch(&changes).unwrap().flatten_all().unwrap().to_vec1().unwrap();
                for (found, i) in found.chunks(values).zip([1, 0]) {
                    let mut expected = vec![0.0; values];
                    augmentation.apply(&pictures[i], 3, epoch, i as u64, &mut expected);
                    worst = found.iter().zip(&expected).fold(worst, |m, (f, e)| m.max((f - e).abs()));
                }
            }
            check(place.name, worst);
        }
    }

    #[test]
    fn pictures_change_as_on_the_processor() {
        let affine = AugmentSpec {
            probability: 0.7,
            rotation_degrees: 25.0,
            translate: 0.1,
            scale: [0.8, 1.2],
            brightness: 0.5,
            contrast: 0.5,
            ..AugmentSpec::default()
        };
        let none = AugmentSpec::default;
        for (name, spec) in [
            ("affine, brightness, contrast", affine.clone()),
            ("gamma", AugmentSpec { gamma: [0.4, 2.5], ..none() }),
            ("histogram shift", AugmentSpec { histogram_shift: 1.0, ..none() }),
            ("elastic", AugmentSpec { elastic_mm: 9.0, elastic_grid_mm: 20.0, ..none() }),
            ("blur", AugmentSpec { blur: 4.0, ..none() }),
            ("the widest blur", AugmentSpec { blur: 20.0, antialias: true, scale: [0.3, 2.0], ..none() }),
            ("noise", AugmentSpec { noise: 0.3, ..none() }),
            ("cutout", AugmentSpec { cutout: 0.6, ..none() }),
            ("flip", AugmentSpec { flip: 0.5, flip_pairs: Some(Vec::new()), ..none() }),
            (
                "all",
                AugmentSpec {
                    gamma: [0.5, 2.0],
                    histogram_shift: 0.8,
                    elastic_mm: 8.0,
                    elastic_grid_mm: 24.0,
                    blur: 2.0,
                    antialias: true,
                    noise: 0.1,
                    cutout: 0.3,
                    flip: 0.5,
                    flip_pairs: Some(vec![["a".into(), "b".into()]]),
                    ..affine
                },
            ),
        ] {
            for channels in [1, 3] {
                worst(&spec, channels, |place, worst| {
                    assert!(worst < 2e-5, "{name} on {place}, {channels} channels: off by {worst}");
                });
            }
        }
    }
}
