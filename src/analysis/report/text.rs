//! Type: the fonts that come with the package, and texts measured, fitted and wrapped.

use std::sync::OnceLock;

use plotters::prelude::{FontStyle, TextStyle};
use plotters::style::{FontDesc, FontFamily, register_font};

use super::canvas::{BLACK, Colour, GREY, OVERSAMPLING};

/// Pixels between ascender and descender per pixel of font size: plotters sizes fonts by the former.
const LINE_PER_EM: f64 = 1.164;
const FONT: &str = "DejaVu Sans";

/// Which end of a text its position is. Vertically it is always the middle of the capitals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Anchor {
    Left,
    Centre,
    Right,
}

/// Size, weight and colour of a text.
#[derive(Debug, Clone, Copy)]
pub struct Type {
    pub size: f64,
    pub bold: bool,
    pub colour: Colour,
}

impl Type {
    pub fn plain(size: f64) -> Self {
        Self { size, bold: false, colour: BLACK }
    }

    pub fn bold(size: f64) -> Self {
        Self { bold: true, ..Self::plain(size) }
    }

    pub fn grey(size: f64) -> Self {
        Self { colour: GREY, ..Self::plain(size) }
    }

    pub fn style(self) -> TextStyle<'static> {
        let style = if self.bold { FontStyle::Bold } else { FontStyle::Normal };
        let size = self.size * LINE_PER_EM * f64::from(OVERSAMPLING);
        FontDesc::new(FontFamily::Name(FONT), size, style).color(&self.colour)
    }

    /// Width of the text in pixels.
    pub fn width(self, text: &str) -> f64 {
        fonts_are_there();
        self.style().font.layout_box(text).map_or(0.0, |(_, (width, _))| f64::from(width) / f64::from(OVERSAMPLING))
    }

    /// The text and a type in which it is no wider than `width`: smaller if that is enough, else cut short with "…".
    pub fn fit(self, text: &str, width: f64) -> (String, Self) {
        let smaller =
            Self { size: (self.size * width / self.width(text).max(1.0)).clamp(self.size * 0.72, self.size), ..self };
        let mut kept: Vec<char> = text.chars().collect();
        let mut fitted = text.to_owned();
        while smaller.width(&fitted) > width + 1.0 && !kept.is_empty() {
            kept.pop();
            fitted = kept.iter().collect::<String>().trim_end().to_owned() + "…";
        }
        (fitted, smaller)
    }

    /// The text in lines no wider than `width`, broken between words.
    pub fn wrap(self, text: &str, width: f64) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            match lines.last_mut() {
                Some(line) if self.width(&format!("{line} {word}")) <= width => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines
    }
}

/// Registers the built-in fonts once; whether they could be read.
pub fn fonts_are_there() -> bool {
    static READ: OnceLock<bool> = OnceLock::new();
    *READ.get_or_init(|| {
        let regular = register_font(FONT, FontStyle::Normal, include_bytes!("fonts/DejaVuSans.ttf"));
        let bold = register_font(FONT, FontStyle::Bold, include_bytes!("fonts/DejaVuSans-Bold.ttf"));
        regular.is_ok() && bold.is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_drawn_and_fitted() {
        let face = Type::plain(22.0);
        assert!(face.width("smooth-l1 · 1 · unet") > 150.0);
        let (short, smaller) = face.fit(&"long label ".repeat(20), 200.0);
        assert!(short.ends_with('…') && smaller.width(&short) <= 201.0);
        assert_eq!(face.fit("l1", 200.0).0, "l1");
        let lines = face.wrap("a title that needs more than one line", 150.0);
        assert!(lines.len() > 1 && lines.iter().all(|l| face.width(l) <= 150.0));
    }
}
