//! What a trial shares with its repetitions: its configuration without seed and fold. Sweeps are laid side by side by it,
//! because names of values depend on the definition.

use std::collections::BTreeMap;

use sweep_experiment::store::TrialFile;
use toml::Value;

use super::folds::AXIS;

/// A short hash (hexadecimal) of a trial's configuration without seed and fold.
#[must_use]
pub fn configuration(trial: &TrialFile) -> String {
    let mut settings = BTreeMap::new();
    for (key, value) in &trial.config {
        flatten(&mut settings, key.clone(), value);
    }
    settings.retain(|key, _| key != "seed" && key != AXIS);
    let lines: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
    blake3::hash(lines.join("\n").as_bytes()).to_hex()[..16].to_owned()
}

fn flatten(to: &mut BTreeMap<String, String>, path: String, value: &Value) {
    match value {
        Value::Table(table) => {
            table.iter().for_each(|(key, value)| flatten(to, format!("{path}.{key}"), value));
        }
        value => {
            to.insert(path, value.to_string());
        }
    }
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
