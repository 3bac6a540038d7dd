//! Identifies the configuration that a trial shares with its repetitions: its settings without seed and fold. Trials of several
//! sweeps are matched by it, because labels of values depend on the definition.

use std::collections::BTreeMap;

use sweep_experiment::settings::settings;
use sweep_experiment::store::TrialFile;
use toml::Value;

use super::folds::AXIS;

/// A short hash (hexadecimal) of a trial's configuration without seed and fold.
#[must_use]
pub fn configuration(trial: &TrialFile) -> String {
    let settings: BTreeMap<String, &Value> =
        settings(&trial.config).into_iter().filter(|(key, _)| key != "seed" && key != AXIS).collect();
    let lines: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
    blake3::hash(lines.join("\n").as_bytes()).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_share_it_and_no_others() {
        let of = |config: &str| {
            let text = format!("trial = 't'\ndataset_hash = 'a'\naxes = []\nconfig = {{ {config} }}");
            configuration(&toml::from_str(&text).unwrap())
        };
        let plain = of("seed = 0, loss = { name = 'l1', beta = 1.0 }");
        assert_eq!(plain, of("loss = { beta = 1.0, name = 'l1' }, seed = 7"));
        assert_ne!(plain, of("seed = 0, loss = { name = 'l1', beta = 0.5 }"));
        assert_eq!(
            of("seed = 0, dataset = { fold = 1, folds = 3 }"),
            of("seed = 0, dataset = { fold = 2, folds = 3 }")
        );
    }
}
