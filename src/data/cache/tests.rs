use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::*;
use crate::dataset::tests::tiny;
use crate::loader::Loader;
use crate::phantom::PhantomSpec;
use crate::{Source, Split, folder};

const INPUT: Size = Size { height: 20, width: 16 };

fn phantoms() -> DatasetSpec {
    Source::Phantom(PhantomSpec { train: 3, val: 2, test: 0, height: 50, width: 40, seed: 7 }).into()
}

/// A data-set folder of three images in `dir`.
fn images(dir: &Path) -> DatasetSpec {
    let mut dataset = tiny();
    dataset.samples[0].split = Split::Test;
    dataset.samples[1].size = Size { height: 8, width: 6 };
    folder::write(&dataset, dir).unwrap();
    DatasetSpec::folder(dir)
}

fn files(cache: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|e| e == file::EXTENSION)).collect()
}

fn equal(a: &Resized, b: &Resized) {
    assert_eq!(a.dataset, b.dataset);
    assert_eq!(a.content, b.content);
    assert_eq!(read(a), read(b));
    let bits = |r: &Resized| read(r).iter().flat_map(|p| p.pixels.to_vec()).map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(a), bits(b));
}

fn read(resized: &Resized) -> Vec<Picture> {
    resized.pictures.iter().map(|picture| picture.read().unwrap()).collect()
}

fn in_file(resized: &Resized) -> bool {
    resized.pictures.iter().all(CachedPicture::is_in_file)
}

#[test]
fn pictures_are_the_same_bit_for_bit_with_and_without_it() {
    let root = tempfile::tempdir().unwrap();
    for spec in [phantoms(), images(&root.path().join("set"))] {
        let cache = Cache::at(&root.path().join("cache/of pictures"));
        let without = Cache::none().load(&spec, INPUT).unwrap();
        assert!(without.pictures.iter().all(|p| !p.is_in_file()));
        let (first, second) = (cache.load(&spec, INPUT).unwrap(), cache.load(&spec, INPUT).unwrap());
        equal(&without, &first);
        equal(&without, &second);
        assert!(in_file(&first) && in_file(&second));
        let opened = spec.open().unwrap();
        let all: Vec<usize> = (0..second.dataset.samples.len()).collect();
        for of in [&without, &second] {
            assert_eq!(of.image_hashes, opened.image_hashes(&all).unwrap());
        }
        for (sample, picture) in spec.load().unwrap().samples.iter().zip(read(&second)) {
            assert_eq!(resize(sample, INPUT), picture);
        }
        // Another input size is another file.
        let other = Size { height: 10, width: 16 };
        equal(&Cache::none().load(&spec, other).unwrap(), &cache.load(&spec, other).unwrap());
    }
    assert_eq!(files(&root.path().join("cache/of pictures")).len(), 4);
}

