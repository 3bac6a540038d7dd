//! Results folders, checkpoints and data sets from somebody who means harm: whatever is in them, nothing outside is read,
//! written, sent or run, and memory stays within a limit.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::fuzz::targets::{copy, opened, sealed};
use crate::harness::{SWEEP, Sandbox};

const DEFINITION: &str = r#"
name = "tiny"
question = "Which loss?"
seeds = [0]
[axes]
"loss.name" = ["l1", "smooth-l1"]
[trial]
epochs = 2
batch_size = 2
dataset = { name = "phantom", train = 4, val = 3, height = 40, width = 32 }
input = { height = 40, width = 32 }
model = { name = "unet++", filters = [4, 8] }
optimizer = { name = "adamw", lr = 2e-3 }
"#;

/// Address space of a command on hostile input, KiB: 1 GiB.
pub(crate) const MEMORY_KIB: u32 = 1 << 20;
/// Processor time of a command on hostile input, seconds.
const SECONDS: u32 = 60;

/// The results of a sweep, trained once.
pub(crate) fn trained() -> &'static Path {
    static SWEEP: OnceLock<Sandbox> = OnceLock::new();
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let sandbox = SWEEP.get_or_init(|| {
        let sandbox = Sandbox::new(DEFINITION);
        sandbox.expect(0, &["run", "tiny.toml", "--jobs", "1", "--threads", "1", "--quiet"]);
        sandbox
    });
    PATH.get_or_init(|| sandbox.path("results/tiny"))
}

/// A received copy of the results in `received`, and a file outside it.
struct Scene {
    sandbox: Sandbox,
    received: PathBuf,
    secret: PathBuf,
}

const SECRET: &str = "export TOKEN=of-the-user\n";

fn scene() -> Scene {
    let sandbox = Sandbox::new(DEFINITION);
    let (received, secret) = (sandbox.path("received"), sandbox.path("secret"));
    copy(trained(), &received);
    fs::write(&secret, SECRET).unwrap();
    Scene { sandbox, received, secret }
}

impl Scene {
    fn trial(&self) -> PathBuf {
        let mut trials: Vec<PathBuf> =
            fs::read_dir(self.received.join("trials")).unwrap().map(|e| e.unwrap().path()).collect();
        trials.sort();
        trials.remove(0)
    }

    /// Runs a command with 1 GiB of memory and a minute of processor time.
    fn bounded(&self, arguments: &[&str]) -> Output {
        bounded(&mut self.sandbox.command("sh"), arguments)
    }

    /// Runs a command that ends with an error, and not by a signal or a panic; returns the error.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.bounded(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {:?} {said}", output.status);
        assert!(said.starts_with("error: ") && !said.contains("panicked"), "{said}");
        said
    }

    /// Runs a command that leaves the damaged trial out and goes on with the other; returns what it says.
    fn left_out(&self, arguments: &[&str]) -> String {
        let output = self.bounded(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {:?} {said}", output.status);
        assert!(said.contains("left out: ") && !said.contains("panicked"), "{said}");
        said
    }

    fn untouched(&self) {
        assert_eq!(fs::read_to_string(&self.secret).unwrap(), SECRET);
    }
}

pub(crate) fn bounded(shell: &mut Command, arguments: &[&str]) -> Output {
    let limits = format!("ulimit -v {MEMORY_KIB} && ulimit -t {SECONDS} && exec \"$@\"");
    // An arena for each thread takes address space that nobody uses.
    shell.env("MALLOC_ARENA_MAX", "1").env("RAYON_NUM_THREADS", "2");
    shell.args(["-c", &limits, "sh", SWEEP]).args(arguments).output().unwrap()
}

