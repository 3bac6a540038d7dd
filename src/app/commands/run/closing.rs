//! What `sweep run` prints when no trial is left: what went wrong, the answer, the leaderboard and where the report lies.

use sweep_analysis::findings::{Finding, Topic, Verdict};
use sweep_analysis::report::{self, Answer, TextTable};
use sweep_analysis::summary::TrialSummary;
use sweep_analysis::{SweepRecords, TrialRecords};
use sweep_core::error::Result;
use sweep_core::note;
use sweep_experiment::store::Store;

use super::super::{say, text_table::say_table};
use crate::sweep::write_report;

/// Greatest number of trials that are listed one by one.
const TRIALS: usize = 24;

/// Writes summary and report from the present records.
pub(super) fn refresh(store: &Store) -> Result<(SweepRecords, Vec<Finding>, Option<Answer>)> {
    let (sweep, findings, written) = write_report(store, Some(&store.images()), &store.report())?;
    for (id, why) in &sweep.left_out {
        note!("left out: {id}: {why}");
    }
    Ok((sweep, findings, written.answer))
}

/// Prints the answer and the leaderboard to standard output, and a line for each trial that they do not cover.
pub(super) fn print(sweep: &SweepRecords, findings: &[Finding], answer: Option<&Answer>) -> Result<()> {
    let warnings = findings
        .iter()
        .filter(|f| f.topic == Topic::Failures || (f.topic == Topic::Collapse && f.verdict == Verdict::Warning));
    for finding in warnings.filter(|f| !f.sentence.is_empty()) {
        say(&finding.sentence.replace('`', ""))?;
    }
    let is_covered = |trial: &TrialRecords| answer.is_some() && trial.is_done();
    let others: Vec<&TrialRecords> = sweep.trials.iter().filter(|trial| !is_covered(trial)).collect();
    if !others.is_empty() {
        say_table(&trials(sweep, &others))?;
        if others.len() > TRIALS {
            say(&format!("{} more trials are in summary.csv", others.len() - TRIALS))?;
        }
    }
    let waiting = sweep.planned - sweep.trials.len() - sweep.left_out.len();
    if waiting > 0 {
        say(&format!("{waiting} of {} trials have not begun", sweep.planned))?;
    }
    if let Some(answer) = answer {
        if let Some(question) = &sweep.question {
            say(question)?;
        }
        say(&format!("{} ({})", answer.sentence, answer.strength))?;
        for sentence in answer.effects.iter().chain(&answer.by_loss) {
            say(sentence)?;
        }
        say_table(&answer.leaderboard)?;
        let caption = answer.caption();
        if !caption.is_empty() {
            say(&caption)?;
        }
    }
    if sweep.measures_nothing() {
        say(report::NOTHING_MEASURED)?;
    }
    if let Some(guess) = sweep.mean_shape_mre {
        say(&format!("guessing the training set's mean shape: {guess:.2} {}", sweep.unit))?;
    }
    Ok(())
}

/// Trials one by one; a dash for what is not known.
fn trials(sweep: &SweepRecords, trials: &[&TrialRecords]) -> TextTable {
    let (unit, radius) = (sweep.unit, sweep.unit.radii()[0]);
    let known = |value: f64, text: fn(f64) -> String| if value.is_nan() { "–".to_owned() } else { text(value) };
    let row = |trial: &&TrialRecords| {
        let (summary, status) = (TrialSummary::of(trial), &trial.status);
        vec![
            trial.id.clone(),
            status.state.name().to_owned(),
            format!("{}/{}", trial.epochs.len(), status.epochs),
            known(summary.best_val_mre, |mre| format!("{mre:.2}")),
            known(summary.sdr[0], |sdr| format!("{sdr:.1}")),
            known(summary.best_val_loss, |loss| format!("{loss:.3e}")),
        ]
    };
    TextTable {
        columns: vec![
            "trial".to_owned(),
            "state".to_owned(),
            "epochs".to_owned(),
            format!("best MRE ({unit})"),
            format!("within {radius} {unit} (%)"),
            "least validation loss".to_owned(),
        ],
        rows: trials.iter().take(TRIALS).map(row).collect(),
    }
}
