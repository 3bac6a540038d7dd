//! Matches a file's tensors with a network's parameters.

use std::collections::{BTreeMap, BTreeSet};
use sweep_graph::tensors::TensorOperation as _;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Mismatched, StateDict, WeightsSpec};
use crate::networks::{Architecture, ModelSpec};
use sweep_core::error::{Error, Result};
use sweep_graph::params::ParamStore;
use sweep_graph::{Node, ParameterSpec, Role};

/// Most names shown in an error.
const SHOWN: usize = 8;

/// Result for every tensor of a file and every parameter of a network, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matching {
    /// Hash of the file's bytes.
    pub content: String,
    /// Parameters that start from the file.
    pub matched: Vec<String>,
    /// Those of them whose tensor reads colours while the network reads grey: the weights are summed over the colours,
    /// which gives the result of a grey image in every colour channel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub summed_over_colours: Vec<String>,
    /// Parameters that the file lacks: they start as without a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Tensors of the file, by its own names, that match no parameter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<String>,
    /// Parameters whose tensor has another shape, with both shapes: they start as without a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mismatched: Vec<String>,
}

impl Matching {
    /// Every list, one per line, for a log.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let lists = [
            ("matched", &self.matched),
            ("summed over colours", &self.summed_over_colours),
            ("missing in the file", &self.missing),
            ("unused of the file", &self.unused),
            ("of another shape", &self.mismatched),
        ];
        let full = lists.into_iter().filter(|(_, names)| !names.is_empty());
        full.map(|(what, names)| format!("weights {what} ({}): {}", names.len(), names.join(", "))).collect()
    }
}

/// Checks that a file fits a model of images of these channels for any number of landmarks, which is not known yet: shapes that depend on it may
/// differ.
///
/// # Errors
/// Same errors as [`matching`].
pub fn check(file: &StateDict, model: &ModelSpec, channels: usize) -> Result<()> {
    let Some(spec) = model.weights() else { return Ok(()) };
    let [one, two] = [model.architectures(channels, 1)?, model.architectures(channels, 2)?];
    let (_, mut matching) = matched(&WeightsSpec { mismatched: Mismatched::Skip, ..spec.clone() }, file, &one)?;
    let [one, two] = [one, two].map(|networks| networks.iter().flat_map(Architecture::parameters).collect::<Vec<_>>());
    let fixed: BTreeSet<&str> = one.iter().filter(|spec| two.contains(spec)).map(|spec| spec.name.as_str()).collect();
    matching.mismatched.retain(|line| line.split(' ').next().is_some_and(|name| fixed.contains(name)));
    refuse(spec, &matching)
}

/// Matches a file's tensors with the parameters of a model's networks.
///
/// # Errors
/// When no tensor matches, shapes differ and the specification does not allow it, or values are not finite.
pub fn matching(spec: &WeightsSpec, file: &StateDict, networks: &[Architecture]) -> Result<Matching> {
    Ok(matched(spec, file, networks)?.1)
}

/// Sets a network's parameters from a file's tensors. Returns their names.
///
/// # Errors
/// Same errors as [`matching`].
pub fn start(
    spec: &WeightsSpec,
    file: &StateDict,
    networks: &[Architecture],
    parameters: &ParamStore,
) -> Result<Vec<String>> {
    let mut all = parameters.named()?;
    let (found, matching) = matched(spec, file, networks)?;
    all.extend(found);
    parameters.load(&all)?;
    Ok(matching.matched)
}

