//! Remarks on standard error. Nobody may be there to read them: the pipe may be closed, or the disk of a log full. That never
//! ends a training, so a remark that cannot be written is lost.

use std::fmt::Arguments;
use std::io::Write as _;

use super::plain;

/// Writes a line to standard error, if that is possible; see [`note!`](crate::note).
pub fn remark(line: Arguments<'_>) {
    // In one piece, so that lines of several threads do not mix; foreign names in it move no cursor.
    let text = format!("{}\n", plain::text(&line.to_string()));
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Writes a line to standard error as `eprintln!` does, but never panics where standard error is closed or full.
#[macro_export]
macro_rules! note {
    ($($words:tt)*) => { $crate::console::remark(::std::format_args!($($words)*)) };
}
