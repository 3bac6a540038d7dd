//! `sweep serve`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

/// `sweep serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Folder that holds sweeps, or the folder of one sweep
    #[arg(default_value = "results")]
    pub results: PathBuf,
    /// Port to listen at; 0 for a free one
    #[arg(long, value_name = "N", default_value_t = 8765)]
    pub port: u16,
    /// Address to listen at. Any but this machine's own (127.0.0.1) demands a token, which is generated and printed
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Demand the token in this file, 16 characters or more, instead of a generated one
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Let pages pause, stop and retry a running sweep; demands a token
    #[arg(long)]
    pub control: bool,
}
