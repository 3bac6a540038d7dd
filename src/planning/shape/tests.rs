use super::*;

fn found(trial: &str) -> Vec<[String; 3]> {
    let base = "epochs = 2\nseed = 0\nloss = { name = 'l1' }\nmodel = { name = 'unet' }\n";
    let mut table: Table = base.parse().unwrap();
    table.extend(trial.parse::<Table>().unwrap());
    mistakes(&table).into_iter().map(|m| [m.key, m.what, m.right]).collect()
}

fn one(trial: &str) -> [String; 3] {
    let mut all = found(trial);
    assert_eq!(all.len(), 1, "{trial}: {all:?}");
    all.remove(0)
}

#[test]
fn what_is_right_passes() {
    assert_eq!(found(""), Vec::<[String; 3]>::new());
    let full = "input = { height = 40, width = 32 }\ndataset = { name = 'folder', path = 'a', folds = 3, fold = 0 }\n\
                augment = { probability = 1, scale = [0.9, 1.1] }\nema = { decay = 0.9 }\ngradient_clip = 1\n\
                model = { name = 'two-stage', coarse = { name = 'unet++', filters = [4, 8] }, crop = 12 }\n\
                loss = { name = 'custom', kind = 'own', options = { a = [1, 'b'] } }\nearly_stop = { patience = 3 }\n\
                precision = 'bf16'\ndecode = { name = 'soft-argmax' }\nschedule = { name = 'one-cycle' }";
    assert_eq!(found(full), Vec::<[String; 3]>::new());
}

#[test]
fn a_list_is_no_table_by_position() {
    let [key, what, right] = one("input = [80, 100]");
    assert_eq!((key.as_str(), what.as_str()), ("input", "[80, 100] is not a table"));
    assert_eq!(right, "write the keys: input = { height = …, width = … }");
    let [key, what, right] = one("model = ['unet++', [16]]");
    assert!(key == "model" && what.contains("is a list, not a table") && right.contains("{ name = "), "{what} {right}");
    let [key, ..] = one("model = { name = 'two-stage', size = [80, 64] }");
    assert_eq!(key, "model.size");
    assert_eq!(one("augment = [1.0]")[0], "augment");
    assert_eq!(one("early_stop = [3]")[0], "early_stop");
}

#[test]
fn types_are_said_in_plain_words() {
    for (trial, what, right) in [
        ("epochs = 40.0", "40.0 is not a whole number", "write epochs = 40"),
        ("epochs = 1.5", "1.5 is not a whole number", "use a whole number"),
        ("batch_size = 0", "0 is less than 1", "use a whole number from 1"),
        ("batch_size = 'two'", "\"two\" is not a whole number from 1", "use a whole number from 1"),
        ("model = { name = 'unet', filters = 16 }", "16 is not a list", "write filters = [16]"),
        ("model = { name = 'unet', filters = [16.5] }", "16.5 is not a whole number", "use a whole number"),
        ("optimizer = { name = 'adamw', lr = 'abc' }", "\"abc\" is not a number", "use a number"),
        ("early_stop = 5", "5 is not a table", "write early_stop = { patience = … }"),
        ("augment = { scale = [1.0] }", "[1.0] is a list of 1", "write a list of 2 values"),
        (
            "decode = 'argmax'",
            "\"argmax\" is a text, not a table",
            "write decode = { name = \"argmax\" }, or, on an axis, vary \"decode.name\"",
        ),
    ] {
        let [_, said, remedy] = one(trial);
        assert_eq!((said.as_str(), remedy.as_str()), (what, right), "{trial}");
    }
}

#[test]
fn the_nearest_word_is_offered_instead_of_all() {
    for (trial, key, right) in [
        ("loss = { name = 'smoothl1' }", "loss.name", "did you mean \"smooth-l1\"?"),
        ("model = { name = 'UNet++' }", "model.name", "did you mean \"unet++\"?"),
        ("schedule = { name = 'onecycle' }", "schedule.name", "did you mean \"one-cycle\"?"),
        ("optimizer = { name = 'adam', lr = 1e-3 }", "optimizer.name", "did you mean \"adamw\"?"),
        ("optimizer = { name = 'adamw', learning_rate = 1e-3 }", "optimizer.learning_rate", "did you mean `lr`?"),
        ("batchsize = 4", "batchsize", "did you mean `batch_size`?"),
        ("epoch = 4", "epoch", "did you mean `epochs`?"),
        ("precision = 'fp16'", "precision", "use \"fp32\", \"tf32\" or \"bf16\""),
    ] {
        let all = found(trial);
        assert!(all.iter().any(|[k, _, r]| k == key && r == right), "{trial}: {all:?}");
    }
    let [_, what, right] = one("loss = { name = 'l1', beta = 0.5 }");
    assert_eq!((what.as_str(), right.as_str()), ("unknown key `beta` of \"l1\"", "remove it: \"l1\" has no settings"));
    let [_, what, right] = one("loss = { name = 'cosmic' }");
    assert!(what == "\"cosmic\" is not a known loss" && right.starts_with("use \"l1\", \"smooth-l1\""), "{right}");
}

#[test]
fn all_mistakes_are_found_at_once_and_what_is_missing_too() {
    let all = mistakes(&"epochs = 'x'\nbatchsize = 2\nseed = 0\n".parse().unwrap());
    let keys: Vec<&str> = all.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(keys, ["epochs", "batchsize", "model", "loss"]);
    assert_eq!(all[3].right, "add loss = { name = \"l1\" }");
    assert_eq!(all[3].what, "`loss` is missing");
}

#[test]
fn a_setting_is_known_by_its_last_part() {
    let path = |key| path_of(key).unwrap_or_default();
    assert_eq!(
        [path("epochs"), path("lr"), path("batch_size"), path("filters")],
        ["epochs", "optimizer.lr", "batch_size", "model.filters"]
    );
    assert_eq!((path_of("seed"), path_of("colour")), (None, None));
}

#[test]
fn a_key_under_another_name_is_not_missing_too() {
    let trial = "epochs = 1\nmodel = { name = 'unet' }\nlos = { name = 'l1' }\noptimizer = { name = 'adamw', learning_rate = 1e-3 }";
    let found = mistakes(&trial.parse().unwrap());
    let told: Vec<(&str, &str)> = found.iter().map(|mistake| (mistake.key.as_str(), mistake.right.as_str())).collect();
    assert!(told.contains(&("los", "did you mean `loss`?")), "{told:?}");
    assert!(told.contains(&("optimizer.learning_rate", "did you mean `lr`?")), "{told:?}");
    assert!(!told.iter().any(|(key, _)| ["loss", "optimizer.lr"].contains(key)), "{told:?}");
}
