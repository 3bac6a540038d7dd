//! `sweep data inspect DIR --augment [FILE]`: augmented training images of a data set.

use std::path::Path;

use image::RgbImage;

use sweep_analysis::report::{Example, augmented};
use sweep_core::error::{Error, Result};
use sweep_core::measures::Measures;
use sweep_core::units::{ErrorUnit, Size};
use sweep_data::augment::{AugmentSpec, Augmentation};
use sweep_data::channels::rgb;
use sweep_data::flips::Sides;
use sweep_data::resize::{Picture, resize};
use sweep_data::{Channels, DatasetContent, DatasetIndex, DatasetSpec, Sample, Split};
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::search::Results;
use sweep_experiment::store;
use sweep_planning::plan::grow;

/// Number of images of the sheet, and of epochs beside each.
const IMAGES: usize = 4;
const EPOCHS: u64 = 5;

/// Augmentation settings of a sheet.
struct Settings {
    augment: AugmentSpec,
    input: Option<Size>,
    channels: Channels,
    seed: u64,
    /// Origin of the settings.
    source: String,
}

/// Draws some training images of the data set in `folder` as augmented in the first epochs, with the augmentation, input
/// size and seed of a definition's first trial or, without a definition, [`AugmentSpec::example`] at a height of 400 pixels.
/// Returns a PNG.
///
/// # Errors
/// When the definition or the data set cannot be read, or the definition has no augmentation.
pub fn sheet(folder: &Path, definition: Option<&Path>) -> Result<Vec<u8>> {
    let settings = match definition {
        Some(file) => of_definition(file, &sides(&DatasetSpec::folder(folder).open()?))?,
        None => Settings {
            augment: AugmentSpec::example(),
            input: None,
            channels: Channels::Grey,
            seed: 0,
            source: "No definition, so an example to begin with".to_owned(),
        },
    };
    let opened = DatasetSpec { channels: settings.channels, ..DatasetSpec::folder(folder) }.open()?;
    let augmentation = Augmentation::new(&settings.augment, &opened.landmarks())?;
    let places = opened.indices(Split::Train);
    let Some(last) = places.len().checked_sub(1) else {
        return Err(Error::input("there are no training images").at(folder.display()));
    };
    let shown = places.len().min(IMAGES);
    // Evenly spaced from the first to the last.
    let shown: Vec<usize> = (0..shown).map(|i| places[i * last / (shown - 1).max(1)]).collect();
    let samples = opened.originals(&shown)?;
    let rows: Vec<Vec<Example>> =
        samples.iter().zip(&shown).map(|(sample, place)| row(sample, *place, &settings, &augmentation)).collect();
    let spec = toml::to_string(&settings.augment).map_err(|e| Error::definition(e.to_string()))?;
    let spec: Vec<&str> = spec.lines().collect();
    augmented(&format!("{}: {}.", settings.source, spec.join(", ")), &rows)
}

/// The settings of a definition's first trial.
fn of_definition(file: &Path, sides: &Sides) -> Result<Settings> {
    let name = file.display().to_string();
    let text = store::read_text(file).map_err(|e| e.remedy("name a definition, as experiments/loss.toml"))?;
    let definition = SweepDefinition::parse(&name, &text)?;
    // The definition's own data are not read, but folds of them are different trials.
    let mut nothing = |dataset: &DatasetSpec| {
        let (unit, sides) = (ErrorUnit::default(), sides.clone());
        let hash = serde_json::to_string(dataset).map_err(|e| Error::definition(e.to_string()))?;
        Ok(DatasetContent { hash, unit, is_normalised: true, sides, measures: Measures::default() })
    };
    let trials = grow(&definition, &Results::new(), &mut nothing)?.trials;
    let Some(first) = trials.first() else {
        return Err(Error::definition("there are no trials").at(name));
    };
    let config = &first.config;
    if config.augment.is_none() {
        return Err(Error::definition("the first trial's images stay as they are")
            .at(format!("{name}, key `augment`"))
            .remedy("set what is to vary, as `augment = { rotation_degrees = 10 }`, or leave the file out to see an example"));
    }
    let alike = trials.iter().all(|trial| trial.config.augment == config.augment);
    let source = if alike { name } else { format!("{name}, its first trial") };
    let (augment, channels) = (config.augment.clone(), config.dataset.channels);
    Ok(Settings { augment, input: Some(config.input), channels, seed: config.seed, source })
}

/// The data set's landmarks, and the pairs that change places in a mirror.
fn sides(opened: &DatasetIndex) -> Sides {
    Sides { landmarks: opened.landmarks(), flip_pairs: opened.flip_pairs().map(<[_]>::to_vec) }
}

/// The unchanged image, and the image in the first epochs.
fn row(sample: &Sample, place: usize, settings: &Settings, augmentation: &Augmentation) -> Vec<Example> {
    let input =
        settings.input.unwrap_or(Size { height: 400, width: (400 * sample.size.width / sample.size.height).max(1) });
    let picture = resize(sample, input);
    let unchanged = example(&sample.image, &picture, &picture.pixels, &picture.landmarks);
    let changed = (1..=EPOCHS).map(|epoch| {
        let mut pixels = vec![0.0; picture.pixels.len()];
        let landmarks = augmentation.apply(&picture, settings.seed, epoch, place as u64, &mut pixels);
        let shown = landmarks.iter().flatten().count();
        let gone = picture.landmarks.iter().flatten().count() - shown;
        let caption = if gone > 0 { format!("epoch {epoch}, {gone} off the image") } else { format!("epoch {epoch}") };
        example(&caption, &picture, &pixels, &landmarks)
    });
    std::iter::once(unchanged).chain(changed).collect()
}

fn example(
    caption: &str,
    picture: &Picture,
    pixels: &[f32],
    landmarks: &[Option<sweep_core::units::Point>],
) -> Example {
    let shown: Vec<u8> = pixels.iter().map(|v| (v * 255.0).round() as u8).collect();
    let colours = rgb(&shown, picture.size.area());
    let (width, height) = (picture.size.width as u32, picture.size.height as u32);
    Example {
        caption: caption.to_owned(),
        image: RgbImage::from_raw(width, height, colours).unwrap_or_default(),
        landmarks: landmarks.iter().flatten().copied().collect(),
        aspect: picture.spacing.y / picture.spacing.x,
    }
}
