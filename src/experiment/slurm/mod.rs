//! Settings for Slurm: `[slurm]` of a definition, the script that is submitted ([`script`]), and parsers for the output
//! of Slurm's programs ([`answers`]). Nothing here starts a program.
//!
//! Where a trial runs is not part of its identity: none of these settings affects a trial's id.

pub mod answers;
pub mod script;

use toml::{Table, Value};

use crate::key_error::KeyError;
use sweep_core::error::{Error, Result};

/// `[slurm]` of a definition; the cluster's defaults apply to missing settings.
#[derive(Debug, Clone, PartialEq)]
pub struct SlurmSpec {
    /// Options of `sbatch` that take a value, by their long names, in this order.
    pub options: Vec<(&'static str, String)>,
    /// Processors per trial, if set; also its number of threads.
    pub cpus: Option<usize>,
    /// GPUs per trial, from `gres`.
    pub gpus: usize,
    /// Further `#SBATCH` lines, for example `--exclusive`.
    pub extra: Vec<String>,
    /// Lines of shell to run before the trial, for example `module load cuda`.
    pub setup: Vec<String>,
    /// Largest number of trials that run at once.
    pub max_concurrent: Option<usize>,
    /// Largest number of trials per array; the cluster may allow fewer.
    pub array: Option<usize>,
    /// Time before the time limit at which trials save and have themselves queued again, in seconds.
    pub warning_seconds: u64,
    /// How often a trial's job may be queued again, by itself or by the runner.
    pub requeues: u32,
    /// Seconds between two requests to the controller while jobs exist.
    pub poll_seconds: u64,
    /// Seconds that the file system may take to show here what a node wrote.
    pub patience_seconds: u64,
    /// The program that trials run; `None` for a copy of this one.
    pub program: Option<String>,
}

impl Default for SlurmSpec {
    fn default() -> Self {
        Self {
            options: Vec::new(),
            cpus: None,
            gpus: 0,
            extra: Vec::new(),
            setup: Vec::new(),
            max_concurrent: None,
            array: None,
            warning_seconds: 120,
            requeues: 50,
            poll_seconds: 15,
            patience_seconds: 60,
            program: None,
        }
    }
}

/// Keys of `[slurm]` that are options of `sbatch`, with those options.
const OPTIONS: [(&str, &str); 8] = [
    ("partition", "partition"),
    ("account", "account"),
    ("qos", "qos"),
    ("gres", "gres"),
    ("time", "time"),
    ("memory", "mem"),
    ("constraint", "constraint"),
    ("cpus", "cpus-per-task"),
];

/// The other keys.
const OTHERS: [&str; 9] = [
    "setup",
    "extra",
    "max_concurrent",
    "array",
    "warning_seconds",
    "requeues",
    "poll_seconds",
    "patience_seconds",
    "program",
];

/// Options of `sbatch` that the runner sets itself.
const OURS: [&str; 11] = [
    "array",
    "comment",
    "job-name",
    "output",
    "error",
    "signal",
    "requeue",
    "no-requeue",
    "open-mode",
    "chdir",
    "parsable",
];

impl SlurmSpec {
    /// Reads `[slurm]`; `wrong` makes an error from a path in the definition, what is wrong there, and a remedy.
    ///
    /// # Errors
    /// Unknown keys and impossible values; the location is their key.
    pub fn parse(table: &Table, wrong: &KeyError) -> Result<Self> {
        let known = || OPTIONS.iter().map(|(key, _)| *key).chain(OTHERS);
        if let Some(key) = table.keys().find(|key| !known().any(|known| known == key.as_str())) {
            let right = format!(
                "the keys are {}; any other option of sbatch goes into extra = [\"--option=value\"]",
                known().collect::<Vec<_>>().join(", ")
            );
            return Err(wrong(&["slurm", key], &format!("unknown key `{key}`"), &right));
        }
        let reader = Reader { table, wrong };
        let mut spec = Self::default();
        for (key, option) in OPTIONS {
            if let Some(value) = reader.text(key)? {
                spec.options.push((option, value));
            }
        }
        spec.cpus = reader.number("cpus", 1)?.map(|cpus| cpus as usize);
        if let Some(gres) = table.get("gres").and_then(Value::as_str) {
            spec.gpus = gpus(gres).map_err(|what| reader.wrong("gres", &what, "write it as gpu:1, or gpu:a100:2"))?;
        }
        if let Some(time) = spec.option("time") {
            let minutes = minutes(time);
            let right = "write it as Slurm does: \"30\" (minutes), \"4:00:00\" or \"1-12:00:00\"";
            let minutes = minutes.ok_or_else(|| reader.wrong("time", &format!("{time} is not a time limit"), right))?;
            let warning = reader.number("warning_seconds", 1)?.unwrap_or(spec.warning_seconds);
            // The signal may come a minute early.
            if minutes * 60.0 <= warning as f64 + 60.0 && reader.number("warning_seconds", 1)?.is_some() {
                let what = format!("trials are warned {warning} s before the end of {time}, which can be at once");
                return Err(reader.wrong("warning_seconds", &what, "allow more time, or warn later"));
            }
            // For a short limit the warning comes halfway.
            if minutes * 60.0 <= warning as f64 + 60.0 {
                spec.warning_seconds = ((minutes * 20.0) as u64).max(1);
            }
        }
        spec.setup = reader.lines("setup")?;
        spec.extra = reader.lines("extra")?;
        let asks_for_gpus = |line: &String| line.contains("--gpus");
        if spec.gpus == 0 && spec.extra.iter().any(asks_for_gpus) {
            spec.gpus = 1;
        }
        for line in &spec.extra {
            let name = line.trim_start_matches("#SBATCH").trim().trim_start_matches("--");
            let name = name.split(['=', ' ']).next().unwrap_or_default();
            if let Some((key, _)) = OPTIONS.iter().find(|(_, option)| *option == name) {
                return Err(reader.wrong("extra", &format!("`{line}` is the key `{key}`"), "set that key instead"));
            }
            if OURS.contains(&name) || !line.trim_start_matches("#SBATCH").trim().starts_with("--") {
                let what = if OURS.contains(&name) { "is set by sweep itself" } else { "is not an option of sbatch" };
                return Err(reader.wrong(
                    "extra",
                    &format!("`{line}` {what}"),
                    "write long options, for example \"--exclusive\"",
                ));
            }
        }
        spec.max_concurrent = reader.number("max_concurrent", 1)?.map(|most| most as usize);
        spec.array = reader.number("array", 1)?.map(|most| most as usize);
        for (key, least, setting) in [
            ("warning_seconds", 1, &mut spec.warning_seconds),
            ("poll_seconds", 1, &mut spec.poll_seconds),
            ("patience_seconds", 0, &mut spec.patience_seconds),
        ] {
            if let Some(seconds) = reader.number(key, least)? {
                *setting = seconds;
            }
        }
        if let Some(most) = reader.number("requeues", 0)? {
            spec.requeues = most as u32;
        }
        spec.program = reader.text("program")?;
        Ok(spec)
    }

