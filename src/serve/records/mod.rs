//! What pages show, kept up to date by one thread that reads the folder.

mod answers;
mod columns;
mod library;
mod reader;
mod sweep;
mod trial;
mod watch;

pub(crate) use answers::Answered;
pub(crate) use columns::Columns;
pub(crate) use library::{Library, Shelf};
pub(crate) use sweep::Sweep;
pub(crate) use trial::Trial;
