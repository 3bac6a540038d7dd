//! Networks, losses, optimizers, learning-rate schedules, and export of networks as ONNX.

#[macro_use]
mod examples;

pub mod candle;
pub mod loss;
pub mod lr_schedule;
pub mod networks;
pub mod onnx;
pub mod optim;
