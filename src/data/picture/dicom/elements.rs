//! The elements of a DICOM file that matter, read by dicom-parser value by value, so that no length that a file claims
//! takes more memory than the file or the picture.

use std::io::{Cursor, Read, Take};

use dicom_core::{Tag, VR};
use dicom_encoding::text::SpecificCharacterSet;
use dicom_encoding::transfer_syntax::{TransferSyntax, TransferSyntaxIndex};
use dicom_parser::dataset::LazyDataToken;
use dicom_parser::dataset::lazy_read::LazyDataSetReader;
use dicom_parser::{DynStatefulDecoder, StatefulDecode};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use super::attribute::{self, Attribute, PIXEL_DATA, TRANSFER_SYNTAX};
use super::encoding::{BIG_ENDIAN, DEFLATED, Encoding};
use super::{REWRITE, layout};
use crate::picture::damaged;
use sweep_core::error::{Error, Result};

/// The most that an element other than pixels may take: a lookup table of 65536 entries, twice.
const MAX_VALUE: u32 = 1 << 18;
/// The most that elements before the pixels may take where the file is deflated: what they inflate to is read past.
const MAX_INFLATED: u64 = 1 << 26;

/// The elements that matter.
pub(super) struct Elements {
    pub(super) syntax: String,
    values: Vec<(Attribute, Vec<u8>)>,
    /// Fragments of encapsulated pixel data, one after the other, without the table of offsets.
    pub(super) fragments: Option<Vec<u8>>,
    /// Whether pixel data are words, whose two bytes a big-endian file swaps.
    pub(super) has_words: bool,
}

