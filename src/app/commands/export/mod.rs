//! `sweep export`: networks and records in other formats, one module per format.

mod onnx;
mod tables;
mod trackers;
mod weights;

use crate::cli::Export;
use sweep_analysis::tidy_table::Format;
use sweep_core::error::{Outcome, Result};

pub(super) fn run(command: &Export) -> Result<Outcome> {
    match command {
        Export::Weights { checkpoint, output, dtype } => weights::write(checkpoint, output, *dtype),
        Export::Onnx(flags) => onnx::export(flags),
        Export::Csv(flags) => tables::write(flags, Format::Csv),
        Export::Parquet(flags) => tables::write(flags, Format::Parquet),
        Export::Json(flags) => tables::write(flags, Format::Json),
        Export::Tensorboard { results, output, without_images } => {
            trackers::tensorboard(results, output, !without_images)
        }
        Export::Mlflow { results, url, without_images } => trackers::mlflow(results, url.as_deref(), !without_images),
    }
}
