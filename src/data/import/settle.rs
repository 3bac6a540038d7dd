//! Completes a parsed source: what the user says otherwise, unique names, splits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::split::SplitItem;
use crate::{Split, SplitSpec};
use sweep_core::error::{Error, Result};

use super::parsed::{ParsedDataset, PixelSource, Unit, landmark_name};
use super::splits::split_in;
use super::tree::Tree;
use super::{Options, groups, missing, spelling};

impl ParsedDataset {
    /// Completes the data set: names are settled, marks of missing landmarks obeyed, images' names become unique, and
    /// every image gets a split. Where the source has none, or none to validate on, training images are dealt at random,
    /// by patient or group.
    pub(super) fn settle(&mut self, tree: &Tree, options: &Options, has_marks: bool) -> Result<()> {
        if self.records.is_empty() {
            return Err(Error::input("there is no annotated image").remedy("see `sweep data formats`"));
        }
        self.keep_images_once(tree)?;
        self.rename(&options.rename)?;
        self.unite_names()?;
        if has_marks {
            missing::settle(self, options)?;
            self.check_unit(options)?;
        }
        spelling::note(self);
        let is_dealt = options.no_split || self.records.iter().all(|record| record.split != Some(Split::Val));
        if is_dealt || options.group.is_some() {
            groups::of_files(self);
        }
        if let Some(pattern) = &options.group {
            groups::assign(self, pattern)?;
        }
        self.settle_splits(tree, options)?;
        self.name_images();
        self.deal(options)
    }

    /// Refuses an image that is there twice, or leaves its second entry out if the user wants that.
    fn keep_images_once(&mut self, tree: &Tree) -> Result<()> {
        let mut firsts: BTreeMap<PathBuf, String> = BTreeMap::new();
        let mut kept = Vec::with_capacity(self.records.len());
        for record in std::mem::take(&mut self.records) {
            let before = match &record.source {
                PixelSource::File(path) => firsts.insert(path.clone(), record.location.clone()),
                _ => None,
            };
            let once = before.map_or(Ok(()), |before| {
                Err(Error::input(format!("{} is annotated already in {before}", record.image))
                    .at(&record.location)
                    .remedy("keep one entry of every image; of several observers, name each in a column `observer`"))
            });
            kept.extend(tree.keep(once)?.map(|()| record));
        }
        self.records = kept;
        Ok(())
    }

    /// Gives landmarks the names that the user wants.
    fn rename(&mut self, names: &[(String, String)]) -> Result<()> {
        let mut wanted = BTreeMap::new();
        for (old, new) in names {
            if wanted.insert(landmark_name(old)?, landmark_name(new)?).is_some() {
                return Err(Error::input(format!("landmark {old} is renamed twice")).at("--rename"));
            }
        }
        let mut unused: BTreeSet<String> = wanted.keys().cloned().collect();
        for name in &mut self.landmarks {
            if let Some(new) = wanted.get(name) {
                unused.remove(name);
                name.clone_from(new);
            }
        }
        if !unused.is_empty() {
            let list = unused.into_iter().collect::<Vec<_>>().join(", ");
            self.notes.push(format!("--rename: the source has no landmark {list}"));
        }
        Ok(())
    }

    /// Makes one landmark of those with one name, unless an image has both.
    fn unite_names(&mut self) -> Result<()> {
        let mut firsts: BTreeMap<&str, usize> = BTreeMap::new();
        let of: Vec<usize> =
            self.landmarks.iter().enumerate().map(|(i, name)| *firsts.entry(name).or_insert(i)).collect();
        if firsts.len() == self.landmarks.len() {
            return Ok(());
        }
        for record in &mut self.records {
            for (index, first) in of.iter().enumerate().filter(|(index, first)| index != *first) {
                let Some(point) = record.landmarks[index].take() else { continue };
                if record.landmarks[*first].replace(point).is_some() {
                    let name = &self.landmarks[index];
                    return Err(Error::input(format!("two landmarks are called {name}, and this image has both"))
                        .at(&record.location)
                        .remedy("give them different names (--rename FILE, or in the source)"));
                }
            }
            let mut index = 0..;
            record.landmarks.retain(|_| index.next().is_some_and(|i| of[i] == i));
        }
        let mut index = 0..;
        self.landmarks.retain(|_| index.next().is_some_and(|i| of[i] == i));
        Ok(())
    }

