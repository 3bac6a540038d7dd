use super::*;

fn read(text: &str) -> Result<Measures, String> {
    toml::from_str::<BTreeMap<String, Measure>>(text)
        .map_err(|e| e.message().to_owned())
        .and_then(|measures| Measures::new(measures).map_err(|e| e.to_string()))
}

/// Landmarks `a` to `e` of a picture whose pixels are twice as high as wide.
fn value(text: &str) -> Option<f64> {
    let at = |name: &str| {
        let (x, y) = match name {
            "a" => (0.0, 0.0),
            "b" => (3.0, 0.0),
            "c" => (3.0, 2.0),
            "d" => (-3.0, 2.0),
            "e" => (0.0, 1.0),
            _ => return None,
        };
        Some(Point { x, y })
    };
    read(&format!("m = {text}")).unwrap().value("m", &at, Spacing { x: 1.0, y: 2.0 })
}

fn near(text: &str, expected: f64) {
    let value = value(text).unwrap();
    assert!((value - expected).abs() < 1e-12, "{text}: {value}, not {expected}");
}

#[test]
fn angles_are_between_0_and_180_unless_they_have_a_sign() {
    // c is at (3, 4) in millimetres: the 3-4-5 triangle.
    let of_c = (4.0f64 / 3.0).atan().to_degrees();
    near("{ angle = ['b', 'a', 'c'] }", of_c);
    near("{ angle = ['c', 'a', 'b'] }", of_c);
    near("{ angle = ['b', 'a', 'c'], signed = true }", of_c);
    near("{ angle = ['c', 'a', 'b'], signed = true }", -of_c);
    near("{ angle_between = [['a', 'b'], ['c', 'b']] }", 90.0);
    near("{ angle_between = [['a', 'b'], ['c', 'b']], signed = true }", -90.0);
    near("{ angle_between = [['a', 'b'], ['c', 'd']] }", 180.0);
}

#[test]
fn lengths_are_in_millimetres_and_signed_by_direction() {
    near("{ distance = ['a', 'c'] }", 5.0);
    near("{ distance = ['a', 'd'] }", 5.0);
    near("{ distance = ['a', 'd'], signed = true }", -5.0);
    near("{ ratio = [['a', 'c'], ['a', 'b']] }", 5.0 / 3.0);
    near("{ along = { vector = ['a', 'c'], line = ['a', 'b'] } }", 3.0);
    near("{ along = { vector = ['a', 'c'], line = ['b', 'a'] } }", -3.0);
    near("{ across = { vector = ['a', 'c'], line = ['a', 'b'] } }", 4.0);
    near("{ across = { vector = ['a', 'c'], line = ['b', 'a'] } }", -4.0);
}

#[test]
fn sums_take_names_and_formulas() {
    near("{ sum = [{ distance = ['a', 'c'] }, { distance = ['a', 'b'] }] }", 8.0);
    near("{ difference = [{ distance = ['a', 'c'] }, { distance = ['a', 'b'] }] }", 2.0);
    let measures = read("m = { sum = ['n', 'n'] }\nn = { angle_between = [['a', 'b'], ['b', 'c']] }").unwrap();
    assert_eq!((measures.unit("m"), measures.unit("x")), (Some(MeasureUnit::Degrees), None));
}

#[test]
fn what_is_not_marked_or_not_defined_has_no_value() {
    assert_eq!(value("{ angle = ['a', 'b', 'x'] }"), None);
    let here = |_: &str| Some(Point { x: 1.0, y: 1.0 });
    for text in ["{ angle = ['a', 'b', 'c'] }", "{ ratio = [['a', 'b'], ['c', 'd']] }"] {
        assert_eq!(read(&format!("m = {text}")).unwrap().value("m", &here, Spacing::ONE_PIXEL), None, "{text}");
    }
}

