//! The runs of a sweep on a server, found by their tags, and the metrics of a run.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::server::{Refusal, Server};
use sweep_core::error::{Error, Result};

/// Tags that identify runs of a sweep; the server can filter by them.
pub(super) mod tag {
    pub(in super::super) const SWEEP: &str = "landmark_sweep.sweep";
    pub(in super::super) const ROLE: &str = "landmark_sweep.role";
    pub(in super::super) const TRIAL: &str = "landmark_sweep.trial";
    pub(in super::super) const IDENTITY: &str = "landmark_sweep.identity";
    pub(in super::super) const CONFIGURATION: &str = "landmark_sweep.configuration";
    /// Hash of the settings of a configuration, by which it is found again under another name.
    pub(in super::super) const SETTINGS: &str = "landmark_sweep.settings";
    pub(in super::super) const STATE: &str = "landmark_sweep.state";
    /// Fingerprint of the records, set once all of them are sent.
    pub(in super::super) const COMPLETE: &str = "landmark_sweep.complete";
    pub(in super::super) const PARENT: &str = "mlflow.parentRunId";
    pub(in super::super) const NOTE: &str = "mlflow.note.content";
}

/// Most metrics of a batch, and most parameters or tags.
const BATCH: usize = 1000;
const SMALL_BATCH: usize = 100;
/// Most runs of a response.
const PAGE: usize = 1000;
/// Longest values, in characters.
const LONGEST_PARAMETER: usize = 6000;
const LONGEST_TAG: usize = 8000;

/// A run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) status: String,
    /// URI of its artifacts.
    pub(super) artifacts: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) parameters: BTreeMap<String, String>,
    /// Each metric's last value and step.
    pub(super) metrics: BTreeMap<String, (f64, i64)>,
}

impl Run {
    fn from_json(run: &Value) -> Option<Self> {
        let (info, data) = (&run["info"], &run["data"]);
        let pairs = |list: &Value| -> BTreeMap<String, String> {
            let pair = |item: &Value| Some((item["key"].as_str()?.to_owned(), item["value"].as_str()?.to_owned()));
            list.as_array().into_iter().flatten().filter_map(pair).collect()
        };
        let last =
            |item: &Value| Some((item["key"].as_str()?.to_owned(), (number(&item["value"])?, integer(&item["step"]))));
        Some(Self {
            id: info["run_id"].as_str()?.to_owned(),
            status: info["status"].as_str().unwrap_or_default().to_owned(),
            artifacts: info["artifact_uri"].as_str().unwrap_or_default().to_owned(),
            tags: pairs(&data["tags"]),
            parameters: pairs(&data["params"]),
            metrics: data["metrics"].as_array().into_iter().flatten().filter_map(last).collect(),
        })
    }

    pub(super) fn has(&self, tag: &str, value: &str) -> bool {
        self.tags.get(tag).is_some_and(|stored| stored == value)
    }
}

/// A value of a metric at a step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Logged {
    pub(super) key: &'static str,
    pub(super) value: f64,
    pub(super) step: i64,
    /// Seconds since 1970.
    pub(super) time: f64,
}

/// A number as the interface writes it: NaN and infinities as text.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| match value.as_str()? {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    })
}

fn written(value: f64) -> Value {
    match value {
        v if v.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        v => v.into(),
    }
}

/// An integer, which the interface may write as text, or omit if it is 0.
fn integer(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

pub(super) fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1e3).round() as i64
}

fn cut(value: &str, longest: usize) -> String {
    if value.chars().count() <= longest {
        return value.to_owned();
    }
    value.chars().take(longest - 1).chain(['…']).collect()
}

