//! The user's guide: one page per question, for reading here or beside the source.

#![expect(clippy::doc_markdown, reason = "pages for people: names of columns and formats stand in tables as they are")]

#[doc = include_str!("results.md")]
pub mod results {}

#[doc = include_str!("definition.md")]
pub mod definition {}

#[doc = include_str!("running.md")]
pub mod running {}

#[doc = include_str!("data.md")]
pub mod data {}

#[doc = include_str!("predict.md")]
pub mod predict {}

#[doc = include_str!("accuracy.md")]
pub mod accuracy {}

#[doc = include_str!("gate.md")]
pub mod gate {}

#[doc = include_str!("trackers.md")]
pub mod trackers {}

#[doc = include_str!("data-out.md")]
pub mod data_out {}

#[doc = include_str!("pytorch-onnx.md")]
pub mod pytorch_onnx {}

#[doc = include_str!("editors-shells.md")]
pub mod editors_shells {}

#[doc = include_str!("dashboard.md")]
pub mod dashboard {}

#[doc = include_str!("serve.md")]
pub mod serve {}

#[doc = include_str!("cluster.md")]
pub mod cluster {}

#[doc = include_str!("speed.md")]
pub mod speed {}

#[doc = include_str!("gpu.md")]
pub mod gpu {}

#[doc = include_str!("install.md")]
pub mod install {}

#[doc = include_str!("tools.md")]
pub mod tools {}

#[doc = include_str!("python.md")]
pub mod python {}

#[doc = include_str!("library.md")]
pub mod library {}
