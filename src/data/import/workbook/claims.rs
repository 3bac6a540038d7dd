//! What a workbook claims to hold, against what its file can hold.
//!
//! The reader of workbooks sets memory aside for numbers that stand in the file: the count of shared strings, the last row and
//! column, the times that a cell is repeated. A small file can ask for all memory so; here it is refused first.

use std::io::{Cursor, Read as _};

use calamine::{Ods, Reader as _, Sheets, Xls, Xlsb, Xlsx};
use quick_xml::Reader;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesStart, Event};

use sweep_core::error::{Error, Result};

/// Larger sheets are damaged: no table of landmarks has so many cells.
pub(super) const MAX_CELLS: usize = 1 << 23;
/// Largest size of a workbook's parts, unpacked, and of a sheet's text.
pub(super) const MAX_BYTES: usize = 128 << 20;
/// The rows and columns of the older format, .xls.
const XLS_COLUMNS: usize = 256;

/// A workbook in memory.
pub(super) type Workbook = Sheets<Cursor<Vec<u8>>>;

/// Opens a workbook of whichever format it has, if its claims can be true.
pub(super) fn open(bytes: Vec<u8>) -> Result<Workbook> {
    let unreadable = |e: &dyn std::fmt::Display| Error::input(format!("not a readable workbook: {e}"));
    if !bytes.starts_with(b"PK") {
        old_format(&bytes)?;
        return Xls::new(Cursor::new(bytes)).map(Sheets::Xls).map_err(|e| unreadable(&e));
    }
    let kind = parts(&bytes)?;
    let bytes = Cursor::new(bytes);
    match kind {
        Kind::OpenDocument => Ods::new(bytes).map(Sheets::Ods).map_err(|e| unreadable(&e)),
        Kind::Binary => Xlsb::new(bytes).map(Sheets::Xlsb).map_err(|e| unreadable(&e)),
        Kind::Excel => Xlsx::new(bytes).map(Sheets::Xlsx).map_err(|e| unreadable(&e)),
    }
}

enum Kind {
    Excel,
    Binary,
    OpenDocument,
}

/// Unpacks each part of a ZIP and holds its numbers against its length.
fn parts(bytes: &[u8]) -> Result<Kind> {
    let unreadable = |e: &dyn std::fmt::Display| Error::input(format!("not a readable workbook: {e}"));
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| unreadable(&e))?;
    let (mut kind, mut unpacked) = (Kind::Excel, 0);
    for index in 0..archive.len() {
        let part = archive.by_index(index).map_err(|e| unreadable(&e))?;
        let name = part.name().map_err(|e| unreadable(&e))?.into_owned();
        match name.as_str() {
            "content.xml" => kind = Kind::OpenDocument,
            "xl/workbook.bin" => kind = Kind::Binary,
            _ => {}
        }
        let mut content = Vec::new();
        part.take((MAX_BYTES - unpacked) as u64 + 1).read_to_end(&mut content).map_err(|e| unreadable(&e))?;
        unpacked += content.len();
        if unpacked > MAX_BYTES {
            return Err(Error::input(format!(
                "the workbook's parts are larger than {} MiB, unpacked",
                MAX_BYTES >> 20
            ))
            .remedy("save the sheet as CSV"));
        }
        let is_text = [".xml", ".rels"].iter().any(|ending| name.to_ascii_lowercase().ends_with(ending));
        if is_text || !content.starts_with(b"\x89PNG") {
            numbers(&name, &content)?;
        }
    }
    Ok(kind)
}

/// What a repeated cell or row adds up to, in an OpenDocument sheet.
#[derive(Default)]
struct Extent {
    rows: usize,
    row_repeats: usize,
    /// Cells of this row, the last with content, and repeats of the present cell.
    columns: usize,
    filled: usize,
    repeats: usize,
    widest: usize,
    last_row: usize,
    text: usize,
}

/// Holds the numbers of an XML part against its length. A part that is no XML is left to its reader.
fn numbers(name: &str, content: &[u8]) -> Result<()> {
    let mut reader = Reader::from_reader(content);
    let mut extent = Extent::default();
    let mut buffer = Vec::new();
    loop {
        match reader.read_event_into(&mut buffer) {
            Ok(Event::Start(tag)) => extent.tag(name, content.len(), &tag, false)?,
            Ok(Event::Empty(tag)) => extent.tag(name, content.len(), &tag, true)?,
            Ok(Event::Text(text)) => extent.text(name, text.len())?,
            Ok(Event::Eof) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
        buffer.clear();
    }
}

fn too_many(name: &str, what: &str) -> Error {
    Error::input(format!("{name} of the workbook claims {what} than a table of landmarks has"))
        .remedy("delete what stands far below or beside the table, or save the sheet as CSV")
}

/// A whole number of an attribute with this local name.
fn number(tag: &BytesStart, wanted: &str) -> Option<usize> {
    let attribute =
        tag.attributes().with_checks(false).flatten().find(|a| a.key.local_name().as_ref() == wanted.as_bytes())?;
    // A number that does not fit is larger than every bound.
    let digits = std::str::from_utf8(attribute.value.trim_ascii()).ok()?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().unwrap_or(usize::MAX))
}

