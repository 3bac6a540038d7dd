//! The program `sweep` with additional networks, losses and data sets.
//!
//! Every trial is trained by the program that runs the sweep, in another process. A program of your own therefore adds its
//! parts and calls [`Program::main`], and nothing else:
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

use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory, Parser};
use serde::de::DeserializeOwned;

use crate::cli::Cli;
use crate::commands;
use crate::completions;
use sweep_core::error::{EXIT_CLOSED_OUTPUT, EXIT_ERROR, Error, Kind, Result};
use sweep_core::note;
use sweep_core::spelling::nearest;
use sweep_data::custom::{CustomDataset, add_dataset};
use sweep_model::candle::{CandleNetwork, add_candle_network};
use sweep_model::loss::custom::{CustomLoss, add_loss};
use sweep_model::networks::custom::{CustomNetwork, add_network};
use sweep_planning::shape;

/// The program `sweep` and the parts that are added to it.
#[derive(Debug, Default)]
#[must_use = "does nothing before its `main` is called"]
pub struct Program {
    /// Why the first part could not be added, if one could not.
    error: Option<Error>,
}

impl Program {
    /// The program `sweep` without additions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a network: `model = { name = "custom", kind = KIND, options = … }`, with options of type `N`.
    pub fn network<N: CustomNetwork + DeserializeOwned>(self, kind: &str) -> Self {
        self.with(add_network::<N>(kind))
    }

    /// Adds a network written with candle: `model = { name = "candle", kind = KIND, options = … }`, with options of type
    /// `N::Options`.
    pub fn candle_network<N: CandleNetwork>(self, kind: &str) -> Self {
        self.with(add_candle_network::<N>(kind))
    }

    /// Adds a loss: `loss = { name = "custom", kind = KIND, options = … }`, with options of type `L`.
    pub fn loss<L: CustomLoss + DeserializeOwned>(self, kind: &str) -> Self {
        self.with(add_loss::<L>(kind))
    }

    /// Adds a data set: `dataset = { name = "custom", kind = KIND, options = … }`, with options of type `D`.
    pub fn dataset<D: CustomDataset + DeserializeOwned>(self, kind: &str) -> Self {
        self.with(add_dataset::<D>(kind))
    }

    fn with(mut self, added: Result<()>) -> Self {
        self.error = self.error.or(added.err());
        self
    }

    /// Adds the parts and does nothing else, for [`crate::sweep::Sweep`], which trains in this process.
    ///
    /// # Errors
    /// When two parts of a kind have the same name.
    pub fn add(self) -> Result<()> {
        self.error.map_or(Ok(()), Err)
    }

    /// Runs the command of the command line; returns the exit code.
    #[must_use]
    pub fn main(self) -> ExitCode {
        completions::answer();
        // The command line is read first, so that --help works whatever the parts are.
        let cli = Cli::try_parse().unwrap_or_else(|error| exit_with(&error));
        let result = self.error.map_or_else(|| commands::run(&cli.command), Err);
        match result {
            Ok(outcome) => outcome.exit_code(),
            Err(error) if error.kind == Kind::ClosedOutput => ExitCode::from(EXIT_CLOSED_OUTPUT),
            Err(error) => {
                note!("error: {error}");
                ExitCode::from(EXIT_ERROR)
            }
        }
    }
}

/// Prints an error of the command line and ends the process. A setting of trials that was written as a flag is recognised.
fn exit_with(error: &clap::Error) -> ! {
    let unknown = error.get(ContextKind::InvalidArg).filter(|_| error.kind() == ErrorKind::UnknownArgument);
    let key = unknown.and_then(|flag| flag.to_string().strip_prefix("--").map(|flag| flag.replace('-', "_")));
    if let Some(path) = key.as_deref().and_then(shape::path_of) {
        note!(
            "error: there is no flag --{}\n  help: settings of trials are set by --set: --set {path}=VALUE",
            path.replace('_', "-")
        );
        std::process::exit(i32::from(EXIT_ERROR));
    }
    if let Some(help) = remedy(error) {
        note!("error: {}\n  help: {help}", first_line(error));
        std::process::exit(i32::from(EXIT_ERROR));
    }
    error.exit()
}

/// What to do about an unknown command or flag that clap has no word for, or a misleading one.
fn remedy(error: &clap::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::InvalidSubcommand if error.get(ContextKind::SuggestedSubcommand).is_none() => {
            let written = error.get(ContextKind::InvalidSubcommand)?.to_string();
            let command = Cli::command();
            let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
            Some(match nearest(&written, &names) {
                Some(near) => format!("did you mean `sweep {near}`?"),
                None => "sweep --help lists the commands".to_owned(),
            })
        }
        // Without a similar flag, clap tells how to pass the word as a value, which nobody means.
        ErrorKind::UnknownArgument if error.get(ContextKind::SuggestedArg).is_none() => {
            let usage = error.get(ContextKind::Usage)?.to_string();
            let words = usage.split_whitespace().skip(2);
            let command: Vec<&str> =
                words.take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-')).collect();
            Some(format!("sweep {} --help lists the arguments", command.join(" ")))
        }
        _ => None,
    }
}

/// The message of an error of the command line, without its heading and what follows.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
