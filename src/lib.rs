//! Sweeps of landmark-detection trainings, judged on the landmark error beside the loss.
//!
//! A loss may fall a thousandfold while the landmarks it is meant to find stay where they are. `sweep` trains every
//! point of a sweep, measures the **landmark error in millimetres** after every epoch, keeps it beside the loss in
//! plain CSV, and draws the two so that their disagreement is seen.
//!
//! # A tour, in the direction everything flows
//!
//! 1. A TOML file becomes a [`definition::SweepDefinition`], with every error naming file, line and key; its axes and
//!    seeds become [`plan::Trial`]s, each with a complete [`config::TrialConfig`]; a hash of that and of its data is what it
//!    is, and part of its name. [`points`]
//!    are listed or drawn by a [`search`]; [`prune`] decides which trials stop early; [`cost`] and [`power`] say before
//!    anything runs what it takes and what it can show.
//! 2. [`schedule`] decides what to do with each trial, given what [`store::Store`] holds of it, and runs it in a process of
//!    its own, whose end it judges by what it left there.
//! 3. [`train::train`] is the loop, top to bottom: batches from [`data::loader`] (decoded and resized
//!    once for all processes by [`data::cache`], augmented by [`data::augment`]), target heatmaps as outer products ([`data::heatmap`]), a [`network`] whose graphs
//!    are data ([`graph::Graph`], made by [`models`]), run by an [`engine`], compared by a [`loss`], moved by an [`optim`]iser.
//! 4. [`evaluate`] reads landmarks off the maps ([`data::decode`]) and measures them in the original image's millimetres.
//!    [`predict`] does the same for pictures that are nobody's validation images: checkpoints, several at once, to landmarks.
//! 5. [`records`] are the contract between the halves: training writes them, and everything below reads nothing else.
//! 6. [`analysis`] turns records into numbers: [`analysis::errors`] pairs trials on seeds, images and landmarks, the pure
//!    [`analysis::statistics`] gives every number its interval, [`analysis::curves`] judges what happened over epochs, and
//!    [`analysis::findings`] says in words what it all amounts to, corrected for how many things were looked at.
//!    [`report`] puts that beside pictures, in one page; [`check`] holds the errors against a baseline.
//! 7. [`commands`] puts it together for the `sweep` program; [`cli`] is what can be asked.
//!
//! # Using it, adding to it
//!
//! [`sweep::Sweep`] plans, trains and reads a sweep from Rust. A [`program::Program`] is `sweep` with networks
//! ([`models::CustomNetwork`]), losses ([`loss::CustomLoss`]) and data sets ([`data::CustomDataset`]) of its own: see
//! [`guide::library`].
//!
//! In this crate a network, a loss, a decoder or a data format is one file and one variant of an enum that is matched without
//! `_`, so the compiler names every place that must know it. See [`models::ModelSpec`], [`loss::LossSpec`],
//! [`data::DatasetSpec`].
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
//! Randomness comes from [`seed::derive`] alone, so the same definition gives the same records, bit for bit, on the
//! same machine and with any number of threads.

pub mod guide;

pub use sweep_analysis::{self as analysis, gate, paired_sd, power, report, tidy_table};
pub use sweep_app::{cli, commands, program, sweep};
pub use sweep_core::{error, protobuf, registry, seed, units};
pub use sweep_data::{self as data, inspect};
pub use sweep_engine as engine;
pub use sweep_experiment::{definition, early_stop, metric, provenance, prune, records, search, slurm, store};
pub use sweep_graph::{self as graph, params, simd_math, tensors};
pub use sweep_model::{loss, lr_schedule, networks, onnx, optim};
pub use sweep_planning::{config, plan, sampling, schema};
pub use sweep_runner::{scheduler, trackers};
pub use sweep_training::{checkpoint, cost, device, evaluate, model_runner, predict, train};
