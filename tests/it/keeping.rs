//! Notes, tags, and what `sweep rm` removes.

use std::fs;

use rustix::process::Signal;

use crate::harness::{Sandbox, running, trial_folders};

const DEFINITION: &str = r#"
name = "tiny"
[axes]
"loss.name" = ["l1", "mse"]
[trial]
epochs = 1
batch_size = 2
dataset = { name = "phantom", train = 2, val = 2, height = 40, width = 32 }
input = { height = 40, width = 32 }
model = { name = "unet", filters = [4, 8] }
"#;

#[test]
fn notes_and_tags_are_shown_wherever_the_sweep_is() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let trial = trial_folders(&sandbox.path("results/tiny")).remove(0);
    let id = trial.file_name().unwrap().to_string_lossy().into_owned();
    let folder = format!("results/tiny/trials/{id}");
    sandbox.expect(0, &["note", "results/tiny", "for the paper"]);
    sandbox.expect(0, &["tag", "results/tiny", "final", "v1.2"]);
    sandbox.expect(0, &["note", &folder, "=looks odd | <b>"]);
    sandbox.expect(0, &["tag", &folder, "odd", "check"]);
    sandbox.expect(0, &["tag", &folder, "--remove", "check"]);
    assert_eq!(sandbox.printed(&["note", "results/tiny"]).trim(), "for the paper");
    assert_eq!(sandbox.printed(&["tag", "results/tiny"]).trim(), "final\nv1.2");
    let said = sandbox.printed(&["list", "results"]);
    assert!(said.contains("#final #v1.2 for the paper"), "{said}");
    let said = sandbox.printed(&["status", "results/tiny"]);
    assert!(said.contains("#odd =looks odd | <b>") && said.contains("#final #v1.2 for the paper"), "{said}");
    let line = sandbox.status("results/tiny").into_iter().find(|line| line["trial"] == id.as_str()).unwrap();
    assert_eq!((&line["note"], &line["tags"]), (&"=looks odd | <b>".into(), &serde_json::json!(["odd"])));
    sandbox.expect(0, &["report", "results/tiny"]);
    let read = |name: &str| fs::read_to_string(sandbox.path("results/tiny/report").join(name)).unwrap();
    assert!(read("report.md").contains("for the paper") && !read("report.md").contains("<b>"), "{}", read("report.md"));
    assert!(read("index.html").contains("for the paper") && !read("index.html").contains("odd | <b>"));
    let csv = sandbox.printed(&["export", "csv", "results/tiny"]);
    assert!(csv.lines().next().unwrap().ends_with(",note,tags") && csv.contains(",'=looks odd | <b>,odd"), "{csv}");
    // Training again keeps them; removing the last word removes the file.
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--rerun"]);
    assert_eq!(sandbox.printed(&["tag", &folder]).trim(), "odd");
    sandbox.expect(0, &["note", &folder, "--remove"]);
    sandbox.expect(0, &["tag", &folder, "--remove", "odd"]);
    sandbox.expect(0, &["note", "results/tiny", "--remove"]);
    sandbox.expect(0, &["tag", "results/tiny", "--remove", "final", "--remove", "v1.2"]);
    assert!(!sandbox.path("results/tiny/notes.toml").exists());
    for (arguments, says) in [
        (&["note", "results/tiny", "two\nlines"][..], "in one line"),
        (&["note", "results/tiny", " "], "is empty"),
        (&["tag", "results/tiny", "two words"], "is not a tag"),
        (&["tag", "results/tiny", "--remove", "never"], "has no such tag"),
        (&["note", "results", "x"], "results/tiny"),
        (&["tag", "results/tiny/trials/none", "x"], "not the folder of a trial"),
    ] {
        let said = sandbox.expect(2, arguments);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    sandbox.write("results/tiny/notes.toml", "[sweep]\nnote = 3\n");
    assert!(sandbox.printed(&["status", "results/tiny"]).contains("notes.toml:2"));
    sandbox.expect(0, &["report", "results/tiny"]);
}

#[test]
fn what_is_removed_is_said_and_nothing_else_goes() {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    let sweep = sandbox.path("results/tiny");
    let trials = || trial_folders(&sweep);
    let first = format!("results/tiny/trials/{}", trials()[0].file_name().unwrap().to_string_lossy());
    sandbox.expect(0, &["tag", &first, "gone"]);
    let said = sandbox.expect(0, &["rm", "results/tiny", "--dry-run"]);
    assert!(said.contains("a sweep and its 2 trials would be removed"), "{said}");
    assert!(sandbox.printed(&["rm", "results/tiny", "--dry-run"]).contains(&first));
    let said = sandbox.expect(2, &["rm", "results/tiny"]);
    assert!(said.contains("add --yes") && trials().len() == 2, "{said}");
    assert!(sandbox.expect(0, &["rm", "results/tiny", "--others"]).contains("nothing to remove"));
    // One trial needs no word; its tags go with it, and the next run trains it again.
    sandbox.expect(0, &["rm", &first]);
    assert_eq!((trials().len(), sweep.join("notes.toml").exists()), (1, false));
    let summary = fs::read_to_string(sweep.join("summary.csv")).unwrap();
    assert_eq!(summary.lines().count(), 2, "{summary}");
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    assert_eq!(trials().len(), 2);
    // Trials that the definition has no more.
    sandbox.expect(0, &["run", "tiny.toml", "--quiet", "--set", "epochs=2"]);
    assert_eq!(trials().len(), 4);
    sandbox.expect(2, &["rm", "results/tiny", "--others"]);
    sandbox.expect(0, &["rm", "results/tiny", "--others", "--yes"]);
    assert_eq!((trials().len(), sandbox.states("results/tiny")), (2, vec!["done".to_owned(); 2]));
    // A file of the user's stays, and so does what a link leads to.
    sandbox.write("results/tiny/mine.txt", "mine");
    fs::create_dir(sandbox.path("elsewhere")).unwrap();
    sandbox.write("elsewhere/kept.txt", "kept");
    std::os::unix::fs::symlink(sandbox.path("elsewhere"), sweep.join("trials/link")).unwrap();
    let said = sandbox.expect(0, &["rm", "results/tiny", "--yes"]);
    assert!(said.contains("kept, because sweep did not write mine.txt"), "{said}");
    assert_eq!(fs::read_dir(&sweep).unwrap().count(), 1);
    assert!(sandbox.path("elsewhere/kept.txt").is_file());
    assert!(sandbox.expect(2, &["rm", "results/tiny"]).contains("not the folder of a sweep"));
    fs::remove_file(sweep.join("mine.txt")).unwrap();
    sandbox.expect(0, &["run", "tiny.toml", "--quiet"]);
    sandbox.expect(0, &["rm", "results/tiny", "--yes"]);
    assert!(!sweep.exists());
}

#[test]
fn a_sweep_that_runs_is_not_removed() {
    let sandbox = Sandbox::new(&DEFINITION.replace("epochs = 1", "epochs = 2000"));
    let run = sandbox.start(&["run", "tiny.toml", "--quiet", "--jobs", "1"]);
    let (trial, _) = running(&sandbox.path("results/tiny"), 1);
    let said = sandbox.expect(2, &["rm", "results/tiny", "--yes"]);
    assert!(said.contains("is running this sweep"), "{said}");
    let folder = trial.to_string_lossy().into_owned();
    assert!(sandbox.expect(2, &["rm", &folder]).contains("is running this sweep"));
    assert!(trial.join("epochs.csv").is_file());
    run.signal(Signal::INT);
    run.expect(130);
}
