//! Learning-rate schedules: pure functions of the progress of training.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};

/// Course of the learning rate; `optimizer.lr` is its base.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleSpec {
    /// The base throughout.
    Constant {
        /// Epochs of the initial rise in equal steps from near 0 to the base (Goyal et al. 2017).
        #[serde(default, skip_serializing_if = "is_zero")]
        warm_up: u32,
    },
    /// `torch.optim.lr_scheduler.CosineAnnealingLR`, stepped once per epoch; beyond `t_max` the rate rises again, as in
    /// PyTorch.
    Cosine {
        /// Epochs from the base to `eta_min`.
        t_max: u32,
        /// The least rate.
        #[serde(default)]
        eta_min: f64,
        /// Epochs in which the rate is multiplied by a factor that rises in equal steps from near 0 to 1.
        #[serde(default, skip_serializing_if = "is_zero")]
        warm_up: u32,
    },
    /// Cosine with warm-up restarts: in each cycle the rate climbs in equal steps from near `eta_min` to the base over
    /// `warm_up` epochs, then falls along a cosine; each cycle is `t_mult` times as long as the one before and peaks
    /// at `gamma` times its rate.
    CosineRestarts {
        /// Epochs of the first cycle, warm-up included.
        t_0: u32,
        /// Growth of the cycles.
        #[serde(default = "unit")]
        t_mult: u32,
        /// Epochs of the rise in each cycle.
        #[serde(default)]
        warm_up: u32,
        /// The least rate.
        #[serde(default)]
        eta_min: f64,
        /// Factor of the peak from cycle to cycle.
        #[serde(default = "same")]
        gamma: f64,
    },
    /// `torch.optim.lr_scheduler.OneCycleLR` with cosine annealing, stepped every step: from base/25 up to the base
    /// over the first `warm_up` of all steps, then down to base/250 000.
    OneCycle {
        /// Share of the steps in which the rate rises.
        #[serde(default = "third")]
        warm_up: f64,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}
fn unit() -> u32 {
    1
}
fn same() -> f64 {
    1.0
}
fn third() -> f64 {
    0.3
}

/// Progress of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Epochs finished.
    pub epoch: u32,
    /// Steps finished in all epochs.
    pub step: u64,
    /// Steps of all epochs.
    pub steps: u64,
    /// Steps of one epoch.
    pub steps_per_epoch: u64,
}

impl Progress {
    /// Factor of the next step's rate during a warm-up of so many epochs.
    fn warmed(self, epochs: u32) -> f64 {
        let steps = u64::from(epochs) * self.steps_per_epoch;
        if self.step < steps { (self.step + 1) as f64 / steps as f64 } else { 1.0 }
    }
}

impl ScheduleSpec {
    /// # Errors
    /// Names the key whose value is impossible.
    pub fn check(&self) -> Result<()> {
        let wrong = |key: &str, what: String, right: &str| Err(Error::definition(what).at(key).remedy(right));
        match *self {
            Self::Cosine { t_max: 0, .. } => wrong("t_max", "t_max is 0".into(), "use the number of epochs or more"),
            Self::CosineRestarts { t_0: 0, .. } => wrong("t_0", "t_0 is 0".into(), "use at least 1 epoch"),
            Self::CosineRestarts { t_mult: 0, .. } => wrong("t_mult", "t_mult is 0".into(), "use 1 or more"),
            Self::CosineRestarts { t_0, warm_up, .. } if warm_up >= t_0 => wrong(
                "warm_up",
                format!("warm_up of {warm_up} epochs leaves nothing of a cycle of {t_0}"),
                "use less than t_0",
            ),
            Self::Cosine { eta_min, .. } | Self::CosineRestarts { eta_min, .. }
                if !(eta_min.is_finite() && eta_min >= 0.0) =>
            {
                wrong("eta_min", format!("eta_min is {eta_min}"), "use 0 or a small positive rate")
            }
            Self::CosineRestarts { gamma, .. } if !(gamma.is_finite() && gamma > 0.0) => {
                wrong("gamma", format!("gamma is {gamma}"), "use a positive number, for example 0.5")
            }
            Self::OneCycle { warm_up } if !(warm_up > 0.0 && warm_up < 1.0) => {
                wrong("warm_up", format!("warm_up is {warm_up}"), "use a share between 0 and 1, for example 0.3")
            }
            Self::Constant { .. } | Self::Cosine { .. } | Self::CosineRestarts { .. } | Self::OneCycle { .. } => Ok(()),
        }
    }

    /// The rate of the next step.
    #[must_use]
    pub fn lr(&self, base: f64, progress: Progress) -> f64 {
        match *self {
            Self::Constant { warm_up } => base * progress.warmed(warm_up),
            Self::Cosine { t_max, eta_min, warm_up } => {
                anneal(base, eta_min, f64::from(progress.epoch) / f64::from(t_max)) * progress.warmed(warm_up)
            }
            Self::CosineRestarts { t_0, t_mult, warm_up, eta_min, gamma } => {
                let (mut length, mut start, mut peak) = (u64::from(t_0), 0u64, base);
                while u64::from(progress.epoch) >= start + length {
                    start += length;
                    length = length.saturating_mul(u64::from(t_mult));
                    peak *= gamma;
                }
                let within = u64::from(progress.epoch) - start;
                let warm_up = u64::from(warm_up);
                if within < warm_up {
                    let steps = (warm_up * progress.steps_per_epoch) as f64;
                    let step = progress.step.saturating_sub(start * progress.steps_per_epoch) + 1;
                    eta_min + (peak - eta_min) * step as f64 / steps
                } else {
                    anneal(peak, eta_min, (within - warm_up) as f64 / (length - warm_up) as f64)
                }
            }
            Self::OneCycle { warm_up } => {
                let peak = warm_up * progress.steps as f64 - 1.0;
                let (step, last) = (progress.step as f64, progress.steps as f64 - 1.0);
                if step <= peak {
                    anneal(base / 25.0, base, if peak > 0.0 { step / peak } else { 1.0 })
                } else {
                    anneal(base, base / 25.0 / 1e4, (step - peak) / (last - peak).max(f64::MIN_POSITIVE))
                }
            }
        }
    }
}

