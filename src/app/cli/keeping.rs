//! Commands that keep house in a folder of results: notes, tags, and what is removed.

use std::path::PathBuf;

use clap::Args;

/// `sweep note`.
#[derive(Debug, Args)]
pub struct Note {
    /// Folder of a sweep or a trial, for example results/loss
    pub of: PathBuf,
    /// The note, one line of text; without it, the present note is printed
    #[arg(conflicts_with = "remove")]
    pub text: Option<String>,
    /// Remove the note
    #[arg(long)]
    pub remove: bool,
}

/// `sweep tag`.
#[derive(Debug, Args)]
pub struct Tag {
    /// Folder of a sweep or a trial, for example results/loss
    pub of: PathBuf,
    /// Tags to add; without any, the present tags are printed
    pub tags: Vec<String>,
    /// Tag to remove; repeatable
    #[arg(long, value_name = "TAG")]
    pub remove: Vec<String>,
}

/// `sweep rm`.
#[derive(Debug, Args)]
pub struct Rm {
    /// Folders of sweeps, or of trials, for example results/loss/trials/l1-seed0-3f9a2c1b
    #[arg(required = true)]
    pub folders: Vec<PathBuf>,
    /// Of a sweep, remove only the trials that its present definition does not have
    #[arg(long)]
    pub others: bool,
    /// Print what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Remove more than one trial without asking
    #[arg(long)]
    pub yes: bool,
}
