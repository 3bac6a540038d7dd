use super::*;

#[test]
fn names_lead_to_files_of_the_source_and_nowhere_else() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("source");
    fs::create_dir_all(source.join("a/images")).unwrap();
    fs::create_dir_all(source.join("b")).unwrap();
    for file in ["../secret.png", "a/images/1.png", "a/images/2.PNG", "b/2.png", "top.tif", "a/e\u{301}.png"] {
        fs::write(source.join(file), "").unwrap();
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(root.path().join("secret.png"), source.join("link.png")).unwrap();
        std::os::unix::fs::symlink(root.path(), source.join("up")).unwrap();
        std::os::unix::fs::symlink(source.join("top.tif"), source.join("b/good.tif")).unwrap();
    }
    let tree = Tree::open(&source, &Options::default()).unwrap();
    let find = |from: &str, name: &str| tree.find(Path::new(from), name).map(|path| path.display().to_string());
    assert_eq!(find("a", "images/1.png").unwrap(), "a/images/1.png");
    assert_eq!(find("b", "..\\a\\images\\1.png").unwrap(), "a/images/1.png");
    assert_eq!(find("", "1.png").unwrap(), "a/images/1.png");
    assert_eq!(find("", "1").unwrap(), "a/images/1.png");
    assert_eq!(find("b", "2.png").unwrap(), "b/2.png");
    assert_eq!(find("b", "IMAGES/2.png").unwrap(), "a/images/2.PNG");
    assert_eq!(find("b/c", "../../../../top.tif").unwrap(), "top.tif");
    #[cfg(unix)]
    assert_eq!(find("", "b/good.tif").unwrap(), "b/good.tif");
    assert!(find("", "2.png").unwrap_err().message.contains("may be"));
    assert_eq!(find("", "\u{e9}.png").unwrap(), "a/e\u{301}.png");
    // Paths of other machines.
    let tree = Tree::open(&source, &Options::default()).unwrap();
    tree.find(Path::new(""), "top.tif").unwrap();
    assert!(tree.find(Path::new(""), "D:/x/top.tif").unwrap_err().message.contains("would both be"));
    for foreign in ["D:\\ceph\\images\\1.png", "\\\\nas\\a\\images\\1.png", "/home/other/1.png", "../../old/1.png"] {
        let tree = Tree::open(&source, &Options::default()).unwrap();
        assert_eq!(tree.find(Path::new("b"), foreign).unwrap(), Path::new("a/images/1.png"), "{foreign}");
        assert!(tree.notes()[0].contains("1 images are named by paths of another machine"), "{:?}", tree.notes());
        let other = tree.find(Path::new("b"), "E:/patient 2/1.png").unwrap_err();
        assert!(other.message.contains("would both be `a/images/1.png`"), "{other}");
    }
    let tree = Tree::open(&source, &Options::default()).unwrap();
    assert_eq!(tree.find(Path::new(""), "C:\\b\\2.png").unwrap(), Path::new("b/2.png"));
    assert!(find("", "C:\\x\\2.png").unwrap_err().message.contains("may be"));
    for outside in ["../secret.png", "link.png", "up/secret.png", "/etc/passwd", "C:\\x.png", "", "a/../../secret.png"]
    {
        assert!(find("", outside).is_err(), "{outside}");
    }
}
