//! Images with landmarks: data sets, their sources, and their way to a network: resized
//! ([`resize`]), augmented ([`augment`]), in batches ([`loader`]), its landmarks as heatmaps ([`heatmap`]) and back
//! ([`decode`]).

pub use channels::Channels;
pub use content_hash::split_hash;
pub use coverage::Coverage;
pub use custom::{CustomDataset, Image, Listing, Pixmap};
pub use dataset::{Dataset, Sample, Split};
pub use index::{DatasetContent, DatasetIndex, DatasetSummary, IMAGE_HASH_DIGITS, short_hash};
pub use normalise::{BoxReference, Normaliser, Reference};
pub use pixels::Pixels;
pub use spec::{DatasetSpec, Source};
pub use split::SplitSpec;
pub use standardise::StandardiseSpec;
pub use view::View;

pub mod augment;
pub mod cache;
pub mod channels;
mod content_hash;
mod coverage;
pub mod custom;
mod dataset;
pub mod decode;
pub mod export;
pub mod flips;
pub mod folder;
mod gpu;
pub mod heatmap;
pub mod import;
mod index;
pub mod inspect;
pub mod loader;
mod normalise;
pub mod phantom;
pub mod picture;
pub mod pictures;
mod pixels;
pub mod progress;
mod relative_path;
pub mod resize;
pub mod shifts;
mod source;
mod spec;
mod split;
mod standardise;
mod view;
