//! Definitions as users write them: the plans of valid ones and the error messages of invalid ones.

use landmark_sweep::data::DatasetSpec;
use landmark_sweep::definition::SweepDefinition;
use landmark_sweep::error::{Error, Result};
use landmark_sweep::plan::{Grown, Trial, grow, plan};
use landmark_sweep::search::{Ended, Results};

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
    let found: Vec<String> = trials
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
        found,
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
    assert_eq!(
        trials[3].axes[1],
        ("batch_size".to_owned(), "4".to_owned()),
        "the value of [trial], which it does not set"
    );
}

#[test]
fn a_label_stands_for_what_its_point_sets_and_changes_no_trial() {
    let zip = |labels: [&str; 2]| {
        let [a, b] =
            labels.map(|label| if label.is_empty() { String::new() } else { format!("label = \"{label}\", ") });
        with_axes(&format!(
            "\"batch_size\" = [1, 2]\nzip = [{{ {a}loss.name = \"l1\" }}, {{ {b}loss.name = \"nll\", epochs = 3 }}]"
        ))
    };
    let (plain, labelled) = (trials(&zip(["", ""])).unwrap(), trials(&zip(["the seed's", "1 + nll"])).unwrap());
    let identities = |trials: &[Trial]| trials.iter().map(|t| t.identity.clone()).collect::<Vec<_>>();
    assert_eq!(identities(&plain), identities(&labelled));
    let names: Vec<&str> = labelled.iter().map(|t| t.id.rsplit_once("-seed").unwrap().0).collect();
    assert_eq!(names, ["the-seed-s-1", "1-+-nll-1", "the-seed-s-2", "1-+-nll-2"]);
    let axes: Vec<&str> = labelled[1].axes.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(axes, ["1 + nll", "1", "nll", "3"]);
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
        assert!(definition.set(key).unwrap_err().message.contains("is an axis"), "{key}");
    }
    assert!(definition.set("epochs").unwrap_err().message.contains('='));
    assert!(definition.set("epochs.x=1").unwrap_err().message.contains("not a table"));
}

#[test]
fn errors_name_the_line_the_key_and_the_remedy() {
    let location = |error: &Error| error.location.clone().unwrap_or_default();
    for (change, to, where_, says) in [
        ("epochs = 2", "epochs = 0", "d.toml:6, key `trial.epochs`", "epochs is 0"),
        ("epochs = 2", "epochs = \"2\"", "d.toml:6, key `trial.epochs`", "is not a whole number"),
        ("epochs = 2", "epochs = 2\nevaluate_every = 0", "d.toml:7, key `trial.evaluate_every`", "is 0"),
        ("epochs = 2", "epochs = 2\nepoch = 3", "d.toml:7, key `trial.epoch`", "unknown key `epoch`"),
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
            "\"layer\" is not a known norm",
        ),
        ("filters = [4, 8]", "filter = [4, 8]", "d.toml:7, key `trial.model", "unknown key `filter`"),
        (
            "loss = { name = \"l1\" }",
            "loss = { name = \"l3\" }",
            "d.toml:8, key `trial.loss",
            "\"l3\" is not a known loss",
        ),
        ("loss = { name = \"l1\" }", "loss = { name = \"l1\", beta = 1 }", "d.toml:8, key `trial.loss", "beta"),
        ("loss = { name = \"l1\" }", "", "key `trial", "`loss` is missing"),
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
        ("\"batch_size\" = [1, 2]", "\"batch_size\" = [1, 0]", "d.toml:3, key `axes.batch_size`", "less than 1"),
        ("\"batch_size\" = [1, 2]", "\"loss.beta\" = [1]", "d.toml:3, key `axes.loss.beta`", "beta"),
        ("\"batch_size\" = [1, 2]", "\"epochs.x\" = [1]", "d.toml:3, key `axes.epochs.x`", "not a table"),
        ("\"batch_size\" = [1, 2]", "zip = [1]", "d.toml:3, key `axes.zip`", "list of tables"),
        (
            "\"batch_size\" = [1, 2]",
            "zip = [{ label = \"a\", batch_size = 1 }, { batch_size = 2 }]",
            "d.toml:3, key `axes.zip`",
            "has none",
        ),
        (
            "\"batch_size\" = [1, 2]",
            "zip = [{ label = \"a\", batch_size = 1 }, { label = \"a\", batch_size = 2 }]",
            "d.toml:3, key `axes.zip`",
            "twice",
        ),
        ("\"batch_size\" = [1, 2]", "zip = [{ label = 1, batch_size = 1 }]", "d.toml:3, key `axes.zip`", "not a text"),
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
        assert!(location(&error).starts_with(where_) || location(&error).contains(where_), "{to}: {error:?}");
        assert!(error.message.contains(says), "{to}: {error:?}");
    }
}

