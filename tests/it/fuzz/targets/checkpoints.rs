//! Checkpoints, and weights of PyTorch.

use std::fs;

use candle_core::Device;
use landmark_sweep::data::pictures::Photograph;
use landmark_sweep::networks::weights::WeightsSpec;
use landmark_sweep::predict::Predictor;
use landmark_sweep::predict::held_out::{EvaluatedImage, batches};
use landmark_sweep::predict::views::TtaViews;
use landmark_sweep::units::{Size, Spacing};
use serde_json::{Value, json};

use super::Scene;

/// A checkpoint of this header, whose hash is right.
pub(crate) fn sealed(mut header: Value, tensors: &[u8]) -> Vec<u8> {
    let own = header["__metadata__"]["landmark-sweep"].as_str().unwrap_or_default();
    if let Ok(mut metadata) = serde_json::from_str::<Value>(own)
        && metadata.is_object()
    {
        metadata["blake3"] = json!("-".repeat(64));
        header["__metadata__"]["landmark-sweep"] = json!(metadata.to_string());
    }
    let mut text = header.to_string();
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(8) - text.len()));
    let mut bytes = [&(text.len() as u64).to_le_bytes(), text.as_bytes(), tensors].concat();
    let hash = blake3::hash(&bytes).to_hex();
    if let Some(blank) = bytes.windows(64).position(|window| window == [b'-'; 64]) {
        bytes[blank..blank + 64].copy_from_slice(hash.as_bytes());
    }
    bytes
}

/// Header and tensors of a safetensors file.
pub(crate) fn opened(bytes: &[u8]) -> Option<(Value, &[u8])> {
    let length = usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let (header, tensors) = bytes.get(8..)?.split_at_checked(length)?;
    let header: Value = serde_json::from_slice(header).ok()?;
    header["__metadata__"].is_object().then_some((header, tensors))
}

/// As `sweep predict` and `sweep eval` read it: loads, predicts and plans batches.
pub(super) fn checkpoint(scene: &Scene, bytes: &[u8]) -> bool {
    let bytes = opened(bytes).map_or_else(|| bytes.to_vec(), |(header, tensors)| sealed(header, tensors));
    let file = scene.scratch.join("changed.safetensors");
    fs::write(&file, bytes).unwrap();
    let Ok(mut predictor) = Predictor::load(&[file], TtaViews::new(1), &Device::Cpu) else { return false };
    let size = Size { height: 24, width: 20 };
    let Ok(channels) = predictor.channels() else { return false };
    let pixels = (0..channels.count() * size.area()).map(|i| (i * 7 % 251) as u8).collect();
    let images: Vec<EvaluatedImage> = (0..3000).map(|index| EvaluatedImage { index, members: vec![0] }).collect();
    let _ = (predictor.deep_grey().is_ok(), predictor.why_not_judged());
    let planned = batches(&predictor, &images).is_ok();
    let spacing = Some(Spacing { x: 0.1, y: 0.1 });
    predictor.predict_and_judge(&[0], &[Photograph { size, pixels }], &[spacing]).is_ok() && planned
}

pub(super) fn pth(scene: &Scene, bytes: &[u8]) -> bool {
    let file = scene.scratch.join("changed.pth");
    fs::write(&file, bytes).unwrap();
    let spec: WeightsSpec = serde_json::from_value(json!({ "path": file })).unwrap();
    spec.read().is_ok()
}

/// Whether a file of `torch.save` is a state dict of today's format.
pub(super) fn is_state(bytes: &[u8]) -> bool {
    let scratch = std::env::temp_dir().join(format!("sweep-fuzz-{}.pth", std::process::id()));
    fs::write(&scratch, bytes).unwrap();
    let spec: WeightsSpec = serde_json::from_value(json!({ "path": scratch })).unwrap();
    let is_read = spec.read().is_ok();
    fs::remove_file(scratch).unwrap();
    is_read
}
