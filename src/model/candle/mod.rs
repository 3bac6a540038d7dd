//! Networks that are modules of candle: written with `candle_nn`, differentiated by candle, trained like every other network.
//!
//! A program registers a [`CandleNetwork`] under a name. A module is built anew for every pass, from the parameters of a
//! [`ParamStore`](sweep_graph::params::ParamStore). So nothing but parameters outlives a pass, a resumed training is the same
//! bit for bit, and what a constructor computes from its parameters is never out of date.
//!
//! `builder` gives a module its parameters, `pass` its random numbers, `module` runs it and `engine` trains it;
//! `gradient_check` finds what candle differentiates wrongly, `suspects` the operation at fault.

mod builder;
mod engine;
mod gradient_check;
mod module;
mod network;
mod pass;
mod suspects;
#[cfg(test)]
mod tests;

pub use engine::CandleEngine;
pub use gradient_check::check_gradients;
pub use module::Module;
pub use network::{AnyCandleNetwork, CandleNetwork, add_candle_network};
pub use pass::{Draws, Pass};
