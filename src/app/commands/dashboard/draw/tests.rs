//! Text on the screen, at many sizes.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::app::{Detail, Snapshot};
use super::*;
use sweep_experiment::records::EpochRecord;

fn epoch(number: u32) -> EpochRecord {
    let csv = format!(
        "t,0,{number},{},{},1,1,{},1,1,1,1,50,50,50,50,0.1,1,1\n",
        1.0 / f64::from(number),
        2.0 / f64::from(number),
        10.0 / f64::from(number)
    );
    let header = "trial,seed,epoch,train_loss,val_loss,zero_loss,train_mre_mm,val_mre_mm,val_mre_px,val_sd_mm,val_median_mm,val_p95_mm,val_sdr_2mm,val_sdr_2_5mm,val_sdr_3mm,val_sdr_4mm,lr,images_per_second,seconds\n";
    sweep_experiment::records::read_csv(format!("{header}{csv}").as_bytes()).unwrap().remove(0)
}

/// A sweep with `count` trials: one is done, one runs, one failed, the others are pending.
fn app(count: usize) -> App {
    let line = |i: usize| {
        let state = [State::Done, State::Running, State::Failed].get(i).copied().unwrap_or(State::Pending);
        let message = (state == State::Failed).then(|| "out of memory\nand more".to_owned());
        let (epoch, epochs) = (if i < 2 { 7 } else { 0 }, 40);
        StatusLine {
            trial: format!("smooth-l1-seed{i}-3f9a2c1b"),
            state: state.name(),
            epoch,
            epochs,
            val_mre_mm: 2.345,
            best_val_mre_mm: f64::NAN,
            unit: Some(ErrorUnit::Millimetres),
            device: "cpu".into(),
            seconds_left: (i == 1).then_some(90.0),
            message,
            ..StatusLine::default()
        }
    };
    let mut app = App::default();
    app.update(Snapshot {
        sweep: "loss".into(),
        trials: (0..count).map(line).collect(),
        overview: format!("{count} trials: 1 done\n"),
        load: "cpu 97 %".into(),
        runs: true,
        ..Snapshot::default()
    });
    app.detail = Detail {
        trial: app.trial().unwrap_or_default().to_owned(),
        epochs: (1..=30).map(epoch).collect(),
        log: (0..100).map(|i| format!("log line {i}")).collect(),
    };
    app
}

fn screen(app: &mut App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, app)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| row(y).trim_end().to_owned() + "\n").collect()
}

#[test]
fn a_screen_shows_trials_curves_log_and_keys() {
    let shown = screen(&mut app(5), 120, 40);
    for what in [
        "loss 5 trials: 1 done",
        "smooth-l1-seed1-3f9a2c1b  running",
        "2.35",
        "7/40",
        "90 s",
        "out of memory",
        "MRE mm, 0.33 at best",
        "log of smooth-l1-seed1-3f9a2c1b",
        "log line 99",
        "p pause  s stop  r retry  q leave  cpu 97 %",
        "epoch 30",
        "loss: training, validation",
    ] {
        assert!(shown.contains(what), "{what}: {shown}");
    }
    assert!(!shown.contains("and more"), "one line a trial");
    assert!(shown.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "curves");
}

#[test]
fn small_screens_keep_what_matters_most() {
    let shown = screen(&mut app(5), 40, 10);
    assert!(shown.contains("running") && shown.contains("↑↓ choose") && !shown.contains("log line"), "{shown}");
    let tiny = screen(&mut app(5), 30, 6);
    assert!(tiny.contains("smooth-") && tiny.contains("…") && tiny.contains("running"), "names are cut: {tiny}");
    let narrow = screen(&mut app(5), 60, 30);
    assert!(narrow.contains("MRE mm, 0.33") && !narrow.contains("training"), "{narrow}");
    for width in [0, 1, 2, 5, 12, 13, 20, 33, 69, 70, 200] {
        for height in [0, 1, 2, 3, 4, 17, 18, 25, 80] {
            screen(&mut app(5), width, height);
            screen(&mut app(0), width, height);
        }
    }
}

#[test]
fn ten_thousand_trials_are_drawn_around_the_selected_one() {
    let mut many = app(10_000);
    many.key(KeyEvent::new(KeyCode::End, KeyModifiers::NONE));
    let shown = screen(&mut many, 100, 30);
    assert!(shown.contains("seed9999") && !shown.contains("seed2-"), "{shown}");
    many.key(KeyEvent::new(KeyCode::Home, KeyModifiers::NONE));
    assert!(screen(&mut many, 100, 30).contains("seed0-"));
}

#[test]
fn questions_and_notices_replace_the_keys() {
    let mut asked = app(3);
    asked.key(KeyEvent::new(KeyCode::Char('s'), KeyModifiers::NONE));
    assert!(screen(&mut asked, 100, 30).contains("stop the sweep?"));
    asked.key(KeyEvent::new(KeyCode::Char('n'), KeyModifiers::NONE));
    asked.snapshot.paused = true;
    let shown = screen(&mut asked, 100, 30);
    assert!(shown.contains("PAUSED") && shown.contains("p go on"), "{shown}");
    asked.key(KeyEvent::new(KeyCode::Char('r'), KeyModifiers::NONE));
    assert!(screen(&mut asked, 100, 30).contains("only what failed"));
}

#[test]
fn names_are_cut_in_the_middle() {
    assert_eq!(
        [cut("abcdefgh", 8), cut("abcdefgh", 5), cut("abcdefgh", 1), cut("ab", 0)],
        ["abcdefgh", "ab…gh", "…", ""]
    );
}

#[test]
fn errors_have_the_unit_of_the_data_and_none_before_it_is_known() {
    let mut app = app(3);
    for line in &mut app.snapshot.trials {
        line.unit = None;
    }
    let unknown = screen(&mut app, 120, 40);
    assert!(unknown.contains("MRE") && !unknown.contains("MRE mm") && !unknown.contains("MRE px"), "{unknown}");
    app.snapshot.trials[1].unit = Some(ErrorUnit::Pixels);
    let known = screen(&mut app, 120, 40);
    assert!(known.contains("MRE px") && !known.contains("MRE mm"), "{known}");
}
