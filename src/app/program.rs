//! `sweep` with parts of one's own: a program that does all `sweep` does, and knows more networks, losses and data sets.
//!
//! Trials are trained by the program that was started, in processes of its own; so one that adds parts and then calls
//! [`Program::main`] is all there is to write:
//!
//! ```no_run
//! use landmark_sweep::error::Result;
//! use landmark_sweep::graph::{Graph, Interpolation, Node};
//! use landmark_sweep::networks::CustomNetwork;
//! use landmark_sweep::program::Program;
//! use serde::Deserialize;
//!
//! /// `model = { name = "custom", kind = "hourglass", options = { filters = 16 } }`
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Hourglass {
//!     filters: usize,
//! }
//!
//! impl CustomNetwork for Hourglass {
//!     fn graph(&self, channels: usize, landmarks: usize) -> Result<Graph> {
//!         let mut graph = Graph::new();
//!         let image = graph.push(Node::Input { channels });
//!         let fine = graph.push(Node::convolution(image, "fine", self.filters));
//!         let half = graph.push(Node::MaxPool { input: fine, side: 2 });
//!         let deep = graph.push(Node::convolution(half, "deep", 2 * self.filters));
//!         let up = graph.push(Node::Upsample { input: deep, like: fine, interpolation: Interpolation::Bilinear });
//!         let both = graph.push(Node::Concatenate { inputs: vec![fine, up] });
//!         let maps = graph.push(Node::head(both, "head", landmarks));
//!         graph.push_head(maps);
//!         Ok(graph)
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     Program::new().network::<Hourglass>("hourglass").main()
//! }
//! ```

use std::process::ExitCode;

use clap::Parser;
use serde::de::DeserializeOwned;

use crate::cli::Cli;
use crate::commands;
use sweep_core::error::{EXIT_ERROR, Error, Result};
use sweep_data::custom::{CustomDataset, add_dataset};
use sweep_model::loss::custom::{CustomLoss, add_loss};
use sweep_model::networks::custom::{CustomNetwork, add_network};

/// The program `sweep` is, with the parts that were added to it.
#[derive(Debug, Default)]
#[must_use = "does nothing before its `main` is called"]
pub struct Program {
    /// The first part that could not be added.
    wrong: Option<Error>,
}

impl Program {
    /// `sweep` itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a network: `model = { name = "custom", kind = KIND, options = … }`, whose options are read as `N`.
    pub fn network<N: CustomNetwork + DeserializeOwned>(self, kind: &str) -> Self {
        self.with(add_network::<N>(kind))
    }

    /// With a loss: `loss = { name = "custom", kind = KIND, options = … }`, whose options are read as `L`.
    pub fn loss<L: CustomLoss + DeserializeOwned>(self, kind: &str) -> Self {
        self.with(add_loss::<L>(kind))
    }

    /// With a data set: `dataset = { name = "custom", kind = KIND, options = … }`, whose options are read as `D`.
    pub fn dataset<D: CustomDataset + DeserializeOwned>(self, kind: &str) -> Self {
        self.with(add_dataset::<D>(kind))
    }

    fn with(mut self, added: Result<()>) -> Self {
        self.wrong = self.wrong.or(added.err());
        self
    }

    /// Adds the parts and does nothing else: for [`crate::sweep::Sweep`], which trains in this process.
    ///
    /// # Errors
    /// When two parts of a sort have one name.
    pub fn add(self) -> Result<()> {
        self.wrong.map_or(Ok(()), Err)
    }

    /// Reads the command line, does it, and says how it ended.
    #[must_use]
    pub fn main(self) -> ExitCode {
        // Read first: whoever only asks for help is helped.
        let cli = Cli::parse();
        let done = self.wrong.map_or_else(|| commands::run(&cli.command), Err);
        match done {
            Ok(outcome) => outcome.exit_code(),
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(EXIT_ERROR)
            }
        }
    }
}
