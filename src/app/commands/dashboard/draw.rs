//! Draws the dashboard, at any size of the terminal.

use std::fmt::Write as _;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::{Axis, Block, Borders, Chart, Dataset, GraphType, Paragraph};

use sweep_core::units::ErrorUnit;
use sweep_experiment::records::{EpochRecord, State};

use crate::format::duration;
use crate::status::StatusLine;

use super::app::App;

/// Terminals with fewer rows show no curves.
const MIN_ROWS_FOR_CURVES: u16 = 18;
/// Terminals with fewer columns show one chart instead of two.
const MIN_COLUMNS_FOR_TWO_CHARTS: u16 = 70;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, app: &mut App) {
    let area = frame.area();
    let foot = u16::from(area.height > 2);
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(foot)]).areas(area);
    header(frame, head, app);
    footer(frame, foot, app);
    if area.height < MIN_ROWS_FOR_CURVES {
        table(frame, body, app);
        return;
    }
    let charts = (body.height * 2 / 5).clamp(8, 16);
    let log_rows = (body.height / 5).clamp(3, 8);
    let [trials, curves, tail] =
        Layout::vertical([Constraint::Min(3), Constraint::Length(charts), Constraint::Length(log_rows)]).areas(body);
    table(frame, trials, app);
    if area.width < MIN_COLUMNS_FOR_TWO_CHARTS {
        errors(frame, curves, app);
    } else {
        let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2).areas(curves);
        losses(frame, left, app);
        errors(frame, right, app);
    }
    log(frame, tail, app);
}

fn header(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let snapshot = &app.snapshot;
    let mut words = vec![format!("{} ", snapshot.sweep).bold()];
    if snapshot.stopping {
        words.push("STOPPING ".bold().yellow());
    } else if snapshot.paused {
        words.push("PAUSED ".bold().yellow());
    }
    words.push(Span::raw(snapshot.overview.trim_end().to_owned()));
    let note = snapshot.note.lines().next().unwrap_or_default();
    if !note.is_empty() {
        words.push(format!("  {note}").yellow());
    }
    frame.render_widget(Paragraph::new(Text::from(words)), area);
}

fn footer(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let words = if app.confirming_stop {
        Text::from("stop the sweep? trials save what they did: y, or any other key to go on".bold().yellow())
    } else if app.notice.is_empty() {
        let pause = if app.snapshot.paused { "go on" } else { "pause" };
        let keys = format!("↑↓ choose  p {pause}  s stop  r retry  q leave");
        let free = usize::from(area.width).saturating_sub(keys.chars().count() + 2);
        let load: String = app.snapshot.load.chars().take(free).collect();
        Text::from(vec![Span::raw(keys).dim(), Span::raw(format!("  {load}"))])
    } else {
        Text::from(app.notice.clone().yellow())
    };
    frame.render_widget(Paragraph::new(words), area);
}

/// A column: title, width, and the text of a trial.
type Column = (&'static str, usize, fn(&StatusLine) -> String);

/// Title of the column of landmark errors, without their unit.
const MRE: &str = "MRE";

const COLUMNS: [Column; 7] = [
    ("state", 11, |line| line.state.to_owned()),
    (MRE, 7, |line| number(line.errors()[0], 2)),
    ("best", 7, |line| number(line.errors()[1], 2)),
    ("epochs", 9, |line| if line.epochs == 0 { "–".into() } else { format!("{}/{}", line.epoch, line.epochs) }),
    ("left", 7, |line| line.seconds_left.map_or_else(|| "–".to_owned(), duration)),
    ("val loss", 10, |line| if line.val_loss.is_nan() { "–".into() } else { format!("{:.3e}", line.val_loss) }),
    ("device", 8, |line| line.device.split(' ').next().unwrap_or_default().to_owned()),
];

fn number(value: f64, decimals: usize) -> String {
    if value.is_nan() { "–".to_owned() } else { format!("{value:.decimals$}") }
}

/// Draws the trials around the selected one, as many as fit: ten thousand trials cost no more than ten.
fn table(frame: &mut Frame<'_>, area: Rect, app: &mut App) {
    let [titles, rows] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    app.page = usize::from(rows.height);
    let width = usize::from(area.width);
    // Names get the width that columns leave, at least a third; columns that do not fit are left out.
    let longest = app.snapshot.trials.iter().map(|line| line.trial.chars().count()).max().unwrap_or(0).max(5);
    let name = longest.min(width.saturating_sub(13).max(width / 3));
    let mut columns = Vec::new();
    let mut left = width.saturating_sub(name);
    for column in &COLUMNS {
        if left < column.1 + 2 {
            break;
        }
        left -= column.1 + 2;
        columns.push(column);
    }
    let row = |first: &str, cells: &dyn Fn(&Column) -> String| {
        let mut text = format!("{:name$}", cut(first, name));
        for (index, column) in columns.iter().enumerate() {
            let cell = cut(&cells(column), column.1);
            // The first column holds words, the others numbers. Writing to a string never fails.
            let _ = if index == 0 {
                write!(text, "  {cell:<0$}", column.1)
            } else {
                write!(text, "  {cell:>0$}", column.1)
            };
        }
        text
    };
    let title = |column: &Column| if column.0 == MRE { title_of_errors(app) } else { column.0.to_owned() };
    frame.render_widget(Paragraph::new(row("trial", &title).dim()), titles);
    if app.snapshot.trials.is_empty() {
        frame.render_widget(Paragraph::new("reading …".dim()), rows);
        return;
    }
    let first = app.selected.saturating_sub(app.page / 2).min(app.snapshot.trials.len().saturating_sub(app.page));
    let lines = app.snapshot.trials.iter().enumerate().skip(first).take(app.page).map(|(index, line)| {
        let mut text = row(&line.trial, &|column| (column.2)(line));
        if let Some(message) = line.message.as_ref().and_then(|message| message.lines().next()) {
            let _ = write!(text, "  {message}");
        }
        let style = Style::new().fg(colour(line.state));
        let style = if index == app.selected { style.add_modifier(Modifier::REVERSED) } else { style };
        Text::styled(text, style)
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), rows);
}

/// Shortens text to `width` characters by a `…` in the middle, because names of trials differ at both ends.
fn cut(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let (front, back) = (width.saturating_sub(1).div_ceil(2), width.saturating_sub(1) / 2);
    let start: String = text.chars().take(front).collect();
    let end: String = text.chars().skip(count - back).collect();
    if width == 0 { String::new() } else { format!("{start}…{end}") }
}

fn colour(state: &str) -> Color {
    match state {
        _ if state == State::Running.name() => Color::Cyan,
        _ if state == State::Done.name() => Color::Green,
        _ if state == State::Pending.name() => Color::Reset,
        _ if state == State::Pruned.name() || state == State::Interrupted.name() => Color::Yellow,
        _ => Color::Red,
    }
}

/// A curve: its colour and its points.
type Curve<'a> = (Color, &'a [(f64, f64)]);

