//! Changes to the text of a data set's CSV that leave everything else as it is.

use csv::{StringRecord, Terminator, Writer};

use sweep_core::error::{Error, Result};

/// A CSV that is copied record by record.
pub(super) struct Edit {
    /// Names of the columns.
    pub(super) columns: Vec<String>,
    /// Index of the column `image`.
    image: usize,
    header: StringRecord,
    records: Vec<StringRecord>,
    writer: Writer<Vec<u8>>,
}

impl Edit {
    /// Reads the text.
    ///
    /// # Errors
    /// When it is not CSV, or has no column `image`.
    pub(super) fn new(text: &str) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        let mut records = reader.records();
        let header = records.next().unwrap_or_else(|| Ok(StringRecord::new())).map_err(not_csv)?;
        let columns: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        let image = columns.iter().position(|name| name == "image");
        let image = image.ok_or_else(|| Error::input("there is no column `image`"))?;
        let records = records.collect::<std::result::Result<_, _>>().map_err(not_csv)?;
        let ends = if text.contains("\r\n") { Terminator::CRLF } else { Terminator::Any(b'\n') };
        let writer = csv::WriterBuilder::new().flexible(true).terminator(ends).from_writer(Vec::new());
        Ok(Self { columns, image, header, records, writer })
    }

    /// The records of the header and of the images, to be written in their order.
    pub(super) fn take(&mut self) -> (StringRecord, Vec<StringRecord>) {
        (std::mem::take(&mut self.header), std::mem::take(&mut self.records))
    }

    /// The image that a record is about.
    pub(super) fn image<'a>(&self, record: &'a StringRecord) -> &'a str {
        record.get(self.image).unwrap_or_default().trim()
    }

    /// Writes a record.
    ///
    /// # Errors
    /// Never in practice; it is written to memory.
    pub(super) fn write<T: AsRef<[u8]>>(&mut self, cells: impl IntoIterator<Item = T>) -> Result<()> {
        self.writer.write_record(cells).map_err(not_csv)
    }

    /// The text that was written.
    ///
    /// # Errors
    /// Never in practice; it is made of text.
    pub(super) fn finish(self) -> Result<String> {
        let bytes = self.writer.into_inner().map_err(|e| Error::input(format!("not CSV: {e}")))?;
        String::from_utf8(bytes).map_err(|e| Error::input(format!("not UTF-8: {e}")))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err calls it")]
fn not_csv(e: csv::Error) -> Error {
    Error::input(format!("not CSV: {e}"))
}
