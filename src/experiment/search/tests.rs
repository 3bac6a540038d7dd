use super::*;

const SPACE: &str = r#"
"optimizer.lr" = { log = [1e-5, 1e-2] }
"augment.translate" = { uniform = [0, 0.2] }
batch_size = { integer = [1, 8] }
"loss.name" = { choice = ["l1", "mse", "nll"] }
"#;

fn wrong(path: &[&str], what: &str, right: &str) -> Error {
    Error::definition(what).at(path.join(".")).remedy(right)
}

fn parse(text: &str) -> Result<SearchSpec> {
    SearchSpec::parse(&text.parse().unwrap(), &wrong)
}

fn search(method: &str, budget: usize) -> SearchSpec {
    parse(&format!("method = \"{method}\"\nbudget = {budget}\n{SPACE}")).unwrap()
}

fn real(point: &Point, key: &str) -> f64 {
    point.values.get(key).and_then(Value::as_float).unwrap()
}

#[test]
fn every_point_is_in_the_space_and_new_and_the_next_one_extends_the_last() {
    for method in ["random", "sobol"] {
        let points = proposed(&search(method, 64), 0, &[], &[]);
        assert_eq!(points.len(), 64);
        for (i, point) in points.iter().enumerate() {
            assert!((1e-5..=1e-2).contains(&real(point, "optimizer.lr")));
            assert!((0.0..=0.2).contains(&real(point, "augment.translate")));
            assert!((1..=8).contains(&point.values.get("batch_size").and_then(Value::as_integer).unwrap()));
            assert!(points[..i].iter().all(|other| other.values != point.values));
        }
        // A larger budget begins with the same points: raising it trains only new ones.
        assert_eq!(points[..20], proposed(&search(method, 20), 0, &[], &[]));
        let other = SearchSpec { seed: 1, ..search(method, 20) };
        assert_ne!(points[..20], proposed(&other, 0, &[], &[]));
    }
}

#[test]
fn sobol_is_evener_than_chance_and_each_range_is_filled_as_it_says() {
    let points = proposed(&search("sobol", 64), 0, &[], &[]);
    let counts = |cell: &dyn Fn(&Point) -> usize, cells: usize| {
        let mut counts = vec![0; cells];
        for point in &points {
            counts[cell(point).min(cells - 1)] += 1;
        }
        counts
    };
    // A scrambled Sobol sequence puts 64 points evenly into 8 equal cells of every key; rounding may move one.
    let log = counts(&|p| ((real(p, "optimizer.lr") / 1e-5).log10() / 3.0 * 8.0) as usize, 8);
    let uniform = counts(&|p| (real(p, "augment.translate") / 0.2 * 8.0) as usize, 8);
    let integer = counts(&|p| p.values.get("batch_size").and_then(Value::as_integer).unwrap() as usize - 1, 8);
    for counts in [log, uniform, integer] {
        assert!(counts.iter().all(|n| (7..=9).contains(n)), "{counts:?}");
    }
    let choice = counts(
        &|p| ["l1", "mse", "nll"].iter().position(|l| p.values.get("loss.name").unwrap().as_str() == Some(l)).unwrap(),
        3,
    );
    assert!(choice.iter().all(|n| (20..=23).contains(n)), "{choice:?}");
}

#[test]
fn numbers_are_short_and_stay_inside() {
    let uniform = Range::Uniform([0.0, 0.2]);
    assert_eq!(uniform.at(0.123_456), Value::Float(0.0247));
    assert_eq!(uniform.at(0.0), Value::Float(0.0));
    assert_eq!(Range::Uniform([0.12345, 0.5]).at(0.0), Value::Float(0.1235));
    assert_eq!(Range::Uniform([0.12345, 0.123_46]).at(0.999_999), Value::Float(0.123_46));
    assert_eq!(Range::Uniform([0.0, 1e6]).at(0.123_456), Value::Float(123_000.0));
    assert_eq!(Range::Log([1e-5, 1e-2]).at(0.5), Value::Float(0.000_316));
    assert_eq!(Range::Log([1e-5, 1e-2]).at(0.0), Value::Float(1e-5));
    assert_eq!(Range::Integer { ends: [-1, 1], step: 1 }.at(0.999_999), Value::Integer(1));
    assert_eq!(Range::Integer { ends: [-1, 1], step: 1 }.at(0.5), Value::Integer(0));
    let ends = |low, high| Range::Uniform([low, high]);
    for range in [ends(0.999_9, 1.000_1), ends(-1e-9, 1e-9), ends(-3e7, 1e9), Range::Log([0.999, 1.001])] {
        let values: std::collections::BTreeSet<String> =
            (0..3000).map(|i| range.at(f64::from(i) / 3000.0).to_string()).collect();
        assert!(values.len() >= 900, "{range:?} has {} values", values.len());
    }
}

