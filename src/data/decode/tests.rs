//! Decoders undo heatmaps, whatever the kind of map.

use std::mem::discriminant;

use super::*;
use crate::heatmap::HeatmapSpec;

const SIZE: Size = Size { height: 50, width: 40 };
pub(super) const KINDS: [MapKind; 4] =
    [MapKind::Heatmap, MapKind::Scaled { peak: 100.0 }, MapKind::Logits, MapKind::Sigmoid];

/// A heatmap as a network's map of this kind.
fn as_kind(heatmap: &[f32], maps: MapKind) -> Vec<f32> {
    let value = |v: f64| match maps {
        MapKind::Heatmap => v,
        MapKind::Scaled { peak } => v * f64::from(peak),
        MapKind::Logits => v.ln() + 3.0,
        MapKind::Sigmoid => (v / (1.0 - v)).ln(),
    };
    // A sigmoid has no 1.
    heatmap.iter().map(|v| value(0.99 * f64::from(*v)) as f32).collect()
}

fn worst(heatmap: HeatmapSpec, decode: DecodeSpec, maps: MapKind) -> f64 {
    let mut worst = 0.0f64;
    for i in 0..21 {
        for j in 0..21 {
            let landmark = Point { x: 17.0 + f64::from(i) / 20.0, y: 23.0 + f64::from(j) / 20.0 };
            let map = as_kind(&heatmap.profiles(landmark, SIZE).product(), maps);
            let reading = decode.read(&map, SIZE, maps);
            assert!(reading.confidence > 0.0 && reading.confidence <= 1.0);
            assert_eq!(reading.point, decode.decode(&map, SIZE, maps));
            worst = worst.max(landmark.distance(reading.point).0);
        }
    }
    worst
}

#[test]
fn decoding_undoes_encoding() {
    let gaussian = HeatmapSpec::Gaussian { sigma: 2.5 };
    let narrow = HeatmapSpec::Gaussian { sigma: 1.5 };
    // As steep as published with power 3: pixels above 0.95 reach 3.5 px from the landmark.
    let laplace = HeatmapSpec::Laplace { decay: 0.004_83, power: 3.0, reference_height: SIZE.height as u32 };
    let half_diagonal = 0.5f64.hypot(0.5) + 1e-9;
    let centroid = DecodeSpec::Centroid { threshold: 0.95 };
    let (argmax, subpixel) = (DecodeSpec::Argmax {}, DecodeSpec::Subpixel {});
    let (soft, dark) = (DecodeSpec::SoftArgmax { reach: 5, beta: None }, DecodeSpec::Dark { sigma: 2.0 });
    let measured = [centroid, argmax, subpixel, soft, dark].map(|decode| discriminant(&decode));
    for decode in DecodeSpec::examples() {
        assert!(measured.contains(&discriminant(&decode)), "{decode:?} has no bound here");
    }
    for maps in KINDS {
        for (heatmap, decode, bound) in [
            (gaussian, centroid, 0.4),
            (gaussian, argmax, half_diagonal),
            // The logarithm of a probability before its softmax or sigmoid is in single precision.
            (gaussian, subpixel, 1e-3),
            (gaussian, dark, 2e-2),
            (narrow, dark, 5e-2),
            (laplace, centroid, 0.4),
            (laplace, argmax, half_diagonal),
            (laplace, subpixel, 0.13),
        ] {
            let error = worst(heatmap, decode, maps);
            println!("{heatmap:?} {decode:?} {maps:?}: {error:.4} px");
            assert!(error <= bound, "{heatmap:?} {decode:?} {maps:?}: {error} px, at most {bound}");
        }
    }
    for maps in KINDS {
        for heatmap in [narrow, gaussian] {
            println!("{heatmap:?} {maps:?}: {:.4} px", worst(heatmap, soft, maps));
        }
    }
}

#[test]
fn logits_decode_as_the_heatmap_they_are_the_logarithm_of() {
    let map = HeatmapSpec::Gaussian { sigma: 4.0 }.profiles(Point { x: 11.3, y: 20.8 }, SIZE).product();
    let logits: Vec<f32> = map.iter().map(|v| v.ln() - 100.0).collect();
    // Soft-argmax weights logits and heights otherwise.
    for decode in DecodeSpec::examples().into_iter().filter(|d| !matches!(d, DecodeSpec::SoftArgmax { .. })) {
        let of = decode.decode(&map, SIZE, MapKind::Heatmap);
        assert!(of.distance(decode.decode(&logits, SIZE, MapKind::Logits)).0 < 1e-3, "{decode:?}");
    }
}