#[test]
fn mistakes_name_the_key_and_what_would_be_right() {
    for (text, expected) in [
        ("m = { }", ["measures.m", "no formula", "angle_between"]),
        ("m = { distance = ['a', 'b'], ratio = [['a', 'b'], ['a', 'b']] }", ["measures.m", "several", "keep one"]),
        ("m = { distance = ['a', 'a'] }", ["measures.m", "no direction", "two landmarks"]),
        ("SNA = { angle = ['a', 'b', 'c'] }\nm = { sum = ['SNa'] }", ["measures.m", "no measure `SNa`", "`SNA`"]),
        ("m = { sum = ['n'] }\nn = { sum = ['m'] }", ["measures.m", "in a circle", "contain itself"]),
        ("m = { sum = [] }", ["measures.m", "no terms", "SNB"]),
        ("m = { ratio = [['a', 'b'], ['a', 'c']], signed = true }", ["measures.m", "no effect on `ratio`", "remove"]),
        (
            "m = { sum = [{ distance = ['a', 'b'] }, { angle = ['a', 'b', 'c'] }] }",
            ["measures.m", "added up", "same unit"],
        ),
        (
            "m = { distance = ['a', 'b'], classes = { cuts = [2, 1], names = ['x', 'y', 'z'] } }",
            ["measures.m", "do not ascend", "sort"],
        ),
        (
            "m = { distance = ['a', 'b'], classes = { cuts = [1, 2], names = ['x', 'y'] } }",
            ["measures.m", "3 classes, and 2", "one class more"],
        ),
        (
            "m = { distance = ['a', 'b'], classes = { cuts = [1], names = ['x', 'x'] } }",
            ["measures.m", "two classes", "own name"],
        ),
    ] {
        let error = read(text).unwrap_err();
        assert!(expected.iter().all(|part| error.contains(part)), "{text}: {error}");
    }
    assert!(read("m = { angel = ['a', 'b', 'c'] }").unwrap_err().contains("angel"));
    assert!(read("m = { sum = [3] }").unwrap_err().contains("the name of a measure"));
}

#[test]
fn a_sum_that_doubles_itself_ends() {
    let line = |i: usize| format!("m{i} = {{ sum = ['m{0}', 'm{0}', 'm{0}'] }}", i - 1);
    let text = (1..8).map(line).collect::<Vec<_>>().join("\n");
    let error = read(&format!("m0 = {{ distance = ['a', 'b'] }}\n{text}")).unwrap_err();
    assert!(error.contains("200 formulas"), "{error}");
}

#[test]
fn landmarks_must_be_there() {
    let measures = read("SNA = { angle = ['sella', 'nasoin', 'subspinale'] }").unwrap();
    let landmarks = ["sella", "nasion", "subspinale"].map(str::to_owned);
    let error = measures.check_landmarks(&landmarks).unwrap_err().to_string();
    assert!(["measures.SNA", "`nasoin`", "did you mean `nasion`?"].iter().all(|part| error.contains(part)), "{error}");
}

#[test]
fn a_value_at_a_limit_is_of_the_class_above() {
    let classes = Classes { cuts: vec![3.2, 5.7], names: ["III", "I", "II"].map(str::to_owned).to_vec() };
    assert_eq!([-1.0, 3.19, 3.2, 5.69, 5.7, 9.0].map(|value| classes.of(value)), [0, 0, 1, 1, 2, 2]);
}

/// A face that looks to the right, in whose measures every angle is known by construction.
fn face(name: &str) -> Option<Point> {
    let (x, y) = match name {
        "sella" => (0.0, 0.0),
        "nasion" => (70.0, 0.0),
        "porion" => (-20.0, 20.0),
        "orbitale" => (60.0, 20.0),
        "PNS" => (10.0, 40.0),
        "ANS" => (60.0, 40.0),
        // Straight below the nasion: SNA and SNB are 90°.
        "subspinale" => (70.0, 50.0),
        "supramentale" => (70.0, 90.0),
        "pogonion" => (70.0, 100.0),
        "menton" => (60.0, 110.0),
        "gnathion" => (60.0, 90.0),
        "gonion" => (0.0, 90.0),
        "lower_incisor" => (66.0, 70.0),
        "upper_incisor" => (69.0, 66.0),
        _ => return None,
    };
    Some(Point { x, y })
}