impl Server {
    /// The experiment with this name, created if it does not exist.
    pub(super) fn experiment(&mut self, name: &str, note: Option<&str>) -> Result<String> {
        let id = |value: &Value| value.as_str().map(str::to_owned);
        let missing = || Error::input("its answer names no experiment").at("MLflow");
        match self.get("experiments/get-by-name", &[("experiment_name", name)]) {
            Ok(found) if found["experiment"]["lifecycle_stage"] == "deleted" => {
                Err(Error::input(format!("experiment {name} is in the trash"))
                    .at(format!("MLflow at {}", self.name()))
                    .remedy("restore or remove it there, or name another in MLFLOW_EXPERIMENT_NAME"))
            }
            Ok(found) => id(&found["experiment"]["experiment_id"]).ok_or_else(missing),
            Err(Refusal { code, .. }) if code == "RESOURCE_DOES_NOT_EXIST" => {
                // By default the server assumes an experiment of language models.
                let kind = ("mlflow.experimentKind", "custom_model_development");
                let tags = note.iter().map(|note| (tag::NOTE, *note)).chain([kind]);
                let tags: Vec<Value> = tags.map(|(key, value)| json!({ "key": key, "value": value })).collect();
                let created = self.post("experiments/create", &json!({ "name": name, "tags": tags }))?;
                id(&created["experiment_id"]).ok_or_else(missing)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// All runs of a sweep.
    pub(super) fn runs(&mut self, experiment: &str, sweep: &str) -> Result<Vec<Run>> {
        let filter = format!("tags.`{}` = '{sweep}'", tag::SWEEP);
        let mut query = json!({ "experiment_ids": [experiment], "filter": filter, "max_results": PAGE });
        let mut runs = Vec::new();
        loop {
            let page = self.post("runs/search", &query)?;
            runs.extend(page["runs"].as_array().into_iter().flatten().filter_map(Run::from_json));
            match page["next_page_token"].as_str().filter(|token| !token.is_empty()) {
                Some(token) => query["page_token"] = token.into(),
                None => return Ok(runs),
            }
        }
    }

    /// Creates a run.
    pub(super) fn begin(&mut self, experiment: &str, name: &str, seconds: f64, tags: &[(&str, String)]) -> Result<Run> {
        let tags: Vec<Value> =
            tags.iter().map(|(key, value)| json!({ "key": key, "value": cut(value, LONGEST_TAG) })).collect();
        let request = json!({
            "experiment_id": experiment, "run_name": name, "start_time": milliseconds(seconds), "tags": tags,
        });
        let begun = self.post("runs/create", &request)?;
        Run::from_json(&begun["run"]).ok_or_else(|| Error::input("its answer names no run").at("MLflow"))
    }

    /// All values of a metric, by step.
    pub(super) fn history(&mut self, run: &str, metric: &str) -> Result<BTreeMap<i64, f64>> {
        let (mut values, mut token) = (BTreeMap::new(), String::new());
        loop {
            let mut query = vec![("run_id", run), ("metric_key", metric), ("max_results", "25000")];
            if !token.is_empty() {
                query.push(("page_token", &token));
            }
            let page = self.get("metrics/get-history", &query)?;
            let metrics = page["metrics"].as_array().into_iter().flatten();
            values.extend(metrics.filter_map(|m| Some((integer(&m["step"]), number(&m["value"])?))));
            match page["next_page_token"].as_str().filter(|next| !next.is_empty()) {
                Some(next) => next.clone_into(&mut token),
                None => return Ok(values),
            }
        }
    }

    /// Logs metrics of a run; those of one step are always in one batch.
    pub(super) fn add_metrics(&mut self, run: &str, metrics: &[Logged]) -> Result<()> {
        let mut batch: Vec<Value> = Vec::new();
        for of_step in metrics.chunk_by(|a, b| a.step == b.step) {
            if batch.len() + of_step.len() > BATCH {
                self.post("runs/log-batch", &json!({ "run_id": run, "metrics": std::mem::take(&mut batch) }))?;
            }
            batch.extend(of_step.iter().map(|metric| {
                let (value, timestamp) = (written(metric.value), milliseconds(metric.time));
                json!({ "key": metric.key, "value": value, "timestamp": timestamp, "step": metric.step })
            }));
        }
        if !batch.is_empty() {
            self.post("runs/log-batch", &json!({ "run_id": run, "metrics": batch }))?;
        }
        Ok(())
    }

    /// Logs the parameters that a run lacks; logged parameters cannot be changed.
    pub(super) fn add_parameters(&mut self, run: &mut Run, parameters: &[(String, String)]) -> Result<()> {
        let missing: Vec<&(String, String)> =
            parameters.iter().filter(|(key, _)| !run.parameters.contains_key(key)).collect();
        for few in missing.chunks(SMALL_BATCH) {
            let params: Vec<Value> =
                few.iter().map(|(key, value)| json!({ "key": key, "value": cut(value, LONGEST_PARAMETER) })).collect();
            self.post("runs/log-batch", &json!({ "run_id": run.id, "params": params }))?;
        }
        run.parameters.extend(missing.into_iter().cloned());
        Ok(())
    }

    /// Sets the tags of a run that differ.
    pub(super) fn set_tags(&mut self, run: &mut Run, tags: &[(&str, String)]) -> Result<()> {
        let tags: Vec<(&str, String)> = tags.iter().map(|(key, value)| (*key, cut(value, LONGEST_TAG))).collect();
        let new: Vec<&(&str, String)> = tags.iter().filter(|(key, value)| !run.has(key, value)).collect();
        for few in new.chunks(SMALL_BATCH) {
            let tags: Vec<Value> = few.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
            self.post("runs/log-batch", &json!({ "run_id": run.id, "tags": tags }))?;
        }
        run.tags.extend(new.into_iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        Ok(())
    }

    /// Sets the status of a run if it differs.
    pub(super) fn set_status(&mut self, run: &mut Run, status: &str, ended: Option<f64>) -> Result<()> {
        if run.status != status {
            let mut request = json!({ "run_id": run.id, "status": status });
            if let Some(ended) = ended {
                request["end_time"] = milliseconds(ended).into();
            }
            self.post("runs/update", &request)?;
            status.clone_into(&mut run.status);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_does_not_have_are_text() {
        for value in [1.5, -0.0, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let back = number(&serde_json::from_str(&written(value).to_string()).unwrap()).unwrap();
            assert_eq!(back.to_bits(), value.to_bits());
        }
        assert_eq!((integer(&json!("17")), integer(&json!(17)), integer(&Value::Null)), (17, 17, 0));
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