impl Extent {
    fn tag(&mut self, name: &str, length: usize, tag: &BytesStart, empty: bool) -> Result<()> {
        let claims = |attribute| number(tag, attribute).is_some_and(|claimed| claimed > length);
        match tag.local_name().as_ref() {
            b"sst" if claims("uniqueCount") => Err(too_many(name, "more strings")),
            b"f" if claims("si") => Err(too_many(name, "more formulas")),
            b"table" => {
                *self = Self::default();
                Ok(())
            }
            b"table-row" => {
                self.rows = self.rows.saturating_add(self.row_repeats);
                self.row_repeats = number(tag, "number-rows-repeated").unwrap_or(1);
                (self.columns, self.filled) = (0, 0);
                Ok(())
            }
            b"table-cell" | b"covered-table-cell" => {
                self.repeats = number(tag, "number-columns-repeated").unwrap_or(1);
                self.columns = self.columns.saturating_add(self.repeats);
                // A cell without content is repeated to the end of the sheet in every workbook; the reader leaves it out there.
                let holds = |a: Attribute| a.key.local_name().as_ref() == b"value-type";
                let filled = !empty || tag.attributes().with_checks(false).flatten().any(holds);
                if filled {
                    self.filled = self.columns;
                    self.widest = self.widest.max(self.filled);
                    self.last_row = self.rows.saturating_add(self.row_repeats);
                }
                if self.widest.saturating_mul(self.last_row) > MAX_CELLS {
                    return Err(too_many(name, "more cells"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Counts the text of a cell as often as it is repeated.
    fn text(&mut self, name: &str, length: usize) -> Result<()> {
        let times = self.repeats.max(1).saturating_mul(self.row_repeats.max(1));
        self.text = self.text.saturating_add(length.saturating_mul(times));
        if self.text > MAX_BYTES { Err(too_many(name, "more text")) } else { Ok(()) }
    }
}

/// Records of the older format with a row and a column in their first four bytes.
const CELLS: [u16; 8] = [0x0006, 0x0203, 0x0204, 0x0205, 0x00bd, 0x00d6, 0x00fd, 0x027e];
const DIMENSIONS: u16 = 0x0200;
const SHEET: u16 = 0x0085;
const BEGIN: u16 = 0x0809;
const END: u16 = 0x000a;

/// Adds up what the sheets of an .xls span ([MS-XLS] 2.1.4).
fn old_format(bytes: &[u8]) -> Result<()> {
    let unreadable = |e: std::io::Error| Error::input(format!("not a readable workbook: {e}"));
    let mut file = cfb::CompoundFile::open(Cursor::new(bytes)).map_err(unreadable)?;
    let mut stream = match file.open_stream("/Workbook") {
        Ok(stream) => stream,
        Err(_) => file.open_stream("/Book").map_err(unreadable)?,
    };
    let mut book = Vec::new();
    stream.by_ref().take(MAX_BYTES as u64).read_to_end(&mut book).map_err(unreadable)?;
    let starts: Vec<usize> = records(&book)
        .filter(|(kind, _)| *kind == SHEET)
        .filter_map(|(_, data)| Some(u32::from_le_bytes(data.get(..4)?.try_into().ok()?) as usize))
        .collect();
    let mut cells = 0usize;
    for start in starts {
        let sheet = book.get(start..).unwrap_or_default();
        let (mut rows, mut columns) = (0usize, 0usize);
        // An embedded chart begins and ends as a sheet does, and the sheet goes on after it.
        let mut depth = 0u32;
        for (kind, data) in records(sheet) {
            match kind {
                BEGIN => depth += 1,
                END if depth <= 1 => break,
                END => depth -= 1,
                _ => {}
            }
            let word = |at: usize| data.get(at..at + 2).map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])));
            if kind == DIMENSIONS {
                let long = data.len() >= 14;
                rows = rows.max(if long { word(4) + (word(6) << 16) } else { word(2) });
                columns = columns.max(word(if long { 10 } else { 6 }));
            } else if CELLS.contains(&kind) {
                rows = rows.max(word(0) + 1);
                let last = if kind == 0x00bd { word(data.len().saturating_sub(2)) } else { word(2) };
                columns = columns.max(last + 1);
            }
        }
        // The reader keeps cells and formulas beside each other.
        cells = cells.saturating_add(rows.saturating_mul(columns));
        if cells > MAX_CELLS || columns > XLS_COLUMNS {
            return Err(too_many("a sheet", "more cells"));
        }
    }
    Ok(())
}

/// Kinds and contents of a stream's records.
fn records(mut stream: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = stream.split_at_checked(4)?;
        let (data, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([head[2], head[3]])))?;
        stream = rest;
        Some((u16::from_le_bytes([head[0], head[1]]), data))
    })
}
