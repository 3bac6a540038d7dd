//! Which of candle's operations made a gradient wrong.
//!
//! candle records the operations of a pass, but shows only their results. So an operation is recognised by its values: a map is
//! the enlarged or pooled one of another before it if candle makes exactly these numbers from that. A wrong operation spoils the
//! gradients of all parameters before it, and of no other. So those operations are at fault before which no parameter has the
//! right gradient.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;

use candle_core::{Result, Tensor, TensorId, Var};

use sweep_core::error::{Error, Kind};

/// Most parameters that an error names.
const SHOWN: usize = 4;

/// A parameter whose derivative along some direction is wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mismatch {
    /// Its name.
    pub(super) parameter: String,
    /// The derivative by candle; `None` where it has no gradient.
    pub(super) gradient: Option<f64>,
    /// The derivative by central differences.
    pub(super) difference: f64,
}

/// What candle recorded of a pass.
pub(super) struct Recording {
    /// The result.
    pub(super) maps: Tensor,
    /// Results of this program's own operations.
    pub(super) ours: Vec<TensorId>,
    /// The trained parameters.
    pub(super) variables: Vec<(String, Var)>,
}

/// One of candle's operations with a wrong gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    MaxPool2d,
    AvgPool2d,
    UpsampleNearest2d,
}

impl Operation {
    const ALL: [Self; 3] = [Self::MaxPool2d, Self::AvgPool2d, Self::UpsampleNearest2d];