impl Elements {
    /// Reads the elements of a file.
    ///
    /// # Errors
    /// When it is damaged, or encoded in a way that is not read; names the attribute.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let encoding = Encoding::of(bytes)?;
        // Compression of pixels does not change how elements are written.
        let known = TransferSyntaxRegistry.get(&encoding.syntax);
        let known = known.ok_or_else(|| unread(&encoding.syntax))?;
        let body = Cursor::new(bytes.get(encoding.start..).unwrap_or_default());
        if encoding.syntax == DEFLATED {
            let inflated = flate2::read::DeflateDecoder::new(body);
            Self::take(&encoding, known, inflated.take(u64::MAX))
        } else {
            Self::take(&encoding, known, body.take(u64::MAX))
        }
    }

    fn take<R: Read>(encoding: &Encoding, syntax: &TransferSyntax, body: Take<R>) -> Result<Self> {
        let is_deflated = encoding.syntax == DEFLATED;
        let failed = |e: &dyn std::fmt::Display| damaged(e);
        let decoder = DynStatefulDecoder::new_with(body, syntax, SpecificCharacterSet::default(), 0);
        let mut reader = LazyDataSetReader::new(decoder.map_err(|e| failed(&e))?);
        let mut file = Self { syntax: encoding.syntax.clone(), values: Vec::new(), fragments: None, has_words: false };
        // Sequences that are open, with the number of the item.
        let mut path: Vec<(Tag, u32)> = Vec::new();
        let mut is_pixels = false;
        let mut passed = 0;
        while let Some(token) = reader.advance() {
            match token.map_err(|e| file.cut(&e))? {
                LazyDataToken::SequenceStart { tag, .. } => path.push((tag, 0)),
                LazyDataToken::PixelSequenceStart => {
                    is_pixels = path.is_empty();
                    path.push((PIXEL_DATA.path[0], 0));
                    if is_pixels {
                        if is_deflated {
                            return Err(damaged("its pixels are compressed twice").at(PIXEL_DATA));
                        }
                        if !encoding.is_said {
                            return Err(Error::input(
                                "its pixels are compressed, and it lacks preamble, DICM and the elements that say how",
                            )
                            .at(TRANSFER_SYNTAX)
                            .remedy(REWRITE));
                        }
                        file.fragments = Some(Vec::new());
                    }
                }
                LazyDataToken::SequenceEnd => {
                    path.pop();
                    if is_pixels && path.is_empty() {
                        break;
                    }
                }
                LazyDataToken::ItemStart { .. } => {
                    if let Some((_, items)) = path.last_mut() {
                        *items += 1;
                    }
                }
                LazyDataToken::LazyItemValue { len, decoder } => match &mut file.fragments {
                    Some(fragments) if is_pixels && path.len() == 1 && path[0].1 > 1 => {
                        read(decoder, len, fragments).map_err(|e| e.at(PIXEL_DATA))?;
                    }
                    _ => decoder.skip_bytes(len).map_err(|e| failed(&e))?,
                },
                LazyDataToken::LazyValue { header, decoder } => {
                    let length = header.len.get().ok_or_else(|| damaged(format!("{} has no length", header.tag)))?;
                    let tags: Vec<Tag> = path.iter().map(|(tag, _)| *tag).chain([header.tag]).collect();
                    let is_first = path.iter().all(|(_, item)| *item == 1);
                    match attribute::at(&tags).filter(|_| is_first) {
                        Some(PIXEL_DATA) => {
                            file.has_words = header.vr != VR::OB;
                            let needed = layout::native_bytes(&file)?;
                            if u64::from(length) < needed {
                                let lacks = needed - u64::from(length);
                                return Err(damaged(format!("it ends {lacks} bytes early")).at(PIXEL_DATA));
                            }
                            let mut value = Vec::new();
                            read(decoder, needed as u32, &mut value).map_err(|e| e.at(PIXEL_DATA))?;
                            file.values.push((PIXEL_DATA, value));
                            break;
                        }
                        Some(wanted) if length > MAX_VALUE => {
                            return Err(damaged(format!("it claims {length} bytes")).at(wanted));
                        }
                        Some(wanted) => {
                            let mut value = Vec::new();
                            read(decoder, length, &mut value).map_err(|e| e.at(wanted))?;
                            // An image's own elements go before those of its functional groups.
                            if file.value(wanted).is_none() {
                                file.values.push((wanted, value));
                            }
                        }
                        None => {
                            passed += u64::from(length);
                            if is_deflated && passed > MAX_INFLATED {
                                return Err(damaged(format!("elements before its pixels inflate to {passed} bytes"))
                                    .at(header.tag));
                            }
                            decoder.skip_bytes(length).map_err(|e| failed(&e))?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(file)
    }

    /// The error of a file whose elements end, by what is known of it so far.
    fn cut(&self, error: &dyn std::fmt::Display) -> Error {
        let cut = damaged(error);
        if self.fragments.is_some() { cut.at(PIXEL_DATA) } else { cut }
    }

    pub(super) fn value(&self, wanted: Attribute) -> Option<&[u8]> {
        self.values.iter().find(|(attribute, _)| *attribute == wanted).map(|(_, value)| value.as_slice())
    }

    /// A text; `None` also where it is empty.
    pub(super) fn text(&self, wanted: Attribute) -> Option<String> {
        let text = String::from_utf8_lossy(self.value(wanted)?).trim_matches(['\0', ' ']).to_owned();
        Some(text).filter(|text| !text.is_empty())
    }

    /// A term in capitals, the first of several.
    pub(super) fn term(&self, wanted: Attribute) -> Option<String> {
        let text = self.text(wanted)?;
        text.split('\\').next().map(|first| first.trim().to_uppercase()).filter(|term| !term.is_empty())
    }

    /// A number, or several divided by `\`, written as text; none where it is empty.
    ///
    /// # Errors
    /// When a part is not a finite number.
    pub(super) fn numbers(&self, wanted: Attribute) -> Result<Vec<f64>> {
        let text = self.text(wanted).unwrap_or_default();
        let words = text.split('\\').map(|word| word.trim_matches(['\0', ' '])).filter(|word| !word.is_empty());
        let number = |word: &str| word.parse().ok().filter(|v: &f64| v.is_finite());
        words.map(|word| number(word).ok_or_else(|| damaged(format!("`{word}` is no number")).at(wanted))).collect()
    }

    /// The first of [`Elements::numbers`].
    pub(super) fn number(&self, wanted: Attribute) -> Result<Option<f64>> {
        Ok(self.numbers(wanted)?.first().copied())
    }

    /// A binary number of 16 bits.
    pub(super) fn short(&self, wanted: Attribute) -> Option<u16> {
        self.value(wanted)?.first_chunk().map(|raw| self.word(*raw))
    }

    /// Binary numbers of 16 bits.
    pub(super) fn shorts(&self, wanted: Attribute) -> Option<Vec<u16>> {
        Some(self.value(wanted)?.as_chunks().0.iter().map(|raw| self.word(*raw)).collect())
    }

    /// A number of 16 bits as this file writes it.
    pub(super) fn word(&self, raw: [u8; 2]) -> u16 {
        if self.is_big_endian() { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) }
    }

    pub(super) fn is_big_endian(&self) -> bool {
        self.syntax == BIG_ENDIAN
    }
}

/// Appends so many bytes; takes no more memory than there are.
fn read(decoder: &mut impl StatefulDecode, length: u32, value: &mut Vec<u8>) -> Result<()> {
    let before = value.len();
    decoder.read_to_vec(length, value).map_err(damaged)?;
    let lacks = length as usize - (value.len() - before);
    if lacks > 0 { Err(damaged(format!("it ends {lacks} bytes early"))) } else { Ok(()) }
}

/// The error of a transfer syntax that is not read.
pub(super) fn unread(syntax: &str) -> Error {
    Error::input(format!("the transfer syntax `{syntax}` is not read")).at(TRANSFER_SYNTAX).remedy(REWRITE)
}
