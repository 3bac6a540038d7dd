//! A folder of results and requests about it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use tower::ServiceExt as _;

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::{EpochRecord, LandmarkRecord, Selection, State, TrialStatus};
use sweep_experiment::store::{Store, SweepFile, TrialFile};

use crate::guard::Guard;
use crate::pages::router;
use crate::records::Library;

/// Names that must stay names.
pub(super) const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";

/// A folder of results.
pub(super) struct Scene {
    pub(super) folder: tempfile::TempDir,
}

/// An answer.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

pub(super) fn epoch(trial: &str, number: u32, mre: f64) -> EpochRecord {
    let header = "trial,seed,epoch,train_loss,val_loss,zero_loss,train_mre_mm,val_mre_mm,val_mre_px,val_sd_mm,\
                  val_median_mm,val_p95_mm,val_sdr_2mm,val_sdr_2_5mm,val_sdr_3mm,val_sdr_4mm,lr,images_per_second,seconds";
    let row = format!("{trial},0,{number},0.5,0.25,1,{mre},{mre},{mre},1,1,1,50,60,70,80,0.001,10,2");
    sweep_experiment::records::read_csv::<EpochRecord>(format!("{header}\n{row}\n").as_bytes()).unwrap().remove(0)
}

impl Scene {
    /// A folder with a sweep `tiny` of two losses and two seeds; all but the last trial are done.
    pub(super) fn new() -> Self {
        let scene = Self::empty();
        scene.sweep("tiny", &["l1", HOSTILE]);
        scene
    }

    pub(super) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn store(&self, name: &str) -> Store {
        Store::new(self.folder.path(), name)
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a sweep with a trial per loss and seed.
    pub(super) fn sweep(&self, name: &str, losses: &[&str]) {
        let store = self.store(name);
        let points: Vec<(usize, u64)> = (0..losses.len()).flat_map(|loss| [(loss, 0), (loss, 1)]).collect();
        let ids: Vec<String> = points.iter().map(|(loss, seed)| format!("t{loss}-seed{seed}")).collect();
        let file = SweepFile {
            name: format!("{name} {HOSTILE}"),
            question: Some(format!("Which {HOSTILE}?")),
            claims: None,
            seeds: vec![0, 1],
            trials: ids.clone(),
            provenance: toml::Table::from_iter([("host".to_owned(), HOSTILE.into())]),
            definition: format!("name = '{name}' # {HOSTILE}\n"),
        };
        store.write_sweep_file(&file).unwrap();
        for (at, (id, (loss, seed))) in ids.iter().zip(points).enumerate() {
            let trial = store.trial(id);
            trial.begin(about(id, losses[loss], seed)).unwrap();
            let is_last = at + 1 == ids.len();
            for number in 1..=3 {
                trial.append_epoch(&epoch(id, number, 3.0 - 0.5 * f64::from(number) + 0.2 * loss as f64)).unwrap();
            }
            trial.write_landmarks(&landmarks(id, loss as f64)).unwrap();
            trial.log(&format!("epoch 3 {HOSTILE}")).unwrap();
            let state = if is_last { State::Failed } else { State::Done };
            let message = is_last.then(|| format!("out of {HOSTILE}"));
            let status = TrialStatus {
                state,
                epoch: 3,
                epochs: 3,
                message,
                host: HOSTILE.to_owned(),
                ..TrialStatus::pending(id)
            };
            trial.write_status(&status).unwrap();
        }
    }

    pub(super) fn router(&self) -> Router {
        self.guarded(None, false)
    }

    pub(super) fn guarded(&self, token: Option<&str>, control: bool) -> Router {
        let library: Arc<Library> = Library::open(self.folder.path()).unwrap();
        router(&library, Guard::new("127.0.0.1".parse().unwrap(), "lab", token), control)
    }
}

fn about(id: &str, loss: &str, seed: u64) -> TrialFile {
    let config = toml::Table::from_iter([
        ("seed".to_owned(), seed.cast_signed().into()),
        ("loss".to_owned(), toml::Table::from_iter([("name".to_owned(), loss.into())]).into()),
    ]);
    let text = format!("trial = '{id}'\ndataset_hash = 'a'\naxes = []\nconfig = {{ seed = 0 }}");
    let plain: TrialFile = toml::from_str(&text).unwrap();
    let axes = vec![("loss.name".to_owned(), loss.to_owned())];
    TrialFile { config, axes, unit: ErrorUnit::Millimetres, mean_shape_mre_mm: Some(8.0), ..plain }
}

fn landmarks(id: &str, shift: f64) -> Vec<LandmarkRecord> {
    let row = |selected: Selection, image: u32, landmark: &str| LandmarkRecord {
        trial: id.to_owned(),
        seed: 0,
        epoch: 3,
        selected,
        image: format!("{image}{HOSTILE}.png"),
        landmark: landmark.to_owned(),
        x_true: 10.0 * f64::from(image),
        y_true: 20.0,
        x_pred: 10.0 * f64::from(image) + 1.0 + shift,
        y_pred: 20.0,
        error_px: 1.0 + shift + 0.1 * f64::from(image),
        error_mm: 1.0 + shift + 0.1 * f64::from(image),
        confidence: f64::NAN,
        reference_px: f64::NAN,
        spacing_x_mm: f64::NAN,
        spacing_y_mm: f64::NAN,
    };
    let of = |selected| (1..6).flat_map(move |image| [row(selected, image, "sella"), row(selected, image, HOSTILE)]);
    [Selection::BestError, Selection::BestLoss, Selection::Last].into_iter().flat_map(of).collect()
}

/// Runs requests; each test has a runtime of its own.
pub(super) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

pub(super) async fn send(router: &Router, request: Request<Body>) -> Answered {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 64 << 20).await.unwrap();
    Answered { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
}

pub(super) fn request(path: &str) -> Request<Body> {
    Request::get(path).header("host", "localhost:8765").body(Body::empty()).unwrap()
}

pub(super) async fn get(router: &Router, path: &str) -> Answered {
    send(router, request(path)).await
}

/// The page, once it is as wanted; records are read in a thread of their own.
pub(super) async fn eventually(router: &Router, path: &str, is_there: impl Fn(&str) -> bool) -> String {
    let start = Instant::now();
    loop {
        let answered = get(router, path).await;
        if is_there(&answered.text) {
            return answered.text;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{path}: {}", answered.text);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
