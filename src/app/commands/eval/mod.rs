//! `sweep eval`: landmark error of trained networks on a data set, as its images are and under shifts.

mod marks;
mod measure;
mod output;
mod shifts;
mod task;

use std::sync::atomic::Ordering;

use crate::cli;
use sweep_analysis::format::counted;
use sweep_analysis::scores::Scores;
use sweep_analysis::statistics::tau_b;
use sweep_core::error::{Error, Outcome, Result};
use sweep_core::note;
use sweep_data::shifts::Shift;
use sweep_experiment::records;
use sweep_experiment::store;
use sweep_training::device;
use sweep_training::evaluate::Normalised;
use sweep_training::predict::Predictor;

use super::signals::stop_flag;
use super::unlike::UnlikeImages;
use super::{print_json, radii, use_threads};
use marks::Marks;
pub(super) use measure::{Measured, Predicted};
use task::Task;

/// Networks that were evaluated, and what they found.
struct Recipe {
    predictor: Predictor,
    task: Task,
    measured: Measured,
}

pub(super) fn eval(flags: &cli::Eval) -> Result<Outcome> {
    let signal = stop_flag()?;
    use_threads(flags.inference.threads)?;
    let (mut predictor, other) = load(flags)?;
    let task = Task::new(flags, &predictor)?;
    let known = radii::read(flags.radii.as_deref(), &predictor, &flags.inference)?;
    let marks = flags.marks.iter().map(|folder| Marks::read(folder, &task)).collect::<Result<Vec<Marks>>>()?;
    let wanted: &[Shift] = if flags.shifts { &Shift::ALL } else { &[] };

    let mut unlike = UnlikeImages::few_named(&predictor);
    let measured = measure::measure(&mut predictor, &task, wanted, Some(&mut unlike), &signal)?;
    unlike.conclude();
    let recipe = Recipe { predictor, task, measured };
    let go_on = || signal.load(Ordering::Relaxed) == 0;
    let compared = other.filter(|_| go_on()).map(|mut predictor| -> Result<Recipe> {
        let task = Task::new(flags, &predictor)?;
        let measured = measure::measure(&mut predictor, &task, wanted, None, &signal)?;
        Ok(Recipe { predictor, task, measured })
    });
    let other = compared.transpose()?;
    let tables = flags.shifts.then(|| shifts::Tables::new(&recipe, other.as_ref(), &marks)).transpose()?;

    let Recipe { predictor, task, measured } = &recipe;
    let found = &measured.as_is.records;
    if let Some(output) = &flags.output {
        let mut bytes = Vec::new();
        match &tables {
            Some(tables) => tables.write(task.opened.unit(), &mut bytes)?,
            None => records::write_csv_in(task.opened.unit(), found, true, &mut bytes)?,
        }
        store::write(output, &bytes)?;
    }
    let stopped = signal.load(Ordering::Relaxed);
    if stopped == 0 {
        let images = format!("{} {} of {}", counted(measured.evaluated, "image"), task.part, task.opened.name());
        radii::calibrate(flags, predictor, measured, images, task.trained_on)?;
    }
    let evaluated = |recipe: &Recipe| recipe.measured.evaluated == recipe.task.images.len();
    let is_whole = evaluated(&recipe) && other.as_ref().map_or(flags.against.is_empty(), evaluated);
    if stopped != 0 && !is_whole {
        let at = other.as_ref().unwrap_or(&recipe);
        note!("stopped after {} of {} images", at.measured.evaluated, at.task.images.len());
        return Ok(Outcome::Interrupted(i32::try_from(stopped).unwrap_or(15)));
    }
    if found.is_empty() {
        return Err(Error::input("not one landmark is marked on these images, so there is nothing to measure"));
    }
    let scores = Scores::of(found);
    let normalised = Normalised::of(found.iter().map(|r| (&r.image, r.error_px / r.reference_px)));
    let pairs: Vec<(f64, f64)> = found.iter().map(|r| (r.confidence, r.error())).collect();
    let confidence_tau = tau_b(&pairs);
    let coverage = known.as_ref().and_then(|radii| radii::covered(radii, &measured.as_is));
    if flags.json {
        let in_pixels = Scores::in_pixels(found);
        let mut json = output::json(flags, predictor, task, [&scores, &in_pixels], normalised, confidence_tau);
        json["out_of_distribution"] = unlike.json(&measured.as_is.judgements);
        json["radii"] = radii::json(coverage.as_ref());
        json["shifts"] = tables.map(|tables| tables.json(task.opened.unit(), known.as_ref())).into();
        print_json(&json)?;
    } else {
        output::print(flags, predictor, task, &scores, normalised, confidence_tau)?;
        radii::print(coverage.as_ref(), task.opened.unit())?;
        if let Some(tables) = tables {
            tables.print(task.opened.unit(), known.as_ref())?;
        }
    }
    Ok(Outcome::Done)
}

/// The networks, and those that they are compared with. With `--both-stages`, either may have a single stage.
fn load(flags: &cli::Eval) -> Result<(Predictor, Option<Predictor>)> {
    let (device, _) = device::open(flags.inference.device)?;
    if flags.against.is_empty() {
        return Ok((Predictor::load(&flags.checkpoints, flags.inference.views(), &device)?, None));
    }
    let both_stages = flags.inference.both_stages;
    let views = || sweep_training::predict::views::TtaViews::new(flags.inference.tta);
    let mut one = Predictor::load(&flags.checkpoints, views(), &device)?;
    let mut other = Predictor::load(&flags.against, views(), &device)?;
    if both_stages {
        let has_two = [one.combine_stages(), other.combine_stages()];
        if has_two == [false, false] {
            return Err(sweep_training::predict::no_two_stages());
        }
    }
    Ok((one, Some(other)))
}
