//! Losses, landmarks and confidences of maps, computed on the device that holds them.

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

/// Decodes maps on the device that holds them.
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

    /// Losses and landmarks, one entry per image, of maps `[B, K, H, W]`.
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

/// [`Reader::read`] on the processor; maps of other devices are copied.
pub(super) fn on_processor(
    maps: &Tensor,
    targets: &Targets,
    loss: &LossSpec,
    decode: DecodeSpec,
) -> Result<Vec<Evaluated>> {
    let (_, _, height, width) = maps.dims4().computed()?;
    let (size, kind) = (Size { height, width }, loss.map_kind());
    let evaluate = |(planes, targets): (&[f32], &Vec<_>)| Evaluated {
        loss: targets.iter().any(Option::is_some).then(|| loss.of_image(planes, targets)),
        landmarks: planes.par_chunks(size.area()).map(|plane| decode.read(plane, size, kind).into()).collect(),
    };
    let maps = on_cpu(maps)?;
    read(&maps, |maps| Ok(maps.par_chunks(maps.len() / targets.len()).zip(targets).map(evaluate).collect())).computed()
}

/// Landmarks and confidences of maps `[B, K, H, W]`.
pub(super) fn predictions(maps: &Tensor, loss: &LossSpec, decode: DecodeSpec) -> Result<Vec<Vec<Prediction>>> {
    let (_, landmarks, height, width) = maps.dims4().computed()?;
    let (size, kind) = (Size { height, width }, loss.map_kind());
    let predict = |plane: &[f32]| decode.read(plane, size, kind).into();
    let maps = on_cpu(maps)?;
    let all: Vec<Prediction> =
        read(&maps, |maps| Ok(maps.par_chunks(size.area()).map(predict).collect())).computed()?;
    Ok(all.chunks(landmarks).map(<[Prediction]>::to_vec).collect())
}

/// The maps as contiguous f32 on the processor; copies only what is not.
fn on_cpu(maps: &Tensor) -> Result<Tensor> {
    maps.to_device(&Device::Cpu).computed()?.to_dtype(DType::F32).computed()?.contiguous().computed()
}