#[test]
fn a_trial_keeps_its_name_when_keys_are_added_to_definitions() {
    // Resuming a sweep depends on these names.
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/ci.toml");
    let planned = trials(&std::fs::read_to_string(file).unwrap()).unwrap();
    let ids: Vec<&str> = planned.iter().map(|trial| trial.id.as_str()).collect();
    assert_eq!(ids[..2], ["nll-gaussian-subpixel-seed0-411338c9", "dsnt-gaussian-soft-argmax-seed0-68a9f38e"]);
    // UNet++ without a normalisation key, and with its default written out.
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
    // The public file of weights is not part of the project: the committed network's parameters stand in for it.
    let public = r#"path = "data/efficientnet-lite0.pth", prefix = ["coarse.encoder.", "fine.encoder."]"#;
    let committed = folder.with_file_name("results/examples/best/best.safetensors");
    let committed = format!("path = '{}'", committed.display());
    let mut count = 0;
    let entries = std::fs::read_dir(&folder).unwrap().chain(std::fs::read_dir(folder.join("real")).unwrap());
    for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "toml"))
    {
        let text = std::fs::read_to_string(&path).unwrap();
        trials(&text.replace(public, &committed)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for word in ["sweep run experiments/", "Takes", "Expect"] {
            assert!(text.contains(word), "{} does not say `{word}` at its head", path.display());
        }
        count += 1;
    }
    assert!(count >= 5, "only {count} definitions");
}