    /// The value of an `sbatch` option.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(option, _)| *option == name).map(|(_, value)| value.as_str())
    }

    /// Time limit of a job in hours, if there is one.
    #[must_use]
    pub fn hours(&self) -> Option<f64> {
        minutes(self.option("time")?).map(|minutes| minutes / 60.0).filter(|hours| hours.is_finite())
    }
}

struct Reader<'a> {
    table: &'a Table,
    wrong: &'a KeyError<'a>,
}

impl Reader<'_> {
    fn wrong(&self, key: &str, what: &str, right: &str) -> Error {
        (self.wrong)(&["slurm", key], what, right)
    }

    /// One line of text; a number is converted to text.
    fn text(&self, key: &str) -> Result<Option<String>> {
        let text = match self.table.get(key) {
            None => return Ok(None),
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(Value::Integer(number)) => number.to_string(),
            Some(other) => return Err(self.wrong(key, &format!("{key} = {other} is not a text"), "put it in quotes")),
        };
        if text.is_empty()
            || text.contains(['\n', '\r', '\0'])
            || (key != "program" && text.contains(char::is_whitespace))
        {
            return Err(self.wrong(
                key,
                &format!("{key} = {text:?} is not possible"),
                "write one word, or leave it out",
            ));
        }
        Ok(Some(text))
    }

    fn number(&self, key: &str, least: u64) -> Result<Option<u64>> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let number = value.as_integer().and_then(|n| u64::try_from(n).ok()).filter(|n| (least..=1 << 20).contains(n));
        let what =
            || self.wrong(key, &format!("{key} = {value} is not possible"), &format!("a whole number from {least}"));
        number.map(Some).ok_or_else(what)
    }

    /// A list of lines, or a single one.
    fn lines(&self, key: &str) -> Result<Vec<String>> {
        let wrong = || self.wrong(key, &format!("{key} is not a list of lines"), "write it as [\"…\", \"…\"]");
        let lines = match self.table.get(key) {
            None => Vec::new(),
            Some(Value::String(line)) => vec![line.clone()],
            Some(Value::Array(lines)) => {
                lines.iter().map(|line| line.as_str().map(str::to_owned)).collect::<Option<_>>().ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        if lines.iter().any(|line| line.contains(['\n', '\r', '\0'])) { Err(wrong()) } else { Ok(lines) }
    }
}

/// GPUs in a list of generic resources: `gpu`, `gpu:2`, `gpu:a100:2`, `gpu:2(S:0)`.
fn gpus(gres: &str) -> Result<usize, String> {
    let mut sum = 0;
    for resource in gres.split(',') {
        let mut parts = resource.split('(').next().unwrap_or_default().split(':');
        if parts.next() != Some("gpu") {
            continue;
        }
        let last = parts.next_back().filter(|last| last.starts_with(|c: char| c.is_ascii_digit()));
        let count = last.map(|last| last.parse().map_err(|_| format!("`{resource}` has no number of GPUs")));
        sum += count.transpose()?.unwrap_or(1);
    }
    Ok(sum)
}

/// Minutes of a time limit in one of Slurm's formats; infinite if there is no limit.
fn minutes(text: &str) -> Option<f64> {
    if matches!(text.to_ascii_lowercase().as_str(), "infinite" | "unlimited") {
        return Some(f64::INFINITY);
    }
    let (days, clock) = match text.split_once('-') {
        Some((days, clock)) => (Some(days.parse::<u32>().ok()?), clock),
        None => (None, text),
    };
    let parts: Vec<f64> =
        clock.split(':').map(|part| part.parse::<u32>().ok().map(f64::from)).collect::<Option<_>>()?;
    let minutes = match (days, parts.as_slice()) {
        // With days, the first number is hours; without days it is minutes, unless there are three numbers.
        (Some(_), [hours]) => hours * 60.0,
        (Some(_), [hours, minutes]) => hours * 60.0 + minutes,
        (None, [minutes]) => *minutes,
        (None, [minutes, seconds]) => minutes + seconds / 60.0,
        (_, [hours, minutes, seconds]) => hours * 60.0 + minutes + seconds / 60.0,
        _ => return None,
    };
    let all = minutes + days.map_or(0.0, |days| f64::from(days) * 1440.0);
    (all > 0.0).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SlurmSpec> {
        let wrong = |path: &[&str], what: &str, right: &str| Error::definition(what).at(path.join(".")).remedy(right);
        SlurmSpec::parse(&text.parse().unwrap(), &wrong)
    }

    #[test]
    fn a_table_becomes_options() {
        let spec = parse(
            "partition = \"gpu\"\ntime = \"4:00:00\"\nmemory = \"16G\"\ncpus = 4\ngres = \"gpu:a100:2\"\n\
             setup = [\"module load cuda\"]\nextra = [\"--exclusive\", \"#SBATCH --mail-type=END\"]\nmax_concurrent = 8",
        )
        .unwrap();
        assert_eq!((spec.option("mem"), spec.option("cpus-per-task")), (Some("16G"), Some("4")));
        assert_eq!((spec.gpus, spec.cpus, spec.max_concurrent), (2, Some(4), Some(8)));
        assert_eq!((spec.hours(), spec.warning_seconds), (Some(4.0), 120));
        assert_eq!(parse("").unwrap(), SlurmSpec::default());
        assert_eq!(parse("time = 2").unwrap().warning_seconds, 40, "a short limit is warned of later");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        for (text, key, words) in [
            ("partitoin = \"gpu\"", "slurm.partitoin", "unknown key"),
            ("time = \"soon\"", "slurm.time", "not a time limit"),
            ("time = \"0\"", "slurm.time", "not a time limit"),
            ("cpus = 0", "slurm.cpus", "not possible"),
            ("partition = \"a b\"", "slurm.partition", "not possible"),
            ("account = true", "slurm.account", "not a text"),
            ("extra = [\"--array=0-3\"]", "slurm.extra", "set by sweep"),
            ("extra = [\"--mem=3G\"]", "slurm.extra", "`memory`"),
            ("extra = [\"exclusive\"]", "slurm.extra", "not an option"),
            ("setup = [1]", "slurm.setup", "not a list"),
            ("time = 2\nwarning_seconds = 100", "slurm.warning_seconds", "at once"),
            ("gres = \"gpu:2x\"", "slurm.gres", "number of GPUs"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.location.as_deref(), Some(key), "{text}");
            assert!(error.message.contains(words) && error.remedy.is_some(), "{error}");
        }
    }

    #[test]
    fn times_are_slurms() {
        for (text, all) in [
            ("30", 30.0),
            ("90:30", 90.5),
            ("4:00:00", 240.0),
            ("1-12", 2160.0),
            ("1-12:30", 2190.0),
            ("2-0:0:30", 2880.5),
        ] {
            assert_eq!(minutes(text), Some(all), "{text}");
        }
        assert_eq!(minutes("UNLIMITED"), Some(f64::INFINITY));
        for wrong in ["", "x", "1:2:3:4", "-3", "0", "1-"] {
            assert_eq!(minutes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn gpus_are_counted() {
        for (text, count) in
            [("gpu", 1), ("gpu:2", 2), ("gpu:a100", 1), ("gpu:a100:4", 4), ("tmp:3,gpu:2(S:0)", 2), ("tmp", 0)]
        {
            assert_eq!(gpus(text), Ok(count), "{text}");
        }
    }
}
