use super::*;
use crate::metric::METRICS;

fn record() -> EpochRecord {
    EpochRecord {
        trial: "l1-seed0-3f9a2c1b".into(),
        seed: 0,
        epoch: 1,
        train_loss: 1e-6,
        val_loss: f64::NAN,
        zero_loss: 0.035,
        train_mre_mm: 1.0,
        val_mre_mm: 2.0,
        val_mre_px: 3.0,
        val_sd_mm: 4.0,
        val_median_mm: 5.0,
        val_p95_mm: 6.0,
        val_sdr_2mm: 7.0,
        val_sdr_2_5mm: 8.0,
        val_sdr_3mm: 9.0,
        val_sdr_4mm: 10.0,
        lr: 3e-4,
        images_per_second: 11.0,
        seconds: 12.0,
        train_mre_px: 13.0,
        val_sd_px: 14.0,
        val_median_px: 15.0,
        val_p95_px: 16.0,
        val_sdr_2px: 17.0,
        val_sdr_4px: 18.0,
        val_sdr_8px: 19.0,
        val_sdr_16px: 20.0,
        val_nme: 21.0,
        val_pck_05: 22.0,
        val_pck_10: 23.0,
        val_pck_20: 24.0,
    }
}

#[test]
fn header_is_the_one_users_rely_on() {
    let mut out = Vec::new();
    write_csv(&[record()], true, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        "trial,seed,epoch,train_loss,val_loss,zero_loss,train_mre_mm,val_mre_mm,val_mre_px,val_sd_mm,\
         val_median_mm,val_p95_mm,val_sdr_2mm,val_sdr_2_5mm,val_sdr_3mm,val_sdr_4mm,lr,images_per_second,seconds,\
         train_mre_px,val_sd_px,val_median_px,val_p95_px,val_sdr_2px,val_sdr_4px,val_sdr_8px,val_sdr_16px,\
         val_nme,val_pck_05,val_pck_10,val_pck_20"
    );
    assert!(text.contains(",nan,"));
}

#[test]
fn landmarks_of_before_confidence_are_read() {
    let header = "trial,seed,epoch,selected,image,landmark,x_true,y_true,x_pred,y_pred,error_px,error_mm";
    let old = format!("{header}\nt,0,3,best-error,1.png,sella,1,2,3,4,5,6\n");
    let rows: Vec<LandmarkRecord> = read_csv(old.as_bytes()).unwrap();
    assert!(rows[0].confidence.is_nan() && (rows[0].error_mm - 6.0).abs() < 1e-12);
    let mut out = Vec::new();
    write_csv(&rows, true, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().next().unwrap(), format!("{header},confidence,reference_px,spacing_x_mm,spacing_y_mm"));
    assert!(text.lines().nth(1).unwrap().ends_with(",nan"));
    assert!(read_csv::<LandmarkRecord>(text.as_bytes()).unwrap()[0].confidence.is_nan());
}

#[test]
fn epochs_of_before_pixels_are_read() {
    let old = "trial,seed,epoch,train_loss,val_loss,zero_loss,train_mre_mm,val_mre_mm,val_mre_px,val_sd_mm,\
               val_median_mm,val_p95_mm,val_sdr_2mm,val_sdr_2_5mm,val_sdr_3mm,val_sdr_4mm,lr,images_per_second,seconds\n\
               t,0,1,1,1,1,2,3,30,1,1,1,1,1,1,1,1,1,1\n";
    let rows: Vec<EpochRecord> = read_csv(old.as_bytes()).unwrap();
    assert!((rows[0].mre() - 3.0).abs() < 1e-12 && rows[0].val_nme.is_nan() && rows[0].val_sdr_2px.is_nan());
    for metric in METRICS.iter().filter(|metric| (metric.value)(&rows[0]).is_nan()) {
        assert!(!metric.is_known(&rows[0]), "{} is not `optional`: older files lack it", metric.column);
    }
}

