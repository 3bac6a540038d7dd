//! Which of a COCO file's categories are the landmarks, and what these are called.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use sweep_core::error::{Error, Result};

use super::known_names;
use super::number::Word;
use super::parsed::landmark_name;

/// A category of the file.
#[derive(Deserialize)]
pub(super) struct Category {
    pub(super) id: Word,
    name: Option<Word>,
    keypoints: Option<Vec<Word>>,
}

impl Category {
    fn keypoints(&self) -> &[Word] {
        self.keypoints.as_deref().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.name.as_ref().unwrap_or(&self.id).0.trim()
    }
}

/// Landmarks, and which of them each category's objects mark.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) landmarks: Vec<String>,
    /// The first landmark and the number of landmarks of a category.
    pub(super) ranges: BTreeMap<Word, (usize, usize)>,
    pub(super) note: Option<String>,
}

impl Layout {
    /// Decides. `counts` says how many keypoints the annotations of a category have; `wanted` is the user's category.
    pub(super) fn of(
        categories: &[Category],
        counts: &BTreeMap<&Word, BTreeSet<usize>>,
        wanted: Option<&str>,
    ) -> Result<Self> {
        let candidates: Vec<&Category> = categories
            .iter()
            .filter(|category| !category.keypoints().is_empty() || counts.contains_key(&category.id))
            .collect();
        let named: Vec<&Category> = candidates.iter().copied().filter(|c| !c.keypoints().is_empty()).collect();
        let list = |of: &[&Category]| of.iter().map(|c| c.name()).collect::<Vec<_>>().join(", ");
        if let Some(wanted) = wanted {
            let of_name: Vec<&Category> = candidates.iter().copied().filter(|c| c.name() == wanted.trim()).collect();
            return match of_name[..] {
                [one] => Self::one(categories, one, counts),
                [] => Err(Error::input(format!("no category with keypoints is called {wanted}"))
                    .at("field categories")
                    .remedy(format!("name one of these by --category: {}", list(&candidates)))),
                [..] => Err(Error::input(format!("several categories are called {wanted}")).at("field categories")),
            };
        }
        let of = if named.is_empty() { &candidates } else { &named };
        match of[..] {
            [] => Err(Error::input("no category has keypoints")
                .at("field categories")
                .remedy("export as \"COCO Keypoints\": boxes and outlines are no landmarks")),
            [one] => Self::one(categories, one, counts),
            [..] if of.iter().all(|c| is_single(c, counts)) => Self::each(of),
            [..] => Err(Error::input(format!("{} categories have keypoints: {}", of.len(), list(of)))
                .at("field categories")
                .remedy("name the one whose keypoints are the landmarks: --category NAME")),
        }
    }

    /// The keypoints of one category.
    fn one(categories: &[Category], category: &Category, counts: &BTreeMap<&Word, BTreeSet<usize>>) -> Result<Self> {
        let index = categories.iter().position(|other| other.id == category.id).unwrap_or_default();
        let at = |e: Error| e.at(format!("field categories[{index}].keypoints"));
        let (landmarks, note) = if category.keypoints().is_empty() {
            let counts: Vec<usize> = counts.get(&category.id).into_iter().flatten().copied().collect();
            let [count] = counts[..] else {
                return Err(at(Error::input(format!(
                    "the names of the keypoints are not there, and the annotations have {} keypoints",
                    counts.iter().map(usize::to_string).collect::<Vec<_>>().join(" or ")
                ))
                .remedy("write the keypoints' names into the category")));
            };
            known_names::of_count(category.name(), count)
        } else {
            (category.keypoints().iter().map(|name| landmark_name(&name.0)).collect::<Result<_>>().map_err(at)?, None)
        };
        let ranges = BTreeMap::from([(category.id.clone(), (0, landmarks.len()))]);
        Ok(Self { landmarks, ranges, note })
    }

    /// A landmark for each category, with the category's name.
    fn each(categories: &[&Category]) -> Result<Self> {
        let landmarks = categories.iter().map(|c| landmark_name(c.name())).collect::<Result<Vec<_>>>();
        let landmarks = landmarks.map_err(|e| e.at("field categories"))?;
        let ranges = categories.iter().enumerate().map(|(index, c)| (c.id.clone(), (index, 1))).collect();
        let note = format!("{} categories of one keypoint each: their names are the landmarks", landmarks.len());
        Ok(Self { landmarks, ranges, note: Some(note) })
    }
}

fn is_single(category: &Category, counts: &BTreeMap<&Word, BTreeSet<usize>>) -> bool {
    category.keypoints().len() <= 1
        && counts.get(&category.id).is_none_or(|counts| counts.iter().all(|count| *count == 1))
}
