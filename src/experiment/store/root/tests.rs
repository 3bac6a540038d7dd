#![expect(clippy::disallowed_methods, reason = "an attacker makes files directly")]
#![expect(clippy::used_underscore_binding, reason = "it keeps the folders until a test ends")]

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// A folder from somebody else, and a file outside it that must neither be read nor changed.
struct Scene {
    _scratch: tempfile::TempDir,
    secret: PathBuf,
    root: Root,
}

fn scene() -> Scene {
    let scratch = tempfile::tempdir().unwrap();
    let (secret, received) = (scratch.path().join("secret"), scratch.path().join("received"));
    fs::write(&secret, "mine").unwrap();
    fs::create_dir(&received).unwrap();
    Scene { secret, root: Root::at(&received), _scratch: scratch }
}

#[test]
fn files_are_written_read_moved_and_removed() {
    let Scene { root, _scratch, .. } = scene();
    root.write("a/b.txt", b"one").unwrap();
    root.replace("a/b.txt", b"two").unwrap();
    root.folder("a").replace_keeping("b.txt", "before.txt", b"three").unwrap();
    assert_eq!(root.read_text("a/b.txt", 10).unwrap(), "three");
    assert_eq!(root.folder("a").names().unwrap(), ["b.txt", "before.txt"]);
    root.folder("a").append("log").unwrap().write_all(b"x").unwrap();
    root.folder("a").truncate_and_append("log", 1, b"yz").unwrap();
    assert_eq!(root.read("a/log", 10).unwrap(), b"xyz");
    assert_eq!(root.version("a/log").unwrap().1, 3);
    root.folder("aside").create().unwrap();
    root.folder("aside").write("keep", b"").unwrap();
    root.write("move", b"m").unwrap();
    root.move_into("aside", "move").unwrap();
    root.move_into("aside", "missing").unwrap();
    assert_eq!(root.folder("aside").files().unwrap(), ["keep", "move"]);
    assert_eq!(root.entry("a").unwrap(), Some(Entry::Folder));
    root.folder("a").clear().unwrap();
    root.remove_all("aside").unwrap();
    root.remove("missing").unwrap();
    assert!(root.names().unwrap().is_empty());
    let error = root.replace("gone/b.txt", b"").unwrap_err();
    assert!(!root.join("gone").exists() && error.location.unwrap().contains("gone"));
    assert!(root.read_if_present("gone/b.txt", 1).unwrap().is_none());
    let large = root.write("large", &[0; 100]).and_then(|()| root.read("large", 99)).unwrap_err();
    assert!(large.message.contains("larger than"), "{large}");
}

#[test]
fn the_folder_itself_may_be_a_link() {
    let Scene { root, _scratch, .. } = scene();
    let link = _scratch.path().join("link");
    symlink(root.path(), &link).unwrap();
    Root::at(&link).write("a/b", b"x").unwrap();
    assert_eq!(root.read("a/b", 1).unwrap(), b"x");
}

#[test]
fn nothing_is_read_or_written_through_a_link() {
    let Scene { secret, root, _scratch } = scene();
    let outside = _scratch.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&secret, root.join("file")).unwrap();
    symlink(&outside, root.join("folder")).unwrap();
    symlink(root.join("nowhere"), root.join("dangling")).unwrap();
    for error in [
        root.read("file", 10).unwrap_err(),
        root.open("file").unwrap_err(),
        root.write("file", b"x").unwrap_err(),
        root.append("file").unwrap_err(),
        root.truncate_and_append("file", 0, b"x").unwrap_err(),
        root.open_lock("file").unwrap_err(),
        root.write("dangling", b"x").unwrap_err(),
        root.open_lock("dangling").unwrap_err(),
        root.write("folder/x", b"x").unwrap_err(),
        root.folder("folder").create().unwrap_err(),
        root.folder("folder").names().unwrap_err(),
        root.folder("folder").remove_parts().unwrap_err(),
    ] {
        assert!(error.message.contains("a link") && error.remedy.is_some(), "{error}");
    }
    assert!(!root.has_file("file") && root.entry("file").unwrap() == Some(Entry::Link));
    // Removing removes the link itself.
    fs::write(outside.join("kept"), "").unwrap();
    root.remove_all("folder").unwrap();
    root.remove("file").unwrap();
    assert!(outside.join("kept").is_file());
    assert_eq!(fs::read_to_string(&secret).unwrap(), "mine");
}

#[test]
fn a_tree_is_removed_without_what_its_links_lead_to() {
    let Scene { secret, root, _scratch } = scene();
    root.write("tree/a/b", b"").unwrap();
    symlink(_scratch.path(), root.join("tree/a/up")).unwrap();
    root.remove_all("tree").unwrap();
    assert!(secret.is_file() && root.names().unwrap().is_empty());
    fs::create_dir_all(root.join("deep/".to_owned() + &"d/".repeat(60))).unwrap();
    assert!(root.remove_all("deep").unwrap_err().message.contains("nested"));
}

#[test]
fn names_do_not_lead_out() {
    let Scene { secret, root, _scratch } = scene();
    for name in ["../secret", "a/../../secret", "..", ".", "", secret.to_str().unwrap(), "a/../b"] {
        assert!(root.read(name, 10).is_err(), "{name}");
        assert!(root.write(name, b"x").is_err(), "{name}");
        assert!(!root.has_file(name), "{name}");
        assert!(root.folder(name).folder("x").create().is_err() || name.is_empty() || name == ".", "{name}");
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "mine");
    assert!(!secret.with_file_name("x").exists() && !secret.with_file_name("b").exists());
}

#[test]
fn pipes_and_devices_are_refused_without_waiting() {
    let Scene { root, _scratch, .. } = scene();
    assert!(std::process::Command::new("mkfifo").arg(root.join("pipe")).status().unwrap().success());
    for error in [
        root.read("pipe", 10).unwrap_err(),
        root.write("pipe", b"").unwrap_err(),
        root.append("pipe").unwrap_err(),
        root.open_lock("pipe").unwrap_err(),
    ] {
        assert!(error.message.contains("a pipe"), "{error}");
    }
    fs::create_dir(root.join("directory")).unwrap();
    assert!(root.read("directory", 1).unwrap_err().message.contains("a folder"));
}

#[test]
fn a_second_name_of_a_file_keeps_its_content() {
    let Scene { secret, root, _scratch } = scene();
    fs::hard_link(&secret, root.join("log")).unwrap();
    root.append("log").unwrap().write_all(b" and more").unwrap();
    assert_eq!(root.read_text("log", 100).unwrap(), "mine and more");
    fs::hard_link(&secret, root.join("events")).unwrap();
    root.truncate_and_append("events", 0, b"x").unwrap();
    fs::hard_link(&secret, root.join("lock")).unwrap();
    assert!(!root.open_lock("lock").unwrap().1);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "mine");
}

#[test]
fn parts_of_the_dead_are_removed_and_never_written_through() {
    let Scene { secret, root, _scratch } = scene();
    fs::write(root.join(".last.1.part"), "torn").unwrap();
    root.remove_parts().unwrap();
    // The name of the part is known to whoever knows the process's number.
    symlink(&secret, root.join(format!(".a.{}.part", std::process::id()))).unwrap();
    root.write("a", b"x").unwrap();
    assert_eq!((root.names().unwrap(), fs::read_to_string(&secret).unwrap()), (vec!["a".to_owned()], "mine".into()));
}
