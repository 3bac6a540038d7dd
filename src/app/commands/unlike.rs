//! Warnings of `predict` and `eval` about images that are unlike those of the training.

use serde_json::{Value, json};
use sweep_core::note;

use sweep_analysis::format::counted;
use sweep_training::out_of_distribution::Judgement;
use sweep_training::predict::Predictor;

/// As many images of an evaluation are named.
const NAMED: usize = 5;

/// Warnings about images that are unlike those of the training, and their number.
pub(super) struct UnlikeImages {
    /// Images are named until there are more than these.
    named: usize,
    judged: usize,
    unlike: usize,
    false_alarm_rate: f64,
}

impl UnlikeImages {
    /// For images of which each is named.
    pub(super) fn all_named(predictor: &Predictor) -> Self {
        Self::new(predictor, usize::MAX)
    }

    /// For a data set, of which a few images are named.
    pub(super) fn few_named(predictor: &Predictor) -> Self {
        Self::new(predictor, NAMED)
    }

    fn new(predictor: &Predictor, named: usize) -> Self {
        if let Some(why) = predictor.why_not_judged() {
            note!("note: images unlike those of the training are not pointed out: {why}");
        }
        Self { named, judged: 0, unlike: 0, false_alarm_rate: 0.0 }
    }

    /// Warns of an image if it is unlike.
    pub(super) fn add(&mut self, image: &str, judgement: Option<&Judgement>) {
        let Some(judgement) = judgement else { return };
        self.judged += 1;
        self.false_alarm_rate = self.false_alarm_rate.max(judgement.false_alarm_rate);
        if !judgement.unlike {
            return;
        }
        self.unlike += 1;
        if self.unlike <= self.named {
            let differs: Vec<&str> = judgement.differs.iter().map(|difference| difference.detail.as_str()).collect();
            note!(
                "warning: {image}: unlike the images that the network was trained on, so its landmarks may be wrong: {}",
                differs.join("; ")
            );
        }
    }

    /// Says how many there are, and how many warnings to expect of images like those of the training.
    pub(super) fn conclude(&self) {
        if self.unlike > 0 {
            note!(
                "note: {} of {} unlike those of the training; of images like them, at most {:.1} % get this warning",
                self.unlike,
                counted(self.judged, "image"),
                100.0 * self.false_alarm_rate
            );
        }
    }

    /// The same for programs, with each image's judgement.
    pub(super) fn json(&self, images: &[(String, Option<Judgement>)]) -> Value {
        let image = |(name, judgement): &(String, Option<Judgement>)| {
            judgement
                .as_ref()
                .map(|j| json!({ "image": name, "unlike": j.unlike, "score": j.score, "p": j.p, "differs": j.differs }))
        };
        if self.judged == 0 {
            return Value::Null;
        }
        json!({
            "judged": self.judged,
            "unlike": self.unlike,
            "false_alarm_rate": self.false_alarm_rate,
            "images": images.iter().filter_map(image).collect::<Vec<_>>(),
        })
    }
}