/// A file's tensors by the names of the parameters.
fn matched(
    spec: &WeightsSpec,
    file: &StateDict,
    networks: &[Architecture],
) -> Result<(BTreeMap<String, Tensor>, Matching)> {
    let wanted: BTreeMap<String, ParameterSpec> =
        networks.iter().flat_map(Architecture::parameters).map(|spec| (spec.name.clone(), spec)).collect();
    let first: BTreeSet<String> = networks.iter().flat_map(first_weights).collect();
    let mut found = BTreeMap::new();
    let mut matching = Matching { content: file.content.clone(), ..Matching::default() };
    let others = file.others.iter().filter(|name| !name.ends_with("num_batches_tracked"));
    matching.unused.extend(others.cloned());
    for (own, tensor) in &file.tensors {
        let renamed = |prefix: &String| own.strip_prefix(&spec.strip).map(|rest| format!("{prefix}{rest}"));
        let parameters: Vec<_> =
            spec.prefix.all().iter().filter_map(renamed).filter_map(|name| wanted.get(&name)).collect();
        if parameters.is_empty() {
            matching.unused.push(own.clone());
        }
        for parameter in parameters {
            let name = parameter.name.clone();
            let (dims, shape) = (tensor.dims(), parameter.shape.as_slice());
            let taken = if dims == shape {
                tensor.clone()
            } else if is_grey(shape, dims) && first.contains(&name) {
                matching.summed_over_colours.push(name.clone());
                tensor.sum_keepdim(1).computed()?
            } else {
                matching.mismatched.push(format!("{name} {shape:?}, in the file {dims:?}"));
                continue;
            };
            check_values(own, &taken, parameter.role).map_err(|error| error.at(spec.path.display()))?;
            matching.matched.push(name.clone());
            found.insert(name, taken);
        }
    }
    matching.unused.sort();
    let is_missing = |name: &&String| !found.contains_key(*name);
    let differs = |name: &String| matching.mismatched.iter().any(|line| line.starts_with(&format!("{name} ")));
    matching.missing = wanted.keys().filter(is_missing).filter(|name| !differs(name)).cloned().collect();
    refuse(spec, &matching)?;
    if found.is_empty() && matching.mismatched.is_empty() {
        let what = format!(
            "not one tensor has the name of a parameter: the file has {}, the network {}",
            shown(&file.tensors.keys().cloned().collect::<Vec<_>>()),
            shown(&matching.missing)
        );
        let remedy = "set model.weights.prefix to what the network's names begin with and the file's do not, and weights.strip \
                      to what the file's begin with, as prefix = \"encoder.\"";
        return Err(Error::input(what).at(spec.path.display()).remedy(remedy));
    }
    Ok((found, matching))
}

/// Checks that numbers of the file are such that a parameter of this role can have them.
fn check_values(own: &str, values: &Tensor, role: Role) -> Result<()> {
    if !values.sum_all().computed()?.to_scalar::<f32>().computed()?.is_finite() {
        return Err(Error::input(format!("`{own}` holds values that are not finite")));
    }
    if role == Role::RunningVariance && values.min_all().computed()?.to_scalar::<f32>().computed()? < 0.0 {
        return Err(Error::input(format!("`{own}` holds a variance below zero")));
    }
    Ok(())
}

/// Checks that no shape differs, or that the specification allows it.
fn refuse(spec: &WeightsSpec, matching: &Matching) -> Result<()> {
    if matching.mismatched.is_empty() || spec.mismatched == Mismatched::Skip {
        return Ok(());
    }
    let what = format!("tensors are not of their parameters' shapes: {}", shown(&matching.mismatched));
    let remedy = "use the model's sizes as in the file, or model.weights.mismatched = \"skip\" to start these anew";
    Err(Error::input(what).at(spec.path.display()).remedy(remedy))
}

/// Names of the weights of convolutions that read the images; none of a module, whose layers are not known.
fn first_weights(network: &Architecture) -> BTreeSet<String> {
    let Architecture::Graph(graph) = network else { return BTreeSet::new() };
    let reads_images = |node: &Node| match node {
        Node::Convolution { input, name, .. } if matches!(graph.node(*input), Node::Input { .. }) => {
            Some(format!("{name}.weight"))
        }
        _ => None,
    };
    graph.nodes().iter().filter_map(reads_images).collect()
}

/// Whether the parameter has one channel and the tensor three.
fn is_grey(wanted: &[usize], found: &[usize]) -> bool {
    matches!((wanted, found), ([a, 1, b, c], [d, 3, e, f]) if [a, b, c] == [d, e, f])
}

fn shown(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let first: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", first.join(", "))
}
