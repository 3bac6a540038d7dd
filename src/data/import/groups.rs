//! Groups of images, such as the frames of one film, that splits keep together: an image's group takes the place of its
//! patient.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use regex::Regex;

use sweep_core::error::{Error, Result};

use super::parsed::{ParsedDataset, PixelSource, Record};
use crate::picture;

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

/// Gives images the patient that their DICOM files name, where the source names none: splits must not divide a patient.
pub(super) fn of_files(parsed: &mut ParsedDataset) {
    let named = |record: &Record| match &record.source {
        PixelSource::File(path) if record.patient.is_none() => picture::patient(path),
        _ => None,
    };
    let patients: Vec<Option<String>> = parsed.records.par_iter().map(named).collect();
    let distinct: BTreeSet<&String> = patients.iter().flatten().collect();
    // Programs that take names out often write one number into all files.
    if distinct.len() == 1 && patients.len() > 1 && patients.iter().all(Option::is_some) {
        parsed.notes.push(
            "all DICOM files name one patient: it is not known whose they are, so a patient may be in several splits (--group says it)"
                .into(),
        );
        return;
    }
    for (record, patient) in parsed.records.iter_mut().zip(patients) {
        record.patient = record.patient.take().or(patient);
    }
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
#[expect(clippy::disallowed_methods, reason = "writes image files")]
mod tests {
    use std::path::Path;

    use super::*;

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

    /// A DICOM file without pixels, explicit little endian, that names a patient.
    fn dicom(patient: &str) -> Vec<u8> {
        let element = |group: u16, number: u16, vr: &[u8], value: &str| {
            let value = format!("{value:width$}", width = value.len().next_multiple_of(2));
            let length = (value.len() as u16).to_le_bytes();
            [&group.to_le_bytes()[..], &number.to_le_bytes(), vr, &length, value.as_bytes()].concat()
        };
        let syntax = element(2, 0x10, b"UI", "1.2.840.10008.1.2.1\0");
        [&[0; 128][..], b"DICM", &syntax, &element(0x10, 0x20, b"LO", patient), &element(0x20, 0x10, b"SH", "1")]
            .concat()
    }

    #[test]
    fn patients_of_dicom_files_are_not_divided_unless_all_are_one() {
        let read = |ids: [&str; 4]| {
            let root = tempfile::tempdir().unwrap();
            let mut images = parsed(&[("0.dcm", None), ("1.dcm", Some("said")), ("2.dcm", None), ("3.png", None)]);
            for (record, id) in images.records.iter_mut().zip(ids) {
                let path = root.path().join(&record.image);
                std::fs::write(&path, if id.is_empty() { b"no DICOM".to_vec() } else { dicom(id) }).unwrap();
                record.source = PixelSource::File(path);
            }
            of_files(&mut images);
            images
        };
        let some = read(["anna", "ben", "anna", ""]);
        let patients: Vec<Option<&str>> = some.records.iter().map(|record| record.patient.as_deref()).collect();
        assert!(patients[0].is_some_and(|patient| !patient.contains("anna")) && patients[0] == patients[2]);
        assert_eq!((patients[1], patients[3]), (Some("said"), None));
        // One of them is somebody's by the table: the files do not say that all are one patient's.
        assert!(read(["x", "x", "x", "x"]).records.iter().all(|record| record.patient.is_some()));
    }
}
