//! Reads the output of `torch.save`: storages, and a pickle that describes the tensors in them.
//!
//! Candle's reader parses the pickle. It knows the instructions that build values and none that calls anything: a class
//! or function is only a name. Everything that a file claims is checked against its content.

mod storages;

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::rc::Rc;
use sweep_graph::params::is_countable;
use sweep_graph::tensors::TensorOperation as _;

use candle_core::pickle::{Object, Stack};
use candle_core::{DType, Device, Tensor};
use storages::Storages;
use zip::ZipArchive;

use sweep_core::error::{Error, Result};

/// Most values that a pickle may build, where nested values count each time they are built, and long texts as several: far
/// more than any network has names, and less than 512 MiB.
const MOST_VALUES: usize = 1 << 22;
/// Bytes of text that count as a value.
const TEXT_OF_VALUE: usize = 64;
/// How deep values may be nested.
const MOST_DEPTH: usize = 32;
/// How many tensors may share a storage on average: tied weights are two.
const SHARED: usize = 4;
/// Bytes that the tensors of any file may have together.
const SMALL: usize = 1 << 18;
/// Most bytes of all names together: nested dictionaries repeat the names that they are under.
const LONGEST_NAMES: usize = 64 << 20;
/// Most bytes of a pickle, which contains names and shapes.
const LONGEST_PICKLE: u64 = 64 << 20;

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::input(format!("not a readable file of torch.save: {what}"))
        .remedy("it may be damaged: fetch it anew, or save it again")
}

pub(super) use storages::MAGIC;

/// Tensors by name, and the names of all other entries.
///
/// # Errors
/// When the file is damaged, or does not contain a dictionary.
pub(super) fn decode(bytes: &[u8]) -> Result<(BTreeMap<String, Tensor>, Vec<String>)> {
    let (content, storages) = if bytes.starts_with(&MAGIC) { Storages::stream(bytes)? } else { in_archive(bytes)? };
    let Object::Dict(entries) = content else {
        return Err(Error::input("no dictionary of tensors, but a whole module or another object")
            .remedy("in Python: torch.save(model.state_dict(), FILE)"));
    };
    let mut found = Found {
        numbers: storages,
        storages: BTreeMap::new(),
        left: bytes.len(),
        claimable: bytes.len().saturating_mul(SHARED).saturating_add(SMALL),
        names: LONGEST_NAMES,
        tensors: BTreeMap::new(),
        others: Vec::new(),
    };
    found.add("", entries)?;
    found.others.sort();
    Ok((found.tensors, found.others))
}

/// The content of a zip archive, and its storages.
fn in_archive(bytes: &[u8]) -> Result<(Object, Storages<'_>)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let mut names = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(damaged)?;
        names.push(entry.name().map_err(damaged)?.into_owned());
    }
    let pickle = names.iter().find(|name| *name == "data.pkl" || name.ends_with("/data.pkl"));
    let pickle = pickle.ok_or_else(|| damaged("it has no data.pkl"))?;
    let folder = pickle.strip_suffix("data.pkl").unwrap_or_default();
    let order = format!("{folder}byteorder");
    if names.contains(&order) && entry(&mut archive, &order, 64)? == b"big" {
        return Err(damaged("its numbers are in big-endian order"));
    }
    let content = unpickle(&mut entry(&mut archive, pickle, LONGEST_PICKLE)?.as_slice())?;
    Ok((content, Storages::Archive(Box::new(archive), folder.to_owned())))
}

/// The bytes of an archive's entry, at most `most`.
fn entry(archive: &mut Archive, name: &str, most: u64) -> Result<Vec<u8>> {
    let file = archive.by_name(name).map_err(|e| damaged(format!("{name}: {e}")))?;
    let mut bytes = Vec::new();
    // The checksum is compared at the end of the entry.
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| damaged(format!("{name}: {e}")))?;
    if bytes.len() as u64 > most {
        return Err(damaged(format!("{name} has more than {most} bytes")));
    }
    Ok(bytes)
}

/// The value that a pickle builds; `reader` is then behind it.
fn unpickle(reader: &mut &[u8]) -> Result<Object> {
    let (mut stack, mut left) = (Stack::empty(), MOST_VALUES);
    loop {
        // The reader takes memory for a text before it reads it, however long the pickle says it is.
        if let [b'X', length @ ..] = *reader
            && length.first_chunk().is_some_and(|length| u32::from_le_bytes(*length) as usize > reader.len())
        {
            return Err(damaged("a text in its pickle is longer than the pickle"));
        }
        // Values are copied each time they are used, so a short pickle could build a huge one.
        if stack.read(reader).map_err(damaged)? {
            break;
        }
        if stack.stack().last().is_some_and(|value| !is_small(value, &mut left, MOST_DEPTH)) {
            return Err(damaged("its pickle builds something too large or too deep"));
        }
    }
    stack.finalize().map_err(damaged)
}

