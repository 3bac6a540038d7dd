//! Leaves out bad parts of a source where the user wants that, and lists them.

use super::{Tree, one_line};
use sweep_core::error::Result;

impl Tree {
    /// A row's or an image's content; `None` where it is bad and the user wants bad ones left out.
    pub(in super::super) fn keep<T>(&self, content: Result<T>) -> Result<Option<T>> {
        match content {
            Err(error) if self.options.skip_bad => {
                self.remarks().skipped.push(one_line(&error));
                Ok(None)
            }
            content => content.map(Some),
        }
    }

    /// [`Tree::keep`] of a part whose file is named only by the list: elsewhere the error gets its file later.
    pub(in super::super) fn keep_at<T>(&self, place: impl FnOnce() -> String, part: Result<T>) -> Result<Option<T>> {
        if self.options.skip_bad { self.keep(part.map_err(|e| e.at(place()))) } else { part.map(Some) }
    }
}
