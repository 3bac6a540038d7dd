//! Decoding on a GPU: only a decoder's inputs are copied from each map.
#![expect(unsafe_code, reason = "promises the layout of the kernels' structures")]

use std::sync::Arc;
use sweep_graph::tensors::TensorOperation as _;

use candle_core::Tensor;

use super::peak::Peak;
use super::{DecodeSpec, MapKind, Reading};
use sweep_core::error::Result;
use sweep_core::units::{Point, Size};
use sweep_graph::gpu::{Address, Gpu, Launch, Number, Parameters, Scratch, chunks_of_planes, read};

/// Same layout as in `gpu/kernels/planes.cuh`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Decode {
    maps: Address,
    parts: Address,
    peaks: Address,
    sums: Address,
    windows: Address,
    masses: Address,
    threshold: f32,
    logarithm: f32,
    kind: i32,
    reach: i32,
    planes: i32,
    height: i32,
    width: i32,
    chunks: i32,
    rows_of_chunk: i32,
    unused: i32,
}

/// Same layout as in `gpu/kernels/planes.cuh`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct KernelPeak {
    value: f32,
    place: i32,
}

// SAFETY: `repr(C)`, of plain numbers, as the kernel's; a test compares their layouts.
unsafe impl Parameters for Decode {}
// SAFETY: two numbers of four bytes.
unsafe impl Number for KernelPeak {}

/// Threads of a block.
const THREADS: u32 = 256;

/// Reads landmarks off maps on a GPU, in memory that stays.
pub struct MapReader {
    gpu: Arc<dyn Gpu>,
    memory: Scratch,
}

impl MapReader {
    /// On this GPU.
    pub fn new(gpu: Arc<dyn Gpu>) -> Self {
        Self { gpu, memory: Scratch::default() }
    }

