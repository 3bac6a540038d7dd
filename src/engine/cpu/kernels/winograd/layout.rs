//! Sizes of tiles, and the memory layout of transformed blocks.

use super::super::super::simd::LANES;

/// Side of a window and of a transformed tile.
pub(super) const WINDOW: usize = 6;
/// Side of an output tile.
pub(super) const TILE: usize = 4;
/// Positions of a transformed tile: numbers per channel.
pub(super) const POSITIONS: usize = WINDOW * WINDOW;
/// Tiles that a task takes through all phases; a multiple of every micro-kernel's tiles.
pub(super) const UNIT: usize = 24;
/// Numbers between the positions of a transformed block.
pub(super) const POSITION_STRIDE: usize = UNIT * LANES;
/// Numbers of a transformed block of one unit: `[position][tile of the unit][16]`.
pub(super) const BLOCK: usize = POSITIONS * POSITION_STRIDE;
