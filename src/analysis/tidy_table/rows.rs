//! The rows of a table: sweep and trial of each row, the trial's values on the axes of all sweeps, and the measured
//! columns.

use sweep_core::error::Result;
use sweep_core::measures::Measures;
use sweep_experiment::store::{Note, Store, TrialFile};
use toml::Value;

use super::column::TextColumn;
use super::columns::{Columns, SummaryRow, epochs, landmarks, summary};
use super::errors::{ErrorRow, errors};
use super::measures::{MeasureRow, measures};
use super::{Column, Table};
use crate::{TrialRecords, load};

/// Unit of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// A trial.
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
        RowKind::Summary => filled(sweeps, summary(), |trial, _| vec![SummaryRow::of(trial)]),
        RowKind::Epochs => filled(sweeps, epochs(), |trial, _| std::mem::take(&mut trial.epochs)),
        RowKind::Landmarks => filled(sweeps, landmarks(), |trial, _| std::mem::take(&mut trial.landmarks)),
        RowKind::Errors => filled(sweeps, errors(), |trial, _| ErrorRow::of(trial)),
        RowKind::Measures => filled(sweeps, measures(), MeasureRow::of),
    }
}

fn filled<R>(
    sweeps: &[Store],
    mut measured: Columns<R>,
    rows: fn(&mut TrialRecords, &Measures) -> Vec<R>,
) -> Result<Table> {
    let names: Vec<String> = sweeps.iter().map(|store| Ok(store.read_sweep_file()?.name)).collect::<Result<_>>()?;
    let axes = axes(sweeps)?;
    let (mut of_sweep, mut of_trial, mut seeds) = (TextColumn::default(), TextColumn::default(), Vec::new());
    let mut left_out = Vec::new();
    let mut on_axes = vec![TextColumn::default(); axes.len()];
    let (mut noted, mut tagged, mut is_noted) = (TextColumn::default(), TextColumn::default(), false);
    for (store, name) in sweeps.iter().zip(&names) {
        // Two sweeps of the same name are distinguished by their folders.
        let is_one = names.iter().filter(|other| *other == name).count() == 1;
        let name = if is_one { name.clone() } else { store.root().display().to_string() };
        let (records, notes) = (load::load(store)?, store.notes()?);
        is_noted |= !notes.trials.is_empty();
        left_out.extend(records.left_out);
        for mut trial in records.trials {
            let values = values(&store.trial(&trial.id).trial_file()?, &axes);
            let Note { text, tags } = notes.of(Some(&trial.id));
            let tags = tags.into_iter().collect::<Vec<_>>().join(" ");
            for row in rows(&mut trial, &records.measures) {
                noted.push(text.as_deref());
                tagged.push(Some(tags.as_str()).filter(|tags| !tags.is_empty()));
                of_sweep.push(Some(&name));
                of_trial.push(Some(&trial.id));
                seeds.push(i64::try_from(trial.seed).ok());
                on_axes.iter_mut().zip(&values).for_each(|(column, value)| column.push(value.as_deref()));
                measured.push(&row);
            }
        }
    }
    let measured = measured.finish();
    // An axis is a path under [trial]; the prefix distinguishes it from another column of the same name.
    let is_taken =
        |axis: &str| ["sweep", "trial", "seed"].contains(&axis) || measured.iter().any(|(name, _)| name == axis);
    let named = |axis: String| if is_taken(&axis) { format!("trial.{axis}") } else { axis };
    let on_axes = axes.into_iter().map(named).zip(on_axes.into_iter().map(Column::typed)).collect::<Vec<_>>();
    let of_all = [
        ("sweep".to_owned(), Column::Text(of_sweep)),
        ("trial".to_owned(), Column::Text(of_trial)),
        ("seed".to_owned(), Column::Integer(seeds)),
    ];
    let notes = [("note".to_owned(), Column::Text(noted)), ("tags".to_owned(), Column::Text(tagged))];
    let notes = notes.into_iter().filter(|_| is_noted);
    Ok(Table { columns: of_all.into_iter().chain(on_axes).chain(measured).chain(notes).collect(), left_out })
}

/// The axes of all sweeps, in order of first appearance. The keys of a value that is a table follow it, as axes of their own.
fn axes(sweeps: &[Store]) -> Result<Vec<String>> {
    let mut axes: Vec<String> = Vec::new();
    for store in sweeps {
        for id in store.trials()? {
            // A damaged trial is left out of the rows as well.
            let Ok(file) = store.trial(&id).trial_file() else { continue };
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
    }
    Ok(axes)
}

/// A trial's values on these axes, from its configuration, so that a value is spelt alike in every sweep; labels as its sweep
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
