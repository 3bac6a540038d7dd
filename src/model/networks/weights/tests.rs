//! Files written by `torch.save` and safetensors (scripts/parity.py --state-dicts): complete, damaged and malicious.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use super::*;
use crate::networks::Architecture;
use crate::networks::ModelSpec;
use sweep_graph::Graph;
use sweep_graph::params::ParamStore;

const PTH: &[u8] = include_bytes!("../../../../tests/fixtures/weights/encoder.pth");
const SAFETENSORS: &[u8] = include_bytes!("../../../../tests/fixtures/weights/encoder.safetensors");
const TYPES: &[u8] = include_bytes!("../../../../tests/fixtures/weights/types.pth");
const CHECKPOINT: &[u8] = include_bytes!("../../../../tests/fixtures/weights/checkpoint.pth");
const LEGACY: &[u8] = include_bytes!("../../../../tests/fixtures/weights/legacy.pth");
const MODULE: &[u8] = include_bytes!("../../../../tests/fixtures/weights/module.pth");
const EVIL: &[u8] = include_bytes!("../../../../tests/fixtures/weights/evil.pth");

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn all(tensors: &BTreeMap<String, Tensor>) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    tensors.iter().map(|(name, t)| (name.clone(), t.dims().to_vec(), values(t))).collect()
}

fn graph() -> Graph {
    let text = "name = 'unet-resnet18'\nfilters = [4, 6]\ndecoder = [6, 5, 4]";
    toml::from_str::<ModelSpec>(text).unwrap().graph(1, 2).unwrap()
}

fn spec(rest: &str) -> WeightsSpec {
    toml::from_str(&format!("path = 'file.pth'\n{rest}")).unwrap()
}

fn matching(spec: &WeightsSpec, file: &StateDict, graph: &Graph) -> Result<Matching> {
    super::matching(spec, file, &[Architecture::Graph(graph.clone())])
}

#[test]
fn a_pickle_and_safetensors_of_one_state_are_one() {
    let (pth, safetensors) = (StateDict::decode(PTH).unwrap(), StateDict::decode(SAFETENSORS).unwrap());
    assert_eq!(all(&pth.tensors), all(&safetensors.tensors));
    assert_eq!(pth.others, safetensors.others);
    assert!(pth.others.iter().all(|name| name.ends_with("num_batches_tracked")) && !pth.others.is_empty());
    assert_eq!(pth.tensors["conv1.weight"].dims(), [4, 3, 7, 7]);
    assert!(values(&pth.tensors["conv1.weight"]).iter().any(|v| *v != 0.0));
    assert_ne!(pth.content, safetensors.content);
}

