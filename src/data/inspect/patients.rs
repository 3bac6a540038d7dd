//! One patient in two splits: a network that has seen a patient is not measured on another picture of the same.

use std::collections::BTreeMap;

use super::finding::{Finding, Severity};
use super::{Image, Set};
use crate::Split;

/// A finding per patient whose images are in several splits.
pub(super) fn findings(set: &Set) -> Vec<Finding> {
    let mut of: BTreeMap<&str, Vec<&Image>> = BTreeMap::new();
    for image in &set.images {
        if let Some(patient) = &image.row.patient {
            of.entry(patient).or_default().push(image);
        }
    }
    let torn = |(patient, images): (&str, Vec<&Image>)| {
        let split = |image: &Image| image.row.split;
        let [first, .., _] = images.as_slice() else { return None };
        let elsewhere: Vec<&&Image> = images.iter().filter(|image| split(image) != split(first)).collect();
        if elsewhere.is_empty() {
            return None;
        }
        let named = |image: &Image| format!("{} ({})", image.row.image, split(image).map_or("no split", Split::name));
        let others: Vec<String> = elsewhere.iter().map(|image| named(image)).collect();
        let what = format!("patient {patient} is in two splits: {} and {}", named(first), others.join(", "));
        let remedy =
            "put all images of a patient into one split; val_fraction and folds of a definition deal by patient";
        let mut finding = Finding::new(Severity::Error, "leakage", &set.csv, what).remedy(remedy);
        finding = finding.at(first.row.line, &first.row.image);
        finding.others = elsewhere.iter().map(|image| image.row.image.clone()).collect();
        Some(finding)
    };
    of.into_iter().filter_map(torn).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{phantoms, sizes};
    use super::*;

    #[test]
    fn a_patient_in_two_splits_is_found_and_one_in_one_is_not() {
        let mut set = sizes(&phantoms(4, 2));
        for (image, patient) in set.images.iter_mut().zip(["p1", "p1", "p2", "p3", "p2", "p4"]) {
            image.row.patient = Some(patient.to_owned());
        }
        let found = findings(&set);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].severity, found[0].others.len()), (Severity::Error, 1));
        assert!(found[0].what.starts_with("patient p2 is in two splits"), "{}", found[0].what);
    }
}