#[test]
fn the_challenges_measures_are_those_of_a_drawn_face() {
    let landmarks: Vec<String> = [
        "sella",
        "nasion",
        "porion",
        "orbitale",
        "PNS",
        "ANS",
        "subspinale",
        "supramentale",
        "pogonion",
        "menton",
        "gnathion",
        "gonion",
        "lower_incisor",
        "upper_incisor",
    ]
    .map(str::to_owned)
    .to_vec();
    let (all, missing) = Measures::default().with_set("isbi2015", &landmarks).unwrap();
    assert!(missing.is_empty() && all.names().count() == 8);
    let check = |at: &Positions<'_>, name: &str, expected: f64| {
        let value = all.value(name, at, Spacing::ONE_PIXEL).unwrap();
        assert!((value - expected).abs() < 1e-9, "{name}: {value}, not {expected}");
    };
    check(&face, "SNA", 90.0);
    check(&face, "SNB", 90.0);
    check(&face, "ANB", 0.0);
    check(&face, "FHI", 90.0 / 10f64.hypot(110.0));
    check(&face, "FMA", 0.0);
    check(&face, "MW", 5.0);
    check(&face, "APDI", 90.0);
    // From B up to A, and from the menton back and up to the gonion.
    let ab_mp = 90.0 - (20.0f64 / 60.0).atan().to_degrees();
    check(&face, "ODI", ab_mp);
    // The palatal plane with its front lower adds to both, A in front of B takes from APDI and adds to ANB.
    let tipped = |name: &str| if name == "ANS" { Some(Point { x: 60.0, y: 50.0 }) } else { face(name) };
    let tip = (10.0f64 / 50.0).atan().to_degrees();
    check(&tipped, "ODI", ab_mp + tip);
    check(&tipped, "APDI", 90.0 + tip);
    let forward = |name: &str| if name == "subspinale" { Some(Point { x: 75.0, y: 50.0 }) } else { face(name) };
    let ahead = (5.0f64 / 40.0).atan().to_degrees();
    check(&forward, "APDI", 90.0 - ahead);
    assert!(all.value("ANB", &forward, Spacing::ONE_PIXEL).unwrap() > 5.0);
    let crossed = |name: &str| if name == "upper_incisor" { Some(Point { x: 63.0, y: 66.0 }) } else { face(name) };
    check(&crossed, "MW", -5.0);
}

#[test]
fn a_set_gives_what_the_landmarks_suffice_for_and_own_measures_take_precedence() {
    let landmarks = ["sella", "nasion", "subspinale"].map(str::to_owned);
    let own = read("SNA = { angle = ['sella', 'nasion', 'subspinale'], signed = true }").unwrap();
    let (all, missing) = own.clone().with_set("isbi2015", &landmarks).unwrap();
    assert_eq!(all, own);
    assert_eq!(missing, ["ANB", "APDI", "FHI", "FMA", "MW", "ODI", "SNB"]);
    assert!(Measures::default().with_set("isbi2015", &["ear".to_owned()]).unwrap_err().to_string().contains("nasion"));
    let error = Measures::default().with_set("isbi2016", &landmarks).unwrap_err().to_string();
    assert!(error.contains("measure_set") && error.contains("isbi2015"), "{error}");
}

#[test]
fn they_are_read_back_as_they_were_written() {
    let text = "APDI = { sum = ['x', { angle = ['a', 'b', 'c'], signed = true }], classes = { cuts = [1.5], names = ['l', 'h'] } }\n\
                x = { angle_between = [['a', 'b'], ['c', 'd']] }";
    let measures = read(text).unwrap();
    let written = toml::to_string(&measures).unwrap();
    assert_eq!(toml::from_str::<Measures>(&written).unwrap(), measures, "{written}");
    assert!(toml::from_str::<Measures>("m = { sum = ['m'] }").is_err(), "nothing is believed unchecked");
}
