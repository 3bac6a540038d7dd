//! Maps where they are: their losses, their landmarks, and how sure they are of them.

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use sweep_graph::tensors::TensorOperation as _;

use super::gpu::GpuReader;
use super::{Evaluated, Prediction};
use sweep_core::error::Result;
use sweep_core::units::Size;
use sweep_data::decode::DecodeSpec;
use sweep_graph::tensors::read;
use sweep_model::loss::{LossSpec, Targets};

/// TtaViews at maps where they are.
pub(super) enum Reader {
    /// On the processor.
    OnProcessor,
    /// On a GPU.
    OnGpu(GpuReader),
}

impl Reader {
    pub(super) fn new(device: &Device) -> Result<Self> {
        if device.is_cuda() {
            return Ok(Self::OnGpu(GpuReader::new(&sweep_graph::gpu::of(device)?)));
        }
        let _ = device;
        Ok(Self::OnProcessor)
    }

    /// One entry an image of maps `[B, K, H, W]`.
    pub(super) fn read(
        &mut self,
        maps: &Tensor,
        targets: &Targets,
        loss: &LossSpec,
        decode: DecodeSpec,
    ) -> Result<Vec<Evaluated>> {
        match self {
            Self::OnProcessor => on_processor(maps, targets, loss, decode),
            Self::OnGpu(reader) => reader.read(maps, targets, loss, decode),
        }
    }
}

/// As [`Reader::read`], of maps wherever they are.
pub(super) fn on_processor(
    maps: &Tensor,
    targets: &Targets,
    loss: &LossSpec,
    decode: DecodeSpec,
) -> Result<Vec<Evaluated>> {
    let (_, _, height, width) = maps.dims4().computed()?;
    let (size, kind) = (Size { height, width }, loss.map_kind());
    let look = |(planes, targets): (&[f32], &Vec<_>)| Evaluated {
        loss: targets.iter().any(Option::is_some).then(|| loss.of_image(planes, targets)),
        landmarks: planes.par_chunks(size.area()).map(|plane| decode.read(plane, size, kind).into()).collect(),
    };
    let maps = here(maps)?;
    Ok(read(&maps, |maps| Ok(maps.par_chunks(maps.len() / targets.len()).zip(targets).map(look).collect()))
        .computed()?)
}

/// Every landmark of maps `[B, K, H, W]` with how sure they are of it.
pub(super) fn predictions(maps: &Tensor, loss: &LossSpec, decode: DecodeSpec) -> Result<Vec<Vec<Prediction>>> {
    let (_, landmarks, height, width) = maps.dims4().computed()?;
    let (size, kind) = (Size { height, width }, loss.map_kind());
    let predict = |plane: &[f32]| decode.read(plane, size, kind).into();
    let maps = here(maps)?;
    let all: Vec<Prediction> =
        read(&maps, |maps| Ok(maps.par_chunks(size.area()).map(predict).collect())).computed()?;
    Ok(all.chunks(landmarks).map(<[Prediction]>::to_vec).collect())
}

/// Copies nothing where they are what they should be.
fn here(maps: &Tensor) -> Result<Tensor> {
    Ok(maps.to_device(&Device::Cpu).computed()?.to_dtype(DType::F32).computed()?.contiguous().computed()?)
}
