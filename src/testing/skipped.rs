//! The file of skipped tests.
#![expect(clippy::disallowed_methods, reason = "writes the file of skipped tests")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Appends a line to the file, once for each test and reason.
#[track_caller]
pub(crate) fn record(need: &str, reason: &str) {
    static RECORDED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let line = line(&test(Location::caller()), need, reason);
    println!("skipped: {line}");
    if RECORDED.lock().unwrap_or_else(PoisonError::into_inner).insert(line.clone())
        && let Err(error) = append(&file(), &line)
    {
        panic!("cannot write {}: {error}", file().display());
    }
}

/// A single line, whatever characters the parts contain.
fn line(test: &str, need: &str, reason: &str) -> String {
    [test, need, reason].map(|part| part.split_whitespace().collect::<Vec<_>>().join(" ")).join("\t")
}

/// The name of the running test, or the caller's position in threads that the test itself started, which have no such
/// name.
fn test(caller: &Location<'_>) -> String {
    let binary = std::env::current_exe().ok();
    let binary = binary.as_deref().and_then(Path::file_stem).unwrap_or_default().to_string_lossy().into_owned();
    // Cargo appends a hash.
    let binary = binary.rsplit_once('-').map_or(binary.as_str(), |(name, _)| name);
    match std::thread::current().name() {
        Some(name) if name != "main" => format!("{binary}::{name}"),
        _ => format!("{binary}: {}:{}", caller.file(), caller.line()),
    }
}

/// A single write to a file opened for appending: lines of tests that run at the same time do not mix.
fn append(file: &Path, line: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(format!("{line}\n").as_bytes())
}

fn file() -> PathBuf {
    std::env::var_os("SWEEP_SKIPPED").map_or_else(|| repository().join("target/skipped-tests.txt"), PathBuf::from)
}

/// The folder of the repository at run time, which may differ from that at build time.
pub fn repository() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let above = |package: &Path| package.ancestors().find(|f| f.join("Cargo.lock").is_file()).map(Path::to_owned);
    package
        .as_deref()
        .and_then(above)
        .or_else(|| above(Path::new(env!("CARGO_MANIFEST_DIR"))))
        .unwrap_or_else(|| PathBuf::from("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_one_line_of_test_need_and_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/skipped.txt");
        for reason in ["no\n compiler\t", "another"] {
            append(&file, &line(&test(Location::caller()), "C++ compiler", reason)).unwrap();
        }
        let name = "sweep_testing::skipped::tests::a_skip_is_one_line_of_test_need_and_reason";
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text, format!("{name}\tC++ compiler\tno compiler\n{name}\tC++ compiler\tanother\n"));
    }

    #[test]
    fn the_repository_is_above_this_crate() {
        assert!(repository().join("src/testing/skipped.rs").is_file());
    }
}
