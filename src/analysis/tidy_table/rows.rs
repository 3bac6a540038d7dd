//! The rows of a table: sweep and trial of each row, the trial's values on the axes of all sweeps, and the measured
//! columns.

use sweep_core::error::Result;
use sweep_core::measures::Measures;
use sweep_experiment::store::{Note, Store, TrialFile};
use toml::Value;

use super::column::TextColumn;
use super::columns::{Columns, SummaryRow, epochs, landmarks, summary, trials};
use super::errors::{ErrorRow, errors};
use super::measures::{MeasureRow, measures};
use super::{Column, Table};
use crate::{TrialRecords, load};

/// Unit of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// A trial: its settings and its state.
    Trials,
    /// A trial: its errors and losses, as in `summary.csv`.
    Summary,
    /// An epoch.
    Epochs,
    /// A landmark of a validation image, at a selected epoch.
    Landmarks,
    /// A landmark of a validation image, at an evaluated epoch.
    Errors,
    /// A measure of a validation image, at a selected epoch.
    Measures,
}

/// The table of these sweeps, in their order.
///
/// # Errors
/// When a record cannot be read.
pub fn table(sweeps: &[Store], kind: RowKind) -> Result<Table> {
    match kind {
        RowKind::Trials => filled(sweeps, true, trials(), |trial, _| vec![trial.status.clone()]),
        RowKind::Summary => filled(sweeps, false, summary(), |trial, _| vec![SummaryRow::of(trial)]),
        RowKind::Epochs => filled(sweeps, false, epochs(), |trial, _| std::mem::take(&mut trial.epochs)),
        RowKind::Landmarks => filled(sweeps, false, landmarks(), |trial, _| std::mem::take(&mut trial.landmarks)),
        RowKind::Errors => filled(sweeps, false, errors(), |trial, _| ErrorRow::of(trial)),
        RowKind::Measures => filled(sweeps, false, measures(), MeasureRow::of),
    }
}

fn filled<R>(
    sweeps: &[Store],
    with_settings: bool,
    mut measured: Columns<R>,
    rows: fn(&mut TrialRecords, &Measures) -> Vec<R>,
) -> Result<Table> {
    let names: Vec<String> = sweeps.iter().map(|store| Ok(store.read_sweep_file()?.name)).collect::<Result<_>>()?;
    let files = files(sweeps)?;
    let axes = axes(&files);
    let settings = if with_settings { settings(&files, &axes) } else { Vec::new() };
    let (mut of_sweep, mut of_trial, mut seeds) = (TextColumn::default(), TextColumn::default(), Vec::new());
    let mut left_out = Vec::new();
    let mut on_axes = vec![TextColumn::default(); axes.len()];
    let mut of_settings = vec![TextColumn::default(); settings.len()];
    let (mut noted, mut tagged, mut is_noted) = (TextColumn::default(), TextColumn::default(), false);
    for (store, name) in sweeps.iter().zip(&names) {
        // Two sweeps of the same name are distinguished by their folders.
        let is_one = names.iter().filter(|other| *other == name).count() == 1;
        let name = if is_one { name.clone() } else { store.root().display().to_string() };
        let (records, notes) = (load::load(store)?, store.notes()?);
        is_noted |= !notes.trials.is_empty();
        left_out.extend(records.left_out);
        for mut trial in records.trials {
            let file = store.trial(&trial.id).trial_file()?;
            let (values, set) = (values(&file, &axes), values(&file, &settings));
            let Note { text, tags } = notes.of(Some(&trial.id));
            let tags = tags.into_iter().collect::<Vec<_>>().join(" ");
            for row in rows(&mut trial, &records.measures) {
                noted.push(text.as_deref());
                tagged.push(Some(tags.as_str()).filter(|tags| !tags.is_empty()));
                of_sweep.push(Some(&name));
                of_trial.push(Some(&trial.id));
                seeds.push(i64::try_from(trial.seed).ok());
                let texts = on_axes.iter_mut().zip(&values).chain(of_settings.iter_mut().zip(&set));
                texts.for_each(|(column, value)| column.push(value.as_deref()));
                measured.push(&row);
            }
        }
    }
    let measured = measured.finish();
    // An axis is a path under [trial]; the prefix distinguishes it from another column of the same name.
    let is_taken =
        |axis: &str| ["sweep", "trial", "seed"].contains(&axis) || measured.iter().any(|(name, _)| name == axis);
    let named = |axis: String| if is_taken(&axis) { format!("trial.{axis}") } else { axis };
    let typed = |paths: Vec<String>, texts: Vec<TextColumn>| -> Vec<(String, Column)> {
        paths.into_iter().map(named).zip(texts.into_iter().map(Column::typed)).collect()
    };
    let (on_axes, of_settings) = (typed(axes, on_axes), typed(settings, of_settings));
    let of_all = [
        ("sweep".to_owned(), Column::Text(of_sweep)),
        ("trial".to_owned(), Column::Text(of_trial)),
        ("seed".to_owned(), Column::Integer(seeds)),
    ];
    let notes = [("note".to_owned(), Column::Text(noted)), ("tags".to_owned(), Column::Text(tagged))];
    let notes = notes.into_iter().filter(|_| is_noted);
    let columns = of_all.into_iter().chain(on_axes).chain(measured).chain(of_settings).chain(notes).collect();
    Ok(Table { columns, left_out })
}