examples!(ScheduleSpec {
    Self::Constant { .. } => Self::Constant { warm_up: 0 },
    Self::Cosine { .. } => Self::Cosine { t_max: 4, eta_min: 1e-6, warm_up: 1 },
    Self::CosineRestarts { .. } => {
        Self::CosineRestarts { t_0: 3, t_mult: 2, warm_up: 1, eta_min: 1e-6, gamma: 0.5 }
    },
    Self::OneCycle { .. } => Self::OneCycle { warm_up: 0.3 },
});

/// From `from` (0) to `to` (1) along half a cosine.
fn anneal(from: f64, to: f64, progress: f64) -> f64 {
    to + (from - to) * (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(schedule: ScheduleSpec, base: f64, count: u32) -> Vec<f64> {
        let at = |epoch: u32| Progress { epoch, step: u64::from(epoch), steps: u64::from(count), steps_per_epoch: 1 };
        (0..count).map(|epoch| schedule.lr(base, at(epoch))).collect()
    }

    fn close(ours: &[f64], theirs: &[f64]) {
        assert_eq!(ours.len(), theirs.len());
        for (a, b) in ours.iter().zip(theirs) {
            assert!((a - b).abs() < 1e-12, "{ours:?} against {theirs:?}");
        }
    }

    #[test]
    fn cosine_is_pytorchs_beyond_t_max_too() {
        // torch 2.15: CosineAnnealingLR(SGD(lr=1.0), T_max=4, eta_min=0.1), eleven epochs.
        let theirs = [
            1.0,
            0.868_198_051_533_946_4,
            0.55,
            0.231_801_948_466_053_7,
            0.1,
            0.231_801_948_466_053_6,
            0.55,
            0.868_198_051_533_946_7,
            1.0,
            0.868_198_051_533_946_8,
            0.55,
        ];
        close(&epochs(ScheduleSpec::Cosine { t_max: 4, eta_min: 0.1, warm_up: 0 }, 1.0, 11), &theirs);
    }

    #[test]
    fn one_cycle_is_pytorchs() {
        // torch 2.15: OneCycleLR(AdamW(lr=1.0), max_lr=1.0, total_steps=10).
        let theirs = [
            0.04,
            0.52,
            1.0,
            0.950_484_632_013_473_7,
            0.811_745_653_949_763_1,
            0.611_262_021_936_289_3,
            0.388_741_978_063_710_75,
            0.188_258_346_050_236_97,
            0.049_519_367_986_526_29,
            4e-6,
        ];
        let cycle = ScheduleSpec::OneCycle { warm_up: 0.3 };
        let ours: Vec<f64> =
            (0..10).map(|step| cycle.lr(1.0, Progress { epoch: 0, step, steps: 10, steps_per_epoch: 10 })).collect();
        close(&ours, &theirs);
    }

    #[test]
    fn a_warm_up_climbs_step_by_step() {
        let at = |schedule: ScheduleSpec, step: u64| {
            schedule.lr(1.0, Progress { epoch: (step / 3) as u32, step, steps: 30, steps_per_epoch: 3 })
        };
        // torch 2.15: LinearLR(start_factor = 1/6, total_iters = 5), stepped every step.
        let theirs = [1.0 / 6.0, 2.0 / 6.0, 0.5, 4.0 / 6.0, 5.0 / 6.0, 1.0, 1.0];
        let constant = ScheduleSpec::Constant { warm_up: 2 };
        close(&(0..7).map(|step| at(constant, step)).collect::<Vec<_>>(), &theirs);
        let cosine = |warm_up| ScheduleSpec::Cosine { t_max: 10, eta_min: 0.0, warm_up };
        let shares: Vec<f64> = (0..7).map(|step| at(cosine(2), step) / at(cosine(0), step)).collect();
        close(&shares, &theirs);
    }

    #[test]
    fn restarts_climb_fall_and_shrink() {
        let schedule = ScheduleSpec::CosineRestarts { t_0: 4, t_mult: 2, warm_up: 2, eta_min: 0.0, gamma: 0.5 };
        // Twice as long as the first: two epochs up, six down, to half the rate.
        let third = 3f64.sqrt() / 2.0;
        let down = [1.0, 0.5 + third / 2.0, 0.75, 0.5, 0.25, 0.5 - third / 2.0];
        let second: Vec<f64> = [0.5, 1.0].into_iter().chain(down).map(|v| v * 0.5).collect();
        let all = [&[0.5, 1.0, 1.0, 0.5], second.as_slice(), &[0.125]].concat();
        close(&epochs(schedule, 1.0, 13), &all);
        // Within an epoch the rate climbs step by step, and no step of a cycle is made at nothing.
        let step =
            |step: u64| schedule.lr(1.0, Progress { epoch: (step / 5) as u32, step, steps: 60, steps_per_epoch: 5 });
        close(&(20..24).map(step).collect::<Vec<_>>(), &[0.05, 0.1, 0.15, 0.2]);
    }
}
