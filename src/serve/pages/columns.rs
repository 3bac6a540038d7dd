//! The columns of the table of trials, which are those of the scatter chart and of the CSV too.

use sweep_analysis::format::{mm, number};
use sweep_core::units::ErrorUnit;

use crate::records::{Sweep, Trial};

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Column {
    /// An axis of the sweep.
    Axis(String),
    /// Another property.
    Own(Own),
}

/// A property of trials that is no axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    Trial,
    Seed,
    State,
    Epoch,
    Mre,
    Sdr,
    Test,
    AtLeastLoss,
    Regret,
    Loss,
    Seconds,
    Memory,
    Machine,
}

/// A cell: its text and, if it is a number, its value.
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) value: Option<f64>,
}

const OWN: [Own; 13] = [
    Own::Seed,
    Own::State,
    Own::Epoch,
    Own::Mre,
    Own::Sdr,
    Own::Test,
    Own::AtLeastLoss,
    Own::Regret,
    Own::Loss,
    Own::Seconds,
    Own::Memory,
    Own::Machine,
    Own::Trial,
];

/// The columns of a sweep, without those that no trial has.
pub(super) fn columns(sweep: &Sweep) -> Vec<Column> {
    let own = OWN
        .into_iter()
        .filter(|own| *own != Own::Test || sweep.trials.iter().any(|trial| trial.summary.test_mre[0].is_finite()));
    sweep.axes.iter().cloned().map(Column::Axis).chain(own.map(Column::Own)).collect()
}

impl Column {
    /// The column of this key, of these.
    pub(super) fn of<'a>(columns: &'a [Self], key: Option<&str>) -> Option<&'a Self> {
        columns.iter().find(|column| Some(column.key().as_str()) == key)
    }

    /// Its name in an address. The prefix tells an axis from a property of its name.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Axis(axis) => format!("axis.{axis}"),
            Self::Own(own) => own.key().to_owned(),
        }
    }

    /// Its title.
    pub(super) fn title(&self, unit: ErrorUnit) -> String {
        match self {
            Self::Axis(axis) => axis.clone(),
            Self::Own(own) => own.title(unit),
        }
    }

    /// Whether it holds numbers.
    pub(super) fn is_number(&self) -> bool {
        match self {
            Self::Axis(_) => false,
            Self::Own(own) => !matches!(own, Own::Trial | Own::State | Own::Machine),
        }
    }

    /// A trial's cell.
    pub(super) fn cell(&self, trial: &Trial) -> Cell {
        match self {
            Self::Axis(axis) => {
                let text = trial.on(axis);
                Cell { value: text.parse().ok().filter(|value: &f64| value.is_finite()), text: text.to_owned() }
            }
            Self::Own(own) => own.cell(trial),
        }
    }
}

impl Own {
    fn key(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Seed => "seed",
            Self::State => "state",
            Self::Epoch => "epoch",
            Self::Mre => "mre",
            Self::Sdr => "sdr",
            Self::Test => "test",
            Self::AtLeastLoss => "at-least-loss",
            Self::Regret => "regret",
            Self::Loss => "loss",
            Self::Seconds => "seconds",
            Self::Memory => "memory",
            Self::Machine => "machine",
        }
    }

    fn title(self, unit: ErrorUnit) -> String {
        match self {
            Self::Trial => "trial".to_owned(),
            Self::Seed => "seed".to_owned(),
            Self::State => "state".to_owned(),
            Self::Epoch => "epochs".to_owned(),
            Self::Mre => format!("best MRE ({unit})"),
            Self::Sdr => format!("within {} {unit} (%)", unit.radii()[0]),
            Self::Test => format!("MRE on test images ({unit})"),
            Self::AtLeastLoss => format!("MRE at least loss ({unit})"),
            Self::Regret => format!("regret ({unit})"),
            Self::Loss => "least val. loss".to_owned(),
            Self::Seconds => "seconds".to_owned(),
            Self::Memory => "memory (MiB)".to_owned(),
            Self::Machine => "machine".to_owned(),
        }
    }

    fn cell(self, trial: &Trial) -> Cell {
        let (summary, status) = (&trial.summary, &trial.records.status);
        let word = |text: &str| Cell { text: text.to_owned(), value: None };
        let figure = |value: f64, show: fn(f64) -> String| Cell {
            text: if value.is_finite() { show(value) } else { "–".to_owned() },
            value: value.is_finite().then_some(value),
        };
        match self {
            Self::Trial => word(trial.id()),
            Self::Seed => figure(trial.records.seed as f64, |seed| format!("{seed:.0}")),
            Self::State => word(trial.state),
            Self::Epoch => Cell {
                text: if status.epochs == 0 {
                    "–".to_owned()
                } else {
                    format!("{} / {}", trial.epochs, status.epochs)
                },
                value: Some(trial.epochs as f64),
            },
            Self::Mre => figure(summary.best_val_mre, mm),
            Self::Sdr => figure(summary.sdr[0], |share| format!("{share:.1}")),
            Self::Test => figure(summary.test_mre[0], mm),
            Self::AtLeastLoss => figure(summary.val_mre_at_best_loss, mm),
            Self::Regret => figure(summary.selection_regret, mm),
            Self::Loss => figure(summary.best_val_loss, number),
            Self::Seconds => figure(status.seconds, |seconds| format!("{seconds:.0}")),
            Self::Memory => figure(status.peak_memory_mib.unwrap_or(f64::NAN), |memory| format!("{memory:.0}")),
            Self::Machine => word([status.host.as_str(), status.device.as_str()].join(" ").trim()),
        }
    }
}