#[test]
fn the_format_before_1_6_holds_the_same_state() {
    let (pth, legacy) = (StateDict::decode(PTH).unwrap(), StateDict::decode(LEGACY).unwrap());
    assert_eq!(all(&pth.tensors), all(&legacy.tensors));
    assert_eq!(pth.others, legacy.others);
    // A file that was cut off anywhere is an error, and so is one whose storage claims more than the file has.
    for length in (15..LEGACY.len()).step_by(61).chain([LEGACY.len() - 1]) {
        assert!(StateDict::decode(&LEGACY[..length]).is_err(), "{length} bytes");
    }
    // The number of values of the first weight.
    let count = LEGACY.windows(8).rposition(|bytes| bytes == 588u64.to_le_bytes()).unwrap();
    let mut claims = LEGACY.to_vec();
    claims[count..count + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(StateDict::decode(&claims).is_err());
}

#[test]
fn doubles_and_halves_are_the_same_numbers() {
    assert_eq!(all(&StateDict::decode(TYPES).unwrap().tensors), all(&StateDict::decode(PTH).unwrap().tensors));
}

#[test]
fn a_checkpoint_is_taken_apart_whatever_its_strides() {
    let checkpoint = StateDict::decode(CHECKPOINT).unwrap();
    let plain = StateDict::decode(PTH).unwrap();
    for (name, tensor) in &plain.tensors {
        let found = &checkpoint.tensors[&format!("state_dict.module.{name}")];
        assert_eq!((found.dims(), values(found)), (tensor.dims(), values(tensor)), "{name}");
    }
    assert_eq!(checkpoint.tensors.len(), plain.tensors.len());
    for other in ["epoch", "note", "optimizer.param_groups"] {
        assert!(checkpoint.others.iter().any(|name| name == other), "{other}: {:?}", checkpoint.others);
    }
    let spec = spec("prefix = 'encoder.'\nstrip = 'state_dict.module.'");
    let of_checkpoint = matching(&spec, &checkpoint, &graph()).unwrap();
    let of_plain = matching(&self::spec("prefix = 'encoder.'"), &plain, &graph()).unwrap();
    assert_eq!(of_checkpoint.matched, of_plain.matched);
}

#[test]
fn an_encoder_starts_from_the_file_and_the_rest_as_without() {
    let (graph, file) = (graph(), StateDict::decode(PTH).unwrap());
    let fresh = || ParamStore::initialise(&graph, 1, DType::F32, &Device::Cpu).unwrap();
    let (parameters, before) = (fresh(), fresh());
    let spec = spec("prefix = 'encoder.'");
    start(&spec, &file, &[Architecture::Graph(graph.clone())], &parameters).unwrap();
    let matching = matching(&spec, &file, &graph).unwrap();
    let view = |store: &ParamStore, name: &str| values(&store.view(name).unwrap());
    for spec in graph.parameters() {
        let name = &spec.name;
        let found = view(&parameters, name);
        match name.strip_prefix("encoder.") {
            Some("conv1.weight") => {
                // The sum over the three colours.
                let colours = values(&file.tensors["conv1.weight"]);
                let sum = |i: usize| (0..3).map(|c| colours[(i / 49 * 3 + c) * 49 + i % 49]).sum::<f32>();
                assert_eq!(found, (0..4 * 49).map(sum).collect::<Vec<_>>());
            }
            Some(own) => assert_eq!(found, values(&file.tensors[own]), "{name}"),
            None => assert_eq!(found, view(&before, name), "{name}"),
        }
        assert_eq!(matching.matched.contains(name), name.starts_with("encoder."), "{name}");
        assert_eq!(matching.missing.contains(name), !name.starts_with("encoder."), "{name}");
    }
    assert_eq!(matching.summed_over_colours, ["encoder.conv1.weight"]);
    assert_eq!(matching.unused, ["fc.bias", "fc.weight"]);
    let lines = matching.lines();
    assert!(
        lines[0].starts_with("weights matched (") && lines[0].contains("encoder.layer2.0.downsample.1.running_var")
    );
    assert!(lines.iter().any(|line| line == "weights unused of the file (2): fc.bias, fc.weight"), "{lines:?}");
    let written = toml::to_string(&matching).unwrap();
    assert_eq!(toml::from_str::<Matching>(&written).unwrap(), matching);
}

#[test]
fn other_shapes_are_listed_and_refused_or_passed_over() {
    let text = "name = 'unet-resnet18'\nfilters = [4, 8]\ndecoder = [6, 5, 4]";
    let graph = toml::from_str::<ModelSpec>(text).unwrap().graph(1, 2).unwrap();
    let file = StateDict::decode(PTH).unwrap();
    let error = matching(&spec("prefix = 'encoder.'"), &file, &graph).unwrap_err();
    assert!(error.message.contains("encoder.layer2.0.bn1.bias [8], in the file [6]"), "{error}");
    assert!(error.message.contains("more") && error.remedy.unwrap().contains("mismatched"));
    let passed = matching(&spec("prefix = 'encoder.'\nmismatched = 'skip'"), &file, &graph).unwrap();
    assert!(passed.mismatched.iter().any(|line| line.starts_with("encoder.layer2.0.conv1.weight [8, 4, 3, 3]")));
    assert!(passed.matched.iter().all(|name| !name.contains("layer2")));
    assert!(passed.missing.iter().all(|name| !name.contains("encoder")), "they are not missing");
}

#[test]
fn a_list_of_prefixes_starts_both_stages() {
    let stage = "{ name = 'unet-resnet18', filters = [4, 6], decoder = [6, 5, 4] }";
    let model = |prefix: &str| -> ModelSpec {
        let weights = format!("weights = {{ path = 'file.pth', prefix = {prefix} }}");
        toml::from_str(&format!("name = 'two-stage'\ncoarse = {stage}\nfine = {stage}\n{weights}")).unwrap()
    };
    let file = StateDict::decode(PTH).unwrap();
    let of = |prefix: &str| {
        let model = model(prefix);
        super::matching(model.weights().unwrap(), &file, &model.architectures(1, 2).unwrap()).unwrap()
    };
    let [coarse, fine] = ["'coarse.encoder.'", "'fine.encoder.'"].map(of);
    let both = of("['coarse.encoder.', 'fine.encoder.']");
    assert!(!coarse.matched.is_empty() && both.matched.len() == 2 * coarse.matched.len());
    assert!(coarse.matched.iter().chain(&fine.matched).all(|name| both.matched.contains(name)));
    assert!(both.unused == coarse.unused && both.summed_over_colours.len() == 2 * coarse.summed_over_colours.len());
    for wrong in ["[]", "['encoder.', 'encoder.']"] {
        let error = spec(&format!("prefix = {wrong}")).check().unwrap_err();
        assert_eq!(error.location.as_deref(), Some("weights.prefix"), "{error}");
    }
}

#[test]
fn a_plan_refuses_what_no_number_of_landmarks_would_make_fit() {
    let model = |rest: &str| -> ModelSpec {
        let text = format!(
            "name = 'unet-resnet18'\ndecoder = [6, 5, 4]\nweights = {{ path = 'file.pth', prefix = 'encoder.' }}\n{rest}"
        );
        toml::from_str(&text).unwrap()
    };
    let mut file = StateDict::decode(PTH).unwrap();
    check(&file, &model("filters = [4, 6]"), 1).unwrap();
    let error = check(&file, &model("filters = [4, 8]"), 1).unwrap_err();
    assert!(error.message.contains("encoder.layer2.0.bn1.bias [8], in the file [6]"), "{error}");
    // The number of landmarks is not known yet, so the head's shape may differ.
    let head = Tensor::zeros((7, 4, 3, 3), DType::F32, &Device::Cpu).unwrap();
    file.tensors.insert("segmentation_head.0.weight".to_owned(), head);
    let mut bare = model("filters = [4, 6]");
    if let Some(weights) = bare.weights_mut() {
        weights.prefix = Prefix::default();
    }
    check(&file, &bare, 1).unwrap();
    let graph = bare.graph(1, 2).unwrap();
    assert!(matching(bare.weights().unwrap(), &file, &graph).is_err(), "but two landmarks are not seven");
}

#[test]
fn a_file_without_a_matching_name_says_both_sides() {
    let error = matching(&spec("prefix = 'enc.'"), &StateDict::decode(PTH).unwrap(), &graph()).unwrap_err();
    assert!(
        error.message.contains("`bn1.bias`") && error.message.contains("`decoder.blocks.0.conv1.0.weight`"),
        "{error}"
    );
    assert!(error.message.contains("more") && error.remedy.unwrap().contains("prefix = \"encoder.\""));
    let none = spec("prefix = 'encoder.'\nstrip = 'module.'");
    assert!(matching(&none, &StateDict::decode(PTH).unwrap(), &graph()).is_err());
}

#[test]
fn what_is_no_number_is_refused() {
    let mut file = StateDict::decode(PTH).unwrap();
    let bad = Tensor::full(f32::NAN, 4, &Device::Cpu).unwrap();
    file.tensors.insert("bn1.bias".to_owned(), bad);
    let error = matching(&spec("prefix = 'encoder.'"), &file, &graph()).unwrap_err();
    assert!(error.message.contains("`bn1.bias`"), "{error}");
    let mut file = StateDict::decode(PTH).unwrap();
    let bad = Tensor::full(-1.0f32, 4, &Device::Cpu).unwrap();
    file.tensors.insert("bn1.running_var".to_owned(), bad);
    let error = matching(&spec("prefix = 'encoder.'"), &file, &graph()).unwrap_err();
    assert!(error.message.contains("`bn1.running_var` holds a variance below zero"), "{error}");
}

#[test]
fn what_is_no_state_dict_says_what_to_do() {
    let error = |bytes: &[u8]| StateDict::decode(bytes).unwrap_err();
    let module = error(MODULE);
    assert!(module.message.contains("a whole module") && module.remedy.unwrap().contains("state_dict()"));
    assert!(error(b"").message.contains("neither"));
    assert!(error(b"PK\x03\x04").message.contains("torch.save"));
    let missing = WeightsSpec { path: PathBuf::from("no/such/file.pth"), ..spec("") };
    let missing = missing.read().unwrap_err();
    assert_eq!(missing.location.as_deref(), Some("no/such/file.pth"));
    let empty: WeightsSpec = toml::from_str("path = ''").unwrap();
    assert_eq!(empty.check().unwrap_err().location.as_deref(), Some("weights.path"));
}

#[test]
fn a_pickle_that_would_run_something_runs_nothing() {
    let file = StateDict::decode(EVIL).unwrap();
    assert_eq!(file.tensors.keys().collect::<Vec<_>>(), ["conv1.weight"]);
    assert_eq!(file.others, ["evil"]);
    assert!(!Path::new("landmark-sweep-pickle-was-run").exists());
}

/// Cut off anywhere, or with one byte changed: an error, or the result of another valid file, never a panic.
#[test]
fn damaged_files_end_in_errors() {
    for whole in [PTH, SAFETENSORS, CHECKPOINT] {
        let step = whole.len() / 61 + 1;
        for end in (0..whole.len()).step_by(step) {
            assert!(StateDict::decode(&whole[..end]).is_err(), "cut off at {end} of {}", whole.len());
        }
        let mut noticed = 0;
        for position in (0..whole.len()).step_by(step / 4 + 1) {
            let mut changed = whole.to_vec();
            changed[position] ^= 0x41;
            noticed += usize::from(StateDict::decode(&changed).is_err());
        }
        println!("{noticed} changes noticed");
        assert!(noticed > 10);
    }
}

/// An archive with one file, stored uncompressed.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("x/data.pkl", pickle), ("x/data/0", &[0; 16])] {
        writer.start_file(name, options).unwrap();
        std::io::Write::write_all(&mut writer, bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// `{'w': _rebuild_tensor_v2(('storage', FloatStorage, '0', 'cpu', 4), offset, size, stride, False, {})}`
fn tensor(offset: u8, size: &[u8], stride: &[u8]) -> Vec<u8> {
    let tuple = |numbers: &[u8]| {
        let inner = numbers.iter().flat_map(|n| [b'K', *n]);
        [b'('].into_iter().chain(inner).chain([b't']).collect::<Vec<_>>()
    };
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    [
        b"\x80\x02}".to_vec(),
        text("w"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        b"K\x04tQK".to_vec(),
        vec![offset],
        tuple(size),
        tuple(stride),
        b"\x89}tRs.".to_vec(),
    ]
    .concat()
}

#[test]
fn a_tensor_lies_within_what_was_stored() {
    let decode = |offset, size: &[u8], stride: &[u8]| StateDict::decode(&archive(&tensor(offset, size, stride)));
    assert_eq!(decode(0, &[2, 2], &[1, 2]).unwrap().tensors["w"].dims(), [2, 2]);
    assert_eq!(decode(3, &[1], &[1]).unwrap().tensors["w"].dims(), [1]);
    assert_eq!(decode(0, &[0, 2], &[2, 1]).unwrap().tensors["w"].dims(), [0, 2]);
    for (offset, size, stride) in [
        (1, [2, 2], [2, 1]),
        (0, [2, 2], [3, 1]),
        (0, [255, 255], [0, 0]),
        (4, [1, 1], [1, 1]),
        (0, [255, 255], [255, 255]),
    ] {
        let error = decode(offset, &size, &stride).unwrap_err();
        assert!(error.message.contains("beyond what was stored"), "{error}");
        assert_eq!(error.location.as_deref(), Some("tensor `w`"));
    }
}

#[test]
fn a_pickle_that_grows_without_end_is_stopped() {
    // A pair of the value so far, again and again; nested tuples; a long list, copied.
    let doubling = [b"\x80\x02)q\x00".as_slice(), &b"h\x00h\x00\x86q\x00".repeat(60), b"."].concat();
    let deep = [b"\x80\x02)".as_slice(), &b"\x85".repeat(100_000), b"."].concat();
    let copies = [b"\x80\x02(".as_slice(), &b"N".repeat(100_000), b"tq\x00", &b"h\x00".repeat(100_000), b"."].concat();
    for pickle in [doubling, deep, copies] {
        let error = StateDict::decode(&archive(&pickle)).unwrap_err();
        assert!(error.message.contains("too large or too deep"), "{error}");
    }
}