    fn name(self) -> &'static str {
        match self {
            Self::MaxPool2d => "max_pool2d",
            Self::AvgPool2d => "avg_pool2d",
            Self::UpsampleNearest2d => "upsample_nearest2d",
        }
    }

    fn mistake(self) -> &'static str {
        match self {
            Self::MaxPool2d => "whose gradient is too small",
            Self::AvgPool2d => "whose gradient is wrong where the window does not divide the map",
            Self::UpsampleNearest2d => "which overwrites the gradient that its input has from elsewhere",
        }
    }

    /// Whether candle makes these numbers from the numbers before.
    fn makes(self, result: &Tensor, before: &Tensor) -> Result<bool> {
        let (Ok((a, b, height, width)), Ok((c, d, h, w))) = (result.dims4(), before.dims4()) else { return Ok(false) };
        if (a, b) != (c, d) || result.dtype() != before.dtype() {
            return Ok(false);
        }
        let is_made = |made: Tensor| same(&made, result);
        match self {
            Self::UpsampleNearest2d if height >= h && width >= w && (height, width) != (h, w) => {
                is_made(before.upsample_nearest2d(height, width)?)
            }
            Self::MaxPool2d | Self::AvgPool2d if height < h && width < w => {
                for kernel in 2..=h.min(w) {
                    if [(h, height), (w, width)].iter().any(|(from, to)| (from - kernel) / kernel + 1 != *to) {
                        continue;
                    }
                    let pooled =
                        if self == Self::MaxPool2d { before.max_pool2d(kernel) } else { before.avg_pool2d(kernel) };
                    if is_made(pooled?)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => Ok(false),
        }
    }
}

fn same(a: &Tensor, b: &Tensor) -> Result<bool> {
    Ok(a.dims() == b.dims() && a.ne(b)?.to_dtype(candle_core::DType::F32)?.sum_all()?.to_scalar::<f32>()? <= 0.0)
}

/// The operations that explain the wrong gradients, each with the shapes of a map before and after.
fn guilty(recording: &Recording, wrong: &[Mismatch], right: &BTreeSet<&str>) -> BTreeMap<Operation, [Vec<usize>; 2]> {
    let ours: HashSet<TensorId> = recording.ours.iter().copied().collect();
    let mut found = BTreeMap::new();
    for result in recording.maps.sorted_nodes() {
        if result.is_variable() || result.rank() != 4 || ours.contains(&result.id()) {
            continue;
        }
        let before = result.sorted_nodes();
        let ids: HashSet<TensorId> = before.iter().map(|tensor| tensor.id()).collect();
        let are_before =
            |name: &str| recording.variables.iter().any(|(n, variable)| n == name && ids.contains(&variable.id()));
        if right.iter().any(|name| are_before(name)) || !wrong.iter().any(|wrong| are_before(&wrong.parameter)) {
            continue;
        }
        let value = result.detach();
        // A copy of what one of our operations made.
        let is_copy = |tensor: &&&Tensor| ours.contains(&tensor.id());
        if before.iter().filter(is_copy).any(|made| same(&made.detach(), &value).unwrap_or(false)) {
            continue;
        }
        for operation in Operation::ALL {
            let argument =
                before.iter().skip(1).find(|tensor| operation.makes(&value, &tensor.detach()).unwrap_or(false));
            if let Some(argument) = argument {
                found.entry(operation).or_insert([argument.dims().to_vec(), value.dims().to_vec()]);
            }
        }
    }
    found
}

/// The error for these wrong gradients.
pub(super) fn error(kind: &str, mismatches: &[Mismatch], right: &BTreeSet<&str>, recording: &Recording) -> Error {
    let shown = mismatches.iter().take(SHOWN).map(|Mismatch { parameter, gradient, difference }| {
        let gradient = gradient.map_or_else(|| "none".to_owned(), |gradient| format!("{gradient:.4e}"));
        format!("`{parameter}` (derivative {gradient}, by central differences {difference:.4e})")
    });
    let mut what = format!(
        "candle's gradients of the network `{kind}` are wrong for {} of {} parameters: {}",
        mismatches.len(),
        recording.variables.len(),
        shown.collect::<Vec<_>>().join(", ")
    );
    if mismatches.len() > SHOWN {
        let _ = write!(what, " and {} more", mismatches.len() - SHOWN);
    }
    let guilty = guilty(recording, mismatches, right);
    if guilty.is_empty() {
        let none = mismatches.iter().any(|mismatch| mismatch.gradient.is_none());
        let none = if none { "; a tensor on the way to the output passes no gradient on" } else { "" };
        let right = right.first().map_or_else(String::new, |name| format!("; `{name}` has the right one"));
        return Error::new(Kind::Computation, format!("{what}{none}{right}")).remedy(
            "look at the operations between these parameters and the output: detach no tensor; use candle_nn::ops::softmax, \
             layer_norm_slow and rms_norm_slow, not softmax_last_dim, layer_norm (by which LayerNorm runs on contiguous tensors) \
             and rms_norm, which candle does not differentiate; and landmark_sweep::candle_ops where it has the operation. \
             CandleNetwork::is_trained names parameters that are not meant to be trained. model.check_gradients = false \
             trains without the check",
        );
    }
    let operations = guilty.iter().map(|(operation, [from, to])| {
        format!("candle's {} of {from:?} to {to:?}, {}", operation.name(), operation.mistake())
    });
    let right: Vec<String> =
        guilty.keys().map(|operation| format!("landmark_sweep::candle_ops::{}", operation.name())).collect();
    Error::new(Kind::Computation, format!("{what}; the cause is {}", operations.collect::<Vec<_>>().join(", and ")))
        .remedy(format!("use {} in its place, which has the right gradient", right.join(" and ")))
}

/// What to use in the place of an operation that candle cannot differentiate, by candle's error.
pub(super) fn remedy_for(error: &str) -> Option<&'static str> {
    let known = [
        ("maxpool2d", "use landmark_sweep::candle_ops::max_pool2d_with_stride in the place of candle's"),
        (
            "avgpool2d",
            "candle differentiates no avg_pool2d whose windows overlap: use landmark_sweep::candle_ops::avg_pool2d",
        ),
        ("upsample_bilinear2d", "use landmark_sweep::candle_ops::upsample_bilinear2d in the place of candle's"),
        ("upscaling factors", "use landmark_sweep::candle_ops::upsample_nearest2d in the place of candle's"),
        ("conv-transpose1d", "use conv_transpose2d on a map of height 1"),
        (
            "shape mismatch in add",
            "candle's gradient of a convolution with a stride needs the same remainder in height and width: use an input \
             whose height and width are multiples of the network's whole reduction, such as 32",
        ),
    ];
    known.into_iter().find(|(operation, _)| error.contains(operation)).map(|(_, remedy)| remedy)
}
