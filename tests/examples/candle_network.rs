//! `sweep` with a network written with candle: an encoder like `ConvNeXt` (Liu et al. 2022) and a decoder that adds its levels.
//!
//! ```sh
//! cargo run --release --example candle-network -- run tests/examples/candle_network.toml
//! ```
//!
//! The encoder's parameters have the names of PyTorch's `timm`, behind `encoder.`, so that one of its files starts it:
//! `weights = { path = "convnext_atto.safetensors", prefix = "encoder." }` with `depths = [2, 2, 6, 2]` and
//! `filters = [40, 80, 160, 320]`; the classifier's tensors are listed as unused.

use std::process::ExitCode;

use candle_core::{Result, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Init, LayerNorm, Linear, Module as _, VarBuilder, conv2d, layer_norm, linear};
use landmark_sweep::candle::{CandleNetwork, Pass};
use landmark_sweep::candle_ops::upsample_bilinear2d;
use landmark_sweep::error::{self, Error};
use landmark_sweep::program::Program;
use serde::Deserialize;

/// Options in a definition.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Channels of each stage, from a quarter of the image's size down.
    filters: Vec<usize>,
    /// Blocks of each stage.
    depths: Vec<usize>,
    /// Channels of the decoder.
    decoder: usize,
    /// Probability of dropout before the head.
    #[serde(default)]
    dropout: f64,
    /// Whether the encoder is trained; otherwise it keeps its weights.
    #[serde(default = "yes")]
    train_encoder: bool,
}

fn yes() -> bool {
    true
}

/// Layer normalisation over the channels of a map `[B, C, H, W]`.
struct ChannelNorm(LayerNorm);

impl ChannelNorm {
    fn new(channels: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        layer_norm(channels, 1e-6, vb.clone()).map(Self)
    }

    fn forward(&self, map: &Tensor) -> Result<Tensor> {
        // On a tensor that is not contiguous, candle composes the norm of operations that it can differentiate.
        self.0.forward(&map.permute((0, 2, 3, 1))?)?.permute((0, 3, 1, 2))
    }
}

/// A convolution of each channel, then two linear layers over the channels, beside the map itself.
struct Block {
    depthwise: Conv2d,
    norm: ChannelNorm,
    widen: Linear,
    narrow: Linear,
    gamma: Tensor,
}

impl Block {
    fn new(channels: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let each = Conv2dConfig { padding: 3, groups: channels, ..Conv2dConfig::default() };
        Ok(Self {
            depthwise: conv2d(channels, channels, 7, each, vb.pp("conv_dw"))?,
            norm: ChannelNorm::new(channels, &vb.pp("norm"))?,
            widen: linear(channels, 4 * channels, vb.pp("mlp.fc1"))?,
            narrow: linear(4 * channels, channels, vb.pp("mlp.fc2"))?,
            gamma: vb.get_with_hints(channels, "gamma", Init::Const(0.1))?,
        })
    }

    fn forward(&self, map: &Tensor) -> Result<Tensor> {
        let normed = self.norm.forward(&map.apply(&self.depthwise)?)?.permute((0, 2, 3, 1))?;
        let mixed = normed.apply(&self.widen)?.gelu_erf()?.apply(&self.narrow)?;
        map + mixed.broadcast_mul(&self.gamma)?.permute((0, 3, 1, 2))?
    }
}

/// A stage: a reduction by a convolution with a stride, with its norm before or (first) after it, and blocks.
struct Stage {
    reduce: Conv2d,
    norm: ChannelNorm,
    blocks: Vec<Block>,
}

/// The whole network.
struct ConvNext {
    stages: Vec<Stage>,
    laterals: Vec<Conv2d>,
    smooth: Conv2d,
    head: Conv2d,
    dropout: f64,
}

impl CandleNetwork for ConvNext {
    type Options = Options;
    const VERSION: u32 = 1;

    fn new(vb: VarBuilder<'_>, options: &Options, channels: usize, landmarks: usize) -> Result<Self> {
        let (encoder, decoder) = (vb.pp("encoder"), vb.pp("decoder"));
        let (mut stages, mut laterals) = (Vec::new(), Vec::new());
        for (level, (filters, depth)) in options.filters.iter().zip(&options.depths).enumerate() {
            let of_stage = encoder.pp(format!("stages.{level}"));
            let (reduce, norm) = if level == 0 {
                let quarter = Conv2dConfig { stride: 4, ..Conv2dConfig::default() };
                let reduce = conv2d(channels, *filters, 4, quarter, encoder.pp("stem.0"))?;
                (reduce, ChannelNorm::new(*filters, &encoder.pp("stem.1"))?)
            } else {
                let (half, before) =
                    (Conv2dConfig { stride: 2, ..Conv2dConfig::default() }, options.filters[level - 1]);
                let norm = ChannelNorm::new(before, &of_stage.pp("downsample.0"))?;
                (conv2d(before, *filters, 2, half, of_stage.pp("downsample.1"))?, norm)
            };
            let blocks = (0..*depth).map(|block| Block::new(*filters, &of_stage.pp(format!("blocks.{block}"))));
            stages.push(Stage { reduce, norm, blocks: blocks.collect::<Result<_>>()? });
            let lateral = decoder.pp(format!("lateral{level}"));
            laterals.push(conv2d(*filters, options.decoder, 1, Conv2dConfig::default(), lateral)?);
        }
        let same = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
        Ok(Self {
            stages,
            laterals,
            smooth: conv2d(options.decoder, options.decoder, 3, same, decoder.pp("smooth"))?,
            head: conv2d(options.decoder, landmarks, 3, same, decoder.pp("head"))?,
            dropout: options.dropout,
        })
    }

    fn forward(&self, images: &Tensor, pass: &Pass) -> Result<Tensor> {
        let mut map = images.clone();
        let mut levels = Vec::new();
        for (level, Stage { reduce, norm, blocks }) in self.stages.iter().enumerate() {
            map = if level == 0 { norm.forward(&map.apply(reduce)?)? } else { norm.forward(&map)?.apply(reduce)? };
            map = blocks.iter().try_fold(map, |map, block| block.forward(&map))?;
            levels.push(map.apply(&self.laterals[level])?);
        }
        let mut sum = levels.pop().ok_or_else(|| candle_core::Error::msg("no stage"))?;
        while let Some(finer) = levels.pop() {
            sum = (upsample_bilinear2d(&sum, finer.dim(2)?, finer.dim(3)?, false)? + finer)?;
        }
        let (_, _, height, width) = images.dims4()?;
        let smooth = upsample_bilinear2d(&sum.apply(&self.smooth)?.relu()?, height, width, false)?;
        pass.dropout(&smooth, self.dropout)?.apply(&self.head)
    }

    fn check(options: &Options) -> error::Result<()> {
        let Options { filters, depths, decoder, .. } = options;
        if filters.is_empty() || filters.len() != depths.len() || filters.contains(&0) || *decoder == 0 {
            return Err(Error::definition("a network has as many depths as filters, and channels in each stage")
                .at("filters")
                .remedy("give as many positive numbers, as filters = [8, 16] and depths = [1, 1]"));
        }
        Ok(())
    }

    fn is_trained(options: &Options, parameter: &str) -> bool {
        options.train_encoder || !parameter.starts_with("encoder.")
    }
}

fn main() -> ExitCode {
    Program::new().candle_network::<ConvNext>("convnext").main()
}
