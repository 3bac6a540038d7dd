//! `sweep init`: a commented definition for a data set, which runs unchanged.

use std::path::Path;

use crate::cli;
use sweep_core::error::{Error, Outcome, Result};
use sweep_core::plain;
use sweep_core::units::{ErrorUnit, Size, Spacing};
use sweep_data::{DatasetIndex, DatasetSpec, Split};
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::store;
use sweep_planning::plan;

use super::say;

/// Number of images whose size is read: reading all takes long, and most data sets have one size.
const LOOKED_AT: usize = 16;
/// Height of the input, with which a processor trains in minutes and landmark errors are about a millimetre.
const HEIGHT: usize = 200;
/// Name of the sweep without a dataset.toml.
const PHANTOM: Size = Size { height: 100, width: 80 };

/// Properties of the data set that the definition is for.
struct Facts {
    /// Name and folder; synthetic images without a folder.
    name: String,
    folder: Option<String>,
    landmarks: Vec<String>,
    train: usize,
    val: usize,
    size: Size,
    spacing: Option<Spacing>,
    unit: ErrorUnit,
}

pub(super) fn init(flags: &cli::Init) -> Result<Outcome> {
    let facts = match &flags.dir {
        Some(dir) => read(dir)?,
        None => phantom()?,
    };
    let text = definition(&facts);
    // The definition is checked before it is written.
    plan::plan(&SweepDefinition::parse("the new definition", &text)?)?;
    let Some(output) = &flags.output else {
        say(text.trim_end())?;
        return Ok(Outcome::Done);
    };
    if output.exists() {
        return Err(Error::input("the file is there already, and may hold somebody's work")
            .at(output.display())
            .remedy("name another with --output, or remove it"));
    }
    store::write(output, text.as_bytes())?;
    say(&format!("{0}: look through it, then sweep plan {0}", output.display()))?;
    Ok(Outcome::Done)
}

fn read(dir: &Path) -> Result<Facts> {
    let opened = DatasetIndex::untrained(dir)?;
    let [train, val] = [Split::Train, Split::Val].map(|split| opened.indices(split));
    let usable: Vec<usize> = train.iter().chain(&val).copied().collect();
    if usable.len() < 2 {
        return Err(Error::input(format!("{} images to train and to validate on", usable.len()))
            .at(dir.display())
            .remedy("give at least two images the split train or val"));
    }
    let step = usable.len().div_ceil(LOOKED_AT);
    let looked: Vec<usize> = usable.iter().copied().step_by(step).collect();
    let samples = opened.originals(&looked)?;
    let mut sizes: Vec<Size> = samples.iter().map(|sample| sample.size).collect();
    sizes.sort_by_key(|size| (size.height, size.width));
    let spacing = samples.first().and_then(|sample| sample.spacing);
    Ok(Facts {
        name: opened.name(),
        folder: Some(dir.display().to_string()),
        landmarks: opened.landmarks(),
        train: train.len(),
        val: val.len(),
        size: sizes[sizes.len() / 2],
        spacing: spacing.filter(|first| samples.iter().all(|sample| sample.spacing == Some(*first))),
        unit: opened.unit(),
    })
}

fn phantom() -> Result<Facts> {
    let opened = DatasetSpec::default().open()?;
    let count = |split| opened.indices(split).len();
    let (train, val) = (count(Split::Train), count(Split::Val));
    let (name, landmarks) = ("phantom".to_owned(), opened.landmarks());
    Ok(Facts { name, folder: None, landmarks, train, val, size: PHANTOM, spacing: None, unit: ErrorUnit::Millimetres })
}

/// Input size for images of this size: the same aspect ratio, small enough to train in reasonable time, and not larger than
/// the images.
fn input(size: Size) -> Size {
    let height = HEIGHT.min(size.height);
    let to_eight = |pixels: f64| ((pixels / 8.0 + 0.01).floor().max(4.0) * 8.0) as usize;
    Size { height: to_eight(height as f64), width: to_eight(height as f64 * size.width as f64 / size.height as f64) }
}

/// The name of a data set as a folder's name.
fn folder_name(name: &str) -> String {
    let allowed: String =
        name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    let allowed = allowed.trim_start_matches(['.', '-']);
    if allowed.is_empty() { "first".to_owned() } else { allowed.to_owned() }
}

