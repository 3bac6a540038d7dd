//! What the pages show.

use serde_json::Value;

use super::scene::{Scene, epoch, eventually, get, run};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_empty_folder_says_what_to_do() {
    let scene = Scene::empty();
    let router = scene.router();
    run(async {
        assert!(get(&router, "/").await.text.contains("sweep run experiments/loss.toml"));
        scene.sweep("first", &["l1"]);
        eventually(&router, "/", |page| page.contains("id=\"sweep-1\"")).await;
    });
}

#[test]
fn the_folder_of_one_sweep_is_that_sweep() {
    let scene = Scene::new();
    let library = crate::records::Library::open(scene.store("tiny").root()).unwrap();
    let guard = crate::guard::Guard::new("127.0.0.1".parse().unwrap(), "lab", None);
    let router = crate::pages::router(&library, guard, false);
    let answered = run(get(&router, "/"));
    assert_eq!(answered.headers["location"], "/sweeps/tiny");
    assert_eq!(run(get(&router, "/sweeps/tiny")).status, 200);
    assert_eq!(run(get(&router, "/sweeps/other")).status, 404);
}

#[test]
fn rows_are_sorted_filtered_and_folded_by_the_address() {
    let scene = Scene::new();
    let router = scene.router();
    run(async {
        let order = |page: &str| -> Vec<String> {
            let rows = page.split("id=\"row-").skip(1);
            rows.map(|row| row.split('>').nth(1).unwrap().split('<').next().unwrap().to_owned()).collect()
        };
        let page = get(&router, "/sweeps/tiny").await.text;
        assert_eq!(order(&page), ["t0-seed0", "t0-seed1", "t1-seed0", "t1-seed1"]);
        let page = get(&router, "/sweeps/tiny?sort=mre&desc=1").await.text;
        assert_eq!(order(&page)[2..], ["t0-seed0", "t0-seed1"]);
        assert!(page.contains("aria-sort=\"descending\""));
        let page = get(&router, "/sweeps/tiny?q=seed%3D1+FAILED").await.text;
        assert_eq!(order(&page), ["t1-seed1"]);
        assert_eq!(order(&get(&router, "/sweeps/tiny?q=loss.name%3Dl1").await.text), ["t0-seed0", "t0-seed1"]);
        assert!(get(&router, "/sweeps/tiny?q=nothing").await.text.contains("No trial has these words"));
        let page = get(&router, "/sweeps/tiny?group=configuration").await.text;
        assert!(page.contains("1.50 ± 0.00") && page.contains("1.70 ± 0.00"), "{page}");
        let curves = json(&get(&router, "/sweeps/tiny/curves.json?group=configuration").await.text);
        assert_eq!((curves["series"].as_array().unwrap().len(), &curves["series"][0]["of"]), (2, &2.into()));
    });
}

#[test]
fn curves_move_when_epochs_are_appended() {
    let scene = Scene::new();
    let router = scene.router();
    run(async {
        let path = "/sweeps/tiny/curves.json?q=t0-seed0&y=val_mre_mm";
        let before = json(&get(&router, path).await.text);
        assert_eq!(before["x"], json("[1.0, 2.0, 3.0]"));
        assert_eq!(before["series"][0]["y"], json("[2.5, 2.0, 1.5]"));
        scene.store("tiny").trial("t0-seed0").append_epoch(&epoch("t0-seed0", 4, 0.75)).unwrap();
        let after = eventually(&router, path, |text| text.contains("0.75")).await;
        assert_eq!(json(&after)["series"][0]["y"], json("[2.5, 2.0, 1.5, 0.75]"));
        let seconds = json(&get(&router, "/sweeps/tiny/curves.json?q=t0-seed0&x=seconds").await.text);
        assert_eq!(seconds["x"], json("[2.0, 4.0, 6.0, 8.0]"));
        let zoomed = json(&get(&router, "/sweeps/tiny/curves.json?q=t0-seed0&from=3.5&to=9").await.text);
        assert_eq!(zoomed["x"], json("[3.0, 4.0]"), "one point beyond the end goes on");
        let csv = get(&router, "/sweeps/tiny/curves.csv?q=t0-seed0").await.text;
        assert!(
            csv.starts_with("trial,configuration,epoch,seconds,val_mre_mm\n")
                && csv.ends_with("t0-seed0,l1,4,8.000,0.75\n")
        );
    });
}

#[test]
fn a_broken_folder_shows_what_it_can_and_says_what_it_cannot() {
    let scene = Scene::new();
    scene.store("tiny").folder().write("trials/t0-seed0/status.json", b"{").unwrap();
    scene.store("tiny").folder().write("trials/t0-seed1/epochs.csv", b"trial,seed\ngarbage,\n").unwrap();
    scene.store("tiny").folder().write("trials/t1-seed0/trial.toml", b"trial = ").unwrap();
    scene.store("broken").folder().write("sweep.toml", b"name = ").unwrap();
    let router = scene.router();
    run(async {
        let page = get(&router, "/sweeps/tiny").await.text;
        assert!(page.contains("illegible") && page.contains("not a readable record"), "{page}");
        assert_eq!(page.matches("id=\"row-").count(), 4, "every planned trial has a row");
        for trial in ["t0-seed0", "t0-seed1", "t1-seed0", "t1-seed1"] {
            assert_eq!(get(&router, &format!("/sweeps/tiny/trials/{trial}")).await.status, 200, "{trial}");
        }
        let page = eventually(&router, "/sweeps/broken", |page| page.contains("role=\"alert\"")).await;
        assert!(page.contains("plans no trial that can be read"), "{page}");
        assert_eq!(get(&router, "/").await.status, 200);
    });
}