    /// Refuses shares of the pictures' sides that would be taken for pixels: all positions lie within a pixel of the corner.
    fn check_unit(&self, options: &Options) -> Result<()> {
        let Some(first) = self.records.first().filter(|_| options.unit.is_none()) else { return Ok(()) };
        let is_pixels = self.records.iter().all(|record| record.unit == Unit::Pixels);
        let all = || self.records.iter().flat_map(|record| record.landmarks.iter().flatten().flat_map(|p| [p.x, p.y]));
        // Tools that count from the corner have lost their half pixel here.
        let is_fraction = |v: f64| (v * 2.0 - (v * 2.0).round()).abs() > 1e-9;
        if !is_pixels || all().any(|v| !(-1.0..=1.0).contains(&v)) || !all().any(is_fraction) {
            return Ok(());
        }
        Err(Error::input(
            "all coordinates lie between 0 and 1: they look like shares of the images' width and height, not pixels",
        )
        .at(&first.location)
        .remedy("say --unit relative, or --unit px if they are pixels"))
    }

    /// Decides whether the splits that the source says count.
    fn settle_splits(&mut self, tree: &Tree, options: &Options) -> Result<()> {
        let said = self.records.iter().filter(|record| record.split.is_some()).count();
        let names = tree.split_names().list();
        if options.no_split || said == 0 {
            self.records.iter_mut().for_each(|record| record.split = None);
            return Ok(());
        }
        let by_names = names.as_ref().map(|names| format!("; names said it: {names}")).unwrap_or_default();
        if said != self.records.len() {
            let without = self.records.iter().find(|record| record.split.is_none());
            let location = without.map(|record| record.location.clone()).unwrap_or_default();
            let what = format!("{said} images have a split and {} have none{by_names}", self.records.len() - said);
            return Err(Error::input(what).at(location).remedy(
                "give every image a split, or none; --no-split ignores the splits and draws validation images",
            ));
        }
        let only = self.records[0].split.filter(|first| self.records.iter().all(|r| r.split == Some(*first)));
        if let Some(only) = only.filter(|only| *only != Split::Train) {
            let is_named = names.is_some()
                || self.records.iter().all(|record| split_in(Path::new(&record.image)) == Some(only))
                || tree.files().any(|file| split_in(file) == Some(only));
            let what = format!("all images are of split `{}`, which leaves none to train on", only.name());
            if !is_named {
                return Err(Error::input(what).remedy("--no-split ignores the splits and draws validation images"));
            }
            self.records.iter_mut().for_each(|record| record.split = None);
            self.notes.push(format!("{what}: names of folders or files say so{by_names}; it was ignored"));
            return Ok(());
        }
        if let Some(names) = names {
            self.notes.push(format!("splits come from names: {names}; --no-split ignores them"));
        }
        Ok(())
    }

    /// Gives every image without a split one.
    fn deal(&mut self, options: &Options) -> Result<()> {
        for record in &mut self.records {
            record.split.get_or_insert(Split::Train);
        }
        if self.records.iter().any(|record| record.split == Some(Split::Val)) {
            return Ok(());
        }
        let by =
            SplitSpec { val_fraction: Some(options.val_fraction), split_seed: options.seed, ..SplitSpec::default() };
        by.check().map_err(|e| Error { location: Some("--val".into()), ..e })?;
        let items: Vec<SplitItem<'_>> = self
            .records
            .iter()
            .map(|record| SplitItem {
                image: &record.image,
                patient: record.patient.as_deref(),
                group: None,
                split: record.split.unwrap_or(Split::Train),
            })
            .collect();
        let splits = by.assign(&items)?;
        for (record, split) in self.records.iter_mut().zip(splits) {
            record.split = Some(split);
        }
        let percent = options.val_fraction * 100.0;
        self.notes.push(format!(
            "the source says not which images validate: {percent:.0} % of its training images were drawn (--val, --seed)"
        ));
        Ok(())
    }