#[test]
fn dark_is_the_published_one() {
    let text = include_str!("../../../tests/fixtures/losses/reference.json");
    let reference: serde_json::Value = serde_json::from_str(text).unwrap();
    for case in reference["dark"].as_array().unwrap() {
        let number = |key: &str| case[key].as_f64().unwrap();
        let map: Vec<f32> = case["map"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
        let size = Size { height: number("height") as usize, width: number("width") as usize };
        let found = DecodeSpec::Dark { sigma: number("sigma") }.decode(&map, size, MapKind::Heatmap);
        let expected = Point { x: number("x"), y: number("y") };
        assert!(found.distance(expected).0 < 1e-9, "{found:?} {expected:?}");
    }
}

#[test]
fn no_map_whatever_gives_a_landmark_off_the_picture() {
    let mut spike = vec![0.0; SIZE.area()];
    spike[SIZE.area() - 1] = f32::INFINITY;
    let nan = vec![f32::NAN; SIZE.area()];
    let mut one = nan.clone();
    one[SIZE.width + 3] = -2.0;
    for map in [vec![0.0; SIZE.area()], vec![-1.0; SIZE.area()], vec![f32::NEG_INFINITY; SIZE.area()], spike, nan, one]
    {
        for decode in DecodeSpec::examples() {
            for maps in KINDS {
                let (point, confidence) = (decode.decode(&map, SIZE, maps), confidence(&map, SIZE, maps));
                assert!(point.is_inside(SIZE) && (0.0..=1.0).contains(&confidence), "{decode:?} {maps:?}: {point:?}");
            }
        }
    }
}

#[test]
fn plateaus_and_ties_are_settled() {
    let mut map = vec![-3.0; SIZE.area()];
    for i in [2 * SIZE.width + 5, 2 * SIZE.width + 8] {
        map[i] = -1.0;
    }
    let at = |decode: DecodeSpec| decode.decode(&map, SIZE, MapKind::Heatmap);
    assert_eq!(at(DecodeSpec::Centroid { threshold: 0.95 }), Point { x: 6.5, y: 2.0 });
    assert_eq!(at(DecodeSpec::Argmax {}), Point { x: 5.0, y: 2.0 });
    assert_eq!(at(DecodeSpec::Subpixel {}), Point { x: 5.0, y: 2.0 });
    // Where no height is above 0, shares of it would put the lowest first.
    map[20 * SIZE.width + 20] = -0.5;
    for decode in DecodeSpec::examples().iter().skip(1) {
        assert_eq!(decode.decode(&map, SIZE, MapKind::Heatmap), Point { x: 20.0, y: 20.0 }, "{decode:?}");
    }
}

#[test]
fn every_place_is_looked_at() {
    for place in 0..SIZE.area() {
        let mut map = vec![f32::NAN; SIZE.area()];
        map[place] = -4.0;
        if place + 41 < SIZE.area() {
            map[place + 41] = -4.0;
        }
        let expected = Point { x: (place % SIZE.width) as f64, y: (place / SIZE.width) as f64 };
        assert_eq!(DecodeSpec::Argmax {}.decode(&map, SIZE, MapKind::Heatmap), expected);
    }
}

#[test]
fn confidence_of_logits_is_the_probability_around_the_peak() {
    let flat = confidence(&vec![4.0; SIZE.area()], SIZE, MapKind::Logits);
    // The first pixel is a corner: 3×3 of it are inside.
    assert!((flat - 9.0 / SIZE.area() as f64).abs() < 1e-9);
    let mut sure = vec![0.0; SIZE.area()];
    sure[10 * SIZE.width + 10] = 50.0;
    assert!(confidence(&sure, SIZE, MapKind::Logits) > 0.999);
}

#[test]
fn definitions_have_the_stated_defaults_and_refuse_nonsense() {
    assert_eq!(toml::from_str::<DecodeSpec>("name = 'centroid'").unwrap(), DecodeSpec::default());
    assert!(toml::from_str::<DecodeSpec>("name = 'argmax'\nthreshold = 1").is_err());
    let error = DecodeSpec::Centroid { threshold: 1.5 }.check().unwrap_err();
    assert_eq!(error.location.as_deref(), Some("threshold"));
}
