//! Predictions of a trial on validation images, worst first, and drawn on an image.

use std::collections::BTreeMap;
use std::io::Cursor;

use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, GenericImageView as _};
use minijinja::context;
use serde::Serialize;

use sweep_analysis::format::mm;
use sweep_analysis::shown_images::{picture as read_picture, picture_size};
use sweep_core::error::{Error, Result};
use sweep_experiment::records::{LandmarkRecord, Selection};
use sweep_experiment::store::TrialStore;

use super::{Answer, Parameters, Refusal, Shared, apart, events_address, seen, sweep_address, trial_address};
use crate::address::{Address, encoded};

const PARAMETERS: [&str; 3] = ["image", "at", "by"];
/// Longest side of a picture that is sent, pixels.
const LONGEST: u32 = 1600;
/// Quality of its JPEG, per cent.
const QUALITY: u8 = 88;
/// Most single errors in their list.
const MOST_ERRORS: usize = 100;

/// A row of one of the three lists.
#[derive(Debug, Serialize)]
struct Ranked {
    name: String,
    href: Option<String>,
    error: String,
    worst: String,
    count: usize,
    has_picture: bool,
}

/// A landmark on the drawing, in pixels of the image.
#[derive(Debug, Serialize)]
struct Mark {
    name: String,
    truth: [f64; 2],
    predicted: [f64; 2],
    error: String,
    /// Whether it is among the worst tenth of the trial.
    is_bad: bool,
}

/// Which epoch's predictions an address asks for.
fn selection(address: &Address) -> (Selection, &'static str) {
    match address.get("at") {
        Some("best-loss") => (Selection::BestLoss, "best-loss"),
        Some("last") => (Selection::Last, "last"),
        _ => (Selection::BestError, "best-error"),
    }
}

fn rows(folder: &TrialStore, selection: Selection) -> Result<Vec<LandmarkRecord>> {
    let mut rows = folder.landmarks()?;
    rows.retain(|row| row.selected == selection && row.error().is_finite());
    Ok(rows)
}

/// Mean errors by a name, largest first: name, mean, largest, number.
fn ranked(rows: &[LandmarkRecord], by: impl Fn(&LandmarkRecord) -> &str) -> Vec<(String, f64, f64, usize)> {
    let mut of: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for row in rows {
        of.entry(by(row)).or_default().push(row.error());
    }
    let one = |(name, errors): (&str, Vec<f64>)| {
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        (name.to_owned(), mean, errors.iter().copied().fold(0.0, f64::max), errors.len())
    };
    let mut all: Vec<_> = of.into_iter().map(one).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all
}

/// `/sweeps/SWEEP/trials/TRIAL/landmarks`.
pub(super) async fn page(
    State(app): Shared,
    Path((name, id)): Path<(String, String)>,
    Query(query): Parameters,
) -> Answer {
    let sweep = app.sweep(&name).await?;
    let trial = super::trial::find(&sweep, &id)?;
    let (store, unit) = (app.store(&name)?, trial.summary.unit.symbol());
    let address = Address::of(&query, &PARAMETERS);
    let (configuration, own) = (trial.configuration(), id.clone());
    let href = format!("{}/landmarks", trial_address(&name, &id));
    let picture = format!("{}/picture?image=", trial_address(&name, &id));
    let context = apart(move || -> Result<minijinja::Value> {
        let (at, at_name) = selection(&address);
        let folder = store.trial(&own);
        let rows = rows(&folder, at)?;
        let images = folder.trial_file().map(|file| file.images).unwrap_or_default();
        let by_image = ranked(&rows, |row| &row.image);
        // The worst image that can be seen comes first.
        let first = by_image.iter().find(|row| images.contains_key(&row.0)).or(by_image.first());
        let image = address.get("image").map(str::to_owned).or_else(|| Some(first?.0.clone()));
        let place = by_image.iter().position(|row| Some(&row.0) == image.as_ref());
        let beside = |step: isize| {
            let next = place?.checked_add_signed(step).and_then(|at| by_image.get(at))?;
            Some(address.with(&[("image", &next.0)]))
        };
        let list = |rows: Vec<(String, f64, f64, usize)>, links: bool| -> Vec<Ranked> {
            let one = |(name, mean, worst, count): (String, f64, f64, usize)| Ranked {
                href: links.then(|| address.with(&[("image", &name)])),
                has_picture: images.contains_key(&name),
                error: mm(mean),
                worst: mm(worst),
                count,
                name,
            };
            rows.into_iter().map(one).collect()
        };
        let mut errors: Vec<&LandmarkRecord> = rows.iter().collect();
        errors.sort_by(|a, b| b.error().total_cmp(&a.error()));
        let bad = errors.get(errors.len() / 10).map_or(f64::INFINITY, |row| row.error());
        let worst: Vec<(String, String, String, String)> = errors
            .iter()
            .take(MOST_ERRORS)
            .map(|row| {
                let href = address.with(&[("image", &row.image)]);
                (row.image.clone(), row.landmark.clone(), mm(row.error()), href)
            })
            .collect();
        let shown: Vec<&LandmarkRecord> = rows.iter().filter(|row| Some(&row.image) == image.as_ref()).collect();
        let size = image.as_ref().and_then(|image| picture_size(&store.images(), images.get(image)?));
        let drawn = size.map(|_| format!("{picture}{}", image.as_deref().map(encoded).unwrap_or_default()));
        Ok(context! {
            at => at_name,
            by => address.get("by").unwrap_or("image"),
            epoch => rows.first().map(|row| row.epoch),
            image,
            place => place.map(|place| place + 1),
            of => by_image.len(),
            previous => beside(-1),
            next => beside(1),
            links => seen(["image", "landmark", "error"].map(|by| (by, address.with(&[("by", by)])))),
            ats => seen(["best-error", "best-loss", "last"].map(|at| (at, address.with(&[("at", at)])))),
            marks => seen(marks(&shown, bad)),
            view => seen(size.map_or_else(|| around(&shown), |(width, height)| [0.0, 0.0, f64::from(width), f64::from(height)])),
            drawn,
            images => seen(list(by_image, true)),
            landmarks => seen(list(ranked(&rows, |row| &row.landmark), false)),
            worst => seen(worst),
            csv => format!("landmarks.csv{}", address.with(&[("by", ""), ("image", "")])),
        })
    })
    .await??;
    app.page(
        "landmarks.html",
        context! {
            name => sweep.name(),
            sweep_href => sweep_address(&name),
            trial_href => trial_address(&name, &id),
            href,
            id,
            configuration,
            unit,
            events => events_address(&sweep),
            ..context
        },
    )
}