    /// [`DecodeSpec::read`] of every plane of maps `[B, K, H, W]`: `[B·K]`.
    ///
    /// # Errors
    /// When the maps are not contiguous and on the GPU, or it has not enough memory.
    pub fn read(&mut self, spec: DecodeSpec, maps: &Tensor, kind: MapKind) -> Result<Vec<Reading>> {
        let (images, landmarks, height, width) = maps.dims4().computed()?;
        let (planes, size) = (images * landmarks, Size { height, width });
        let gpu = self.gpu.as_ref();
        let (rows_of_chunk, chunks) = chunks_of_planes(planes, height);
        let reach = spec.reach();
        let window = (2 * reach + 1).pow(2);
        let peaks_bytes = size_of::<KernelPeak>() * planes;
        let start = self.memory.reserve(gpu, peaks_bytes * (chunks + 1) + planes * (32 * chunks + 4 * window))?;
        let after = |address: Address, bytes: usize| address + bytes as Address;
        let sums = start;
        let masses = after(sums, 24 * planes * chunks);
        let peaks = after(masses, 8 * planes * chunks);
        let parts = after(peaks, peaks_bytes);
        let threshold = if let DecodeSpec::Centroid { threshold } = spec { threshold as f32 } else { 1.0 };
        let parameters = Decode {
            maps: gpu.address(maps)?,
            parts,
            peaks,
            sums,
            windows: after(parts, peaks_bytes * chunks),
            masses,
            threshold,
            logarithm: threshold.ln(),
            kind: match kind {
                MapKind::Heatmap | MapKind::Scaled { .. } => 0,
                MapKind::Logits => 1,
                MapKind::Sigmoid => 2,
            },
            reach: reach as i32,
            planes: planes as i32,
            height: height as i32,
            width: width as i32,
            chunks: chunks as i32,
            rows_of_chunk: rows_of_chunk as i32,
            unused: 0,
        };
        let by_chunk = |kernel| Launch::new(kernel, [chunks, planes, 1], THREADS, &parameters);
        gpu.launch(&by_chunk("find_peaks").shared(size_of::<KernelPeak>() * THREADS as usize))?;
        gpu.launch(&Launch::per_element("merge_peaks", planes, 128, &parameters))?;
        gpu.launch(&Launch::per_element("copy_windows", planes * window, 128, &parameters))?;
        let is_centroid = matches!(spec, DecodeSpec::Centroid { .. });
        let mut centroids: Vec<Option<Point>> = vec![None; planes];
        if is_centroid {
            gpu.launch(&by_chunk("sum_places").shared(8 * THREADS as usize))?;
        }
        let mut masses: Vec<f64> = vec![1.0; planes];
        if kind == MapKind::Logits {
            gpu.launch(&by_chunk("sum_masses").shared(8 * THREADS as usize))?;
            let all: Vec<f64> = read(gpu, parameters.masses, planes * chunks)?;
            masses = all.chunks(chunks).map(|chunks| chunks.iter().sum()).collect();
        }
        if is_centroid {
            let sums: Vec<u64> = read(gpu, sums, 3 * planes * chunks)?;
            for (centroid, chunks) in centroids.iter_mut().zip(sums.chunks(3 * chunks)) {
                let sum = |what: usize| chunks.iter().skip(what).step_by(3).sum::<u64>() as f64;
                *centroid = Some(Point { x: sum(1) / sum(0), y: sum(2) / sum(0) });
            }
        }
        let peaks: Vec<KernelPeak> = read(gpu, peaks, planes)?;
        let windows: Vec<f32> = read(gpu, parameters.windows, planes * window)?;
        let reading = |plane: usize| {
            let Ok(index) = usize::try_from(peaks[plane].place) else { return Reading::of_nothing(size) };
            let window = windows[plane * window..][..window].to_vec();
            let found = Peak { index, highest: peaks[plane].value, reach, window, centroid: centroids[plane] };
            Reading { point: spec.point(&found, size, kind), confidence: found.confidence(masses[plane], kind) }
        };
        Ok((0..planes).map(reading).collect())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::tests::KINDS;
    use super::*;
    use crate::heatmap::HeatmapSpec;
    use sweep_emulator::{Emulator, assert_layout, gpus};

    #[test]
    fn parameters_are_laid_out_as_the_kernels_have_them() {
        let Some(emulator) = Emulator::new(false) else { return };
        assert_layout!(
            emulator,
            "find_peaks",
            Decode {
                maps,
                parts,
                peaks,
                sums,
                windows,
                masses,
                threshold,
                logarithm,
                kind,
                reach,
                planes,
                height,
                width,
                chunks,
                rows_of_chunk,
                unused
            }
        );
        assert_layout!(emulator, "Peak", KernelPeak { value, place });
    }

    #[test]
    fn landmarks_are_the_processors() {
        let size = Size { height: 90, width: 41 };
        let mut planes: Vec<f32> = Vec::new();
        for (x, y) in [(17.3, 23.8), (0.0, 0.0), (40.0, 89.0), (20.5, 60.5)] {
            planes.extend(HeatmapSpec::Gaussian { sigma: 2.5 }.profiles(Point { x, y }, size).product());
        }
        // All alike, all below zero, two equal maxima, none a number, one a number, one infinite.
        let plain = |value: f32| vec![value; size.area()];
        let (mut twice, mut one, mut spike) = (plain(-3.0), plain(f32::NAN), plain(0.0));
        (twice[70 * 41 + 3], twice[20 * 41 + 9], one[600], spike[41 * 90 - 1]) = (-1.0, -1.0, -2.0, f32::INFINITY);
        for map in [plain(0.0), plain(-1.0), twice, plain(f32::NAN), one, spike, plain(f32::NEG_INFINITY)] {
            planes.extend(map);
        }
        let maps = Tensor::from_vec(planes.clone(), (1, 11, size.height, size.width), &Device::Cpu).unwrap();
        for (spec, place) in
            DecodeSpec::examples().into_iter().flat_map(|spec| gpus().into_iter().map(move |place| (spec, place)))
        {
            let (mut reader, maps) = (MapReader::new(Arc::clone(&place.gpu)), maps.to_device(&place.device).unwrap());
            // The centroid's threshold is all that kernels know of kinds, but for logits.
            let all = matches!(spec, DecodeSpec::Centroid { .. });
            for kind in KINDS.into_iter().filter(|k| all || matches!(k, MapKind::Heatmap | MapKind::Logits)) {
                let found = reader.read(spec, &maps, kind).unwrap();
                for (found, map) in found.into_iter().zip(planes.chunks(size.area())) {
                    let expected = spec.read(map, size, kind);
                    assert_eq!(found.point, expected.point, "{spec:?} {kind:?}");
                    assert!((found.confidence - expected.confidence).abs() < 1e-6, "{spec:?} {kind:?}");
                }
            }
        }
    }
}
