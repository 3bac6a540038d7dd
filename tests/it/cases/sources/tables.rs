//! Tables that people write themselves.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::{names, turned_copy, write};
use crate::cases::pictures::{SIZE, film, plain, position, positions};

/// A table of films, a row each, with these landmarks' names.
pub(super) fn table(films: u32, names: [&str; 4], separator: &str, number: impl Fn(f64) -> String) -> String {
    let mut csv = format!("image{separator}");
    csv += &names.map(|name| format!("{name}_x{separator}{name}_y")).join(separator);
    for film in 0..films {
        let cells = positions(film).as_flattened().iter().map(|v| number(*v)).collect::<Vec<_>>();
        write!(csv, "\r\n{film}.png{separator}{}", cells.join(separator)).unwrap();
    }
    csv + "\r\n"
}

fn films(dir: &Path, count: u32) {
    for number in 0..count {
        plain(&dir.join(format!("{number}.png")), number);
    }
}

pub(super) fn point(v: f64) -> String {
    format!("{v}")
}

pub(in crate::cases) fn csv_case(dir: &Path) {
    films(dir, 3);
    write(&dir.join("marks.csv"), table(3, ["N", "n", "Gn", "gn"], ",", point));
}

pub(in crate::cases) fn csv_accents(dir: &Path) {
    films(dir, 3);
    // macOS writes an accent as a character of its own: some headers do, and some do not.
    let names = ["Se\u{301}lla", "Nasi\u{f3}n", "Mento\u{301}n", "Goni\u{f3}n"];
    write(&dir.join("marks.csv"), table(3, names, ",", point));
}

pub(in crate::cases) fn csv_german(dir: &Path) {
    films(dir, 3);
    let text = table(3, names(), ";", |v| format!("{v}").replace('.', ","));
    write(&dir.join("marks.csv"), format!("\u{feff}sep=;\r\n{text}"));
}

pub(in crate::cases) fn csv_utf16(dir: &Path) {
    films(dir, 3);
    let text = table(3, names(), "\t", |v| format!("{v}").replace('.', ","));
    write(
        &dir.join("marks.csv"),
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect::<Vec<u8>>(),
    );
}

pub(in crate::cases) fn csv_index(dir: &Path) {
    films(dir, 3);
    let text = table(3, names(), ",", point);
    let rows: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(row, line)| if row == 0 { format!(",{line}") } else { format!("{},{line}", row - 1) })
        .collect();
    write(&dir.join("marks.csv"), rows.join("\n"));
}

pub(in crate::cases) fn csv_missing(dir: &Path) {
    films(dir, 4);
    let text = table(4, names(), ",", point);
    let pair = |film: u32, landmark: usize| {
        let [x, y] = position(film, landmark);
        format!("{x},{y}")
    };
    let text =
        text.replacen(&pair(0, 2), "-1,-1", 1).replacen(&pair(1, 1), "0,0", 1).replacen(&pair(2, 3), "NaN,NaN", 1);
    write(&dir.join("marks.csv"), text);
}

pub(in crate::cases) fn csv_visible(dir: &Path) {
    films(dir, 3);
    let mut csv = "image,landmark,x,y,visible\n".to_owned();
    for number in 0..3 {
        for (index, (name, [x, y])) in names().into_iter().zip(positions(number)).enumerate() {
            if (number, index) == (1, 0) {
                writeln!(csv, "{number}.png,{name},0,0,0").unwrap();
            } else {
                writeln!(csv, "{number}.png,{name},{x},{y},1").unwrap();
            }
        }
    }
    write(&dir.join("marks.csv"), csv);
}

pub(in crate::cases) fn csv_patients(dir: &Path) {
    let text = table(3, names(), ",", point);
    let mut text = text;
    for number in 0..3 {
        plain(&dir.join(format!("patient{number}/ceph.png")), number);
        text = text.replace(&format!("\n{number}.png"), &format!("\npatient{number}\\ceph.png"));
    }
    write(&dir.join("marks.csv"), text);
}

