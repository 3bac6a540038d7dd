//! Every tool's files through every kind of trouble: names, missing marks, turned pictures, paths, encodings, images that are
//! there twice, marks outside the picture. Each must come out right or be refused.

mod cephalograms;
mod tools;

use std::path::Path;

use landmark_sweep::data::import::{self, Missing, Options};
use landmark_sweep::data::{Dataset, folder};

use super::pictures::{self, LANDMARKS, SIZE, positions};
use tools::{Frame, TOOLS, Tool};

/// A mark of a landmark, counted from the first pixel's centre.
#[derive(Clone)]
struct Mark {
    name: String,
    x: f64,
    y: f64,
    is_visible: bool,
}

/// An image and its marks.
#[derive(Clone)]
struct Entry {
    film: u32,
    /// Its file in the tool's folder of images.
    file: String,
    /// What the annotations call it.
    reference: String,
    marks: Vec<Mark>,
}

/// Encodings of text.
#[derive(Clone, Copy)]
enum Text {
    Utf8,
    ByteOrderMark,
    Utf16,
}

impl Text {
    fn bytes(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::ByteOrderMark => format!("\u{feff}{text}").into_bytes(),
            Self::Utf16 => format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect(),
        }
    }
}

const NAMES: [&str; 4] = ["sella", "nasion", "menton", "gonion"];

/// Three films.
fn films(names: [&str; 4]) -> Vec<Entry> {
    let entry = |film: u32| {
        let mark = |(name, [x, y]): (&str, [f64; 2])| Mark { name: name.to_owned(), x, y, is_visible: true };
        let marks = names.into_iter().zip(positions(film)).map(mark).collect();
        Entry { film, file: format!("{film}.png"), reference: format!("{film}.png"), marks }
    };
    (0..3).map(entry).collect()
}

/// Imports what a tool writes; pictures are stored by an EXIF orientation.
fn imported(
    tool: &Tool,
    entries: &[Entry],
    text: Text,
    exif: u8,
    options: &Options,
) -> Result<(Dataset, String), String> {
    let root = tempfile::tempdir().unwrap();
    let (source, out) = (root.path().join("source"), root.path().join("out"));
    for entry in entries {
        let path = source.join(tool.folder).join(&entry.file);
        if exif > 1 { pictures::turned(&path, entry.film, exif) } else { pictures::plain(&path, entry.film) }
    }
    (tool.write)(&source, entries, text);
    let parsed = import::read(&source, None, options).map_err(|e| e.to_string())?;
    let written = import::write_saying(&parsed, &out, options).map_err(|e| e.to_string())?;
    let notes = parsed.notes.iter().chain(&written.notes).cloned().collect::<Vec<_>>().join("\n");
    Ok((folder::read(&out).map_err(|e| e.to_string())?, notes))
}

/// A name with its accent in one character.
fn composed(name: &str) -> String {
    name.replace("e\u{301}", "\u{e9}")
}

/// What is wrong with an import, if anything is.
fn judged(tool: &Tool, entries: &[Entry], dataset: &Dataset) -> Result<(), String> {
    if dataset.samples.len() != entries.len() {
        return Err(format!("{} images", dataset.samples.len()));
    }
    let stem = |name: &str| Path::new(name).file_stem().unwrap().to_string_lossy().into_owned();
    for entry in entries {
        let sample = dataset.samples.iter().find(|sample| stem(&sample.image) == stem(&entry.file));
        let sample = sample.ok_or_else(|| format!("no {}", entry.file))?;
        for (index, mark) in entry.marks.iter().enumerate() {
            let name = composed(&(tool.landmark)(index, &mark.name));
            let place = dataset.landmarks.iter().position(|other| *other == name);
            let found = place.and_then(|place| sample.landmarks[place]);
            let is_right = match found {
                // Tools that round to whole pixels are off by up to a half.
                Some(point) => mark.is_visible && (point.x - mark.x).abs() < 0.76 && (point.y - mark.y).abs() < 0.76,
                None => !mark.is_visible,
            };
            if !is_right {
                return Err(format!("{}: {name} at {found:?}, not {}, {}", entry.file, mark.x, mark.y));
            }
        }
        if dataset.landmarks.len() != entry.marks.len() + tool.other_landmarks {
            return Err(format!("landmarks {:?}", dataset.landmarks));
        }
    }
    Ok(())
}

