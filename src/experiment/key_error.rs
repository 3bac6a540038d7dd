//! Errors at a key of a definition.

use sweep_core::error::Error;

/// Makes an error from the path of a key, a description and a remedy.
pub(crate) type KeyError<'a> = dyn Fn(&[&str], &str, &str) -> Error + 'a;
