//! The batch script of an array of trials.

use std::fmt::Write as _;
use std::path::Path;

use super::SlurmSpec;
use sweep_core::error::{Error, Result};

/// An array to submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array<'a> {
    /// Name of its jobs.
    pub name: &'a str,
    /// Identifies the array in Slurm's answers, even if the runner's own files are lost.
    pub comment: &'a str,
    /// Number of its trials.
    pub trials: usize,
    /// Largest number of trials that run at once.
    pub at_once: Option<usize>,
    /// Job that must end before these start.
    pub after: Option<u64>,
    /// File with the trials' names, one a line, in the order of the array.
    pub manifest: &'a Path,
    /// Folder of the trials.
    pub folder: &'a Path,
    /// Folder for the output of jobs.
    pub logs: &'a Path,
    /// Working directory of the jobs.
    pub from: &'a Path,
    /// The program to run.
    pub program: &'a Path,
    /// Device, as `--device` takes it.
    pub device: &'a str,
    /// Threads of a trial, if set.
    pub threads: Option<usize>,
}

impl Default for Array<'_> {
    fn default() -> Self {
        let nowhere = Path::new("");
        Self {
            name: "",
            comment: "",
            trials: 0,
            at_once: None,
            after: None,
            manifest: nowhere,
            folder: nowhere,
            logs: nowhere,
            from: nowhere,
            program: nowhere,
            device: "cpu",
            threads: None,
        }
    }
}

/// Text of the script.
///
/// # Errors
/// When a path or an option has a line break: the rest would be a command of its own.
pub fn script(spec: &SlurmSpec, array: &Array<'_>) -> Result<String> {
    check(spec, array)?;
    let mut text = "#!/bin/bash\n".to_owned();
    let mut option = |line: String| {
        let _ = writeln!(text, "#SBATCH {line}");
    };
    option(format!("--job-name={}", array.name));
    option(format!("--comment={}", array.comment));
    let at_once = array.at_once.map_or_else(String::new, |most| format!("%{most}"));
    option(format!("--array=0-{}{at_once}", array.trials.saturating_sub(1)));
    if let Some(job) = array.after {
        option(format!("--dependency=afterany:{job}"));
    }
    for (name, value) in &spec.options {
        option(format!("--{name}={value}"));
    }
    for line in &spec.extra {
        option(line.trim_start_matches("#SBATCH").trim().to_owned());
    }
    // Only the batch process gets the signal; `exec` below makes the trial that process.
    option(format!("--signal=B:USR2@{}", spec.warning_seconds));
    option("--requeue".to_owned());
    option("--open-mode=append".to_owned());
    option(format!("--chdir={}", quoted(array.from)));
    option(format!("--output={}", quoted(&array.logs.join("%A_%a.log"))));
    text.push('\n');
    for line in &spec.setup {
        let _ = writeln!(text, "{line}");
    }
    let threads = match array.threads {
        Some(threads) => threads.to_string(),
        None => "\"${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-1}}\"".to_owned(),
    };
    let _ = write!(
        text,
        "manifest={}\n\
         if [ ! -r \"$manifest\" ]; then\n    \
             echo \"error: $(hostname) does not see $manifest: results must lie where all nodes see them (--results)\" >&2\n    \
             exit {NOT_SHARED}\n\
         fi\n\
         trial=$(sed -n \"$((SLURM_ARRAY_TASK_ID + 1))p\" \"$manifest\")\n\
         exec {} trial {}/\"$trial\" --device {} --threads {threads} --requeue {}\n",
        quoted(array.manifest),
        quoted(array.program),
        quoted(array.folder),
        array.device,
        spec.requeues,
    );
    Ok(text)
}

/// Checks that everything that a line of the script is made of is one line.
fn check(spec: &SlurmSpec, array: &Array<'_>) -> Result<()> {
    let paths = [
        ("the working directory", array.from),
        ("the results folder", array.folder),
        ("the list of trials", array.manifest),
        ("the folder of logs", array.logs),
        ("the program", array.program),
    ];
    let texts = [("the name of the jobs", array.name), ("the comment", array.comment), ("the device", array.device)];
    let options = spec.options.iter().map(|(key, value)| (*key, value.clone()));
    let extra = spec.extra.iter().map(|line| ("extra", line.clone()));
    let paths = paths.into_iter().map(|(what, path)| (what, path.display().to_string()));
    let texts = texts.into_iter().map(|(what, text)| (what, text.to_owned()));
    match paths.chain(texts).chain(options).chain(extra).find(|(_, text)| text.chars().any(char::is_control)) {
        Some((what, text)) => Err(Error::definition(format!("{what} has a line break or another control character"))
            .at(text)
            .remedy("give it a name in one line: the script of a job has an option a line")),
        None => Ok(()),
    }
}

/// Exit code of a job whose node cannot read the results folder.
pub const NOT_SHARED: i32 = 66;

/// Quotes a path so that the shell and `sbatch` take it as one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,%@".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_asks_for_what_the_table_says() {
        let spec = SlurmSpec {
            options: vec![("partition", "gpu".into()), ("time", "4:00:00".into())],
            setup: vec!["module load cuda".into()],
            extra: vec!["#SBATCH --exclusive".into()],
            ..SlurmSpec::default()
        };
        let array = Array {
            name: "sweep-loss",
            comment: "sweep:0a",
            trials: 12,
            at_once: Some(4),
            after: Some(7),
            manifest: Path::new("/r/loss/slurm/0001.txt"),
            folder: Path::new("/r/it's mine/trials"),
            logs: Path::new("/r/loss/slurm/logs"),
            from: Path::new("/home/me"),
            program: Path::new("/r/loss/slurm/sweep"),
            device: "cuda",
            threads: None,
        };
        let text = script(&spec, &array).unwrap();
        for line in [
            "#SBATCH --array=0-11%4",
            "#SBATCH --dependency=afterany:7",
            "#SBATCH --partition=gpu",
            "#SBATCH --exclusive",
            "#SBATCH --signal=B:USR2@120",
            "#SBATCH --requeue",
            "#SBATCH --output=/r/loss/slurm/logs/%A_%a.log",
            "module load cuda",
            "manifest=/r/loss/slurm/0001.txt",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        let last = text.lines().last().unwrap();
        assert!(last.starts_with("exec /r/loss/slurm/sweep trial '/r/it'\\''s mine/trials'/\"$trial\" --device cuda"));
        let options = text.lines().skip(1).take_while(|line| line.starts_with("#SBATCH")).count();
        assert_eq!(options, text.matches("#SBATCH").count(), "options stand before the first command");
    }

    #[test]
    fn a_line_break_in_a_path_or_an_option_is_refused() {
        let evil = Path::new("/home/me\nrm -rf /");
        for array in [
            Array { from: evil, ..Array::default() },
            Array { folder: evil, ..Array::default() },
            Array { logs: evil, ..Array::default() },
            Array { program: evil, ..Array::default() },
        ] {
            let error = script(&SlurmSpec::default(), &array).unwrap_err().to_string();
            assert!(error.contains("control character") && !error.contains("me\nrm"), "{error}");
        }
        let spec = SlurmSpec { options: vec![("partition", "gpu\nrm".into())], ..SlurmSpec::default() };
        assert!(script(&spec, &Array::default()).unwrap_err().message.contains("partition"));
    }
}
