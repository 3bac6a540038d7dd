//! Where the numbers of a file of `torch.save` lie: in entries of a zip archive, or, as PyTorch before 1.6 wrote it, one
//! after another behind the pickles.

use std::borrow::Cow;
use std::collections::BTreeMap;

use candle_core::pickle::Object;
use zip::CompressionMethod;

use super::{Archive, damaged, entry, unpickle};
use sweep_core::error::Result;

/// What a file of PyTorch before 1.6 begins with: the pickle of a magic number.
pub(in super::super) const MAGIC: [u8; 15] =
    [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
/// Version of that format, in the pickle behind the magic number.
const PROTOCOL: i32 = 1001;

/// The numbers of storages by their keys.
pub(super) enum Storages<'a> {
    /// An archive and its folder.
    Archive(Box<Archive<'a>>, String),
    /// The bytes behind the pickles.
    Stream(BTreeMap<String, &'a [u8]>),
}

impl<'a> Storages<'a> {
    /// A storage's bytes, at most `left`, which they are taken from.
    pub(super) fn bytes(&mut self, key: &str, left: &mut usize) -> Result<Cow<'a, [u8]>> {
        let mut take = |length: Option<usize>| {
            *left = length
                .and_then(|length| left.checked_sub(length))
                .ok_or_else(|| damaged("its storages are larger than the file"))?;
            Ok(())
        };
        match self {
            Self::Archive(archive, folder) => {
                let name = format!("{folder}data/{key}");
                let listed = archive.by_name(&name).map_err(|e| damaged(format!("{name}: {e}")))?;
                if listed.compression() != CompressionMethod::Stored {
                    return Err(damaged(format!("{name} is compressed, which torch.save does not do")));
                }
                let length = listed.size();
                drop(listed);
                take(usize::try_from(length).ok())?;
                Ok(Cow::Owned(entry(archive, &name, length)?))
            }
            Self::Stream(storages) => {
                let bytes = storages.get(key).ok_or_else(|| damaged(format!("it has no storage {key}")))?;
                take(Some(bytes.len()))?;
                Ok(Cow::Borrowed(bytes))
            }
        }
    }

    /// Reads a file that begins with [`MAGIC`]: pickles of the format's version, of the system, of the content and of the
    /// storages' keys, then for each key a number of values and these.
    pub(super) fn stream(bytes: &'a [u8]) -> Result<(Object, Self)> {
        let mut rest = bytes.get(MAGIC.len()..).unwrap_or_default();
        if !matches!(unpickle(&mut rest)?, Object::Int(PROTOCOL)) {
            return Err(damaged("an unknown version of an old format"));
        }
        let Object::Dict(system) = unpickle(&mut rest)? else { return Err(damaged("it does not describe its system")) };
        let is_big = |(key, value): &(Object, Object)| matches!((key, value), (Object::Unicode(key), Object::Bool(false)) if key == "little_endian");
        if system.iter().any(is_big) {
            return Err(damaged("its numbers are in big-endian order"));
        }
        let content = unpickle(&mut rest)?;
        let Object::List(keys) = unpickle(&mut rest)? else { return Err(damaged("it does not list its storages")) };
        let mut widths = BTreeMap::new();
        widths_in(&content, &mut widths)?;
        let mut storages = BTreeMap::new();
        for key in keys {
            let Object::Unicode(key) = key else { return Err(damaged("a storage has no name")) };
            let (count, behind) = rest.split_first_chunk().ok_or_else(|| damaged("it ends early"))?;
            let count = usize::try_from(u64::from_le_bytes(*count)).ok();
            let width = widths.get(&key).ok_or_else(|| damaged(format!("nothing says what storage {key} holds")))?;
            let length = count.and_then(|count| count.checked_mul(*width));
            let (own, behind) =
                length.and_then(|length| behind.split_at_checked(length)).ok_or_else(|| damaged("it ends early"))?;
            storages.insert(key, own);
            rest = behind;
        }
        Ok((content, Self::Stream(storages)))
    }
}

/// Bytes of a number in every storage that a value refers to. Values are nested only as deep as pickles may be.
fn widths_in(value: &Object, widths: &mut BTreeMap<String, usize>) -> Result<()> {
    match value {
        Object::Tuple(values) | Object::List(values) => values.iter().try_for_each(|value| widths_in(value, widths)),
        Object::Dict(entries) => entries.iter().try_for_each(|(_, value)| widths_in(value, widths)),
        Object::Reduce { callable, args } | Object::Build { callable, args } => {
            widths_in(callable, widths)?;
            widths_in(args, widths)
        }
        Object::PersistentLoad(id) => {
            let Object::Tuple(id) = &**id else { return Ok(()) };
            let [_, Object::Class { class_name, .. }, Object::Unicode(key), rest @ ..] = id.as_slice() else {
                return Ok(());
            };
            if !matches!(rest.get(2), None | Some(Object::None)) {
                return Err(damaged("a storage that is a part of another"));
            }
            if let Some(width) = width(class_name) {
                widths.insert(key.clone(), width);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Bytes of a number in a storage of this class.
fn width(class: &str) -> Option<usize> {
    Some(match class {
        "DoubleStorage" | "LongStorage" | "ComplexFloatStorage" => 8,
        "FloatStorage" | "IntStorage" => 4,
        "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
        "CharStorage" | "ByteStorage" | "BoolStorage" => 1,
        "ComplexDoubleStorage" => 16,
        _ => return None,
    })
}