#[test]
fn a_small_space_is_used_up_and_not_beyond() {
    let text = |budget: usize| {
        format!("method = \"random\"\nbudget = {budget}\nepochs = {{ integer = [1, 3] }}\nloss = {{ choice = [1, 2] }}")
    };
    assert_eq!(proposed(&parse(&text(6)).unwrap(), 0, &[], &[]).len(), 6);
    assert_eq!(proposed(&parse(&text(6).replace("random", "sobol")).unwrap(), 0, &[], &[]).len(), 6);
    let error = parse(&text(7)).unwrap_err();
    assert_eq!(error.location.as_deref(), Some("search.budget"));
    assert!(error.message.contains("only 6 different"), "{error}");
}

/// Cost with a bowl over learning rate and translation, and a step for the loss.
fn cost(point: &Point) -> f64 {
    let lr = (real(point, "optimizer.lr") / 1e-3).log10();
    let translate = (real(point, "augment.translate") - 0.05) / 0.1;
    lr * lr
        + translate * translate
        + if point.values.get("loss.name").unwrap().as_str() == Some("nll") { 0.0 } else { 1.0 }
}

fn all_rounds(search: &SearchSpec) -> Vec<Point> {
    let mut points = Vec::new();
    for round in 0.. {
        if points.len() == search.budget {
            break;
        }
        let costs: Vec<Option<f64>> = points.iter().map(|point| Some(cost(point))).collect();
        points.extend(proposed(search, round, &points, &costs));
    }
    points
}

#[test]
fn the_parzen_estimator_goes_in_rounds_and_comes_nearer_than_chance() {
    let best = |points: &[Point]| points.iter().map(cost).fold(f64::INFINITY, f64::min);
    let (mut nearer, mut results) = (0, Vec::new());
    for seed in 0..10 {
        let tpe = SearchSpec { seed, ..search("tpe", 50) };
        let points = all_rounds(&tpe);
        assert_eq!(points.len(), 50);
        assert_eq!(points, all_rounds(&tpe));
        assert_eq!((tpe.known(0), tpe.known(1), tpe.known(9), tpe.known(10), tpe.known(99)), (10, 14, 46, 50, 50));
        let random = proposed(&SearchSpec { seed, ..search("random", 50) }, 0, &[], &[]);
        results.push((best(&points), best(&random)));
        nearer += usize::from(best(&points) < best(&random));
        // It learns the choice: most later points have the better loss; by chance it would be a third.
        let right = points[10..].iter().filter(|p| p.values.get("loss.name").unwrap().as_str() == Some("nll")).count();
        assert!(right > 20, "{right} of 40");
    }
    assert!(nearer >= 8, "{results:?}");
}

#[test]
fn without_any_result_the_next_round_is_still_made() {
    let tpe = search("tpe", 20);
    let first = proposed(&tpe, 0, &[], &[]);
    assert_eq!(first.len(), 10);
    assert_eq!(proposed(&tpe, 1, &first, &[None; 10]).len(), 4);
}

#[test]
fn mistakes_name_their_key() {
    let head = "method = \"sobol\"\nbudget = 4\n";
    for (text, location, says) in [
        ("budget = 4", "search", "unknown or missing"),
        ("method = \"grid\"\nbudget = 4", "search.method", "unknown or missing"),
        ("method = \"sobol\"", "search", "no `budget`"),
        ("method = \"sobol\"\nbudget = 0", "search.budget", "budget = 0"),
        (head, "search", "varies 0 keys"),
        (&format!("{head}round = 2\nepochs = {{ integer = [1, 9] }}"), "search.round", "only tpe"),
        (&format!("{head}seed = -1\nepochs = {{ integer = [1, 9] }}"), "search.seed", "seed = -1"),
        (&format!("{head}epochs = 3"), "search.epochs", "no range"),
        (&format!("{head}epochs = {{ integer = [9, 1] }}"), "search.epochs", "9 is not below 1"),
        (&format!("{head}epochs = {{ integer = [1, 2.5] }}"), "search.epochs", "2.5 is not a whole number"),
        (&format!("{head}epochs = {{ integer = [1] }}"), "search.epochs", "has 1 values"),
        (&format!("{head}optimizer.lr = {{ log = [0, 1] }}"), "search.optimizer", "`optimizer.lr`: 0 has no logarithm"),
        (&format!("{head}loss = {{ choice = [1] }}"), "search.loss", "fewer than two"),
        (&format!("{head}loss = {{ choice = [1, 1] }}"), "search.loss", "1 twice"),
        (&format!("{head}loss = {{ uniform = [\"a\", 1] }}"), "search.loss", "not a number"),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.location.as_deref(), Some(location), "{text}");
        assert!(error.message.contains(says) && error.remedy.is_some(), "{text}: {error}");
    }
}