fn definition(facts: &Facts) -> String {
    let Size { height, width } = input(facts.size);
    let Facts { train, val, .. } = *facts;
    let folds = 5.min(train + val);
    let numbers = (0..folds).map(|fold| fold.to_string()).collect::<Vec<_>>().join(", ");
    let about = match facts.spacing {
        Some(Spacing { x, y }) => {
            let [x, y] = [x, y].map(|mm| (mm * 1e4).round() / 1e4);
            format!(", a pixel is {x} × {y} mm (x, y)")
        }
        None if !facts.unit.is_millimetres() => ", the size of a pixel is not known".to_owned(),
        None if facts.folder.is_some() => ", with a pixel size of their own".to_owned(),
        None => String::new(),
    };
    // A split without images gets some of the others.
    let split = if train == 0 || val == 0 { ", val_fraction = 0.2" } else { "" };
    let dealt = if split.is_empty() { "" } else { "; a fifth of them validates, dealt by split_seed" };
    let dataset = match &facts.folder {
        Some(folder) => format!("{{ name = \"folder\", path = {}{split} }}", toml::Value::String(folder.clone())),
        None => format!(
            "{{ name = \"phantom\", train = {train}, val = {val}, height = {0}, width = {1} }}",
            facts.size.height, facts.size.width
        ),
    };
    format!(
        r#"#:schema ./sweep.schema.json
# The line above is for editors; `sweep schema > sweep.schema.json` writes the file it names.
#
# A first sweep on {data}: {train} training and {val} validation images of {image_width} × {image_height} pixels{about}{dealt}.
# {count} landmarks: {landmarks}.
#
#   sweep plan FILE       the trials, what they cost, and what they can show
#   sweep run FILE        trains what is not done, writes results/{name}; stop it whenever you like
name = "{name}"                       # of the folder under results/
question = "How well are the landmarks found, and with which learning rate?"
seeds = [0]                           # each trial once per seed; with [0, 1, 2] differences can be told from chance
objective = "mre_{unit}"                  # what the best epoch is best at; or median_{unit}, p95_{unit}{sdr}

[axes]                                # every combination; keys are paths into [trial], in quotes
"optimizer.lr" = [1e-3, 3e-4]
# "loss.name" = ["nll", "dsnt"]
# Cross-validation, with folds = {folds} in `dataset` below:
# "dataset.fold" = [{numbers}]

[trial]                               # what all trials share
epochs = 60
evaluate_every = 5                    # epochs from one validation to the next
batch_size = 4
dataset = {dataset}
input = {{ height = {height}, width = {width} }}   # images are resized to this; errors stay in {unit} of the original. Finer finds better, and takes longer
heatmap = {{ name = "gaussian", sigma = 1.5 }}     # pixels of the input
loss = {{ name = "nll" }}                          # maps as probabilities, read by:
decode = {{ name = "subpixel" }}
model = {{ name = "unet++", filters = [16, 32, 64, 128, 256] }}
optimizer = {{ name = "adamw", lr = 1e-3, weight_decay = 0.01 }}
schedule = {{ name = "one-cycle" }}
ema = {{ decay = 0.995 }}                          # averages weights over about 200 steps
# Changes of training images; no flips, for patients face one way.
augment = {{ probability = 0.9, rotation_degrees = 10, translate = 0.05, scale = [0.9, 1.1], brightness = 0.3, contrast = 0.3 }}
# precision = "bf16"                  # faster on processors with AMX and on GPUs
"#,
        data = facts.folder.as_ref().map_or("phantom radiographs".into(), |_| plain::line(&facts.name)),
        image_width = facts.size.width,
        image_height = facts.size.height,
        count = facts.landmarks.len(),
        landmarks = plain::line(&facts.landmarks.join(", ")),
        name = folder_name(&facts.name),
        unit = facts.unit,
        sdr = if facts.unit.is_millimetres() { ", sdr_2mm" } else { "" },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_has_the_images_shape_and_is_not_larger() {
        for (image, height, width) in
            [((2400, 1935), 200, 160), ((100, 80), 96, 80), ((800, 640), 200, 160), ((20, 400), 32, 400)]
        {
            let size = input(Size { height: image.0, width: image.1 });
            assert_eq!((size.height, size.width), (height, width), "{image:?}");
        }
    }

    #[test]
    fn a_name_is_a_folders() {
        for (name, folder) in [("ISBI 2015", "ISBI-2015"), ("../x", "x"), ("…", "first"), ("Zähne", "Zähne")] {
            assert_eq!(folder_name(name), folder);
        }
    }

    #[test]
    fn names_of_a_data_set_stay_in_the_comment() {
        let mut facts = phantom().unwrap();
        let clean = SweepDefinition::parse("new", &definition(&facts)).unwrap();
        facts.folder = Some("a\n[slurm]\nsetup = [\"id\"]".to_owned());
        facts.name = "set\n[slurm]\nsetup = [\"id\"]\u{1b}[2J".to_owned();
        facts.landmarks.push("x\r\n[prune]\n".to_owned());
        let text = definition(&facts);
        let definition = SweepDefinition::parse("new", &text).unwrap();
        assert_eq!(definition.slurm, clean.slurm);
        assert!(definition.prune.is_none() && !text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
    }

    #[test]
    fn whatever_the_data_the_definition_can_be_planned() {
        let mut facts = phantom().unwrap();
        assert!(definition(&facts).contains("100"));
        let planned =
            |facts: &Facts| plan::plan(&SweepDefinition::parse("new", &definition(facts)).unwrap()).unwrap().len();
        assert_eq!(planned(&facts), 2);
        facts.size = Size { height: 64, width: 200 };
        assert_eq!(planned(&facts), 2);
    }
}
