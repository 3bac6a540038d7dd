//! Names in the order of their first appearance.

use std::collections::BTreeMap;

/// Landmark names as a source brings them up, each once.
#[derive(Debug, Default, Clone)]
pub(super) struct NameList {
    names: Vec<String>,
    indices: BTreeMap<String, usize>,
}

impl NameList {
    /// The name's index in the list; a new name is added at the end.
    pub(super) fn index(&mut self, name: &str) -> usize {
        if let Some(index) = self.indices.get(name) {
            return *index;
        }
        let index = self.names.len();
        self.names.push(name.to_owned());
        self.indices.insert(name.to_owned(), index);
        index
    }

    /// The name's place, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<usize> {
        self.indices.get(name).copied()
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Values by place as one value a name; places without a value are `None`.
    pub(super) fn row<T: Copy>(&self, values: &BTreeMap<usize, T>) -> Vec<Option<T>> {
        (0..self.names.len()).map(|index| values.get(&index).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_first_place() {
        let mut list = NameList::default();
        assert_eq!(["S", "N", "S", "A"].map(|name| list.index(name)), [0, 1, 0, 2]);
        assert_eq!((list.get("N"), list.get("B")), (Some(1), None));
        assert_eq!(list.row(&BTreeMap::from([(2, 'a'), (0, 's')])), [Some('s'), None, Some('a')]);
    }
}
