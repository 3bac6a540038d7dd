use rand::Rng;

use super::*;
use sweep_core::seed::{self, Stream};
use sweep_experiment::records::Selection;

const LANDMARKS: [&str; 3] = ["sella", "nasion", "menton"];

fn record(image: usize, landmark: &str, error_mm: f64) -> LandmarkRecord {
    LandmarkRecord {
        trial: "t".into(),
        seed: 0,
        epoch: 1,
        selected: Selection::Last,
        image: format!("{image:02}.png"),
        landmark: landmark.to_owned(),
        x_true: 0.0,
        y_true: 0.0,
        x_pred: error_mm,
        y_pred: 0.0,
        error_px: error_mm,
        error_mm,
        confidence: 0.5,
        reference_px: f64::NAN,
        spacing_x_mm: 1.0,
        spacing_y_mm: 1.0,
    }
}

/// Twenty images, each as hard under every condition; a condition adds `worse` and a little of its own.
fn condition(name: &str, worse: f64, key: u64) -> Condition<'static> {
    let mut hard = seed::derive(1, Stream::Bootstrap, 12, 0);
    let mut own = seed::derive(key, Stream::Bootstrap, 13, 0);
    let mut predictions = Vec::new();
    for image in 0..20 {
        for landmark in LANDMARKS {
            let error = hard.random_range(0.5..3.0) + worse + own.random_range(-0.1..0.1);
            predictions.push(record(image, landmark, error));
        }
    }
    Condition { name: name.into(), predictions: predictions.into() }
}

fn conditions(recipe: u64, worse: [f64; 3]) -> Conditions<'static> {
    let [as_is, darker, noise] = worse;
    let images = (0..5).map(|image| format!("{image:02}.png")).collect();
    Conditions {
        as_is: condition("as it is", as_is, recipe),
        shifted: vec![condition("darker", darker, recipe + 1), condition("noise", noise, recipe + 2)],
        marks: Vec::new(),
        subsets: vec![Subset { name: "far".into(), images }],
    }
}

#[test]
fn a_shift_is_held_against_the_same_images_and_a_subset_against_the_others() {
    let conditions = conditions(10, [0.0, 0.0, 0.5]);
    let rows = conditions.scores(ErrorUnit::Millimetres);
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["as it is", "darker", "noise", "all 2 shifts", "far (5 images)"]);
    assert!(rows[0].change.is_none() && rows[0].p_adjusted.is_none());
    let change = |row: usize| rows[row].change.clone().unwrap();
    // Paired, half a millimetre is seen beside errors that scatter by 0.7 mm, and nothing is where nothing is.
    assert!(!change(1).excludes(0.0) && rows[1].p_adjusted.unwrap() > 0.05);
    assert!((change(2).point - 0.5).abs() < 0.05 && change(2).excludes(0.0) && rows[2].p_adjusted.unwrap() < 1e-3);
    assert!((change(3).point - f64::midpoint(change(1).point, change(2).point)).abs() < 1e-12);
    assert_eq!((rows[3].mre.n.images, rows[3].mre.n.landmarks), (20, 120));
    // Differences and means agree.
    assert!((rows[2].mre.point - rows[0].mre.point - change(2).point).abs() < 1e-12);
    let of = |images: std::ops::Range<usize>| {
        let inside = |row: &&LandmarkRecord| images.clone().any(|image| row.image == format!("{image:02}.png"));
        let errors: Vec<f64> = conditions.as_is.predictions.iter().filter(inside).map(|row| row.error_mm).collect();
        errors.iter().sum::<f64>() / errors.len() as f64
    };
    assert_eq!((rows[4].reference, rows[4].mre.n.images), (Reference::OtherImages, 5));
    assert!((change(4).point - (of(0..5) - of(5..20))).abs() < 1e-9);
}

#[test]
fn a_gain_that_does_not_hold_is_told_from_one_that_does() {
    let (new, old) = (conditions(20, [-0.2, 0.0, 0.4]), conditions(30, [0.0, 0.0, 0.0]));
    let changes = new.against(&old);
    let standings: Vec<Standing> = changes.iter().take(3).map(|change| change.standing).collect();
    assert_eq!(standings, [Standing::Better, Standing::NotShown, Standing::Worse]);
    let said = holds(&changes);
    assert!(said.starts_with("On the images as they are: better. So under 1 of 4"), "{said}");
    assert!(said.contains("not shown under darker") && said.contains("the reverse under noise"), "{said}");
    let same = holds(&new.against(&new));
    assert_eq!(same, "On the images as they are, no difference is shown; nor under any other condition.");
    let mirrored = old.against(&new);
    for (one, other) in changes.iter().zip(&mirrored) {
        assert!(
            (one.change.point + other.change.point).abs() < 1e-12 && one.mre[0].to_bits() == other.mre[1].to_bits()
        );
        assert!((one.mre[0] - one.mre[1] - one.change.point).abs() < 1e-12);
        // Intervals and adjusted p-values say the same.
        assert_eq!(one.standing != Standing::NotShown, one.p_adjusted < ALPHA, "{one:?}");
    }
    assert!(changes.iter().all(|change| change.change.n.images == if change.name.starts_with("far") { 5 } else { 20 }));
}

#[test]
fn only_shared_landmarks_are_compared() {
    let mut shifted = conditions(40, [0.0, 0.3, 0.0]);
    // A landmark left the picture, on every image; another has no error.
    shifted.shifted[0].predictions.to_mut().retain(|row| row.landmark != "menton");
    shifted.shifted[0].predictions.to_mut()[0].error_mm = f64::NAN;
    shifted.shifted[0].predictions.to_mut()[0].error_px = f64::NAN;
    let rows = shifted.scores(ErrorUnit::Millimetres);
    let change = rows[1].change.clone().unwrap();
    assert_eq!((change.n.images, change.n.landmarks), (20, 39));
    assert!((change.point - 0.3).abs() < 0.05);
    let lost =
        Conditions { shifted: vec![Condition { name: "gone".into(), predictions: Vec::new().into() }], ..shifted };
    let rows = lost.scores(ErrorUnit::Millimetres);
    assert!(rows.iter().all(|row| row.name != "gone"), "nothing to measure");
    assert!(lost.against(&lost).iter().all(|change| change.name != "gone"), "nothing to compare");
}

/// Under no difference at all, a table with any difference shown is rare.
#[test]
fn tables_without_a_difference_seldom_show_one() {
    let shown = (0..1000)
        .filter(|repeat| {
            let of = |recipe: u64| conditions(1000 + 20 * repeat + recipe, [0.0; 3]);
            of(0).against(&of(10)).iter().any(|change| change.standing != Standing::NotShown)
        })
        .count();
    // 5 % of 1000, and three standard deviations.
    assert!(shown <= 50 + 21, "{shown} of 1000");
}