/// Whether a value contains at most `left` others, nested at most `depth` deep.
fn is_small(value: &Object, left: &mut usize, depth: usize) -> bool {
    let text = match value {
        Object::Unicode(text) => text.len(),
        Object::Class { module_name, class_name } => module_name.len() + class_name.len(),
        _ => 0,
    };
    let own = 1 + text / TEXT_OF_VALUE;
    if *left < own || depth == 0 {
        return false;
    }
    *left -= own;
    match value {
        Object::Tuple(values) | Object::List(values) => values.iter().all(|value| is_small(value, left, depth - 1)),
        Object::Dict(entries) => {
            entries.iter().all(|(key, value)| is_small(key, left, depth - 1) && is_small(value, left, depth - 1))
        }
        Object::Reduce { callable, args } | Object::Build { callable, args } => {
            is_small(callable, left, depth - 1) && is_small(args, left, depth - 1)
        }
        Object::PersistentLoad(id) => is_small(id, left, depth - 1),
        Object::Class { .. }
        | Object::Int(_)
        | Object::Long(_)
        | Object::Float(_)
        | Object::Unicode(_)
        | Object::Bool(_)
        | Object::None
        | Object::Mark => true,
    }
}

/// Tensors and other names found so far.
struct Found<'a> {
    /// The storages' bytes.
    numbers: Storages<'a>,
    /// Numbers of the storages read so far: tensors share them.
    storages: BTreeMap<String, Rc<Vec<f32>>>,
    /// Bytes that entries may still have: an archive can list the same bytes many times.
    left: usize,
    /// Bytes that the numbers of tensors may still have, all together.
    claimable: usize,
    /// Bytes that names may still have, all together.
    names: usize,
    tensors: BTreeMap<String, Tensor>,
    others: Vec<String>,
}

impl Found<'_> {
    /// Adds a dictionary's entries, and those of dictionaries in it, under names with dots.
    fn add(&mut self, prefix: &str, entries: Vec<(Object, Object)>) -> Result<()> {
        for (key, value) in entries {
            let Object::Unicode(key) = key else {
                let name = self.name(prefix, &shown(&key))?;
                self.others.push(name);
                continue;
            };
            // PyTorch's record of its modules' versions.
            if key == "_metadata" {
                continue;
            }
            let name = self.name(prefix, &key)?;
            match value {
                Object::Dict(entries) => self.add(&format!("{name}."), entries)?,
                // An ordered dictionary with attributes, as `state_dict()` returns it: the attributes are not tensors.
                Object::Build { callable, .. } if matches!(*callable, Object::Dict(_)) => {
                    if let Object::Dict(entries) = *callable {
                        self.add(&format!("{name}."), entries)?;
                    }
                }
                value => match described(&value) {
                    Some(description) => {
                        let tensor = self.tensor(&description).map_err(|e| e.at(format!("tensor `{name}`")))?;
                        match tensor {
                            Some(tensor) => drop(self.tensors.insert(name, tensor)),
                            None => self.others.push(name),
                        }
                    }
                    None => self.others.push(name),
                },
            }
        }
        Ok(())
    }

    /// The name of an entry of a dictionary.
    fn name(&mut self, prefix: &str, key: &str) -> Result<String> {
        let left = self.names.checked_sub(prefix.len() + key.len());
        self.names = left.ok_or_else(|| damaged(format!("its names have more than {LONGEST_NAMES} bytes")))?;
        Ok(format!("{prefix}{key}"))
    }

    /// The tensor, in single precision; `None` if its numbers are not floating-point.
    fn tensor(&mut self, description: &Description) -> Result<Option<Tensor>> {
        let dtype = match description.storage {
            "FloatStorage" => DType::F32,
            "DoubleStorage" => DType::F64,
            "HalfStorage" => DType::F16,
            "BFloat16Storage" => DType::BF16,
            _ => return Ok(None),
        };
        let storage = self.storage(description.key, dtype)?;
        let claimed = description.size.iter().fold(dtype.size_in_bytes(), |all, size| all.saturating_mul(*size));
        self.claimable = self
            .claimable
            .checked_sub(claimed)
            .ok_or_else(|| damaged("its tensors have many times the numbers that the file has"))?;
        let indices =
            indices(description, storage.len()).ok_or_else(|| damaged("it reaches beyond what was stored"))?;
        let values: Vec<f32> = indices.into_iter().map(|index| storage[index]).collect();
        Ok(Some(Tensor::from_vec(values, description.size.as_slice(), &Device::Cpu).computed()?))
    }
}

