//! The event file of a run, updated with as little writing as possible. TensorBoard reads files while they are written, so
//! events are appended to a file whose events agree; otherwise a new file replaces it.

use super::event::{self, Event};
use super::record;
use sweep_core::error::Result;
use sweep_experiment::store::{Root, most};

/// Suffix of the names of our files. TensorBoard requires `tfevents` in a name and reads a folder's files in their order.
const SUFFIX: &str = ".sweep";

/// Updates the folder's event file to these events and their times. Events in the file keep their times.
pub(super) fn write_events(folder: &Root, events: &[(f64, Event)]) -> Result<()> {
    let files = files(folder)?;
    let bytes = files.last().map(|file| folder.read(file, most::PICTURE)).transpose()?;
    let (written, length) = record::complete(bytes.as_deref().unwrap_or_default());
    let is_prefix =
        written.len() <= events.len() && written.iter().zip(events).all(|(record, (_, event))| event.is(record));
    let number = files.last().map_or(0, |file| number(file));
    let (path, from, missing) = match files.last() {
        Some(file) if is_prefix => (file.clone(), length, &events[written.len()..]),
        _ => (format!("events.out.tfevents.{:010}{SUFFIX}", number + 1), 0, events),
    };
    let is_truncated = bytes.as_ref().is_some_and(|bytes| bytes.len() as u64 > from);
    if !missing.is_empty() || (is_prefix && is_truncated) {
        // Times are known to about a second only; they must not decrease.
        let mut last = if is_prefix { written.last().map_or(0.0, |record| event::time_of(record)) } else { 0.0 };
        let mut bytes = Vec::new();
        for (seconds, event) in missing {
            last = seconds.max(last);
            bytes.extend(record::framed(&event.at(last)));
        }
        folder.truncate_and_append(&path, from, &bytes)?;
    }
    files.iter().filter(|file| **file != path).try_for_each(|old| folder.remove(old))
}

/// Our files in a folder, from the oldest to the newest.
fn files(folder: &Root) -> Result<Vec<String>> {
    Ok(folder.files()?.into_iter().filter(|file| number(file) > 0).collect())
}

/// The number in the name of one of our files; 0 for other files.
fn number(name: &str) -> u64 {
    let number = name.strip_prefix("events.out.tfevents.").and_then(|name| name.strip_suffix(SUFFIX));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "damages files and creates those of other programs")]
mod tests {
    use std::fs;

    use super::*;

    fn events(numbers: &[f64]) -> Vec<(f64, Event)> {
        let scalar = |(at, number): (usize, &f64)| (at as f64, Event::scalars(at as u32, &[("loss", *number)]));
        let first = (0.0, Event::version());
        std::iter::once(first).chain(numbers.iter().enumerate().map(scalar)).collect()
    }

    fn names(folder: &Root) -> Vec<String> {
        files(folder).unwrap()
    }

    #[test]
    fn files_grow_heal_and_are_replaced_only_when_they_must_be() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Root::at(scratch.path()).folder("run/train");
        let first = folder.join("events.out.tfevents.0000000001.sweep");
        write_events(&folder, &events(&[3.0, 2.0])).unwrap();
        let two = fs::read(&first).unwrap();
        // Writing the same again, some time later, changes nothing.
        let later: Vec<_> = events(&[3.0, 2.0]).into_iter().map(|(at, event)| (at + 1e9, event)).collect();
        write_events(&folder, &later).unwrap();
        assert_eq!(fs::read(&first).unwrap(), two);
        // A record that was incomplete when its writer died is written again.
        fs::write(&first, &two[..two.len() - 3]).unwrap();
        write_events(&folder, &events(&[3.0, 2.0, 1.0])).unwrap();
        let three = fs::read(&first).unwrap();
        assert!(three.starts_with(&two) && three.len() > two.len());
        assert_eq!(names(&folder), ["events.out.tfevents.0000000001.sweep"]);
        // With fewer or other epochs, a new file is written; other people's files stay.
        fs::write(folder.join("events.out.tfevents.17.theirs"), "x").unwrap();
        write_events(&folder, &events(&[3.0])).unwrap();
        assert_eq!(names(&folder), ["events.out.tfevents.0000000002.sweep"]);
        write_events(&folder, &events(&[4.0, 2.0])).unwrap();
        assert_eq!(names(&folder), ["events.out.tfevents.0000000003.sweep"]);
        assert!(folder.join("events.out.tfevents.17.theirs").is_file());
        // Damage after complete records.
        let third = folder.join("events.out.tfevents.0000000003.sweep");
        let sound = fs::read(&third).unwrap();
        fs::write(&third, [&sound[..], b"damaged"].concat()).unwrap();
        write_events(&folder, &events(&[4.0, 2.0])).unwrap();
        assert_eq!(fs::read(&third).unwrap(), sound);
    }
}