/// The files that describe the trials of all sweeps. A damaged trial is left out of the rows as well.
fn files(sweeps: &[Store]) -> Result<Vec<TrialFile>> {
    let mut files = Vec::new();
    for store in sweeps {
        files.extend(store.trials()?.iter().filter_map(|id| store.trial(id).trial_file().ok()));
    }
    Ok(files)
}

/// The axes of all sweeps, in order of first appearance. The keys of a value that is a table follow it, as axes of their own.
fn axes(files: &[TrialFile]) -> Vec<String> {
    let mut axes: Vec<String> = Vec::new();
    for file in files {
        for (axis, _) in &file.axes {
            let parts = file
                .value(axis)
                .and_then(Value::as_table)
                .map_or_else(Vec::new, |table| table.keys().cloned().collect());
            for path in std::iter::once(axis.clone()).chain(parts.into_iter().map(|key| format!("{axis}.{key}"))) {
                if !axes.contains(&path) {
                    axes.push(path);
                }
            }
        }
    }
    axes
}

/// The paths of all other values in the trials' configurations, in order of first appearance.
fn settings(files: &[TrialFile], axes: &[String]) -> Vec<String> {
    let mut settings = Vec::new();
    for file in files {
        collect_paths("", &file.config, &mut settings);
    }
    settings.retain(|path| path != "seed" && !axes.contains(path));
    settings
}

fn collect_paths(of: &str, table: &toml::Table, paths: &mut Vec<String>) {
    for (key, value) in table {
        let path = if of.is_empty() { key.clone() } else { format!("{of}.{key}") };
        match value {
            Value::Table(inner) if !inner.is_empty() => collect_paths(&path, inner, paths),
            _ if paths.contains(&path) => {}
            _ => paths.push(path),
        }
    }
}

/// A trial's values at these paths, from its configuration, so that a value is spelt alike in every sweep; labels as its sweep
/// has them.
fn values(file: &TrialFile, axes: &[String]) -> Vec<Option<String>> {
    let named = |axis: &String| file.axes.iter().find(|(key, _)| key == axis).map(|(_, value)| value.clone());
    let value = |axis: &String| {
        let configured = file.value(axis).map(spelt);
        configured.or_else(|| named(axis).filter(|value| value != "-"))
    };
    axes.iter().map(value).collect()
}

/// A value as text: a table by its name and all its other keys.
fn spelt(value: &Value) -> String {
    let part = |(key, value): (&String, &Value)| match key.as_str() {
        "name" => spelt(value),
        key => format!("{key}={}", spelt(value)),
    };
    match value {
        Value::String(text) => text.clone(),
        Value::Table(table) => table.iter().map(part).collect::<Vec<_>>().join(" "),
        value => value.to_string(),
    }
}
