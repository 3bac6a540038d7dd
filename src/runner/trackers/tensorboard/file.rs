//! The event file of a run: brought to what it should hold, by as little as that takes. TensorBoard reads files while they
//! are written, so what stands there stays, and more is added behind it; where something else stands, a new file takes the
//! place of the old one.

use std::path::{Path, PathBuf};

use super::event::{self, Event};
use super::record;
use sweep_core::error::Result;
use sweep_experiment::store;

/// Ends the names of our files: TensorBoard asks for `tfevents` in a name, and reads a folder's files in their order.
const SUFFIX: &str = ".sweep";

/// Has the folder's event file hold these events, each at its time; events that stand there keep the time they have.
pub(super) fn bring(folder: &Path, events: &[(f64, Event)]) -> Result<()> {
    let files = files(folder)?;
    let bytes = files.last().map(|file| store::read(file)).transpose()?;
    let (there, taken) = record::whole(bytes.as_deref().unwrap_or_default());
    let is_start = there.len() <= events.len() && there.iter().zip(events).all(|(record, (_, event))| event.is(record));
    let number = files.last().map_or(0, |file| number(file));
    let (path, from, missing) = match files.last() {
        Some(file) if is_start => (file.clone(), taken, &events[there.len()..]),
        _ => (folder.join(format!("events.out.tfevents.{:010}{SUFFIX}", number + 1)), 0, events),
    };
    let is_torn = bytes.as_ref().is_some_and(|bytes| bytes.len() as u64 > from);
    if !missing.is_empty() || (is_start && is_torn) {
        // Times are known to a second or so; what comes later is never earlier.
        let mut last = if is_start { there.last().map_or(0.0, |record| event::time_of(record)) } else { 0.0 };
        let mut bytes = Vec::new();
        for (seconds, event) in missing {
            last = seconds.max(last);
            bytes.extend(record::framed(&event.at(last)));
        }
        store::truncate_and_append(&path, from, &bytes)?;
    }
    files.iter().filter(|file| **file != path).try_for_each(|old| store::remove(old))
}

/// Our files in a folder, in the order in which they were begun.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = store::files_in(folder)?.into_iter().map(|(_, path)| path);
    Ok(files.filter(|file| number(file) > 0).collect())
}

/// The number in the name of a file of ours; 0 of another.
fn number(file: &Path) -> u64 {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let number = name.strip_prefix("events.out.tfevents.").and_then(|name| name.strip_suffix(SUFFIX));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "files are torn and those of others made")]
mod tests {
    use std::fs;

    use super::*;

    fn events(numbers: &[f64]) -> Vec<(f64, Event)> {
        let scalar = |(at, number): (usize, &f64)| (at as f64, Event::scalars(at as u32, &[("loss", *number)]));
        let first = (0.0, Event::version());
        std::iter::once(first).chain(numbers.iter().enumerate().map(scalar)).collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        files(folder).unwrap().iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn files_grow_heal_and_are_replaced_only_when_they_must_be() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("run/train");
        let first = folder.join("events.out.tfevents.0000000001.sweep");
        bring(&folder, &events(&[3.0, 2.0])).unwrap();
        let two = fs::read(&first).unwrap();
        // Another look at the same, some time later, changes nothing.
        let later: Vec<_> = events(&[3.0, 2.0]).into_iter().map(|(at, event)| (at + 1e9, event)).collect();
        bring(&folder, &later).unwrap();
        assert_eq!(fs::read(&first).unwrap(), two);
        // What was being written when its writer died is written again.
        fs::write(&first, &two[..two.len() - 3]).unwrap();
        bring(&folder, &events(&[3.0, 2.0, 1.0])).unwrap();
        let three = fs::read(&first).unwrap();
        assert!(three.starts_with(&two) && three.len() > two.len());
        assert_eq!(names(&folder), ["events.out.tfevents.0000000001.sweep"]);
        // Fewer epochs, or others, are another file; those of other people stay.
        fs::write(folder.join("events.out.tfevents.17.theirs"), "x").unwrap();
        bring(&folder, &events(&[3.0])).unwrap();
        assert_eq!(names(&folder), ["events.out.tfevents.0000000002.sweep"]);
        bring(&folder, &events(&[4.0, 2.0])).unwrap();
        assert_eq!(names(&folder), ["events.out.tfevents.0000000003.sweep"]);
        assert!(folder.join("events.out.tfevents.17.theirs").is_file());
        // Torn behind what is all there.
        let third = folder.join("events.out.tfevents.0000000003.sweep");
        let sound = fs::read(&third).unwrap();
        fs::write(&third, [&sound[..], b"torn"].concat()).unwrap();
        bring(&folder, &events(&[4.0, 2.0])).unwrap();
        assert_eq!(fs::read(&third).unwrap(), sound);
    }
}