impl Found<'_> {
    /// The numbers of a storage, in single precision.
    fn storage(&mut self, key: &str, dtype: DType) -> Result<Rc<Vec<f32>>> {
        // The same bytes may be read as two types.
        let known_as = format!("{dtype:?} {key}");
        if let Some(storage) = self.storages.get(&known_as) {
            return Ok(Rc::clone(storage));
        }
        let bytes = self.numbers.bytes(key, &mut self.left)?;
        let count = bytes.len() / dtype.size_in_bytes();
        let bytes = &bytes[..count * dtype.size_in_bytes()];
        let storage = Tensor::from_raw_buffer(bytes, dtype, &[count], &Device::Cpu).computed()?;
        let storage = Rc::new(storage.to_dtype(DType::F32).computed()?.to_vec1::<f32>().computed()?);
        self.storages.insert(known_as, Rc::clone(&storage));
        Ok(storage)
    }
}

/// A key that is no text, in a few words.
fn shown(key: &Object) -> String {
    match key {
        Object::Int(number) => number.to_string(),
        Object::Long(number) => number.to_string(),
        Object::Float(number) => number.to_string(),
        Object::Bool(value) => value.to_string(),
        _ => "(a key that is no text)".to_owned(),
    }
}

/// Index in the storage of each of a tensor's numbers, row by row; `None` if the storage is too short.
fn indices(description: &Description, stored: usize) -> Option<Vec<usize>> {
    let count = description.size.iter().try_fold(1usize, |count, size| count.checked_mul(*size))?;
    if description.size.len() != description.stride.len() || !is_countable(&description.size) {
        return None;
    }
    if count == 0 {
        return Some(Vec::new());
    }
    // Strides are not negative, so the last number has the largest index. A stride of 0 could repeat a few numbers
    // without end.
    let reach = description
        .size
        .iter()
        .zip(&description.stride)
        .try_fold(description.offset, |last, (size, stride)| last.checked_add((size - 1).checked_mul(*stride)?))?;
    if reach >= stored || count > stored {
        return None;
    }
    let mut indices = vec![description.offset];
    for (size, stride) in description.size.iter().zip(&description.stride) {
        indices = indices.iter().flat_map(|index| (0..*size).map(move |i| index + i * stride)).collect();
    }
    Some(indices)
}

/// A tensor as a pickle describes it.
struct Description<'a> {
    storage: &'a str,
    key: &'a str,
    offset: usize,
    size: Vec<usize>,
    stride: Vec<usize>,
}

/// The tensor that a value describes: `_rebuild_tensor_v2(('storage', TYPE, KEY, …), offset, size, stride, …)`,
/// possibly wrapped as a parameter; `None` if it is something else.
fn described(value: &Object) -> Option<Description<'_>> {
    let Object::Reduce { callable, args } = value else { return None };
    let (Object::Class { module_name, class_name }, Object::Tuple(args)) = (&**callable, &**args) else { return None };
    match (module_name.as_str(), class_name.as_str()) {
        ("torch._utils", "_rebuild_tensor_v2") => {}
        ("torch._utils", "_rebuild_parameter") => return described(args.first()?),
        _ => return None,
    }
    let [Object::PersistentLoad(storage), offset, size, stride, ..] = args.as_slice() else { return None };
    let Object::Tuple(storage) = &**storage else { return None };
    let [_, Object::Class { class_name, .. }, Object::Unicode(key), ..] = storage.as_slice() else { return None };
    Some(Description {
        storage: class_name,
        key,
        offset: whole_number(offset)?,
        size: all_whole(size)?,
        stride: all_whole(stride)?,
    })
}

fn whole_number(value: &Object) -> Option<usize> {
    match value {
        Object::Int(number) => usize::try_from(*number).ok(),
        Object::Long(number) => usize::try_from(*number).ok(),
        _ => None,
    }
}

fn all_whole(value: &Object) -> Option<Vec<usize>> {
    let Object::Tuple(values) = value else { return None };
    values.iter().map(whole_number).collect()
}
