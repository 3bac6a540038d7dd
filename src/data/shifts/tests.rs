use super::*;
use crate::phantom::PhantomSpec;
use crate::{DatasetSpec, Source, Split};
use sweep_core::units::Point;

fn phantoms() -> Vec<Sample> {
    let spec = PhantomSpec { train: 1, val: 2, test: 0, height: 200, width: 160, seed: 3 };
    DatasetSpec::from(Source::Phantom(spec)).open().unwrap().originals(&[0, 1, 2]).unwrap()
}

fn mean(sample: &Sample) -> f64 {
    sample.pixels.iter().map(|v| f64::from(*v)).sum::<f64>() / sample.pixels.len() as f64
}

fn deviation(sample: &Sample) -> f64 {
    let centre = mean(sample);
    let squares = sample.pixels.iter().map(|v| (f64::from(*v) - centre).powi(2)).sum::<f64>();
    (squares / sample.pixels.len() as f64).sqrt()
}

/// Mean difference of neighbours in a row.
fn roughness(sample: &Sample) -> f64 {
    let rows = sample.pixels.chunks_exact(sample.size.width);
    let differences = rows.flat_map(|row| row.windows(2).map(|pair| f64::from(pair[0].abs_diff(pair[1]))));
    differences.sum::<f64>() / sample.pixels.len() as f64
}

#[test]
fn each_shift_does_what_it_says() {
    for (index, sample) in phantoms().iter().enumerate() {
        let of = |shift: Shift| shift.apply(sample, index).unwrap();
        assert!(mean(&of(Shift::Darker)) < mean(sample) - 5.0 && mean(&of(Shift::Brighter)) > mean(sample) + 5.0);
        assert!(deviation(&of(Shift::LowerContrast)) < 0.6 * deviation(sample));
        assert!(deviation(&of(Shift::HigherContrast)) > 1.1 * deviation(sample));
        for coarser in [Shift::HalfResolution, Shift::ThirdResolution, Shift::Blur] {
            assert!(roughness(&of(coarser)) < 0.9 * roughness(sample), "{coarser:?}");
        }
        assert!(roughness(&of(Shift::ThirdResolution)) < roughness(&of(Shift::HalfResolution)));
        assert!(roughness(&of(Shift::Noise)) > 1.5 * roughness(sample));
        let noise = of(Shift::Noise).pixels.iter().zip(&sample.pixels).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(noise > Some(30), "{noise:?}");
        let differ = |shift: Shift| of(shift).pixels.iter().zip(&sample.pixels).filter(|(a, b)| a != b).count();
        for shift in Shift::ALL {
            let changed = of(shift);
            assert_eq!((changed.size, changed.pixels.len()), (sample.size, sample.pixels.len()));
            assert!(differ(shift) > sample.size.area() / 10, "{shift:?} changes {} pixels", differ(shift));
            let moves = matches!(shift, Shift::TurnedLeft | Shift::TurnedRight | Shift::Larger | Shift::Smaller);
            assert_eq!(changed.landmarks != sample.landmarks, moves, "{shift:?}");
        }
    }
}

#[test]
fn the_grey_curve_is_monotone_and_keeps_its_ends() {
    let curve = curve();
    assert!(curve.windows(2).all(|pair| pair[0] < pair[1]) && (curve[0], curve[POINTS - 1]) == (0.0, 1.0), "{curve:?}");
    assert!(curve[2] > 2.0 / 9.0 + 0.09 && curve[7] < 7.0 / 9.0 - 0.09);
}

/// Landmarks stay on what they mark, and distances between them are the patient's.
#[test]
fn landmarks_move_with_the_picture() {
    let size = Size { height: 120, width: 100 };
    let marks = [(30, 40), (70, 44), (52, 90)];
    let mut pixels = vec![20; size.area()];
    for (x, y) in marks {
        for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (1, 2), (0, 2), (2, 0), (2, 2)] {
            pixels[(y + dy - 1) * size.width + x + dx - 1] = 250;
        }
    }
    let spacing = Some(Spacing { x: 0.4, y: 0.3 });
    let landmarks = marks.map(|(x, y)| Some(Point { x: x as f64, y: y as f64 })).to_vec();
    let sample = Sample { image: "a".into(), split: Split::Val, size, pixels, landmarks, spacing, patient: None };
    for shift in Shift::ALL.into_iter().filter(|shift| *shift != Shift::Noise) {
        let changed = shift.apply(&sample, 0).unwrap();
        let mut sorted = changed.pixels.clone();
        sorted.sort_unstable();
        let background = f64::from(sorted[sorted.len() / 2]);
        for landmark in &changed.landmarks {
            let Point { x, y } = landmark.unwrap();
            let near = |p: usize, at: f64| (p as f64 - at).abs() <= 4.0;
            let mut sums = [0.0; 3];
            for (i, value) in changed.pixels.iter().enumerate() {
                let (px, py) = (i % size.width, i / size.width);
                if near(px, x) && near(py, y) {
                    let weight = (f64::from(*value) - background - 12.0).max(0.0);
                    sums = [sums[0] + weight, sums[1] + weight * px as f64, sums[2] + weight * py as f64];
                }
            }
            let centre = Point { x: sums[1] / sums[0], y: sums[2] / sums[0] };
            assert!(centre.distance(Point { x, y }).0 < 1.0, "{shift:?}: {centre:?} for ({x}, {y})");
        }
        let between = |sample: &Sample| {
            sample.spacing.unwrap().distance(sample.landmarks[0].unwrap(), sample.landmarks[2].unwrap()).0
        };
        assert!((between(&changed) - between(&sample)).abs() < 1e-9, "{shift:?}");
    }
    let cornered = Sample { landmarks: vec![Some(Point { x: 1.0, y: 1.0 }); 3], ..sample };
    assert_eq!(Shift::Larger.apply(&cornered, 0).unwrap().landmarks, [None; 3], "left the picture");
}

#[test]
fn a_shift_is_a_function_of_the_image_alone() {
    let sample = &phantoms()[0];
    let noise = |index| Shift::Noise.apply(sample, index).unwrap().pixels;
    assert!(noise(4) == noise(4) && noise(4) != noise(5));
    let colours = Sample { pixels: sample.pixels.repeat(3), ..sample.clone() };
    for shift in Shift::ALL.into_iter().filter(|shift| *shift != Shift::Noise) {
        let (grey, colour) = (shift.apply(sample, 0).unwrap(), shift.apply(&colours, 0).unwrap());
        // Chroma and luma of JPEG are rounded.
        let apart = colour.pixels.iter().zip(grey.pixels.repeat(3)).map(|(a, b)| a.abs_diff(b)).max();
        assert!(apart <= Some(3), "{shift:?}: {apart:?}");
    }
}

#[test]
fn names_are_unique() {
    let names: std::collections::BTreeSet<&str> = Shift::ALL.iter().map(|shift| shift.name()).collect();
    assert_eq!(names.len(), Shift::ALL.len());
}