    /// Names without the folders they share, all ending in `.png`, none twice.
    fn name_images(&mut self) {
        let folders: Vec<Vec<&str>> = self.records.iter().map(|r| r.image.split('/').collect()).collect();
        let mut shared = folders.iter().map(|parts| parts.len() - 1).min().unwrap_or(0);
        while shared > 0 && !folders.windows(2).all(|pair| pair[0][..shared] == pair[1][..shared]) {
            shared -= 1;
        }
        let short: Vec<String> = folders.iter().map(|parts| parts[shared..].join("/")).collect();
        let as_png = |name: &str| Path::new(name).with_extension("png").to_string_lossy().replace('\\', "/");
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for name in &short {
            *count.entry(as_png(name)).or_default() += 1;
        }
        for (record, name) in self.records.iter_mut().zip(short) {
            let plain = as_png(&name);
            // `a.jpg` and `a.tif` become `a.jpg.png` and `a.tif.png`.
            record.image = if count[&plain] > 1 { format!("{name}.png") } else { plain };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::Record;
    use sweep_core::units::Point;

    fn parsed(names: &[&str], images: &[(&str, &[Option<f64>])]) -> ParsedDataset {
        let record = |(image, marks): &(&str, &[Option<f64>])| {
            let points = marks.iter().map(|x| x.map(|x| Point { x, y: 5.0 })).collect();
            Record::new(Path::new(image), PixelSource::File(image.into()), points, format!("at {image}"))
        };
        ParsedDataset {
            name: String::new(),
            landmarks: names.iter().map(|name| (*name).to_owned()).collect(),
            observer_mre: None,
            records: images.iter().map(record).collect(),
            notes: vec![],
        }
    }

    #[test]
    fn names_lose_shared_folders_and_stay_apart() {
        let mut parsed = parsed(&[], &[("x/a/1.jpg", &[]), ("x/b/1.jpg", &[]), ("x/b/2.tif", &[]), ("x/b/2.bmp", &[])]);
        parsed.name_images();
        let names: Vec<_> = parsed.records.iter().map(|r| r.image.as_str()).collect();
        assert_eq!(names, ["a/1.png", "b/1.png", "b/2.tif.png", "b/2.bmp.png"]);
    }

    #[test]
    fn shares_are_not_taken_for_pixels() {
        let check = |images: &[(&str, &[Option<f64>])], unit| {
            let mut set = parsed(&["a", "b"], images);
            set.records.iter_mut().flat_map(|r| r.landmarks.iter_mut().flatten()).for_each(|p| p.y = 0.5);
            set.check_unit(&Options { unit, ..Options::default() })
        };
        let shares: [(&str, &[Option<f64>]); 2] = [("1.png", &[Some(0.31), Some(0.66)]), ("2.png", &[Some(0.9), None])];
        let error = check(&shares, None).unwrap_err();
        assert!(error.message.contains("shares") && error.location.as_deref() == Some("at 1.png"), "{error}");
        assert!(check(&shares, Some(crate::import::PositionUnit::Relative)).is_ok());
        assert!(check(&[("1.png", &[Some(0.31), Some(1.66)])], None).is_ok());
        assert!(check(&[("1.png", &[Some(0.0), Some(1.0)])], None).is_ok());
    }

    #[test]
    fn renamed_landmarks_become_one_where_no_image_has_both() {
        let pair = |old: &str, new: &str| (old.to_owned(), new.to_owned());
        let images: [(&str, &[Option<f64>]); 2] =
            [("1.png", &[Some(1.0), None, Some(3.0)]), ("2.png", &[None, Some(2.0), Some(4.0)])];
        let mut both = parsed(&["Menton", "Mentn", "S"], &images);
        both.rename(&[pair("Mentn", "Menton"), pair("Nasion", "N")]).unwrap();
        both.unite_names().unwrap();
        assert_eq!(both.landmarks, ["Menton", "S"]);
        let xs: Vec<Vec<f64>> =
            both.records.iter().map(|r| r.landmarks.iter().map(|p| p.unwrap().x).collect()).collect();
        assert_eq!(xs, [[1.0, 3.0], [2.0, 4.0]]);
        assert_eq!(both.notes, ["--rename: the source has no landmark Nasion"]);
        let mut clash = parsed(&["Menton", "S"], &[("1.png", &[Some(1.0), Some(2.0)])]);
        clash.rename(&[pair("S", "Menton")]).unwrap();
        let error = clash.unite_names().unwrap_err();
        assert_eq!(error.location.as_deref(), Some("at 1.png"));
    }
}
