use super::*;
use crate::records::{read_csv, write_csv};
use sweep_core::units::ErrorUnit;

fn record() -> EpochRecord {
    let columns: Vec<&str> = METRICS.iter().map(|metric| metric.column).collect();
    let values: Vec<String> = (0..METRICS.len()).map(|index| index.to_string()).collect();
    let text = format!("trial,seed,epoch,{}\nt,0,1,{}\n", columns.join(","), values.join(","));
    read_csv(text.as_bytes()).unwrap().remove(0)
}

#[test]
fn table_has_the_columns_of_epochs_csv_in_their_order() {
    let mut csv = Vec::new();
    write_csv(&[record()], true, &mut csv).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    let expected: Vec<&str> =
        ["trial", "seed", "epoch"].into_iter().chain(METRICS.iter().map(|metric| metric.column)).collect();
    assert_eq!(csv.lines().next().unwrap().split(',').collect::<Vec<_>>(), expected);
}

#[test]
fn accessors_read_their_own_columns() {
    for (index, metric) in METRICS.iter().enumerate() {
        assert_eq!((metric.value)(&record()).to_bits(), (index as f64).to_bits(), "{}", metric.column);
    }
}

#[test]
fn tags_of_tensorboard_stay() {
    let tags = |run| METRICS.iter().filter(|metric| metric.run == run).map(|metric| metric.tag).collect::<Vec<_>>();
    assert_eq!(tags(Run::Trial), ["optimizer/lr", "speed/images_per_second", "speed/seconds_per_epoch"]);
    assert_eq!(tags(Run::Train), ["loss", "landmark_error/mre_mm", "landmark_error/mre_px"]);
    assert_eq!(
        tags(Run::Val),
        [
            "loss",
            "loss/of_zeros",
            "landmark_error/mre_mm",
            "landmark_error/mre_px",
            "landmark_error/sd_mm",
            "landmark_error/median_mm",
            "landmark_error/p95_mm",
            "sdr/2mm",
            "sdr/2_5mm",
            "sdr/3mm",
            "sdr/4mm",
            "landmark_error/sd_px",
            "landmark_error/median_px",
            "landmark_error/p95_px",
            "sdr/2px",
            "sdr/4px",
            "sdr/8px",
            "sdr/16px",
            "landmark_error/nme",
            "pck/0.05",
            "pck/0.1",
            "pck/0.2"
        ]
    );
    let always = METRICS.iter().filter(|metric| !metric.needs_evaluation).map(|metric| metric.column);
    assert_eq!(always.collect::<Vec<_>>(), ["train_loss", "lr", "images_per_second", "seconds"]);
}

#[test]
fn objectives_keep_their_names_and_directions() {
    let names: Vec<&str> = Objective::all().map(Objective::name).collect();
    assert_eq!(
        names,
        ["mre_mm", "mre_px", "median_mm", "p95_mm", "sdr_2mm", "median_px", "p95_px", "nme", "pck", "last"]
    );
    assert_eq!(Objective::default().name(), "mre_mm");
    let default_in = |unit| Objective::default_in(unit).name();
    assert_eq!([ErrorUnit::Millimetres, ErrorUnit::Pixels].map(default_in), ["mre_mm", "mre_px"]);
    let epoch = record();
    let costs: Vec<f64> = Objective::all().map(|objective| objective.cost(&epoch)).collect();
    assert_eq!(
        costs[..5],
        [epoch.val_mre_mm, epoch.val_mre_px, epoch.val_median_mm, epoch.val_p95_mm, -epoch.val_sdr_2mm]
    );
    assert_eq!(costs[5..], [epoch.val_median_px, epoch.val_p95_px, epoch.val_nme, -epoch.val_pck_20, -1.0]);
    let later = EpochRecord { epoch: 7, ..record() };
    let last = Objective::from_name("last").unwrap();
    assert!(last.is_last() && last.cost(&later) < last.cost(&epoch), "a later epoch is better, whatever its errors");
    assert!(last.check_rules(&["early_stop"]).is_err() && last.check_rules(&[]).is_ok());
    assert!(Objective::default().check_rules(&["early_stop"]).is_ok());
    for objective in Objective::all() {
        let json = serde_json::to_string(&objective).unwrap();
        assert_eq!(json, format!("\"{}\"", objective.name()));
        assert_eq!(serde_json::from_str::<Objective>(&json).unwrap(), objective);
    }
    let error = serde_json::from_str::<Objective>("\"loss\"").unwrap_err().to_string();
    assert!(error.contains("expected one of `mre_mm`, `mre_px`, `median_mm`, `p95_mm`, `sdr_2mm`"), "{error}");
}

#[test]
fn an_objective_that_the_data_cannot_have_is_refused() {
    let check = |name: &str, unit, normalised| Objective::from_name(name).unwrap().check(unit, normalised);
    let (mm, px) = (ErrorUnit::Millimetres, ErrorUnit::Pixels);
    for (name, instead) in [("mre_mm", "\"mre_px\""), ("p95_mm", "\"p95_px\""), ("sdr_2mm", "\"mre_px\"")] {
        assert_eq!(check(name, mm, false), Ok(()));
        let remedy = check(name, px, true).unwrap_err().remedy.unwrap();
        assert!(remedy.contains(instead) && remedy.contains("spacing_mm"), "{remedy}");
    }
    for name in ["nme", "pck"] {
        assert_eq!((check(name, mm, true), check(name, px, true)), (Ok(()), Ok(())));
        assert!(check(name, mm, false).unwrap_err().remedy.unwrap().contains("[normalise]"));
    }
    assert_eq!((check("mre_px", mm, false), check("mre_px", px, false)), (Ok(()), Ok(())));
}