#[test]
fn millimetres_that_are_not_known_are_empty_cells() {
    let nan = f64::NAN;
    let unknown = EpochRecord { train_mre_mm: nan, val_mre_mm: nan, val_sd_mm: nan, val_sdr_2mm: nan, ..record() };
    let mut out = Vec::new();
    write_csv_in(ErrorUnit::Pixels, std::slice::from_ref(&unknown), true, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text.lines().nth(1).unwrap(),
        "l1-seed0-3f9a2c1b,0,1,1e-6,nan,0.035,,,3.0,,,,,,,,0.0003,11.0,12.0,\
        13.0,14.0,15.0,16.0,17.0,18.0,19.0,20.0,21.0,22.0,23.0,24.0"
    );
    let back = &read_csv::<EpochRecord>(text.as_bytes()).unwrap()[0];
    assert_eq!(back.unit(), Some(ErrorUnit::Pixels));
    let errors = [back.mre(), back.train_mre(), back.sd(), back.sdr()[3]];
    assert_eq!(errors.map(f64::to_bits), [3.0f64, 13.0, 14.0, 20.0].map(f64::to_bits));
    let mut same = Vec::new();
    write_csv_in(ErrorUnit::Millimetres, &[record()], true, &mut same).unwrap();
    let mut plain = Vec::new();
    write_csv(&[record()], true, &mut plain).unwrap();
    assert_eq!(same, plain);
}

#[test]
fn tables_stand_below_one_another_under_their_names() {
    let rows = [record(), record()];
    let (mut plain, mut named) = (Vec::new(), Vec::new());
    write_csv(&rows, true, &mut plain).unwrap();
    let tables: [(&str, &[EpochRecord]); 3] = [("none", &[]), ("a, b", &rows[..1]), ("c", &rows)];
    write_named_csv_in(ErrorUnit::Millimetres, "shift", &tables, &mut named).unwrap();
    let [plain, named] = [plain, named].map(|bytes| String::from_utf8(bytes).unwrap());
    let mut lines = plain.lines();
    let (header, row) = (lines.next().unwrap(), lines.next().unwrap());
    let expected = [format!("shift,{header}"), format!("\"a, b\",{row}"), format!("c,{row}"), format!("c,{row}")];
    assert_eq!(named.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn rows_survive_the_round_trip() {
    let mut out = Vec::new();
    write_csv(&[record()], true, &mut out).unwrap();
    let back: Vec<EpochRecord> = read_csv(out.as_slice()).unwrap();
    assert!(back[0].val_loss.is_nan());
    assert_eq!(EpochRecord { val_loss: 0.0, ..back[0].clone() }, EpochRecord { val_loss: 0.0, ..record() });
}

#[test]
fn values_outside_their_domain_are_refused_with_line_and_column() {
    let mut out = Vec::new();
    write_csv(&[record(), record()], true, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let with = |column: &str, value: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut cells: Vec<&str> = lines[2].split(',').collect();
        cells[header.iter().position(|name| *name == column).unwrap()] = value;
        lines[2] = cells.join(",");
        lines.join("\n") + "\n"
    };
    for (column, value) in [
        ("train_loss", "1e305"),
        ("val_loss", "1e-300"),
        ("zero_loss", "-1e101"),
        ("val_mre_mm", "1e300"),
        ("val_mre_px", "-1"),
        ("val_sdr_2mm", "101"),
        ("val_sdr_16px", "-3"),
        ("lr", "-1"),
        ("epoch", "0"),
        ("epoch", "4294967295"),
    ] {
        let error = read_csv::<EpochRecord>(with(column, value).as_bytes()).unwrap_err();
        assert_eq!(error.location.unwrap(), format!("line 3, column {column}"), "{value}");
        let (rows, error) = read_csv_start::<EpochRecord>(with(column, value).as_bytes());
        assert!(rows.len() == 1 && error.is_some());
    }
    for (column, value) in [("train_loss", "inf"), ("val_loss", "nan"), ("zero_loss", "-1e99"), ("val_sdr_2mm", "100")]
    {
        assert_eq!(read_csv::<EpochRecord>(with(column, value).as_bytes()).unwrap().len(), 2, "{column} {value}");
    }
    // No metric is left out: none is a negative number of this size.
    for metric in &METRICS {
        let error = read_csv::<EpochRecord>(with(metric.column, "-1e300").as_bytes()).unwrap_err();
        assert_eq!(error.location.unwrap(), format!("line 3, column {}", metric.column));
    }
    let landmarks = "trial,seed,epoch,selected,image,landmark,x_true,y_true,x_pred,y_pred,error_px,error_mm\n";
    let row = |error: &str, x: &str| format!("{landmarks}t,0,1,last,a.png,sella,{x},1,2,3,{error},1\n");
    assert_eq!(read_csv::<LandmarkRecord>(row("2", "1").as_bytes()).unwrap().len(), 1);
    for (text, column) in [(row("1e300", "1"), "error_px"), (row("-1", "1"), "error_px"), (row("1", "-1e13"), "x_true")]
    {
        let error = read_csv::<LandmarkRecord>(text.as_bytes()).unwrap_err();
        assert_eq!(error.location.unwrap(), format!("line 2, column {column}"));
    }
}
