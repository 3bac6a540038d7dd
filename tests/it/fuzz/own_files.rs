//! Files that `sweep` itself wrote, changed by somebody who knows how they are made: hashes and checksums are right again, and
//! values are hostile.

use serde_json::{Value, json};

use super::mutation::{Change, mutated};
use super::targets::{opened, sealed};
use crate::hostile::described;

/// Values that programs have trouble with.
fn hostile(which: u8) -> Value {
    match which % 20 {
        0 => json!(0),
        1 => json!(-1),
        2 => json!(1),
        3 => json!(65_535),
        4 => json!(65_536),
        5 => json!(u32::MAX),
        6 => json!(1u64 << 33),
        7 => json!(1u64 << 53),
        8 => json!(i64::MAX),
        9 => json!(u64::MAX),
        10 => json!(1e308),
        11 => json!(-1e-308),
        12 => json!(0.5),
        13 => json!(""),
        14 => json!("../../x"),
        15 => json!("\u{1b}[2J\n::error::"),
        16 => json!(vec![8; 50]),
        17 => json!([]),
        18 => Value::Null,
        _ => json!({ "name": "unet", "filters": [u64::MAX, 1] }),
    }
}

/// Number of values in JSON that are no tables or lists.
fn leaves(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(leaves).sum(),
        Value::Object(fields) => fields.values().map(leaves).sum(),
        _ => 1,
    }
}

/// The leaf of this number.
fn leaf<'a>(value: &'a mut Value, number: &mut usize) -> Option<&'a mut Value> {
    match value {
        Value::Array(values) => values.iter_mut().find_map(|value| leaf(value, number)),
        Value::Object(fields) => fields.iter_mut().find_map(|(_, value)| leaf(value, number)),
        value if *number == 0 => Some(value),
        _ => {
            *number -= 1;
            None
        }
    }
}

fn with_hostile(value: &mut Value, changes: &[(u16, u8)]) {
    for (at, which) in changes {
        let mut number = usize::from(*at) * leaves(value) / 65536;
        if let Some(leaf) = leaf(value, &mut number) {
            *leaf = hostile(*which);
        }
    }
}

/// A zip archive whose entries are stored, as `torch.save` writes them.
fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::<u8>::new(), Vec::<u8>::new());
    for (name, bytes) in entries {
        let mut crc = !0u32;
        for byte in *bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        let mut about = Vec::new();
        about.extend([20, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        about.extend((!crc).to_le_bytes());
        about.extend((bytes.len() as u32).to_le_bytes());
        about.extend((bytes.len() as u32).to_le_bytes());
        about.extend((name.len() as u16).to_le_bytes());
        about.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&about);
        directory.extend([0; 10]);
        directory.extend((out.len() as u32).to_le_bytes());
        directory.extend(name.bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&about);
        out.extend(name.bytes());
        out.extend(*bytes);
    }
    let (start, count) = (out.len() as u32, entries.len() as u16);
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// `{"a": tensor}` as `torch.save` pickles it, with these numbers.
fn pickle(offset: u32, size: &[u32], stride: &[u32]) -> Vec<u8> {
    let int = |value: u32| [&b"J"[..], &value.to_le_bytes()].concat();
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let tuple = |values: &[u32]| {
        let inner: Vec<u8> = values.iter().flat_map(|value| int(*value)).collect();
        [&b"("[..], &inner, b"t"].concat()
    };
    [
        b"\x80\x02}",
        &*text("a"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text("0"),
        &text("cpu"),
        &int(6),
        b"tQ",
        &int(offset),
        &tuple(size),
        &tuple(stride),
        b"\x89NtRs.",
    ]
    .concat()
}

/// A mutant of a whole file of a target.
pub(super) type Make = fn(&[u8], &[(u16, u8)], &[Change]) -> Vec<u8>;

/// A way to change the files of a target.
pub(super) struct Mutator {
    pub(super) name: &'static str,
    pub(super) target: &'static str,
    pub(super) make: Make,
}

/// Every target also gets files with any bytes changed.
pub(super) const MUTATORS: [Mutator; 6] = [
    Mutator {
        name: "checkpoint, description",
        target: "checkpoint",
        make: |whole, values, _| description(whole, values),
    },
    Mutator { name: "checkpoint, tensors", target: "checkpoint", make: |whole, values, _| tensors(whole, values) },
    Mutator { name: "pth, tensor", target: "pth", make: |_, values, changes| weights(values, changes) },
    Mutator { name: "status, values", target: "status", make: |whole, values, _| in_json(whole, values) },
    Mutator { name: "submission, values", target: "submission", make: |whole, values, _| in_json(whole, values) },
    Mutator { name: "baseline, values", target: "baseline", make: |whole, values, _| in_json(whole, values) },
];

fn description(whole: &[u8], values: &[(u16, u8)]) -> Vec<u8> {
    described(whole, |description| with_hostile(description, values))
}

/// Shapes permuted or extreme, number types and places exchanged; the description stays.
fn tensors(whole: &[u8], values: &[(u16, u8)]) -> Vec<u8> {
    let (mut header, tensors) = opened(whole).unwrap();
    let names: Vec<String> =
        header.as_object().unwrap().keys().filter(|name| *name != "__metadata__").cloned().collect();
    for (at, which) in values {
        let pick = |shift: usize| &names[(usize::from(*at) + shift) % names.len()];
        let (tensor, other) = (pick(0), header[pick(usize::from(*which))].clone());
        match which % 6 {
            0 => header[tensor]["shape"].as_array_mut().unwrap().reverse(),
            1 => header[tensor]["shape"] = other["shape"].clone(),
            2 => header[tensor]["data_offsets"] = other["data_offsets"].clone(),
            3 => header[tensor]["dtype"] = json!(["F64", "F16", "BF16", "I64", "U8", "BOOL"][usize::from(*at) % 6]),
            4 => header[tensor]["shape"] = json!([0, hostile(5 + which / 6 % 5), hostile(5 + which / 30)]),
            _ => with_hostile(&mut header[tensor], &[(*at, which / 6)]),
        }
    }
    sealed(header, tensors)
}

fn weights(values: &[(u16, u8)], changes: &[Change]) -> Vec<u8> {
    let number = |(at, which): &(u16, u8)| hostile(*which).as_u64().map_or(u32::from(*at), |value| value as u32);
    let (mut size, mut stride) = (vec![2, 3], vec![3, 1]);
    for (index, value) in values.iter().enumerate() {
        let list = if index % 2 == 0 { &mut size } else { &mut stride };
        let at = usize::from(value.0) % list.len();
        list[at] = number(value);
    }
    let offset = values.first().map_or(0, |value| u32::from(value.1 % 3));
    let plain = pickle(offset, &size, &stride);
    // Every other mutant also has other bytes in its pickle.
    let pickle = if values.len().is_multiple_of(2) { mutated(&plain, changes) } else { plain };
    zip(&[("a/data.pkl", &pickle), ("a/data/0", &[0; 24])])
}

fn in_json(whole: &[u8], values: &[(u16, u8)]) -> Vec<u8> {
    let mut json: Value = serde_json::from_slice(whole).unwrap();
    with_hostile(&mut json, values);
    json.to_string().into_bytes()
}