pub(in crate::cases) fn csv_called_test(dir: &Path) {
    let mut text = table(6, names(), ",", point);
    for number in 0..6 {
        let name = if number < 2 { format!("test{number}.png") } else { format!("{number}.png") };
        plain(&dir.join(&name), number);
        text = text.replace(&format!("\n{number}.png"), &format!("\n{name}"));
    }
    write(&dir.join("test.csv"), text);
}

pub(in crate::cases) fn csv_from_one_up(dir: &Path) {
    films(dir, 3);
    let mut csv = format!("image,{}\n", names().map(|name| format!("{name}_x,{name}_y")).join(","));
    for number in 0..3 {
        let cells = positions(number).map(|[x, y]| format!("{},{}", x + 1.0, f64::from(SIZE[1]) - y)).join(",");
        writeln!(csv, "{number}.png,{cells}").unwrap();
    }
    write(&dir.join("marks.csv"), csv);
}

pub(in crate::cases) fn csv_percent(dir: &Path) {
    films(dir, 3);
    let mut csv = format!("image,{}\n", names().map(|name| format!("{name}_x,{name}_y")).join(","));
    for number in 0..3 {
        let share = |v: f64, side: u32| (v + 0.5) * 100.0 / f64::from(side);
        let cells = positions(number).map(|[x, y]| format!("{},{}", share(x, SIZE[0]), share(y, SIZE[1]))).join(",");
        writeln!(csv, "{number}.png,{cells}").unwrap();
    }
    write(&dir.join("marks.csv"), csv);
}

pub(in crate::cases) fn csv_name_twice(dir: &Path) {
    films(dir, 3);
    write(&dir.join("marks.csv"), table(3, ["sella", "nasion", "sella", "gonion"], ",", point));
}

pub(in crate::cases) fn csv_shares(dir: &Path) {
    films(dir, 3);
    let mut csv = format!("image,{}\n", names().map(|name| format!("{name}_x,{name}_y")).join(","));
    for number in 0..3 {
        let share = |v: f64, side: u32| (v + 0.5) / f64::from(side);
        let cells = positions(number).map(|[x, y]| format!("{},{}", share(x, SIZE[0]), share(y, SIZE[1]))).join(",");
        writeln!(csv, "{number}.png,{cells}").unwrap();
    }
    write(&dir.join("marks.csv"), csv);
}

/// Two films on red, and one in three equal channels.
pub(in crate::cases) fn csv_colours(dir: &Path) {
    for number in 0..3 {
        let film = film(number);
        let red = |v: u8| if number < 2 { [v.saturating_add(60), v, v] } else { [v; 3] };
        let picture = image::RgbImage::from_fn(SIZE[0], SIZE[1], |x, y| image::Rgb(red(film.get_pixel(x, y)[0])));
        picture.save(dir.join(format!("{number}.png"))).unwrap();
    }
    write(&dir.join("marks.csv"), table(3, names(), ",", point));
}

pub(in crate::cases) fn csv_turned(dir: &Path) {
    let mut csv = format!("image,{}\n", names().map(|name| format!("{name}_x,{name}_y")).join(","));
    for exif in 1..=8u8 {
        let number = u32::from(exif) - 1;
        turned_copy(&dir.join(format!("{number}.jpg")), number, exif);
        let cells = positions(number % 3).map(|[x, y]| format!("{x},{y}")).join(",");
        writeln!(csv, "{number}.jpg,{cells}").unwrap();
    }
    write(&dir.join("marks.csv"), csv);
}

pub(in crate::cases) fn csv_outside(dir: &Path) {
    films(dir, 3);
    let [x, y] = position(1, 2);
    write(
        &dir.join("marks.csv"),
        table(3, names(), ",", point).replace(&format!("{x},{y}"), &format!("{x},{}", y + 60.0)),
    );
}

pub(in crate::cases) fn csv_capitals(dir: &Path) {
    for (number, name) in (0..).zip(["0.PNG", "1.png", "2.Png"]) {
        let path = dir.join("plain.png");
        plain(&path, number);
        fs::rename(path, dir.join(name)).unwrap();
    }
    let text = table(3, names(), ",", point).replace("\n0.png", "\n0.PNG").replace("\n1.png", "\n1.PNG");
    write(&dir.join("marks.csv"), text);
}
