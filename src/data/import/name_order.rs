//! Names in the order in which a source brings them up, each once.

use std::collections::BTreeMap;

/// Landmarks' names so far.
#[derive(Debug, Default)]
pub(super) struct NameOrder {
    names: Vec<String>,
    indices: BTreeMap<String, usize>,
}

impl NameOrder {
    /// The name's index; a new name comes last.
    pub(super) fn index(&mut self, name: &str) -> usize {
        if let Some(index) = self.indices.get(name) {
            return *index;
        }
        self.indices.insert(name.to_owned(), self.names.len());
        self.names.push(name.to_owned());
        self.names.len() - 1
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn into_names(self) -> Vec<String> {
        self.names
    }
}
