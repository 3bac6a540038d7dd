//! Sweeps of landmark-detection trainings, judged on the landmark error beside the loss.
//!
//! A loss may fall a thousandfold while the landmarks it should find stay where they are. `sweep` trains every point of a
//! sweep, measures the **landmark error in millimetres** after every epoch, records it beside the loss in plain CSV, and
//! draws both, so that their disagreement is visible.
//!
//! # A tour, in the direction of the data
//!
//! 1. A TOML file becomes a [`definition::SweepDefinition`]; every error names file, line and key. Its axes and seeds become
//!    [`plan::Trial`]s, each with a complete [`config::TrialConfig`]. A hash of the configuration and of its data is the
//!    trial's identity, and part of its name. [`sampling`] lists the points of the axes and those that a [`search`] draws;
//!    [`prune`] decides which trials stop early; [`cost`] and [`power`] estimate before the run what it takes and what it can
//!    show.
//! 2. The [`scheduler`] decides what to do with each trial, given its folder in the [`store::Store`], runs it in a process of
//!    its own, and judges how that ended by the records it left.
//! 3. [`train::train`] is the loop, from top to bottom: batches from [`data::loader`] (decoded and resized once for all
//!    processes by [`data::cache`], augmented by [`data::augment`]), target heatmaps as outer products ([`data::heatmap`]), a
//!    network whose graphs are data ([`graph::Graph`], made by [`networks`], run by an [`engine`]), a [`loss`], and an
//!    [optimizer](optim).
//! 4. [`evaluate`] reads landmarks off the maps ([`data::decode`]) and measures them in the original image's millimetres.
//!    [`predict`] does the same for new images, with one or several checkpoints.
//! 5. [`records`] join the halves: training writes them, and everything below reads nothing else.
//! 6. [`analysis`] turns records into numbers: [`analysis::errors`] pairs trials on seeds, images and landmarks,
//!    [`analysis::statistics`] gives every number its interval, [`analysis::curves`] judges what happened over epochs, and
//!    [`analysis::findings`] states the results in sentences, corrected for how many there are. The [`report`] puts them beside
//!    figures, in one page; the [`gate`] compares the errors with a baseline.
//! 7. [`commands`] puts it together for the `sweep` program; [`cli`] is its command line.
//!
//! # Crates
//!
//! This crate is a facade over the members of its workspace. Each module below says in its own documentation which crate
//! it is from; `CONTRIBUTING.md` lists the crates and their one direction.
//!
//! # Using it, adding to it
//!
//! [`sweep::Sweep`] plans, trains and reads a sweep from Rust. A [`program::Program`] is `sweep` with your own networks
//! ([`networks::CustomNetwork`], or as modules of candle [`candle::CandleNetwork`]), losses ([`loss::CustomLoss`]) and data sets ([`data::CustomDataset`]): see
//! [`guide::library`].
//!
//! ```
//! use landmark_sweep::definition::SweepDefinition;
//! use landmark_sweep::plan::plan;
//!
//! let definition = SweepDefinition::parse("small.toml", r#"
//!     name = "small"
//!     seeds = [0, 1]
//!     [axes]
//!     "loss.name" = ["l1", "smooth-l1"]
//!     [trial]
//!     epochs = 3
//!     model = { name = "unet", filters = [8, 16] }
//! "#)?;
//! let trials = plan(&definition)?;
//! assert_eq!(trials.len(), 4);
//! assert!(trials[1].id.starts_with("smooth-l1-seed0-"));
//! # Ok::<(), landmark_sweep::error::Error>(())
//! ```
//!
//! All randomness comes from [`seed::derive`], so the same definition gives the same records, bit for bit, on the same
//! machine and with any number of threads.

pub mod guide;

pub use sweep_analysis::{self as analysis, gate, paired_sd, power, report, tidy_table};
pub use sweep_app::{cli, commands, program, sweep};
pub use sweep_core::{error, protobuf, registry, seed, units};
pub use sweep_data::{self as data, inspect};
pub use sweep_engine::{self as engine, candle_ops};
pub use sweep_experiment::{definition, early_stop, metric, provenance, prune, records, search, slurm, store};
pub use sweep_graph::{self as graph, params, simd_math, tensors};
pub use sweep_model::{candle, loss, lr_schedule, networks, onnx, optim};
pub use sweep_planning::{config, plan, sampling, schema};
pub use sweep_runner::{scheduler, trackers};
pub use sweep_training::{checkpoint, cost, device, evaluate, model_runner, out_of_distribution, predict, train};