/// The expected end of an import.
enum End {
    Right,
    /// Right, and a note says this.
    Noted(&'static str),
    Refused(&'static str),
}

struct Failures(Vec<String>);

impl Failures {
    fn check(
        &mut self,
        kind: &str,
        tool: &Tool,
        entries: (&[Entry], &[Entry]),
        text: Text,
        options: &Options,
        end: &End,
    ) {
        self.check_turned(kind, tool, entries, text, 1, options, end);
    }

    #[expect(clippy::too_many_arguments, reason = "a row of the table")]
    fn check_turned(
        &mut self,
        kind: &str,
        tool: &Tool,
        (written, expected): (&[Entry], &[Entry]),
        text: Text,
        exif: u8,
        options: &Options,
        end: &End,
    ) {
        let found = imported(tool, written, text, exif, options);
        let wrong = match (found, end) {
            (Ok(_), End::Refused(_)) => Some("it was imported".to_owned()),
            (Err(error), End::Refused(part)) => (!error.contains(part)).then_some(error),
            (Err(error), _) => Some(error),
            (Ok((dataset, notes)), _) => judged(tool, expected, &dataset).err().or_else(|| match end {
                End::Noted(part) => (!notes.contains(part)).then(|| format!("no note of `{part}`: {notes}")),
                _ => None,
            }),
        };
        self.0.extend(wrong.map(|wrong| format!("{} ({kind}): {wrong}", tool.name)));
    }
}

#[test]
fn every_tool_goes_through_every_kind_of_trouble() {
    let mut failures = Failures(Vec::new());
    let plain = films(NAMES);
    for tool in TOOLS {
        let options = tool.options();
        let mut right = |kind: &str, entries: &[Entry], text: Text, end: &End| {
            failures.check(kind, tool, (entries, entries), text, &options, end);
        };
        right("plain", &plain, Text::Utf8, &End::Right);
        right("names that differ by case", &films(["N", "n", "Gn", "gn"]), Text::Utf8, &End::Right);
        let mut accents = films(["S\u{e9}lla", "nasion", "menton", "gonion"]);
        right("names beyond ASCII, byte-order mark", &accents, Text::ByteOrderMark, &End::Right);
        right("names beyond ASCII, UTF-16", &accents, Text::Utf16, &End::Right);
        if tool.names_marks {
            // macOS writes accents as characters of their own.
            accents[1].marks[0].name = "Se\u{301}lla".to_owned();
            right("accents in one and in two characters", &accents, Text::Utf8, &End::Right);
        }
        if tool.has_missing {
            let mut flagged = plain.clone();
            flagged[1].marks[2].is_visible = false;
            right("a missing landmark", &flagged, Text::Utf8, &End::Right);
        }
        named(&mut failures, tool);
        missing(&mut failures, tool);
        turned(&mut failures, tool);
        outside(&mut failures, tool);
    }
    assert!(failures.0.is_empty(), "{} are wrong:\n{}", failures.0.len(), failures.0.join("\n"));
}

/// The name of a film's image, by its number.
type NameOfFilm = fn(u32) -> String;

/// Images by paths of other machines and by addresses, and an image that is there twice.
fn named(failures: &mut Failures, tool: &Tool) {
    if tool.is_by_stem {
        return;
    }
    let options = tool.options();
    let paths: [(&str, NameOfFilm, NameOfFilm); 8] = [
        ("a path of Windows", |i| format!("..\\images\\{i}.png"), |i| format!("{i}.png")),
        ("a drive", |i| format!("D:\\clinic\\films\\{i}.png"), |i| format!("{i}.png")),
        ("a share", |i| format!("\\\\nas\\films\\{i}.png"), |i| format!("{i}.png")),
        ("another home", |i| format!("/home/anna/films/{i}.png"), |i| format!("{i}.png")),
        ("a file's address", |i| format!("file:///C:/films/film%20{i}.png"), |i| format!("film {i}.png")),
        ("a server's address", |i| format!("https://host/films/{i}.png"), |i| format!("{i}.png")),
        ("escapes", |i| format!("film%20{i}%20%C3%A9.png"), |i| format!("film {i} \u{e9}.png")),
        ("a name in capitals", |i| format!("{i}.PNG"), |i| format!("{i}.png")),
    ];
    for (kind, reference, file) in paths {
        // A label of ImageJ has a colon before the number of a slice.
        if tool.name == "imagej" && kind.ends_with("address") {
            continue;
        }
        let mut entries = films(NAMES);
        for entry in &mut entries {
            (entry.reference, entry.file) = (reference(entry.film), file(entry.film));
        }
        failures.check(kind, tool, (&entries, &entries), Text::Utf8, &options, &End::Right);
    }
    if tool.name != "labelme" {
        let mut twice = films(NAMES);
        twice.push(twice[1].clone());
        twice[3].marks[0].x += 3.0;
        // Of points without names there are then too many.
        let end = if tool.name == "imagej" { End::Refused("points") } else { End::Refused("1.png") };
        let end = if tool.name == "csv-long" || tool.name == "via" { End::Refused("") } else { end };
        failures.check("an image twice", tool, (&twice, &twice), Text::Utf8, &options, &end);
    }
}

/// Positions that stand for a missing landmark.
fn missing(failures: &mut Failures, tool: &Tool) {
    // These count from elsewhere or in shares, so that the position is another one in their files (`tables_tests.rs`).
    if ["pts", "tps", "yolo-pose", "payer"].contains(&tool.name) {
        return;
    }
    for (at, missing, kind) in [
        (0.0, Missing::Usual, "(0, 0)"),
        (-1.0, Missing::Usual, "(-1, -1)"),
        (77.0, Missing::parse("77").unwrap(), "(77, 77)"),
    ] {
        let mut written = films(NAMES);
        (written[1].marks[2].x, written[1].marks[2].y) = (at, at);
        let mut expected = written.clone();
        expected[1].marks[2].is_visible = false;
        let options = Options { missing, ..tool.options() };
        let counted = End::Noted("were taken as missing");
        failures.check(kind, tool, (&written, &expected), Text::Utf8, &options, &counted);
    }
}

/// Pictures that EXIF turns in all eight ways, each in one of three formats; labelme goes through all of them (`CASES`).
fn turned(failures: &mut Failures, tool: &Tool) {
    for exif in 2..=8 {
        let ending = ["jpg", "png", "tif"][usize::from(exif) % 3];
        let mut shown = films(NAMES);
        for entry in &mut shown {
            entry.file = format!("{}.{ending}", entry.film);
            entry.reference.clone_from(&entry.file);
        }
        let mut written = shown.clone();
        if tool.frame == Frame::Stored {
            written.iter_mut().flat_map(|entry| &mut entry.marks).for_each(|mark| {
                let [x, y] = stored([mark.x, mark.y], exif);
                (mark.x, mark.y) = (x, y);
            });
        }
        let end = if tool.frame == Frame::Unknown { End::Refused("orientation") } else { End::Right };
        let kind = format!("turned by EXIF {exif}, {ending}");
        failures.check_turned(&kind, tool, (&written, &shown), Text::Utf8, exif, &tool.options(), &end);
    }
}

/// The position in the stored picture of one in the picture that viewers turn by this orientation.
fn stored([x, y]: [f64; 2], exif: u8) -> [f64; 2] {
    let (right, below) = (f64::from(SIZE[0]) - 1.0 - x, f64::from(SIZE[1]) - 1.0 - y);
    match exif {
        2 => [right, y],
        3 => [right, below],
        4 => [x, below],
        5 => [y, x],
        6 => [y, right],
        7 => [below, right],
        8 => [below, x],
        _ => [x, y],
    }
}

/// Marks beside the picture.
fn outside(failures: &mut Failures, tool: &Tool) {
    let options = tool.options();
    let mut beside = films(NAMES);
    beside[1].marks[2].x = f64::from(SIZE[0]) + 2.0;
    let mut onto_edge = beside.clone();
    onto_edge[1].marks[2].x = f64::from(SIZE[0]) - 0.5;
    let moved = End::Noted("moved onto its edge");
    failures.check("3 px outside", tool, (&beside, &onto_edge), Text::Utf8, &options, &moved);
    let mut far = films(NAMES);
    far[1].marks[2].x = f64::from(SIZE[0]) + 60.0;
    failures.check("60 px outside", tool, (&far, &far), Text::Utf8, &options, &End::Refused("outside the image"));
}

#[test]
fn films_have_the_landmarks_of_the_table() {
    assert_eq!(LANDMARKS.map(|(name, ..)| name), NAMES);
}
