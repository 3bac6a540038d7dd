//! Shared parts of the engines' tests.

pub(super) mod comparison;
pub(super) mod gates;
#[expect(clippy::many_single_char_names, reason = "layers without meaning")]
pub(super) mod networks;
pub(super) mod transposed;
