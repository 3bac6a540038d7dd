//! Networks by name: each is a function to a [`Graph`](sweep_graph::Graph), and every engine runs every one of them. Modules of
//! candle, which a program registers, are the exception: candle runs them.

mod architecture;
mod attention_unet;
mod build;
mod candle;
pub mod custom;
mod decoder;
mod deeplab_v3_plus;
mod head;
mod hrnet;
mod norm;
#[cfg(test)]
mod on_gpu;
mod published;
mod spec;
#[cfg(test)]
mod tests;
pub mod two_stage;
mod unet;
mod unet_efficientnet;
mod unet_plus_plus;
mod unet_resnet;
pub mod weights;

pub use architecture::Architecture;
pub use attention_unet::AttentionUNetSpec;
pub use build::Stage;
pub use candle::CandleModel;
pub use custom::{CustomModel, CustomNetwork};
pub use deeplab_v3_plus::DeepLabV3PlusSpec;
pub use head::{CombineSpec, HeadSpec};
pub use hrnet::HrNetSpec;
pub use norm::NormSpec;
pub use published::PublicWeights;
pub use spec::ModelSpec;
pub use two_stage::TwoStageSpec;
pub use unet_efficientnet::EfficientNetSpec;
pub use unet_resnet::UNetResNetSpec;