#[test]
fn a_trial_is_shown_beside_another() {
    let scene = Scene::new();
    let router = scene.router();
    run(async {
        let page = get(&router, "/sweeps/tiny/trials/t0-seed0?with=t1-seed0").await.text;
        assert!(page.contains("differs") && page.contains("loss.name"), "{page}");
        assert_eq!(get(&router, "/sweeps/tiny/trials/t0-seed0?with=none").await.status, 404);
        let csv = get(&router, "/sweeps/tiny/trials/t0-seed0/curves.csv").await.text;
        assert!(csv.starts_with("epoch,train_loss,val_loss") && csv.lines().count() == 4, "{csv}");
        let page = get(&router, "/sweeps/tiny/trials/t0-seed0/landmarks").await.text;
        assert!(page.contains("image 1 of 5, worst first") && page.contains("<circle class=\"truth\""), "{page}");
        let csv = get(&router, "/sweeps/tiny/trials/t0-seed0/landmarks.csv?at=last").await.text;
        assert_eq!(csv.lines().count(), 11);
        let page = get(&router, "/compare?a=tiny/t0-seed0&b=tiny/t1-seed0").await.text;
        assert!(page.contains("the networks differ") && page.contains("+1.000 mm"), "{page}");
        assert!(get(&router, "/compare?a=tiny/t0-seed0&b=tiny/none").await.status == 404);
    });
}

#[test]
fn two_sweeps_are_compared_by_their_configurations() {
    let scene = Scene::new();
    scene.sweep("other", &["l1", "mse"]);
    let router = scene.router();
    run(async {
        let page = get(&router, "/compare?a=tiny&b=other").await.text;
        assert!(page.contains("Configurations that both have") && page.contains("<th scope=\"row\">l1</th>"), "{page}");
        assert!(
            page.contains("no difference shown") && page.contains("Only in other") && page.contains("mse"),
            "{page}"
        );
        assert!(!page.contains("<script>alert"), "{page}");
        let page = get(&router, "/compare?a=tiny&b=other/t0-seed0").await.text;
        assert!(page.contains("a trial does not compare with a sweep"), "{page}");
        assert_eq!(get(&router, "/compare?a=tiny&b=none").await.status, 404);
    });
}

#[test]
fn every_chart_is_a_file_too_and_its_numbers_are() {
    let scene = Scene::new();
    let router = scene.router();
    run(async {
        eventually(&router, "/sweeps/tiny", |page| page.contains("scatter.svg")).await;
        for (chart, shapes) in [
            ("curves.svg?y=val_mre_mm", "<polyline class=\"c"),
            ("curves.svg?group=configuration&y=train_loss&from=1&to=2", "<polyline class=\"c"),
            ("scatter.svg?across=mre&up=loss", "<circle class=\"c"),
            ("history.svg", "<polyline class=\"least\""),
            ("parallel.svg", "class=\"axis\""),
            ("trials/t0-seed0/curves.svg?y=train_loss,val_loss&log=1", "<polyline class=\"c"),
        ] {
            let answered = get(&router, &format!("/sweeps/tiny/{chart}")).await;
            assert_eq!(
                (answered.status.as_u16(), &answered.headers["content-type"]),
                (200, &"image/svg+xml".parse().unwrap())
            );
            assert!(
                answered.text.starts_with("<svg xmlns") && answered.text.contains(shapes),
                "{chart}: {}",
                answered.text
            );
            assert!(!answered.text.contains("<script>"), "{chart}: {}", answered.text);
            // Whatever a record names, the file is XML.
            let mut reader = quick_xml::Reader::from_str(&answered.text);
            while reader.read_event().unwrap() != quick_xml::events::Event::Eof {}
        }
        let csv = get(&router, "/sweeps/tiny/scatter.csv?across=mre&up=loss").await.text;
        assert!(
            csv.starts_with("trial,configuration,mre,loss\nt0-seed0,l1,1.5,0.25\n") && csv.lines().count() == 5,
            "{csv}"
        );
        let csv = get(&router, "/sweeps/tiny/history.csv").await.text;
        let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(rows[0], ["ended", "trial", "mre", "least"]);
        let mut least = f64::INFINITY;
        for (place, row) in rows[1..].iter().enumerate() {
            least = least.min(row[2].parse().unwrap());
            assert_eq!((row[0].parse(), row[3].parse()), (Ok(place + 1), Ok(least)), "{csv}");
        }
        assert!(rows.len() > 2, "{csv}");
    });
}

#[test]
fn the_answer_comes_when_trials_are_done() {
    let scene = Scene::new();
    let router = scene.router();
    run(async {
        let page = eventually(&router, "/sweeps/tiny", |page| page.contains("class=\"first\"")).await;
        assert!(page.contains("l1"), "{page}");
        assert!(get(&router, "/").await.text.contains("class=\"badge\""), "the list of sweeps says it too");
    });
}