#[test]
fn a_precision_is_a_key_like_any_other_and_its_default_changes_no_name() {
    let named = |precision: &str| TRIAL.replace("epochs", &format!("precision = \"{precision}\"\nepochs"));
    let name = |trial: &str| trials(&format!("name = \"t\"\n{trial}")).unwrap()[0].id.clone();
    assert_eq!(name(TRIAL), name(&named("fp32")));
    assert_ne!(name(TRIAL), name(&named("bf16")));
    let planned = trials(&with_axes(r#""precision" = ["fp32", "tf32", "bf16"]"#)).unwrap();
    let names: Vec<&str> = planned.iter().map(|t| t.id.split("-seed").next().unwrap()).collect();
    assert_eq!(names, ["fp32", "tf32", "bf16"]);
    let error = refused(&format!("name = \"t\"\n{}", named("fp16")));
    assert!(error.to_string().contains("fp16") && error.to_string().contains("bf16"), "{error}");
}

#[test]
fn insisting_on_the_same_numbers_changes_no_name() {
    let insisting = TRIAL.replace("epochs", "deterministic = true\nepochs");
    let name = |trial: &str| trials(&format!("name = \"t\"\n{trial}")).unwrap()[0].id.clone();
    assert_eq!(name(TRIAL), name(&insisting));
}

fn with_search(search: &str) -> String {
    with_axes("\"loss.name\" = [\"l1\", \"mse\"]").replace("[trial]", &format!("[search]\n{search}\n[trial]"))
}

const LR: &str = "\"optimizer.lr\" = { log = [1e-5, 1e-2] }\n\"optimizer.name\" = { choice = [\"adamw\", \"sgd\"] }";

#[test]
fn every_drawn_point_runs_at_every_point_of_the_axes_and_once_per_seed() {
    for method in ["random", "sobol"] {
        let text =
            with_search(&format!("method = \"{method}\"\nbudget = 5\n{LR}")).replace("\"t\"", "\"t\"\nseeds = [3, 4]");
        let all = trials(&text).unwrap();
        assert_eq!(all.len(), 2 * 5 * 2);
        let rates = |loss: &str, seed: u64| -> Vec<f64> {
            let of = all.iter().filter(|t| t.axes[0].1 == loss && t.config.seed == seed);
            of.map(|t| t.config.optimizer.lr()).collect()
        };
        // All arms and seeds have the same points: they are paired.
        assert_eq!(rates("l1", 3).len(), 5);
        assert!(["l1", "mse"].iter().all(|loss| rates(loss, 3) == rates("l1", 4)));
        assert_eq!(
            all[0].axes.iter().map(|a| a.0.as_str()).collect::<Vec<_>>(),
            ["loss.name", "optimizer.lr", "optimizer.name"]
        );
        // A larger budget leaves existing points unchanged.
        let more = trials(&text.replace("budget = 5", "budget = 8")).unwrap();
        assert!(all.iter().all(|trial| more.iter().any(|other| other.id == trial.id)));
    }
}

/// A cost that depends on the trial's learning rate.
fn cost(trial: &Trial) -> f64 {
    (trial.config.optimizer.lr() / 1e-3).ln().abs() + trial.config.seed as f64
}

fn grown(definition: &SweepDefinition, results: &Results) -> Grown {
    grow(definition, results, &mut DatasetSpec::content).unwrap()
}

#[test]
fn a_search_in_rounds_grows_as_trials_end_whatever_their_order() {
    let text = with_search(&format!("method = \"tpe\"\nbudget = 9\nstartup = 3\nround = 4\n{LR}"));
    let text = text.replace("\"t\"", "\"t\"\nseeds = [0, 1]");
    let definition = SweepDefinition::parse("d.toml", &text).unwrap();
    let first = grown(&definition, &Results::new());
    assert_eq!((first.trials.len(), first.open), (2 * 3 * 2, 2 * 6));
    assert_eq!(first.trials, plan(&definition).unwrap());
    let run = |backwards: bool| {
        let (mut results, mut known) = (Results::new(), first.trials.clone());
        loop {
            let mut waiting: Vec<&Trial> = known.iter().filter(|t| !results.contains_key(&t.identity)).collect();
            if backwards {
                waiting.reverse();
            }
            let Some(next) = waiting.first() else { return (known, results) };
            // Some trials end without a cost.
            let end = match known.iter().position(|t| t.id == next.id) {
                Some(2) => Ended::Diverged,
                Some(4 | 10) => Ended::Failed,
                _ => Ended::Cost(cost(next)),
            };
            results.insert(next.identity.clone(), end);
            let grown = grown(&definition, &results);
            assert_eq!(grown.trials[..known.len()], known, "what is known stays");
            // A round becomes known when the last trial of the one before has ended, not earlier.
            assert!(grown.trials.len() == known.len() || results.len() == known.len());
            known = grown.trials;
        }
    };
    let (forwards, results) = run(false);
    assert_eq!(forwards.len(), 2 * 9 * 2);
    assert_eq!(forwards, run(true).0);
    assert_eq!(grown(&definition, &results).open, 0);
    // Results of trials decide the next points.
    let mut others = results;
    for end in others.values_mut() {
        if let Ended::Cost(cost) = end {
            *cost = -*cost;
        }
    }
    assert_ne!(grown(&definition, &others).trials, forwards);
}

#[test]
fn a_search_that_goes_wrong_says_where_before_anything_runs() {
    let location = |error: &Error| error.location.clone().unwrap_or_default();
    for (search, where_, says) in [
        (
            "method = \"tpe\"\nbudget = 3\nbatch_size = { integer = [0, 4] }",
            "d.toml:8, key `search.batch_size`",
            "less than 1",
        ),
        (
            "method = \"tpe\"\nbudget = 3\n\"optimizer.lr\" = { uniform = [-1, 1] }\n\"optimizer.name\" = { choice = [\"adamw\", \"sgd\"] }",
            "d.toml:8, key `search.optimizer.lr`",
            "-1",
        ),
        (
            "method = \"sobol\"\nbudget = 2\n\"decode.name\" = { choice = [\"argmax\", \"armgax\"] }",
            "d.toml:8, key `search.decode.name`",
            "armgax",
        ),
        (
            "method = \"sobol\"\nbudget = 3\n\"augment.rotate\" = { uniform = [0, 1] }",
            "d.toml:8, key `search.augment.rotate`",
            "rotate",
        ),
        (
            "method = \"sobol\"\nbudget = 2\nloss = { choice = [1, 2] }",
            "d.toml:8, key `search.loss`",
            "set the same key",
        ),
        (
            "method = \"sobol\"\nbudget = 2\n\"epochs.x\" = { integer = [1, 2] }",
            "d.toml:8, key `search.epochs.x`",
            "not a table",
        ),
        ("method = \"sobol\"\nbudget = 3\nepochs = { integers = [1, 9] }", "d.toml:8, key `search.epochs`", "no range"),
        ("method = \"sobol\"\nbudget = 3\nseeds = 1", "d.toml:8, key `search.seeds`", "no range"),
    ] {
        let error = refused(&with_search(search));
        assert_eq!(location(&error), where_, "{search}: {error:?}");
        assert!(error.message.contains(says), "{search}: {error:?}");
    }
    let mut definition =
        SweepDefinition::parse("d.toml", &with_search(&format!("method = \"random\"\nbudget = 3\n{LR}"))).unwrap();
    assert!(definition.set("optimizer.lr=1").unwrap_err().message.contains("differs between trials"));
    definition.set("optimizer.weight_decay=0").unwrap();
    assert!(definition.as_run().contains("[search]"));
    let error = refused(&with_axes("").replace("[trial]", "[prune]\nmethod = \"asha\"\nreduction = 1\n[trial]"));
    assert_eq!(location(&error), "d.toml:7, key `prune.reduction`");
}

#[test]
fn early_stopping_is_part_of_what_a_trial_is_and_its_absence_is_not() {
    let of =
        |stop: &str| trials(&with_axes("").replace("epochs = 2", &format!("epochs = 2\n{stop}"))).unwrap().remove(0).id;
    let plain = of("");
    assert_ne!(of("early_stop = { patience = 5 }"), plain);
    assert_ne!(of("early_stop = { patience = 5 }"), of("early_stop = { patience = 5, min_delta_mm = 0.1 }"));
    let wrong = |stop: &str| refused(&with_axes("").replace("epochs = 2", &format!("epochs = 2\n{stop}")));
    let error = wrong("early_stop = { patience = 0 }");
    assert_eq!(error.location.as_deref(), Some("d.toml:7, key `trial.early_stop.patience`"));
    assert!(wrong("early_stop = { patience = 3, delta = 1 }").message.contains("unknown key `delta`"));
}

#[test]
fn claims_name_a_known_study() {
    let named = |claims: &str| with_axes("").replace("name = \"t\"", &format!("name = \"t\"\nclaims = {claims}"));
    let parsed = SweepDefinition::parse("d.toml", &named("\"cephalometric-2021\"")).unwrap();
    assert_eq!(parsed.claims.map(landmark_sweep::definition::Study::name), Some("cephalometric-2021"));
    let plain = trials(&with_axes("")).unwrap().remove(0).id;
    assert_eq!(trials(&named("\"cephalometric-2021\"")).unwrap().remove(0).id, plain, "no part of a trial");
    for wrong in ["\"ours\"", "true"] {
        let error = refused(&named(wrong)).to_string();
        assert!(error.contains("d.toml:2") && error.contains("use \"cephalometric-2021\""), "{error}");
    }
}
