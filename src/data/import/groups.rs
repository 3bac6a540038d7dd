//! Groups of images, such as the frames of one film, that splits keep together: an image's group takes the place of its
//! patient.

use std::collections::BTreeMap;

use regex::Regex;

use sweep_core::error::{Error, Result};

use super::parsed::ParsedDataset;

/// Gives every image the group that the pattern finds in its path. Images of one patient stay together as well.
pub(super) fn assign(parsed: &mut ParsedDataset, pattern: &str) -> Result<()> {
    let regex = Regex::new(pattern).map_err(|e| {
        let reason = e.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim().to_owned();
        Error::input(format!("`{pattern}` is no pattern: {reason}"))
            .at("--group")
            .remedy("write a regular expression whose first group is the image's, for example '(.*)_frame[0-9]+'")
    })?;
    let mut groups = Vec::new();
    for record in &parsed.records {
        let found = regex.captures(&record.image).and_then(|found| found.get(1).or(found.get(0)));
        let group = found.map(|found| found.as_str().to_owned()).ok_or_else(|| {
            Error::input(format!("the pattern `{pattern}` is not in the image's path `{}`", record.image))
                .at("--group")
                .remedy("write a pattern that is in every image's path")
        })?;
        groups.push(group);
    }
    // Images are linked by group and by patient: what is linked becomes one.
    let mut parents: Vec<usize> = (0..groups.len()).collect();
    let mut firsts: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    for (index, (record, group)) in parsed.records.iter().zip(&groups).enumerate() {
        let keys = [Some((false, group.as_str())), record.patient.as_deref().map(|patient| (true, patient))];
        for key in keys.into_iter().flatten() {
            let first = *firsts.entry(key).or_insert(index);
            let (a, b) = (root(&mut parents, first), root(&mut parents, index));
            parents[a.max(b)] = a.min(b);
        }
    }
    let own: Vec<String> = (0..groups.len()).map(|index| groups[root(&mut parents, index)].clone()).collect();
    let count = (0..groups.len()).filter(|index| root(&mut parents, *index) == *index).count();
    for (record, group) in parsed.records.iter_mut().zip(own) {
        record.patient = Some(group);
    }
    parsed.notes.push(format!("{count} groups of images, which splits keep together (column patient)"));
    Ok(())
}

/// The least index that the image is linked with.
fn root(parents: &mut [usize], mut index: usize) -> usize {
    while parents[index] != index {
        parents[index] = parents[parents[index]];
        index = parents[index];
    }
    index
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::import::{PixelSource, Record};

    fn parsed(images: &[(&str, Option<&str>)]) -> ParsedDataset {
        let record = |(image, patient): &(&str, Option<&str>)| Record {
            patient: patient.map(str::to_owned),
            ..Record::new(Path::new(image), PixelSource::File(image.into()), vec![], String::new())
        };
        ParsedDataset {
            name: String::new(),
            landmarks: vec![],
            observer_mre: None,
            records: images.iter().map(record).collect(),
            notes: vec![],
        }
    }

    #[test]
    fn frames_of_a_film_and_films_of_a_patient_are_one_group() {
        let mut frames = parsed(&[
            ("a_01.png", None),
            ("a_02.png", Some("anna")),
            ("b_01.png", Some("anna")),
            ("b_02.png", None),
            ("c_01.png", None),
        ]);
        assign(&mut frames, "^(.*)_[0-9]+").unwrap();
        let groups: Vec<&str> = frames.records.iter().filter_map(|r| r.patient.as_deref()).collect();
        assert_eq!(groups, ["a", "a", "a", "a", "c"]);
        let error = assign(&mut parsed(&[("x.png", None)]), "film").unwrap_err();
        assert!(error.message.contains("`x.png`"), "{error}");
        assert_eq!(assign(&mut frames, "(").unwrap_err().location.as_deref(), Some("--group"));
    }
}