fn replaced(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has no {from}", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

/// The cell of a row (from 1) of a CSV.
fn set_cell(file: &Path, row: usize, column: &str, value: &str) {
    let text = fs::read_to_string(file).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = lines[0].split(',').position(|name| name == column).unwrap();
    let mut cells: Vec<String> = lines[row].split(',').map(str::to_owned).collect();
    value.clone_into(&mut cells[at]);
    lines[row] = cells.join(",");
    fs::write(file, lines.join("\n") + "\n").unwrap();
}

#[test]
fn a_report_is_not_written_through_links() {
    for (name, is_folder) in
        [("report/report.md", false), ("report/index.html", false), ("summary.csv", false), ("report", true)]
    {
        let scene = scene();
        let path = scene.received.join(name);
        if is_folder {
            fs::remove_dir_all(&path).unwrap();
            fs::create_dir(scene.sandbox.path("outside")).unwrap();
            symlink(scene.sandbox.path("outside"), &path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
            symlink(&scene.secret, &path).unwrap();
        }
        assert!(scene.refused(&["report", "received"]).contains("a link"), "{name}");
        scene.untouched();
        assert!(!scene.sandbox.path("outside/report.md").exists());
    }
}

#[test]
fn records_behind_links_pipes_and_devices_are_refused() {
    for name in
        ["sweep.toml", "trials/TRIAL/trial.toml", "trials/TRIAL/epochs.csv", "trials/TRIAL/status.json", "trials/TRIAL"]
    {
        let scene = scene();
        let trial = scene.trial();
        let path = scene.received.join(name.replace("TRIAL", trial.file_name().unwrap().to_str().unwrap()));
        let elsewhere = scene.sandbox.path("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        for command in [
            &["report", "received"][..],
            &["baseline", "received", "--output", "b.json"],
            &["export", "csv", "received"],
        ] {
            let said = if name == "sweep.toml" { scene.refused(command) } else { scene.left_out(command) };
            assert!(said.contains("a link"), "{name} {command:?}: {said}");
        }
        if path.ends_with("status.json") {
            fs::remove_file(&path).unwrap();
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            assert!(scene.left_out(&["report", "received"]).contains("a pipe"), "{name}");
            fs::remove_file(&path).unwrap();
            symlink("/dev/zero", &path).unwrap();
            scene.left_out(&["report", "received"]);
        }
    }
}

#[test]
fn locks_empty_nothing() {
    let scene = scene();
    for lock in [scene.received.join(".lock"), scene.received.join(".track.lock"), scene.trial().join(".lock")] {
        let _ = fs::remove_file(&lock);
        symlink(&scene.secret, &lock).unwrap();
    }
    scene.refused(&["run", "tiny.toml", "--results", ".", "--set", "epochs=3", "--dataset", "nowhere"]);
    scene.bounded(&["status", "received"]);
    scene.bounded(&["export", "tensorboard", "received", "events"]);
    scene.untouched();
    fs::rename(&scene.received, scene.sandbox.path("tiny")).unwrap();
    assert!(scene.refused(&["run", "tiny.toml", "--results", ".", "--rerun", "--quiet"]).contains("a link"));
    scene.untouched();
}

#[test]
fn names_do_not_lead_out_of_the_folder() {
    let scene = scene();
    let id = scene.trial().file_name().unwrap().to_str().unwrap().to_owned();
    replaced(&scene.received.join("sweep.toml"), &format!("\"{id}\""), "\"../../../elsewhere\"");
    copy(&scene.trial(), &scene.sandbox.path("elsewhere"));
    for command in
        [&["report", "received"][..], &["export", "tensorboard", "received", "events"], &["export", "csv", "received"]]
    {
        assert!(scene.refused(command).contains("no name of a folder"), "{command:?}");
    }
    assert!(
        !scene.sandbox.path("elsewhere/train").exists() && !scene.sandbox.path("elsewhere/curves.png.part").exists()
    );
}

/// A picture outside the folder, or one that a link leads to, is in no figure: the figures are those without any picture.
#[test]
fn pictures_of_others_are_not_drawn() {
    let scene = scene();
    let image = fs::read_dir(scene.received.join("images")).unwrap().next().unwrap().unwrap().path();
    let private = scene.sandbox.path("private.png");
    image::RgbImage::from_pixel(40, 40, image::Rgb([250, 10, 250])).save(&private).unwrap();
    let name = image.file_name().unwrap().to_str().unwrap().to_owned();
    let landmarks = scene.trial().join("landmarks.csv");
    for foreign in [private.to_str().unwrap().to_owned(), "../../private.png".to_owned(), "link.png".to_owned()] {
        let before = fs::read_to_string(&landmarks).unwrap();
        fs::write(&landmarks, before.replace(&name, &foreign)).unwrap();
        let _ = fs::remove_file(scene.received.join("images/link.png"));
        symlink(&private, scene.received.join("images/link.png")).unwrap();
        let _ = scene.bounded(&["report", "received", "--output", "out"]);
        let drawn = scene.sandbox.path("out/overlays.png");
        if drawn.exists() {
            let pink = image::open(&drawn).unwrap().to_rgb8().pixels().filter(|p| p.0 == [250, 10, 250]).count();
            assert_eq!(pink, 0, "{foreign}");
        }
        fs::write(&landmarks, before).unwrap();
    }
}

#[test]
fn one_number_does_not_end_a_report() {
    for (file, column, value) in [
        ("epochs.csv", "train_loss", "1e305"),
        ("epochs.csv", "val_loss", "1e-300"),
        ("epochs.csv", "val_mre_mm", "1e300"),
        ("landmarks.csv", "error_mm", "1e300"),
        ("landmarks.csv", "x_pred", "-1e200"),
    ] {
        let scene = scene();
        let path = scene.trial().join(file);
        set_cell(&path, 2, column, value);
        let said = scene.left_out(&["report", "received"]);
        assert!(said.contains(&format!("{file}: line 3, column {column}")), "{said}");
    }
    // The largest that are taken.
    let scene = scene();
    for (column, value) in [("train_loss", "1e100"), ("val_loss", "1e-100"), ("val_mre_mm", "1e12"), ("lr", "1e12")] {
        set_cell(&scene.trial().join("epochs.csv"), 2, column, value);
    }
    let output = scene.bounded(&["report", "received"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn terminals_and_github_obey_no_name() {
    let scene = scene();
    let status = scene.trial().join("status.json");
    let mut value: Value = serde_json::from_str(&fs::read_to_string(&status).unwrap()).unwrap();
    value["message"] = json!("\u{1b}]0;owned\u{7}\u{9b}2J");
    value["device"] = json!("cpu\u{1b}[2J\n::error::x");
    value["state"] = json!("failed");
    fs::write(&status, value.to_string()).unwrap();
    let trial = scene.trial().join("trial.toml");
    replaced(&trial, "\"l1\"]", "\"\\n::stop-commands::x\\u001b[2J\"]");
    for command in [
        &["status", "received"][..],
        &["status", "received", "--json"],
        &["report", "received", "--json"],
        &["baseline", "received", "--output", "b.json"],
        &["check", "received", "--baseline", "b.json"],
        &["export", "csv", "received"],
    ] {
        let output = bounded(scene.sandbox.command("sh").env("GITHUB_ACTIONS", "true"), command);
        if command[1..] == ["csv", "received"] {
            continue;
        }
        for said in [&output.stdout, &output.stderr] {
            let said = String::from_utf8_lossy(said);
            let obeyed = said.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
            assert_eq!(obeyed, None, "{command:?}: {said:?}");
            assert!(!said.lines().any(|line| line.trim_start().starts_with("::stop")), "{command:?}: {said}");
        }
    }
}

#[test]
fn a_plan_is_bounded_and_quick() {
    let scene = scene();
    let axis = |key: &str| {
        format!("\"{key}\" = [{}]\n", (0..400).map(|i| format!("0.{i:04}1")).collect::<Vec<_>>().join(", "))
    };
    let huge = DEFINITION.replace(
        "[axes]\n",
        &format!("[axes]\n{}{}{}", axis("optimizer.lr"), axis("augment.blur"), axis("augment.noise")),
    );
    scene.sandbox.write("huge.toml", &huge);
    let error = scene.refused(&["plan", "huge.toml", "--no-calibrate"]);
    assert!(error.contains("more than 100000 trials"), "{error}");
    scene.sandbox.write("many.toml", &DEFINITION.replace("train = 4", "train = 65536"));
    let begun = std::time::Instant::now();
    let output = scene.bounded(&["plan", "many.toml", "--no-calibrate"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    for wrong in ["train = 18446744073709551615", "train = 9223372036854775807", "train = 1000001"] {
        scene.sandbox.write("wrong.toml", &DEFINITION.replace("train = 4", wrong));
        scene.refused(&["plan", "wrong.toml", "--no-calibrate"]);
    }
    scene.sandbox.write(
        "wrong.toml",
        &DEFINITION.replace("input = { height = 40, width = 32 }", "input = { height = 4000000, width = 3000000 }"),
    );
    assert!(scene.refused(&["plan", "wrong.toml", "--no-calibrate"]).contains("8192"));
}

/// A checkpoint with another description, whose hash is right.
pub(crate) fn described(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (mut header, tensors) = opened(bytes).unwrap();
    let mut metadata: Value = serde_json::from_str(header["__metadata__"]["landmark-sweep"].as_str().unwrap()).unwrap();
    change(&mut metadata["description"]);
    header["__metadata__"]["landmark-sweep"] = json!(metadata.to_string());
    sealed(header, tensors)
}

#[test]
fn a_checkpoint_asks_for_no_more_than_it_holds() {
    let scene = scene();
    let best = fs::read(scene.trial().join("best.safetensors")).unwrap();
    image::GrayImage::new(32, 40).save(scene.sandbox.path("image.png")).unwrap();
    let predict = ["predict", "--checkpoint", "changed.safetensors", "image.png", "--device", "cpu"];
    let write = |bytes: &[u8]| fs::write(scene.sandbox.path("changed.safetensors"), bytes).unwrap();
    write(&described(&best, |_| {}));
    let output = scene.bounded(&predict);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let model = |filters: Value| json!({ "name": "unet++", "filters": filters });
    let cases: Vec<(&str, Value)> = vec![
        ("model", model(json!([u64::MAX, 8]))),
        ("model", model(json!([u64::MAX / 2, u64::MAX / 2]))),
        ("model", model(json!([65536, 65536]))),
        ("model", model(json!([4096, 4096]))),
        ("model", model(json!(vec![8; 16]))),
        ("model", model(json!(vec![8; 100_000]))),
        ("input", json!({ "height": u64::MAX, "width": u64::MAX })),
        ("input", json!({ "height": 1u64 << 33, "width": 1u64 << 33 })),
        ("input", json!({ "height": 8192, "width": 8192 })),
        ("input", json!({ "height": 0, "width": 8 })),
        ("input", json!({ "height": 8000, "width": 8000 })),
    ];
    for (key, value) in cases {
        write(&described(&best, |description| description["config"][key] = value.clone()));
        scene.refused(&predict);
        scene.refused(&["export", "onnx", "changed.safetensors", "net.onnx"]);
    }
    let names: Vec<String> = (0..300_000).map(|i| format!("{i}")).collect();
    for landmarks in [json!(names), json!(["a", "a"]), json!(["\u{1b}[2J"]), json!([])] {
        write(&described(&best, |description| description["landmarks"] = landmarks));
        scene.refused(&predict);
    }
    // A file without end, and a folder.
    let said = scene.refused(&["predict", "--checkpoint", "/dev/zero", "image.png"]);
    assert!(said.contains("larger than") || said.contains("out of memory"), "{said}");
    scene.refused(&["predict", "--checkpoint", "received", "image.png"]);
}

#[test]
fn a_data_set_gives_no_orders() {
    let scene = scene();
    scene.sandbox.expect(0, &["data", "synth", "set", "--train", "4", "--val", "3", "--height", "40", "--width", "32"]);
    let toml = scene.sandbox.path("set/dataset.toml");
    let name = fs::read_to_string(&toml).unwrap().lines().find(|line| line.starts_with("name")).unwrap().to_owned();
    replaced(&toml, &name, "name = \"x\\n[slurm]\\nsetup = ['touch owned']\\u001b[2J\"");
    let output = scene.sandbox.sweep(&["init", "set"]);
    let definition = String::from_utf8(output.stdout).unwrap();
    assert!(!definition.lines().any(|line| line.starts_with("[slurm]") || line.starts_with("setup")), "{definition}");
    assert!(!definition.contains('\u{1b}'));
    for command in
        [&["data", "inspect", "set", "--no-pictures"][..], &["data", "inspect", "set", "--no-pictures", "--json"]]
    {
        let output = scene.sandbox.sweep(command);
        assert!(!String::from_utf8_lossy(&output.stdout).contains('\u{1b}'), "{command:?}");
    }
}

#[test]
fn an_exported_data_set_has_no_formulas() {
    let scene = scene();
    scene.sandbox.expect(0, &["data", "synth", "set", "--train", "2", "--val", "2", "--height", "40", "--width", "32"]);
    let table = scene.sandbox.path("set/landmarks.csv");
    let text = fs::read_to_string(&table).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let order = "=HYPERLINK(A1)";
    let rows: Vec<String> = lines.map(|line| format!("{line},{order}")).collect();
    fs::write(&table, format!("{header},patient\n{}\n", rows.join("\n"))).unwrap();
    scene.sandbox.expect(0, &["data", "export", "--format", "csv", "set", "exported"]);
    let exported = fs::read_to_string(scene.sandbox.path("exported/landmarks.csv")).unwrap();
    assert!(exported.contains(&format!(",'{order},")) && !exported.contains(&format!(",{order}")), "{exported}");
    let name = header.split(',').find_map(|column| column.strip_suffix("_x").filter(|_| !column.contains("spacing")));
    fs::write(&table, text.replace(&format!("{}_", name.unwrap()), "=cmd_")).unwrap();
    let said = scene.sandbox.expect(2, &["data", "export", "--format", "csv", "set", "refused"]);
    assert!(said.contains("formula") && said.contains("rename"), "{said}");
}

#[test]
fn a_working_directory_with_a_line_break_gives_no_job_orders() {
    let scene = scene();
    let folder = scene.sandbox.path("a\nrm -rf b");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("tiny.toml"), DEFINITION).unwrap();
    let mut command = scene.sandbox.command(SWEEP);
    let output = command
        .current_dir(&folder)
        .args(["plan", "tiny.toml", "--executor", "slurm", "--no-calibrate"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("line break") && !said.contains("\nrm"), "{said}");
}
