//! Importer of heatmap folders: `train/` and `val/` (and `test/`, if there), each with the images in `0img` and one
//! folder per landmark with a heatmap image of the same name.
//!
//! A heatmap is `255·exp(−d·(|x−x₀|+|y−y₀|))` cut to whole grey values. Its top is a plateau of a few equal pixels,
//! but a least-squares fit of its slopes tells (x₀, y₀) to a few hundredths of a pixel.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;

use crate::Split;
use crate::picture::{self, DeepGrey};
use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size, Spacing};

use super::parsed::{ParsedDataset, PixelSource, Record};
use super::tree::Tree;
use super::{Frame, Importer, Options, Origin};

pub(super) const IMPORTER: Importer = Importer {
    name: "heatmap-folders",
    reads: "`train/`, `val/` and perhaps `test/` with images in `0img` and a folder of heatmaps per landmark; positions \
            by a fit of the slopes, to some hundredths of a pixel; black is missing; folders 101 to 110 are ISBI 2015's \
            radiographs, with their names and spacing, others need `--spacing`",
    loses: "nothing; heatmaps without an image are not read",
    origin: Origin::Centre,
    leaves_origin: true,
    has_categories: false,
    is_table: false,
    recognizes: |tree| [Split::Train, Split::Val].iter().all(|split| inside(tree, split.name()).0.contains(IMAGES)),
    read,
};

/// Programs write heatmaps, and those turn pictures (`OpenCV`) or do not (PIL).
const FRAME: Frame = Frame::Unknown;

/// Folder of the images.
pub(crate) const IMAGES: &str = "0img";
/// The ten folders of the ISBI 2015 radiographs, 101 … 110.
pub(crate) const ISBI_NAMES: [&str; 10] =
    ["sella", "nasion", "orbitale", "porion", "subspinale", "supramentale", "pogonion", "menton", "gnathion", "gonion"];
/// The radiographs were scaled down from 1935×2400 pixels of 0.1 mm.
const FILM_MM: (f64, f64) = (193.5, 240.0);

const LAYOUT: &str =
    "the layout is train/0img/*.png and train/LANDMARK/*.png of the same names, and the same under val/";

/// Images keep their names, but for those in two splits, which get the split before it. Spacing is that of the ISBI 2015
/// radiographs, of which a whole film is 193.5 × 240 mm, if the folders are theirs. A heatmap that is black all over is a
/// missing landmark; heatmaps without an image are not read.
fn read(tree: &Tree, _: &Options) -> Result<ParsedDataset> {
    let mut found = Vec::new();
    let mut splits_of: BTreeMap<String, usize> = BTreeMap::new();
    let mut folders: Option<Vec<String>> = None;
    for split in Split::ALL {
        let (mut here, _) = inside(tree, split.name());
        if split == Split::Test && here.is_empty() {
            continue;
        }
        if !here.remove(IMAGES) {
            return Err(Error::input(format!(
                "not a folder of heatmaps: there is no image in {}/{IMAGES}",
                split.name()
            ))
            .at(tree.path(Path::new("")).display())
            .remedy(LAYOUT));
        }
        let here: Vec<String> = here.into_iter().collect();
        match &folders {
            Some(first) if *first != here => {
                return Err(Error::input(format!("the landmark folders are {here:?}, but {first:?} elsewhere"))
                    .at(tree.path(Path::new(split.name())).display())
                    .remedy("every split needs the same landmarks"));
            }
            Some(_) => {}
            None => folders = Some(here),
        }
        for image in inside(tree, &format!("{}/{IMAGES}", split.name())).1 {
            if picture::is_image(Path::new(&image)) {
                *splits_of.entry(image.clone()).or_default() += 1;
                found.push((split, image));
            }
        }
    }
    let folders = folders.unwrap_or_default();
    let numbers = 101..=110;
    let is_isbi = folders.iter().map(|f| f.parse().unwrap_or(0)).eq(numbers);
    let records: Vec<Result<Record>> = found
        .par_iter()
        .map(|(split, image)| {
            let mut record = read_image(tree, Path::new(split.name()), image, &folders)?;
            if splits_of[image] > 1 {
                record.image = format!("{}-{image}", split.name());
            }
            record.split = Some(*split);
            let film = record.size.filter(|_| is_isbi);
            record.spacing =
                film.map(|size| Spacing { x: FILM_MM.0 / size.width as f64, y: FILM_MM.1 / size.height as f64 });
            Ok(record)
        })
        .collect();
    Ok(ParsedDataset {
        name: tree.name(),
        landmarks: if is_isbi { ISBI_NAMES.map(str::to_owned).to_vec() } else { folders },
        observer_mre: None,
        records: records.into_iter().collect::<Result<_>>()?,
        notes: Vec::new(),
    })
}

/// Names of the folders and of the files in a folder.
fn inside(tree: &Tree, folder: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut folders, mut files) = (BTreeSet::new(), BTreeSet::new());
    for file in tree.files() {
        let Ok(rest) = file.strip_prefix(folder) else { continue };
        let mut parts = rest.components().map(|c| c.as_os_str().to_string_lossy().into_owned());
        if let Some(first) = parts.next() {
            if parts.next().is_some() {
                folders.insert(first)
            } else {
                files.insert(first)
            };
        }
    }
    (folders, files)
}

