//! A live report of sweeps in the browser (`sweep serve`), from their records alone. Never trains.
//!
//! `records` reads the folder again and again and holds what pages need; `pages` answers requests from it, and reads by itself
//! only what one page alone shows; `chart` draws; `guard` refuses whom the pages are not for; `server` binds, accepts and stops.

mod address;
mod assets;
mod chart;
mod guard;
mod pages;
mod records;
mod server;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;

use sweep_core::error::Result;

pub use server::serve;

/// What `sweep serve` is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// A folder of sweeps, or that of one sweep.
    pub folder: PathBuf,
    /// The address to listen at.
    pub host: IpAddr,
    /// The port; 0 for a free one.
    pub port: u16,
    /// The token that a browser must bring, if one is demanded.
    pub token: Option<String>,
    /// Whether pages may pause, stop and retry; demands a token.
    pub control: bool,
}

impl Options {
    /// Adds a token of 32 random hexadecimal digits where the address or the orders demand one and none is given.
    #[must_use]
    pub fn guarded(self) -> Self {
        let demands = self.control || !self.host.is_loopback();
        let token = self.token.or_else(|| demands.then(guard::token));
        Self { token, ..self }
    }
}

/// What is told once the server listens.
pub type Listening<'a> = &'a dyn Fn(&str) -> Result<()>;
