//! Maps where they are: their losses, their landmarks, and how sure they are of them.

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

#[cfg(any(feature = "cuda", test))]
use super::gpu::GpuReader;
use super::{Prediction, Seen};
use crate::data::decode::DecodeSpec;
use crate::error::Result;
use crate::loss::{LossSpec, Targets};
use crate::tensors::read;
use crate::units::Size;

/// Looks at maps where they are.
pub(super) enum Reader {
    /// On the processor.
    OnProcessor,
    /// On a GPU.
    #[cfg(any(feature = "cuda", test))]
    OnGpu(GpuReader),
}

impl Reader {
    #[cfg_attr(
        not(any(feature = "cuda", test)),
        expect(clippy::unnecessary_wraps, reason = "a GPU may be out of reach, where there is one")
    )]
    pub(super) fn new(device: &Device) -> Result<Self> {
        #[cfg(any(feature = "cuda", test))]
        if device.is_cuda() {
            return Ok(Self::OnGpu(GpuReader::new(&crate::gpu::of(device)?)));
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
    ) -> Result<Vec<Seen>> {
        match self {
            Self::OnProcessor => on_processor(maps, targets, loss, decode),
            #[cfg(any(feature = "cuda", test))]
            Self::OnGpu(reader) => reader.read(maps, targets, loss, decode),
        }
    }
}

/// As [`Reader::read`], of maps wherever they are.
pub(super) fn on_processor(maps: &Tensor, targets: &Targets, loss: &LossSpec, decode: DecodeSpec) -> Result<Vec<Seen>> {
    let (_, _, height, width) = maps.dims4()?;
    let (size, kind) = (Size { height, width }, loss.map_kind());
    let look = |(planes, targets): (&[f32], &Vec<_>)| Seen {
        loss: targets.iter().any(Option::is_some).then(|| loss.of_image(planes, targets)),
        landmarks: planes.par_chunks(size.area()).map(|plane| decode.read(plane, size, kind).into()).collect(),
    };
    let maps = here(maps)?;
    Ok(read(&maps, |maps| Ok(maps.par_chunks(maps.len() / targets.len()).zip(targets).map(look).collect()))?)
}

/// Every landmark of maps `[B, K, H, W]` with how sure they are of it.
pub(super) fn predictions(maps: &Tensor, loss: &LossSpec, decode: DecodeSpec) -> Result<Vec<Vec<Prediction>>> {
    let (_, landmarks, height, width) = maps.dims4()?;
    let (size, kind) = (Size { height, width }, loss.map_kind());
    let predict = |plane: &[f32]| decode.read(plane, size, kind).into();
    let maps = here(maps)?;
    let all: Vec<Prediction> = read(&maps, |maps| Ok(maps.par_chunks(size.area()).map(predict).collect()))?;
    Ok(all.chunks(landmarks).map(<[Prediction]>::to_vec).collect())
}

/// Copies nothing where they are what they should be.
fn here(maps: &Tensor) -> Result<Tensor> {
    Ok(maps.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?)
}
