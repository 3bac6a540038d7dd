//! Text: the fonts that come with the package, and text measured, fitted and wrapped.

use std::sync::OnceLock;

use plotters::prelude::FontStyle;
use plotters::style::text_anchor::HPos;
use plotters::style::{FontDesc, FontFamily, FontTransform, register_font};

use super::colour::{BLACK, Colour, GREY};
use super::geometry::OVERSAMPLING;

/// Size of tick labels, legends and subtitles in pixels.
pub const SMALL_SIZE: f64 = 21.0;

/// Pixels between ascender and descender per pixel of font size: plotters sizes fonts by the former.
const LINE_PER_EM: f64 = 1.164;
/// The same, as plotters assumes it for SVG.
const LINE_PER_EM_OF_SVG: f64 = 1.24;
const FONT: &str = "DejaVu Sans";

/// The point of a text that its position refers to. Vertically it is always the middle of the capital letters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Anchor {
    /// The left end.
    Left,
    /// The middle.
    Centre,
    /// The right end.
    Right,
}

impl Anchor {
    /// The same for plotters.
    pub(super) fn side(self) -> HPos {
        match self {
            Self::Left => HPos::Left,
            Self::Centre => HPos::Center,
            Self::Right => HPos::Right,
        }
    }
}

/// Size, weight and colour of a text.
#[derive(Debug, Clone, Copy)]
pub struct TextStyle {
    /// Font size in pixels.
    pub size: f64,
    /// Whether the bold font is used.
    pub bold: bool,
    /// Colour of the letters.
    pub colour: Colour,
}

impl TextStyle {
    /// Regular black text of this size in pixels.
    #[must_use]
    pub fn plain(size: f64) -> Self {
        Self { size, bold: false, colour: BLACK }
    }

    /// Bold black text.
    #[must_use]
    pub fn bold(size: f64) -> Self {
        Self { bold: true, ..Self::plain(size) }
    }

    /// Regular grey text.
    #[must_use]
    pub fn grey(size: f64) -> Self {
        Self { colour: GREY, ..Self::plain(size) }
    }

    /// The style for the renderer of pixels, at the rendered size.
    pub(super) fn rendered(self, upwards: bool) -> plotters::style::TextStyle<'static> {
        self.letters(LINE_PER_EM, upwards)
    }

    /// The style for the renderer of SVG, at the rendered size.
    pub(super) fn of_svg(self, upwards: bool) -> plotters::style::TextStyle<'static> {
        self.letters(LINE_PER_EM_OF_SVG, upwards)
    }

    fn letters(self, line_per_em: f64, upwards: bool) -> plotters::style::TextStyle<'static> {
        let style = if self.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = FontDesc::new(FontFamily::Name(FONT), self.size * line_per_em * f64::from(OVERSAMPLING), style);
        let turned = if upwards { font.transform(FontTransform::Rotate270) } else { font };
        turned.color(&self.colour)
    }

    /// Width of the text in pixels.
    #[must_use]
    pub fn width(self, text: &str) -> f64 {
        register_fonts();
        self.rendered(false)
            .font
            .layout_box(text)
            .map_or(0.0, |(_, (width, _))| f64::from(width) / f64::from(OVERSAMPLING))
    }

    /// The text and a style in which it is at most `width` pixels wide: a smaller font if that is enough, else also
    /// shortened with "…".
    #[must_use]
    pub fn fit(self, text: &str, width: f64) -> (String, Self) {
        let smaller =
            Self { size: (self.size * width / self.width(text).max(1.0)).clamp(self.size * 0.72, self.size), ..self };
        let mut letters: Vec<char> = text.chars().collect();
        let mut fitted = text.to_owned();
        while smaller.width(&fitted) > width + 1.0 && !letters.is_empty() {
            letters.pop();
            fitted = letters.iter().collect::<String>().trim_end().to_owned() + "…";
        }
        (fitted, smaller)
    }

    /// The text in lines of at most `width` pixels, broken between words.
    pub(crate) fn wrap(self, text: &str, width: f64) -> Vec<String> {
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

/// Registers the built-in fonts once; `false` if they are unreadable.
pub(super) fn register_fonts() -> bool {
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
        let style = TextStyle::plain(22.0);
        assert!(style.width("smooth-l1 · 1 · unet") > 150.0);
        let (short, smaller) = style.fit(&"long label ".repeat(20), 200.0);
        assert!(short.ends_with('…') && smaller.width(&short) <= 201.0);
        assert_eq!(style.fit("l1", 200.0).0, "l1");
        let lines = style.wrap("a title that needs more than one line", 150.0);
        assert!(lines.len() > 1 && lines.iter().all(|l| style.width(l) <= 150.0));
    }
}
