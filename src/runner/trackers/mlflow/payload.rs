//! A trial's records in MLflow's terms.

use std::collections::BTreeMap;

use super::runs::Logged;
use crate::trackers::snapshot::Snapshot;
use sweep_analysis::TrialRecords;
use sweep_analysis::summary::TrialSummary;
use sweep_core::error::Result;
use sweep_experiment::metric::{METRICS, Metric, Run};
use sweep_experiment::records::{EpochRecord, State};
use sweep_experiment::settings::settings;
use sweep_experiment::store::most;

/// A metric of every epoch, by which a run is matched to a trial.
pub(super) const KNOWN_BY: &str = "train_loss";

/// The trial's summary so far.
pub(super) fn summary(trial: &Snapshot) -> TrialSummary {
    TrialSummary::of(&TrialRecords {
        objective: trial.file.objective(),
        unit: trial.file.unit,
        epochs: trial.epochs.clone(),
        ..TrialRecords::new(trial.id.clone(), trial.file.seed(), trial.status.clone())
    })
}

/// MLflow's status of a run.
pub(super) fn status(state: State) -> &'static str {
    match state {
        State::Pending | State::Running => "RUNNING",
        State::Done | State::Pruned => "FINISHED",
        State::Failed | State::Diverged | State::TimedOut => "FAILED",
        State::Interrupted => "KILLED",
    }
}

/// Whether a run's values agree with the records in the epochs that both have.
pub(super) fn agree(values: &BTreeMap<i64, f64>, epochs: &[EpochRecord]) -> bool {
    epochs
        .iter()
        .all(|epoch| values.get(&i64::from(epoch.epoch)).is_none_or(|stored| is_same(*stored, epoch.train_loss)))
}

/// Whether `a` is `b` after storage. A database may store infinity as its largest number.
pub(super) fn is_same(a: f64, b: f64) -> bool {
    if b.is_infinite() {
        return a.signum().total_cmp(&b.signum()).is_eq() && a.abs() > 1e300;
    }
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * b.abs()
}

/// The configuration, and the axes with other names than its keys.
pub(super) fn parameters(trial: &Snapshot) -> Vec<(String, String)> {
    let mut parameters = configured(&trial.file.config);
    let axes = trial.axes().filter(|(axis, _)| !parameters.iter().any(|(key, _)| key == axis)).cloned();
    let axes: Vec<(String, String)> = axes.collect();
    parameters.extend(axes);
    parameters
}

/// Settings by their dotted paths; texts without quotes.
fn configured(config: &toml::Table) -> Vec<(String, String)> {
    let text = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    settings(config).into_iter().map(|(key, value)| (key, text(value))).collect()
}

/// An epoch's metrics, under the names of the columns of `epochs.csv`: those of every epoch first, then those of evaluated
/// epochs.
pub(super) fn metrics(epoch: &EpochRecord, time: f64) -> Vec<Logged> {
    let of_trial = METRICS.iter().filter(|metric| metric.run == Run::Trial);
    let of_images = |evaluation: bool| {
        METRICS.iter().filter(move |metric| metric.run != Run::Trial && metric.needs_evaluation == evaluation)
    };
    let evaluated = of_images(true).filter(|metric| metric.is_known(epoch));
    let logged = |metric: &Metric| {
        let value = (metric.value)(epoch);
        Logged { key: metric.column, value, step: i64::from(epoch.epoch), time }
    };
    of_trial.chain(of_images(false)).chain(evaluated).map(logged).collect()
}

/// Files of a finished trial that are uploaded.
const FILES: [&str; 6] = ["trial.toml", "epochs.csv", "landmarks.csv", "curves.png", "overlay.png", "log.txt"];

/// Files that show patients: those of a trial, and those of the report.
pub(super) const OF_PATIENTS: [&str; 3] = ["overlay.png", "overlays.png", "index.html"];

/// The files that are sent, with those that show patients if `images`.
fn sent(images: bool) -> impl Iterator<Item = &'static str> {
    FILES.into_iter().filter(move |name| images || !OF_PATIENTS.contains(name))
}

pub(super) fn files(trial: &Snapshot, images: bool) -> Result<Vec<(String, Vec<u8>)>> {
    let read = |name: &str| {
        Ok(trial.folder.folder().read_if_present(name, most::TABLE)?.map(|bytes| (name.to_owned(), bytes)))
    };
    sent(images).map(read).filter_map(Result::transpose).collect()
}

/// A hash that changes if there is more to send of a finished trial. Large files contribute their size only, because all
/// trials are hashed when a sweep is resumed.
pub(super) fn fingerprint(trial: &Snapshot, images: bool) -> Result<String> {
    let mut parts = vec![trial.status.state.name().as_bytes().to_vec()];
    let folder = trial.folder.folder();
    for name in sent(images) {
        let Some((_, size)) = folder.version(name) else { continue };
        let is_hashed = name == "epochs.csv";
        parts.push(if is_hashed { folder.read(name, most::TABLE)? } else { size.to_le_bytes().to_vec() });
    }
    if !trial.noted.is_empty() {
        parts.push(trial.noted.clone().into_bytes());
    }
    Ok(hash(parts.iter().map(Vec::as_slice)))
}

pub(super) fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_written_down_twice_is_the_same() {
        for (a, b) in [(1.5, 1.5), (f64::NAN, f64::NAN), (f64::MAX, f64::INFINITY), (0.1 + 0.2, 0.3), (0.0, 0.0)] {
            assert!(is_same(a, b), "{a} {b}");
        }
        for (a, b) in [
            (1.5, 1.500_001),
            (f64::NAN, 1.0),
            (1.0, f64::NAN),
            (1e9, f64::INFINITY),
            (1e-9, 0.0),
            (f64::MIN, f64::INFINITY),
        ] {
            assert!(!is_same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn names_and_order_of_metrics_stay() {
        let columns = "trial,seed,epoch,train_loss,val_loss,zero_loss,train_mre_mm,val_mre_mm,val_mre_px,val_sd_mm,\
                       val_median_mm,val_p95_mm,val_sdr_2mm,val_sdr_2_5mm,val_sdr_3mm,val_sdr_4mm,lr,\
                       images_per_second,seconds";
        let keys = |values: &str| {
            let row = format!("{columns}\nt,0,3,{values}\n");
            let epochs: Vec<EpochRecord> = sweep_experiment::records::read_csv(row.as_bytes()).unwrap();
            metrics(&epochs[0], 0.0).iter().map(|metric| metric.key).collect::<Vec<_>>().join(" ")
        };
        let always = "lr images_per_second seconds train_loss";
        let evaluated = "val_loss zero_loss train_mre_mm val_mre_mm val_mre_px val_sd_mm val_median_mm val_p95_mm \
                         val_sdr_2mm val_sdr_2_5mm val_sdr_3mm val_sdr_4mm";
        assert_eq!(keys("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16"), format!("{always} {evaluated}"));
        assert_eq!(keys("1,nan,3,nan,nan,nan,nan,nan,nan,nan,nan,nan,nan,14,15,16"), always);
    }

    #[test]
    fn keys_are_paths() {
        let flat = configured(&toml::from_str("a = 1\n[b]\nc = 'x'\nd = [1, 2]\n[b.e]\nf = 1e-5").unwrap());
        let flat: Vec<(&str, &str)> = flat.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(flat, [("a", "1"), ("b.c", "x"), ("b.d", "[1, 2]"), ("b.e.f", "0.00001")]);
    }
}