/// An image's landmarks, and its size, which its heatmaps share.
fn read_image(tree: &Tree, split: &Path, image: &str, folders: &[String]) -> Result<Record> {
    let mut landmarks = Vec::new();
    let mut size: Option<Size> = None;
    for folder in folders {
        let file = split.join(folder).join(image);
        let path = tree.path(&file);
        if !tree.has(&file) {
            return Err(Error::input(format!("the heatmap of image `{image}` is missing"))
                .at(path.display())
                .remedy("add it (black where the landmark is not visible), or remove the image"));
        }
        // A map's greatest values are its very point: no pixel of them is a stray one.
        let heatmap = picture::open(&path, DeepGrey::Whole)?.grey;
        if size.is_some_and(|size| size != heatmap.size) {
            let Size { height, width } = heatmap.size;
            return Err(
                Error::input(format!("{width}×{height} pixels, unlike the others of its image")).at(path.display())
            );
        }
        size = Some(heatmap.size);
        landmarks.push(locate(&heatmap.pixels, heatmap.size).map_err(|e| e.at(path.display()))?);
    }
    let path = tree.path(&split.join(IMAGES).join(image));
    let location = path.display().to_string();
    Ok(Record { size, frame: FRAME, ..Record::new(Path::new(image), PixelSource::File(path), landmarks, location) })
}

/// The landmark a heatmap was made of; `None` if it is black.
fn locate(map: &[u8], size: Size) -> Result<Option<Point>> {
    let peak = map.iter().copied().max().unwrap_or(0);
    if peak == 0 {
        return Ok(None);
    }
    let plateau: Vec<_> =
        (0..map.len()).filter(|&i| map[i] == peak).map(|i| (i % size.width, i / size.width)).collect();
    let mean =
        |of: fn(&(usize, usize)) -> usize| plateau.iter().map(|p| of(p) as f64).sum::<f64>() / plateau.len() as f64;
    let extent = |of: fn(&(usize, usize)) -> usize| {
        let (low, high) = plateau.iter().map(of).fold((usize::MAX, 0), |(l, h), v| (l.min(v), h.max(v)));
        high - low + 1
    };
    // A plateau is a diamond, which fills half its box.
    if extent(|p| p.0) * extent(|p| p.1) > 4 * (plateau.len() + 1) {
        return Err(Error::input("the heatmap has more than one peak").remedy("draw one landmark per heatmap"));
    }
    let plateau = Point { x: mean(|p| p.0), y: mean(|p| p.1) };
    Ok(Some(fit(map, size, plateau).filter(|p| p.distance(plateau).0 < 2.0 && p.is_inside(size)).unwrap_or(plateau)))
}

/// Least squares on the slopes. With signs s = sgn(x − plateau) that are certain away from the plateau's row and
/// column, `ln I = c − d·(|X|+|Y|) + sx·(d·a) + sy·(d·b)` is linear in c, d, d·a and d·b, where (X, Y) is measured
/// from the plateau and (a, b) is the landmark's distance from it. `None` where the slopes do not tell, as on other
/// shapes or at a border.
fn fit(map: &[u8], size: Size, plateau: Point) -> Option<Point> {
    /// Below, one grey level is too coarse a step of the logarithm.
    const DARKEST: u8 = 60;
    /// Pixels further off the model, in grey levels, are not made by it.
    const OUTLIER: f64 = 3.0;
    // As far to the left as to the right, and up as down: what the model lacks then cancels. It brings the published
    // heatmaps' positions from 0.08 to within 0.02 pixels.
    let reach = |centre: f64, len: usize| centre.min(len as f64 - 1.0 - centre);
    let (reach_x, reach_y) = (reach(plateau.x, size.width), reach(plateau.y, size.height));
    let slope = |distance: f64, reach: f64| distance.abs() > 2.0 && distance.abs() <= reach;
    let mut solution: Option<[f64; 4]> = None;
    for _ in 0..2 {
        let (mut normal, mut right) = ([[0.0; 4]; 4], [0.0; 4]);
        for (y, row) in map.chunks_exact(size.width).enumerate() {
            let dy = y as f64 - plateau.y;
            for (x, &grey) in row.iter().enumerate() {
                let dx = x as f64 - plateau.x;
                if !(DARKEST..255).contains(&grey) || !slope(dx, reach_x) || !slope(dy, reach_y) {
                    continue;
                }
                let features = [1.0, -(dx.abs() + dy.abs()), dx.signum(), dy.signum()];
                // Grey values were cut to whole numbers: on average they lost a half.
                let intensity = f64::from(grey) + 0.5;
                let log = intensity.ln();
                let predicted = |s: [f64; 4]| s.iter().zip(features).map(|(s, f)| s * f).sum::<f64>();
                if solution.is_some_and(|s| (predicted(s) - log).abs() * intensity > OUTLIER) {
                    continue;
                }
                // An error of one grey level is 1/I in the logarithm.
                let weight = intensity * intensity;
                for i in 0..4 {
                    for j in 0..4 {
                        normal[i][j] += weight * features[i] * features[j];
                    }
                    right[i] += weight * features[i] * log;
                }
            }
        }
        solution = Some(solve(normal, right)?);
    }
    let [_, decay, a, b] = solution?;
    (decay > 0.0).then(|| Point { x: plateau.x + a / decay, y: plateau.y + b / decay })
}

/// Gaussian elimination of a symmetric positive system; `None` if it is singular.
fn solve(mut matrix: [[f64; 4]; 4], mut right: [f64; 4]) -> Option<[f64; 4]> {
    let scale = matrix[0][0];
    for k in 0..4 {
        if matrix[k][k] <= 1e-9 * scale {
            return None;
        }
        for i in k + 1..4 {
            let factor = matrix[i][k] / matrix[k][k];
            let pivot = matrix[k];
            for (value, above) in matrix[i].iter_mut().zip(pivot) {
                *value -= factor * above;
            }
            right[i] -= factor * right[k];
        }
    }
    for k in (0..4).rev() {
        let known: f64 = (k + 1..4).map(|j| matrix[k][j] * right[j]).sum();
        right[k] = (right[k] - known) / matrix[k][k];
    }
    Some(right)
}
