//! Workbooks that claim more than they hold, and the same with true claims.

use std::io::{Cursor, Write as _};

use calamine::Reader as _;
use csv::StringRecord;
use sweep_core::error::Result;
use zip::write::SimpleFileOptions;

use super::{Rows, claims, sheet};

const CONTENT_TYPES: &str = r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>"#;
const ROOT: &str = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;
const RELATIONS: &str = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#;
const BOOK: &str = r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="A" sheetId="1" r:id="r1"/></sheets></workbook>"#;

fn zip(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An .xlsx with this sheet data and these shared strings.
fn xlsx(data: &str, strings: &str) -> Vec<u8> {
    let sheet = format!("<worksheet><sheetData>{data}</sheetData></worksheet>");
    zip(&[
        ("[Content_Types].xml", CONTENT_TYPES),
        ("_rels/.rels", ROOT),
        ("xl/_rels/workbook.xml.rels", RELATIONS),
        ("xl/workbook.xml", BOOK),
        ("xl/worksheets/sheet1.xml", &sheet),
        ("xl/sharedStrings.xml", strings),
    ])
}

fn ods(rows: &str) -> Vec<u8> {
    let content = format!(
        r#"<office:document-content xmlns:office="o" xmlns:table="t" xmlns:text="x"><office:body><office:spreadsheet><table:table table:name="A">{rows}</table:table></office:spreadsheet></office:body></office:document-content>"#
    );
    zip(&[
        ("mimetype", "application/vnd.oasis.opendocument.spreadsheet"),
        ("META-INF/manifest.xml", r#"<manifest:manifest xmlns:manifest="m"/>"#),
        ("content.xml", &content),
    ])
}

/// An .xls with one sheet of these records ([MS-XLS] 2.4).
fn xls(records: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let record = |kind: u16, data: &[u8]| {
        [&kind.to_le_bytes()[..], &u16::try_from(data.len()).unwrap().to_le_bytes(), data].concat()
    };
    let begin = |what: u8| record(0x0809, &[0, 6, what, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let start = begin(5).len() + 4 + 10 + 4;
    let bound = [&u32::try_from(start).unwrap().to_le_bytes()[..], &[0, 0, 1, 0, b'A', 0]].concat();
    let mut book = [begin(5), record(0x0085, &bound), record(0x000a, &[])].concat();
    assert_eq!(book.len(), start);
    book.extend(begin(0x10));
    for (kind, data) in records {
        book.extend(record(*kind, data));
    }
    book.extend(record(0x000a, &[]));
    let mut file = cfb::CompoundFile::create(Cursor::new(Vec::new())).unwrap();
    file.create_stream("/Workbook").unwrap().write_all(&book).unwrap();
    file.flush().unwrap();
    file.into_inner().into_inner()
}

fn number(row: u16, column: u16, value: f64) -> (u16, Vec<u8>) {
    let place = [row.to_le_bytes(), column.to_le_bytes(), [0, 0]].concat();
    (0x0203, [&place[..], &value.to_le_bytes()].concat())
}

fn read(bytes: Vec<u8>) -> Result<Vec<(u64, StringRecord)>> {
    let mut workbook = claims::open(bytes)?;
    let name = workbook.sheet_names()[0].clone();
    let mut rows = Rows::default();
    sheet(&mut workbook, &name, &mut rows)?;
    rows.padded()
}

fn refused(bytes: Vec<u8>, because: &str) {
    let error = read(bytes).unwrap_err().to_string();
    assert!(error.contains(because), "{error}");
}

fn row(number: u64, cells: &[&str]) -> (u64, StringRecord) {
    (number, StringRecord::from(cells.to_vec()))
}

#[test]
fn a_cell_far_away_takes_no_room_between() {
    let far = r#"<row r="2"><c r="B2"><v>1.5</v></c><c r="D2"><v>2</v></c></row><row r="1048576"><c r="C1048576"><v>3</v></c></row>"#;
    let rows = read(xlsx(far, "<sst/>")).unwrap();
    assert_eq!(rows, [row(2, &["1.5", "", "2"]), row(1_048_576, &["", "3", ""])]);
    // 513 cells at both ends of as many rows span eight million and more.
    let wide: Vec<String> = (1..=513)
        .map(|r| format!(r#"<row r="{r}"><c r="A{r}"><v>1</v></c><c r="XFD{r}"><v>1</v></c></row>"#))
        .collect();
    refused(xlsx(&wide.concat(), "<sst/>"), "more cells");
}

#[test]
fn claimed_strings_and_repeated_text_are_bounded() {
    let cell = r#"<row r="1"><c r="A1" t="s"><v>0</v></c></row>"#;
    let one = |claim: &str| format!(r#"<sst count="1" uniqueCount="{claim}"><si><t>S</t></si></sst>"#);
    assert_eq!(read(xlsx(cell, &one("1"))).unwrap(), [row(1, &["S"])]);
    refused(xlsx(cell, &one("400000000000")), "more strings");
    refused(xlsx(cell, &one("99999999999999999999999999")), "more strings");
    let long = format!("<sst><si><t>{}</t></si></sst>", "a".repeat(1 << 20));
    let many: Vec<String> = (1..200).map(|r| format!(r#"<row r="{r}"><c r="A{r}" t="s"><v>0</v></c></row>"#)).collect();
    refused(xlsx(&many.concat(), &long), "more text");
    let formula = r#"<row r="1"><c r="A1"><f t="shared" si="4000000000" ref="A1:A2">1</f><v>1</v></c></row>"#;
    refused(xlsx(formula, "<sst/>"), "more formulas");
    refused(xlsx(&" ".repeat(claims::MAX_BYTES), ""), "MiB, unpacked");
}

#[test]
fn repeated_cells_of_open_document_are_bounded() {
    let cell = |attributes: &str| {
        format!(
            r#"<table:table-cell office:value-type="float" office:value="2.5" {attributes}><text:p>2.5</text:p></table:table-cell>"#
        )
    };
    // Spreadsheet programs repeat the empty rest of a sheet.
    let usual = format!(
        r#"<table:table-row>{}<table:table-cell table:number-columns-repeated="16382"/></table:table-row><table:table-row table:number-rows-repeated="1048575"><table:table-cell table:number-columns-repeated="16384"/></table:table-row>"#,
        cell(r#"table:number-columns-repeated="2""#)
    );
    assert_eq!(read(ods(&usual)).unwrap(), [row(1, &["2.5", "2.5"])]);
    let bomb = format!(
        r#"<table:table-row table:number-rows-repeated="1048576">{}</table:table-row>"#,
        cell(r#"table:number-columns-repeated="16384""#)
    );
    refused(ods(&bomb), "more cells");
    let long = format!(
        r#"<table:table-row table:number-rows-repeated="200"><table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell></table:table-row>"#,
        "a".repeat(1 << 20)
    );
    refused(ods(&long), "more text");
}

#[test]
fn the_span_of_an_old_sheet_is_bounded() {
    let rows = read(xls(&[number(1, 1, 1.5), number(2, 2, 2.0)])).unwrap();
    assert_eq!(rows, [row(2, &["1.5", ""]), row(3, &["", "2"])]);
    refused(xls(&[number(65_535, 200, 1.0)]), "more cells");
    refused(xls(&[number(0, 256, 1.0)]), "more cells");
    let dimensions = [0u32.to_le_bytes(), u32::MAX.to_le_bytes(), [0, 0, 255, 255], [0; 4]].concat();
    refused(xls(&[(0x0200, dimensions[..14].to_vec())]), "more cells");
    // Behind an embedded chart, the sheet goes on.
    let chart = [(0x0809, vec![0; 16]), (0x000a, Vec::new()), number(65_535, 200, 1.0)];
    refused(xls(&chart), "more cells");
}