fn marks(rows: &[&LandmarkRecord], bad: f64) -> Vec<Mark> {
    let place = |x: f64, y: f64| [x, y].map(|value| (value * 100.0).round() / 100.0);
    let mark = |row: &&LandmarkRecord| Mark {
        name: row.landmark.clone(),
        truth: place(row.x_true, row.y_true),
        predicted: place(row.x_pred, row.y_pred),
        error: mm(row.error()),
        is_bad: row.error() >= bad,
    };
    rows.iter().map(mark).collect()
}

/// The part of the plane that holds the landmarks, for an image that cannot be shown: left, top, width, height.
fn around(rows: &[&LandmarkRecord]) -> [f64; 4] {
    let ends = |values: Vec<f64>| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if low <= high { (low, (high - low).max(1.0)) } else { (0.0, 1.0) }
    };
    let (left, width) = ends(rows.iter().flat_map(|row| [row.x_true, row.x_pred]).collect());
    let (top, height) = ends(rows.iter().flat_map(|row| [row.y_true, row.y_pred]).collect());
    let margin = 0.06 * width.max(height);
    [left - margin, top - margin, width + 2.0 * margin, height + 2.0 * margin]
        .map(|value| (value * 10.0).round() / 10.0)
}

/// `/sweeps/SWEEP/trials/TRIAL/picture?image=NAME`: a validation image. It is decoded and written anew, so that the browser
/// receives a picture of ours and nothing that was hidden in a file.
pub(super) async fn picture(
    State(app): Shared,
    Path((name, id)): Path<(String, String)>,
    Query(query): Parameters,
) -> Answer {
    let sweep = app.sweep(&name).await?;
    let trial = super::trial::find(&sweep, &id)?.id().to_owned();
    let store = app.store(&name)?;
    let address = Address::of(&query, &PARAMETERS);
    let missing = || Refusal::Missing("There is no picture of this image in the folder of the sweep.".to_owned());
    let bytes = apart(move || -> Option<Result<Vec<u8>>> {
        let images = store.trial(&trial).trial_file().ok()?.images;
        let picture = read_picture(&store.images(), images.get(address.get("image")?)?)?;
        Some(jpeg(DynamicImage::ImageRgb8(picture)))
    })
    .await?
    .ok_or_else(missing)??;
    Ok(([("content-type", "image/jpeg"), ("cache-control", "private, max-age=600")], bytes).into_response())
}

fn jpeg(picture: DynamicImage) -> Result<Vec<u8>> {
    let (width, height) = picture.dimensions();
    let picture =
        if width.max(height) > LONGEST { picture.resize(LONGEST, LONGEST, FilterType::Triangle) } else { picture };
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))
        .map_err(|e| Error::results(format!("cannot write the picture: {e}")))?;
    Ok(bytes.into_inner())
}

/// `/sweeps/SWEEP/trials/TRIAL/landmarks.csv`.
pub(super) async fn csv(
    State(app): Shared,
    Path((name, id)): Path<(String, String)>,
    Query(query): Parameters,
) -> Answer {
    let sweep = app.sweep(&name).await?;
    let trial = super::trial::find(&sweep, &id)?.id().to_owned();
    let store = app.store(&name)?;
    let (at, _) = selection(&Address::of(&query, &PARAMETERS));
    let rows = apart(move || rows(&store.trial(&trial), at)).await??;
    let header = ["image", "landmark", "x_true", "y_true", "x_pred", "y_pred", "error_px", "error_mm"];
    let cells = rows.into_iter().map(|row| {
        let numbers = [row.x_true, row.y_true, row.x_pred, row.y_pred, row.error_px, row.error_mm];
        [row.image, row.landmark].into_iter().chain(numbers.map(|number| number.to_string())).collect()
    });
    super::csv::csv(&format!("{id}-landmarks"), &header, cells)
}
