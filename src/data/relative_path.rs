//! Paths that stay inside a data set.

use std::path::{Component, Path, PathBuf};

use sweep_core::error::{Error, Result};

/// The path's plain components.
///
/// # Errors
/// When the path is empty, absolute or has a `..`.
pub(crate) fn relative_path(path: &str) -> Result<PathBuf> {
    let parts = Path::new(path).components().filter(|c| *c != Component::CurDir);
    let plain: Option<PathBuf> =
        parts.map(|c| if let Component::Normal(part) = c { Some(part) } else { None }).collect();
    match plain {
        Some(plain) if !path.is_empty() => Ok(plain),
        _ => Err(Error::input(format!("the path `{path}` leads out of the data set"))
            .remedy("name files relative to their folder, without `..`")),
    }
}
