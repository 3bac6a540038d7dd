//! Requests to the pages, without a browser and without a network.

mod guarded;
mod pages;
mod scene;
