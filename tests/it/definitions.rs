//! Definitions as users write them: what they plan, and what they are told when they are wrong.

use landmark_sweep::definition::SweepDefinition;
use landmark_sweep::error::{Error, Result};
use landmark_sweep::plan::{Trial, plan};

const TRIAL: &str = r#"
[trial]
epochs = 2
model = { name = "unet", filters = [4, 8] }
loss = { name = "l1" }
"#;

fn trials(text: &str) -> Result<Vec<Trial>> {
    plan(&SweepDefinition::parse("d.toml", text)?)
}

fn refused(text: &str) -> Error {
    trials(text).unwrap_err()
}

fn with_axes(axes: &str) -> String {
    format!("name = \"t\"\n[axes]\n{axes}\n{TRIAL}")
}

#[test]
fn grid_zip_include_and_exclude_make_the_points_they_say() {
    let text = with_axes(
        r#"
"loss.name" = ["l1", "mse"]
zip = [ { "batch_size" = 1, "optimizer.lr" = 3e-5 }, { "batch_size" = 4, optimizer.lr = 1e-4 } ]
exclude = [ { "loss.name" = "mse", "batch_size" = 1 } ]
include = [ { "loss.name" = "nll", "epochs" = 1 } ]
"#,
    );
    let text = text.replace("[trial]", "[trial]\noptimizer = { name = \"adamw\", lr = 1 }");
    let trials = trials(&text.replace("name = \"t\"", "name = \"t\"\nseeds = [0, 7]")).unwrap();
    let told: Vec<String> = trials
        .iter()
        .map(|t| {
            format!(
                "{} {} {} {}",
                t.id.rsplit_once('-').unwrap().0,
                t.config.batch_size,
                t.config.optimizer.lr(),
                t.config.epochs
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "l1-1-0.00003-seed0 1 0.00003 2",
            "l1-4-0.0001-seed0 4 0.0001 2",
            "mse-4-0.0001-seed0 4 0.0001 2",
            "nll-1-seed0 4 1 1",
            "l1-1-0.00003-seed7 1 0.00003 2",
            "l1-4-0.0001-seed7 4 0.0001 2",
            "mse-4-0.0001-seed7 4 0.0001 2",
            "nll-1-seed7 4 1 1",
        ]
    );
    let axes: Vec<&str> = trials[0].axes.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(axes, ["loss.name", "batch_size", "optimizer.lr", "epochs"]);
    assert_eq!(trials[3].axes[1], ("batch_size".to_owned(), "-".to_owned()));
}

#[test]
fn a_trials_identity_is_its_content_not_its_spelling_or_place() {
    let plain = trials(&with_axes("\"loss.name\" = [\"l1\", \"mse\"]")).unwrap();
    let spelt = with_axes("loss.name = [\"mse\", \"l1\"]")
        .replace("epochs = 2", "batch_size = 4 # the default\nheatmap = { name = \"laplace\" }\nepochs = 2");
    let spelt = trials(&spelt).unwrap();
    assert_eq!(plain[0].id, spelt[1].id);
    assert_ne!(plain[0].id, plain[1].id);
    let longer = trials(&with_axes("\"loss.name\" = [\"l1\"]").replace("epochs = 2", "epochs = 3")).unwrap();
    assert_ne!(plain[0].id, longer[0].id);
}

#[test]
fn tables_on_an_axis_are_told_apart_by_what_they_hold() {
    let trials =
        trials(&with_axes(r#"loss = [{ name = "smooth-l1", beta = 0.1 }, { name = "smooth-l1" }, { name = "l1" }]"#));
    let trials = trials.unwrap();
    let labels: Vec<&str> = trials.iter().map(|t| t.axes[0].1.as_str()).collect();
    assert_eq!(labels, ["smooth-l1 beta=0.1", "smooth-l1", "l1"]);
    assert!(trials[0].id.starts_with("smooth-l1-beta-0.1-seed0-"));
}

#[test]
fn set_changes_what_all_trials_share_and_not_an_axis() {
    let mut definition = SweepDefinition::parse("d.toml", &with_axes("\"loss.name\" = [\"l1\", \"mse\"]")).unwrap();
    definition.set("epochs=9").unwrap();
    definition.set("model.filters = [2, 4]").unwrap();
    definition.set("decode.name=argmax").unwrap();
    let trials = plan(&definition).unwrap();
    assert_eq!(trials[0].config.epochs, 9);
    assert!(definition.as_run().contains("epochs = 9"));
    for key in ["loss.name=l1", "loss=1", "loss.name.x=1"] {
        assert!(definition.set(key).unwrap_err().what.contains("is an axis"), "{key}");
    }
    assert!(definition.set("epochs").unwrap_err().what.contains('='));
    assert!(definition.set("epochs.x=1").unwrap_err().what.contains("not a table"));
}

#[test]
fn errors_name_the_line_the_key_and_the_remedy() {
    let place = |error: &Error| error.place.clone().unwrap_or_default();
    for (change, to, where_, says) in [
        ("epochs = 2", "epochs = 0", "d.toml:6, key `trial.epochs`", "epochs is 0"),
        ("epochs = 2", "epochs = \"2\"", "d.toml:6, key `trial.epochs`", "invalid type"),
        ("epochs = 2", "epochs = 2\nevaluate_every = 0", "d.toml:7, key `trial.evaluate_every`", "is 0"),
        ("epochs = 2", "epochs = 2\nepoch = 3", "d.toml:7, key `trial.epoch`", "unknown field `epoch`"),
        ("epochs = 2", "epochs = 2\nseed = 3", "d.toml:7, key `trial.seed`", "seed is not a setting"),
        ("filters = [4, 8]", "filters = []", "d.toml:7, key `trial.model.filters`", "filters"),
        (
            "filters = [4, 8]",
            "filters = [4, 8], norm = { name = \"group\", groups = 3 }",
            "d.toml:7, key `trial.model.norm.groups`",
            "3 groups do not divide the 4 filters of level 0",
        ),
        (
            "filters = [4, 8]",
            "filters = [4, 8], norm = { name = \"layer\" }",
            "d.toml:7, key `trial.model",
            "unknown variant `layer`",
        ),
        ("filters = [4, 8]", "filter = [4, 8]", "d.toml:7, key `trial.model", "unknown field `filter`"),
        ("loss = { name = \"l1\" }", "loss = { name = \"l3\" }", "d.toml:8, key `trial.loss", "unknown variant `l3`"),
        ("loss = { name = \"l1\" }", "loss = { name = \"l1\", beta = 1 }", "d.toml:8, key `trial.loss", "beta"),
        ("loss = { name = \"l1\" }", "", "key `trial", "missing field `loss`"),
        ("epochs = 2", "epochs = 2\ninput = { height = 1, width = 9 }", "d.toml:7, key `trial.input`", "too small"),
        ("name = \"t\"", "name = \"a/b\"", "d.toml:1, key `name`", "folder"),
        ("name = \"t\"", "", "d.toml", "no `name`"),
        ("name = \"t\"", "name = \"t\"\nseed = [1]", "d.toml:2, key `seed`", "unknown key `seed`"),
        ("name = \"t\"", "name = \"t\"\nseeds = [1, 1]", "d.toml:2, key `seeds`", "twice"),
        ("name = \"t\"", "name = \"t\"\nseeds = []", "d.toml:2, key `seeds`", "list"),
        ("name = \"t\"", "name = \"t\"\nseeds = [-1]", "d.toml:2, key `seeds`", "-1"),
        ("name = \"t\"", "name = \"t\"\nobjective = \"loss\"", "d.toml:2, key `objective`", "not a metric"),
        ("name = \"t\"", "name = \"t", "d.toml:1", "not valid TOML"),
        ("\"batch_size\" = [1, 2]", "\"batch_size\" = []", "d.toml:3, key `axes.batch_size`", "no values"),
        ("\"batch_size\" = [1, 2]", "\"batch_size\" = 1", "d.toml:3, key `axes.batch_size`", "not a list"),
        ("\"batch_size\" = [1, 2]", "\"batch_size\" = [1, 1]", "d.toml:3, key `axes.batch_size`", "twice"),
        ("\"batch_size\" = [1, 2]", "\"batch_size\" = [1, 0]", "d.toml:3, key `axes.batch_size`", "nonzero"),
        ("\"batch_size\" = [1, 2]", "\"loss.beta\" = [1]", "d.toml:3, key `axes.loss.beta`", "beta"),
        ("\"batch_size\" = [1, 2]", "\"epochs.x\" = [1]", "d.toml:3, key `axes.epochs.x`", "not a table"),
        ("\"batch_size\" = [1, 2]", "zip = [1]", "d.toml:3, key `axes.zip`", "list of tables"),
        ("\"batch_size\" = [1, 2]", "\"batch_size\" = [1]\nexclude = [{\"batch_size\" = 1}]", "d.toml", "empty"),
        (
            "\"batch_size\" = [1, 2]",
            "\"batch_size\" = [1]\nexclude = [{\"batch_size\" = 3}]",
            "d.toml:4",
            "nothing out",
        ),
        ("\"batch_size\" = [1, 2]", "\"batch_size\" = [4]\ninclude = [{\"batch_size\" = 4}]", "d.toml:2", "same trial"),
    ] {
        let text = with_axes("\"batch_size\" = [1, 2]");
        assert!(text.contains(change), "{change}");
        let error = refused(&text.replacen(change, to, 1));
        assert!(place(&error).starts_with(where_) || place(&error).contains(where_), "{to}: {error:?}");
        assert!(error.what.contains(says), "{to}: {error:?}");
    }
}

#[test]
fn a_trial_keeps_its_name_when_keys_are_added_to_definitions() {
    // A sweep goes on by these names.
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/ci.toml");
    let planned = trials(&std::fs::read_to_string(file).unwrap()).unwrap();
    let ids: Vec<&str> = planned.iter().map(|trial| trial.id.as_str()).collect();
    assert_eq!(ids, ["nll-gaussian-subpixel-seed0-2e037393", "smooth-l1-laplace-centroid-seed0-b46cdec9"]);
    // Of unet++, which says nothing of its normalisation, and the same said.
    let of = |model: &str| {
        let text = with_axes("").replace("{ name = \"unet\", filters = [4, 8] }", model);
        trials(&text).unwrap().remove(0).id
    };
    let plain = of("{ name = \"unet++\", filters = [4, 8] }");
    assert_eq!(of("{ name = \"unet++\", filters = [4, 8], norm = { name = \"batch\" } }"), plain);
    assert_ne!(of("{ name = \"unet++\", filters = [4, 8], norm = { name = \"group\", groups = 4 } }"), plain);
}

#[test]
fn every_definition_of_the_project_plans() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            trials(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            for word in ["sweep run experiments/", "Takes", "Expect"] {
                assert!(text.contains(word), "{} does not say `{word}` at its head", path.display());
            }
            seen += 1;
        }
    }
    assert!(seen >= 5, "only {seen} definitions");
}

#[test]
fn a_precision_is_a_key_like_any_other_and_its_default_changes_no_name() {
    let named = |precision: &str| TRIAL.replace("epochs", &format!("precision = \"{precision}\"\nepochs"));
    let name = |trial: &str| trials(&format!("name = \"t\"\n{trial}")).unwrap()[0].id.clone();
    assert_eq!(name(TRIAL), name(&named("fp32")));
    assert_ne!(name(TRIAL), name(&named("bf16")));
    let planned = trials(&with_axes(r#""precision" = ["fp32", "tf32", "bf16"]"#)).unwrap();
    let told: Vec<&str> = planned.iter().map(|t| t.id.split("-seed").next().unwrap()).collect();
    assert_eq!(told, ["fp32", "tf32", "bf16"]);
    let error = refused(&format!("name = \"t\"\n{}", named("fp16")));
    assert!(error.to_string().contains("fp16") && error.to_string().contains("bf16"), "{error}");
}