#[test]
fn whatever_is_damaged_is_made_again_and_never_believed() {
    let root = tempfile::tempdir().unwrap();
    let (spec, cache) = (images(&root.path().join("set")), Cache::at(root.path()));
    let right = Cache::none().load(&spec, INPUT).unwrap();
    cache.load(&spec, INPUT).unwrap();
    let path = files(root.path()).pop().unwrap();
    let whole = fs::read(&path).unwrap();
    // Files of the cache cannot be written to, but replaced.
    let put = |bytes: &[u8]| {
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    };
    // Mark, length, header's hash, header, and first and last grey value.
    for place in [0, 8, 15, 16, 60, 4096, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        put(&bytes);
        equal(&right, &cache.load(&spec, INPUT).unwrap());
        assert_eq!(fs::read(&path).unwrap(), whole, "byte {place}");
    }
    for len in [0, 7, 47, 100, 4096, whole.len() - 4, whole.len() + 4] {
        let mut bytes = whole.clone();
        bytes.resize(len, 0);
        put(&bytes);
        equal(&right, &cache.load(&spec, INPUT).unwrap());
        assert_eq!(fs::read(&path).unwrap(), whole, "{len} bytes");
    }
    // A whole file under another's name.
    let other = Cache::at(&root.path().join("other"));
    other.load(&phantoms(), INPUT).unwrap();
    put(&fs::read(files(&root.path().join("other")).pop().unwrap()).unwrap());
    equal(&right, &cache.load(&spec, INPUT).unwrap());
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn a_changed_data_set_is_another_one() {
    let root = tempfile::tempdir().unwrap();
    let (dir, cache) = (root.path().join("set"), Cache::at(&root.path().join("cache")));
    let spec = images(&dir);
    let before = cache.load(&spec, INPUT).unwrap();
    let csv = fs::read_to_string(dir.join("landmarks.csv")).unwrap();
    fs::write(dir.join("landmarks.csv"), csv.replacen("2.5", "3.5", 1)).unwrap();
    let moved = cache.load(&spec, INPUT).unwrap();
    assert_ne!(before.content, moved.content);
    assert_ne!(before.dataset.samples[0].landmarks, moved.dataset.samples[0].landmarks);
    fs::copy(dir.join("images/3.png"), dir.join("images/1.png")).unwrap();
    let replaced = cache.load(&spec, INPUT).unwrap();
    assert_eq!(read(&replaced)[0].pixels, read(&replaced)[2].pixels);
    equal(&replaced, &Cache::none().load(&spec, INPUT).unwrap());
}

#[test]
fn a_folder_that_cannot_be_written_to_costs_nothing_but_time() {
    let root = tempfile::tempdir().unwrap();
    let right = Cache::none().load(&phantoms(), INPUT).unwrap();
    // A file where the folder should be.
    fs::write(root.path().join("file"), "").unwrap();
    equal(&right, &Cache::at(&root.path().join("file")).load(&phantoms(), INPUT).unwrap());
    // Something that a file cannot replace, as when the disk is full: nothing is left beside it.
    let folder = root.path().join("folder");
    let secret = secret::secret(&folder).unwrap();
    let pictures = phantoms().open().unwrap().fingerprints().unwrap().pictures;
    let name = format!("{}.{}", key(&secret, &pictures, INPUT), file::EXTENSION);
    fs::create_dir_all(folder.join(&name).join("inside")).unwrap();
    equal(&right, &Cache::at(&folder).load(&phantoms(), INPUT).unwrap());
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(left.iter().all(|path| path.extension().is_none_or(|e| e != "part")), "{left:?}");
}

#[test]
fn many_at_once_make_one_file_and_all_see_the_same() {
    let root = tempfile::tempdir().unwrap();
    let right = Cache::none().load(&phantoms(), INPUT).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let got = Cache::at(root.path()).load(&phantoms(), INPUT).unwrap();
                equal(&right, &got);
                assert!(in_file(&got));
            });
        }
    });
    assert_eq!(files(root.path()).len(), 1);
}

#[test]
fn a_file_removed_in_use_stays_readable() {
    let root = tempfile::tempdir().unwrap();
    let right = Cache::none().load(&phantoms(), INPUT).unwrap();
    let held = Cache::at(root.path()).load(&phantoms(), INPUT).unwrap();
    fs::remove_dir_all(root.path()).unwrap();
    equal(&right, &held);
}

/// The file's owner may write to it whatever its mode says.
fn write_to(path: &Path) -> File {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    File::options().write(true).open(path).unwrap()
}

#[test]
fn a_file_cut_off_or_overwritten_in_use_changes_no_bit() {
    use std::os::unix::fs::FileExt as _;

    let root = tempfile::tempdir().unwrap();
    for spec in [phantoms(), images(&root.path().join("set"))] {
        for damage in ["cut off", "cut to nothing", "overwritten", "longer"] {
            let cache = root.path().join(damage);
            let right = Cache::none().load(&spec, INPUT).unwrap();
            let held = Cache::at(&cache).load(&spec, INPUT).unwrap();
            assert!(in_file(&held));
            equal(&right, &held);
            for path in files(&cache) {
                let (file, length) = (write_to(&path), fs::metadata(&path).unwrap().len());
                match damage {
                    "cut off" => file.set_len(length - 1000).unwrap(),
                    "cut to nothing" => file.set_len(0).unwrap(),
                    "overwritten" => file.write_all_at(&[0x3f; 64], length - 500).unwrap(),
                    _ => file.set_len(length + 4096).unwrap(),
                }
            }
            // The batches of a training that is under way, through the loader.
            let batches = |resized: &Resized| -> Vec<Vec<f32>> {
                let loader = Loader::of(resized, Split::Train, INPUT).with_views(&resized.pictures);
                let two = std::num::NonZeroUsize::new(2).unwrap();
                loader.in_order(two).map(|batch| batch.unwrap().images.numbers().to_vec()).collect()
            };
            assert_eq!(batches(&right), batches(&held), "{damage}");
            equal(&right, &held);
        }
    }
}

