//! Augmentations beside those of torchvision, MONAI and SciPy.

use super::*;

#[test]
fn brightness_contrast_and_gamma_are_torchvisions() {
    let picture = formula();
    let values = GreyTransform { brightness: 1.4, contrast: 0.6, gamma: 1.7, curve: None };
    let greys = values.fit(&picture.pixels, picture.size.area());
    let found: Vec<f32> = picture.pixels.iter().map(|&v| greys.apply(v)).collect();
    agree(&found, &reference()["jittered"], 1e-6);
}

#[test]
fn brightness_and_contrast_of_colours_are_torchvisions() {
    let area = formula().size.area();
    let value = |i: usize| ((i * 37 + i / area * 53) % 101) as f32 / 101.0;
    let pixels: Vec<f32> = (0..3 * area).map(value).collect();
    let values = GreyTransform { brightness: 1.4, contrast: 0.6, gamma: 1.7, curve: None };
    let colours = values.fit(&pixels, area);
    let found: Vec<f32> = pixels.iter().map(|&v| colours.apply(v)).collect();
    agree(&found, &reference()["jittered_colours"], 1e-6);
}

#[test]
fn histogram_shift_is_monais() {
    let units = std::array::from_fn(|i| ((i * 5 % 8) as f64 + 0.5) / 8.0);
    let curve = grey::curve(1.0, units);
    agree(&curve, &reference()["curve"], 1e-6);
    let identity: Vec<f32> = (0..grey::POINTS).map(|i| i as f32 / 9.0).collect();
    assert!(grey::curve(0.0, units).iter().zip(identity).all(|(a, b)| (a - b).abs() < 1e-6));
    let values = GreyTransform { brightness: 1.0, contrast: 1.0, gamma: 1.0, curve: Some(curve) };
    let greys = values.fit(&[0.5], 1);
    let found: Vec<f32> = (0..=40).map(|i| greys.apply(i as f32 / 40.0)).collect();
    agree(&found, &reference()["shifted"], 1e-6);
    assert!((0..100).all(|i| grey::curve(0.7, [f64::from(i) / 100.0; 8]).is_sorted()));
}

#[test]
fn blur_is_torchvisions() {
    let picture = formula();
    for (sigma, expected) in reference()["blurred"].as_object().unwrap() {
        let (mut pixels, mut spare) = (picture.pixels.to_vec(), vec![0.0; picture.size.area()]);
        blur::blur(&mut pixels, &mut spare, picture.size, &blur::weights(sigma.parse().unwrap()));
        agree(&pixels, expected, 1e-6);
    }
}

#[test]
fn elastic_and_affine_are_one_interpolation_by_scipy() {
    let (picture, reference) = (formula(), reference());
    let reach = [7, 7];
    let node = |i: i64| {
        let (x, y) = (i % 15, i / 15);
        let value = |axis: i64| ((y * 13 + x * 7 + axis * 5) % 11 - 5) as f32 * 0.5;
        let inside = (3..12).contains(&x) && (3..12).contains(&y);
        if inside { [value(0), value(1)] } else { [0.0; 2] }
    };
    let elastic = Elastic {
        centre: affine::centre(picture.size),
        cells: [1.0 / 7.0, 1.0 / 9.0],
        reach,
        nodes: (0..15 * 15).map(node).collect(),
    };
    let translation = [1.5 / 23.0, -2.25 / 31.0];
    let affine = Affine::new(20.0f64.to_radians(), 0.9, translation, picture.size, picture.spacing);
    let from = warp::bordered(&picture.pixels, picture.size, |v| v);
    let mut found = vec![0.0; picture.size.area()];
    warp::warp(&affine, Some(&elastic), &from, picture.size, &mut found);
    agree(&found, &reference["warped"], 2e-5);
    // Landmarks move by the inverse: the pixel that is read at p is where p goes.
    for i in 0..picture.size.area() {
        let place = Point { x: (i % 23) as f64, y: (i / 23) as f64 };
        let displaced = |axis: usize| reference["displaced"][axis][i].as_f64().unwrap();
        let [[a, b], [c, d]] = affine.inverse();
        let (dx, dy) = (place.x - affine.centre.x - affine.shift.x, place.y - affine.centre.y - affine.shift.y);
        let read = Point {
            x: affine.centre.x + a * dx + b * dy + displaced(0),
            y: affine.centre.y + c * dx + d * dy + displaced(1),
        };
        let off = affine.forward(elastic.inverse(read)).distance(place).0;
        assert!(off < 1e-4, "{i}: {off} px");
    }
}