/// Numbers of epochs and the decimal logarithm of one value: a fall by half is as visible late as early.
fn curve(app: &App, value: fn(&EpochRecord) -> f64) -> Vec<(f64, f64)> {
    let points = app.detail.epochs.iter().map(|row| (f64::from(row.epoch), value(row).log10()));
    points.filter(|(_, power)| power.is_finite()).collect()
}

fn losses(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let [train, val] = [curve(app, |row| row.train_loss), curve(app, |row| row.val_loss)];
    let title = Text::from(vec![Span::raw("loss: "), "training".blue(), Span::raw(", "), "validation".magenta()]);
    chart(frame, area, title, &[(Color::Blue, &train), (Color::Magenta, &val)], &|loss| format!("{loss:.1e}"));
}

/// Title of landmark errors with their unit, which is unknown before a trial has begun.
fn title_of_errors(app: &App) -> String {
    let unit: Option<ErrorUnit> = app.snapshot.trials.iter().find_map(|line| line.unit);
    unit.map_or_else(|| MRE.to_owned(), |unit| format!("{MRE} {unit}"))
}

/// Draws the landmark error.
fn errors(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let points = curve(app, EpochRecord::mre);
    let title = title_of_errors(app);
    let best = points.iter().map(|point| 10f64.powf(point.1)).fold(f64::NAN, f64::min);
    let title = if best.is_nan() { title } else { format!("{title}, {best:.2} at best") };
    chart(frame, area, Text::from(title), &[(Color::Green, &points)], &|mm| format!("{mm:.2}"));
}

fn dataset<'a>((colour, points): &Curve<'a>) -> Dataset<'a> {
    let kind = if points.len() == 1 { GraphType::Scatter } else { GraphType::Line };
    Dataset::default().marker(Marker::Braille).graph_type(kind).style(*colour).data(points)
}

fn chart(frame: &mut Frame<'_>, area: Rect, title: Text<'_>, curves: &[Curve<'_>], label: &dyn Fn(f64) -> String) {
    let points = || curves.iter().flat_map(|curve| curve.1.iter());
    let block = Block::new().borders(Borders::TOP).title(title);
    let last = points().map(|point| point.0).fold(0.0, f64::max);
    if last == 0.0 {
        frame.render_widget(Paragraph::new("nothing yet".dim()).block(block), area);
        return;
    }
    let low = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let high = points().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
    // The margin keeps a level curve in the middle.
    let margin = (0.05 * (high - low)).max(0.01);
    let (low, high) = (low - margin, high + margin);
    let sets = curves.iter().filter(|curve| !curve.1.is_empty()).map(dataset).collect();
    let x =
        Axis::default().bounds([1.0, last.max(2.0)]).labels([Text::from("1"), Text::from(format!("epoch {last:.0}"))]);
    let labels = [low, f64::midpoint(low, high), high].map(|power| Text::from(label(10f64.powf(power))));
    let y = Axis::default().bounds([low, high]).labels(labels);
    frame.render_widget(Chart::new(sets).block(block).legend_position(None).x_axis(x.dim()).y_axis(y.dim()), area);
}

/// Draws the end of the selected trial's log.
fn log(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let title = if app.detail.trial.is_empty() { "log".to_owned() } else { format!("log of {}", app.detail.trial) };
    let rows = usize::from(area.height.saturating_sub(1));
    let lines = app.detail.log.iter().skip(app.detail.log.len().saturating_sub(rows));
    let lines: Vec<Text<'_>> = lines.map(|line| Text::raw(line.clone())).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::new().borders(Borders::TOP).title(title)), area);
}

#[cfg(test)]
mod tests;
