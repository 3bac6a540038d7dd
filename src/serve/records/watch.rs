//! The system's news of changed files. Where it has none, as on network file systems, the reader looks more often.

use std::path::{Component, Path};
use std::sync::mpsc::Sender;

use notify::{Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::Library;
use super::reader::Wake;

/// Sends a wake-up for every change in the folder, until the watcher is dropped. `None` where the system cannot tell.
pub(super) fn watch(library: &Library, wake: &Sender<Wake>) -> Option<RecommendedWatcher> {
    let (folder, only, wake) = (library.folder().to_owned(), library.only().map(str::to_owned), wake.clone());
    let tell = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        // Reading is no change, and the reader itself reads.
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        for path in &event.paths {
            if let Some((sweep, trial)) = place(&folder, only.as_deref(), path) {
                let _ = wake.send(Wake::Changed(sweep, trial));
            }
        }
    };
    // A link would lead the watcher out of the folder.
    let mut watcher = RecommendedWatcher::new(tell, Config::default().with_follow_symlinks(false)).ok()?;
    watcher.watch(library.folder(), RecursiveMode::Recursive).ok()?;
    Some(watcher)
}

/// The sweep and the trial that a path belongs to.
fn place(folder: &Path, only: Option<&str>, path: &Path) -> Option<(String, Option<String>)> {
    let inside = path.strip_prefix(folder).ok()?;
    let mut names = inside.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    let sweep = only.map(str::to_owned).or_else(|| names.next())?;
    let trial = names.next().filter(|name| name == "trials").and_then(|_| names.next());
    Some((sweep, trial))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_sweep_and_trial() {
        let of = |only: Option<&str>, path: &str| place(Path::new("/r"), only, Path::new(path));
        let found = |sweep: &str, trial: Option<&str>| Some((sweep.to_owned(), trial.map(str::to_owned)));
        assert_eq!(of(None, "/r/loss/trials/a/epochs.csv"), found("loss", Some("a")));
        assert_eq!(of(None, "/r/loss/control/pause"), found("loss", None));
        assert_eq!(of(Some("r"), "/r/trials/a/status.json"), found("r", Some("a")));
        assert_eq!((of(None, "/r"), of(None, "/elsewhere")), (None, None));
    }
}