#[test]
fn a_picture_whose_file_and_image_are_both_lost_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let (dir, cache) = (root.path().join("set"), root.path().join("cache"));
    let held = Cache::at(&cache).load(&images(&dir), INPUT).unwrap();
    write_to(&files(&cache)[0]).set_len(5000).unwrap();
    fs::copy(dir.join("images/3.png"), dir.join("images/1.png")).unwrap();
    let lost = held.pictures.iter().filter_map(|picture| picture.read().err()).collect::<Vec<_>>();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(lost[0].message.contains("damaged while it was in use") && lost[0].remedy.is_some(), "{lost:?}");
    assert!(lost[0].location.as_ref().is_some_and(|place| place.ends_with(".pictures")), "{lost:?}");
    // A batch with it is an error, and the last of its epoch.
    let index = held.pictures.iter().position(|picture| picture.read().is_err()).unwrap();
    let loader = Loader::of(&held, held.dataset.samples[index].split, INPUT);
    let one = std::num::NonZeroUsize::MIN;
    let augment = crate::augment::Augmentation::new(&crate::augment::AugmentSpec::default(), &[]).unwrap();
    assert!(loader.epoch(one, &augment, 0, 0).any(|batch| batch.is_err()));
    assert!(loader.in_order(one).any(|batch| batch.is_err()));
}

#[test]
fn the_longest_unused_go_first_and_the_newest_stays() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    let made = |name: &str, bytes: usize, days: u64| {
        fs::write(path(name), vec![0; bytes]).unwrap();
        let when = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
        File::options().write(true).open(path(name)).unwrap().set_modified(when).unwrap();
    };
    made("old.pictures", 100, 9);
    made("old.lock", 0, 9);
    made("recent.pictures", 100, 1);
    made("new.pictures", 1000, 0);
    made("other.txt", 5000, 30);
    made("dead.1.part", 10, 2);
    made("live.2.part", 10, 0);
    eviction::evict_down_to(&path("new.pictures"), 1150);
    let there = |names: &[&str]| names.iter().map(|name| path(name).exists()).collect::<Vec<_>>();
    assert_eq!(there(&["old.pictures", "old.lock", "dead.1.part"]), [false; 3]);
    assert_eq!(there(&["recent.pictures", "new.pictures", "other.txt", "live.2.part"]), [true; 4]);
    eviction::evict_down_to(&path("new.pictures"), 10);
    assert_eq!(there(&["recent.pictures", "new.pictures"]), [false, true]);
}

#[test]
fn what_decoding_and_resizing_give_never_changes() {
    let root = tempfile::tempdir().unwrap();
    let resized = Cache::none().load(&images(&root.path().join("set")), Size { height: 5, width: 7 }).unwrap();
    let mut hasher = blake3::Hasher::new();
    for picture in read(&resized) {
        picture.pixels.iter().for_each(|value| {
            hasher.update(&value.to_le_bytes());
        });
    }
    // When this fails, pictures that caches hold are no longer what is made now: VERSION must be raised.
    assert_eq!(
        (VERSION, hasher.finalize().to_hex().as_str()),
        (2, "6129c92b170b9bd9c45c85b4466de4d8fba6d6a4a5641875b90ca83053354b03")
    );
}

#[test]
fn a_file_of_the_cache_is_believed_with_this_users_key_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let root = tempfile::tempdir().unwrap();
    let [ours, theirs] = ["ours", "theirs"].map(|name| root.path().join(name));
    let right = Cache::none().load(&phantoms(), INPUT).unwrap();
    Cache::at(&ours).load(&phantoms(), INPUT).unwrap();
    Cache::at(&theirs).load(&phantoms(), INPUT).unwrap();
    let path = files(&ours).pop().unwrap();
    let foreign = files(&theirs).pop().unwrap();
    assert_ne!(path.file_name(), foreign.file_name(), "names depend on the key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
    // A whole and sound file that was made with another key.
    fs::remove_file(&path).unwrap();
    fs::copy(&foreign, &path).unwrap();
    equal(&right, &Cache::at(&ours).load(&phantoms(), INPUT).unwrap());
    assert_ne!(fs::read(&path).unwrap(), fs::read(&foreign).unwrap());
    // A link to a sound file.
    let kept = ours.join("kept");
    fs::rename(&path, &kept).unwrap();
    std::os::unix::fs::symlink(&kept, &path).unwrap();
    equal(&right, &Cache::at(&ours).load(&phantoms(), INPUT).unwrap());
    assert!(!path.is_symlink());
    // A key that others can read is not used; the pictures are right all the same.
    let key =
        fs::read_dir(&ours).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "key"));
    fs::set_permissions(key.unwrap(), fs::Permissions::from_mode(0o644)).unwrap();
    let without = Cache::at(&ours).load(&phantoms(), INPUT).unwrap();
    equal(&right, &without);
    assert!(!in_file(&without));
}
