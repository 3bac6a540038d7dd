//! Colours, and the style by which a group is recognised in every chart.

use plotters::style::RGBAColor;

use super::marker::{Marker, MarkerShape};

/// Red, green and blue (0 to 255), and the opacity (0 to 1).
pub type Colour = RGBAColor;

/// Text, axes and reference lines.
pub const BLACK: Colour = RGBAColor(20, 20, 20, 1.0);
/// The background.
pub const WHITE: Colour = RGBAColor(255, 255, 255, 1.0);
/// Secondary text and lines.
pub const GREY: Colour = RGBAColor(105, 105, 105, 1.0);
/// Grid lines.
pub const LIGHT_GREY: Colour = RGBAColor(222, 222, 222, 1.0);

/// Colours that colour-blind readers can tell apart, after Okabe and Ito; their yellow is too pale on white.
const GROUP_COLOURS: [Colour; 7] = [
    RGBAColor(0, 114, 178, 1.0),
    RGBAColor(213, 94, 0, 1.0),
    RGBAColor(0, 158, 115, 1.0),
    RGBAColor(190, 95, 150, 1.0),
    RGBAColor(230, 159, 0, 1.0),
    RGBAColor(86, 180, 233, 1.0),
    RGBAColor(60, 60, 60, 1.0),
];

const GROUP_SHAPES: [MarkerShape; 5] = [
    MarkerShape::Circle,
    MarkerShape::Square,
    MarkerShape::TriangleUp,
    MarkerShape::Diamond,
    MarkerShape::TriangleDown,
];

/// The same hue mixed with white: `share` (0 to 1) of the colour is left. Unlike opacity it does not add up where lines
/// cross.
#[must_use]
pub fn tint(colour: Colour, share: f64) -> Colour {
    let mix = |c: u8| (255.0 - share * (255.0 - f64::from(c))).round() as u8;
    RGBAColor(mix(colour.0), mix(colour.1), mix(colour.2), 1.0)
}

/// Colour and marker of a group by its index; the marker is for readers without colours. Repeats after 84 groups.
#[must_use]
pub fn group_style(group: usize) -> (Colour, Marker) {
    let marker = match group % 12 {
        5 => Marker { shape: MarkerShape::Cross, filled: true },
        6 => Marker { shape: MarkerShape::Plus, filled: true },
        i if i < 5 => Marker { shape: GROUP_SHAPES[i], filled: true },
        i => Marker { shape: GROUP_SHAPES[i - 7], filled: false },
    };
    (GROUP_COLOURS[group % GROUP_COLOURS.len()], marker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_differ_in_marker_even_without_colours() {
        let markers: Vec<Marker> = (0..12).map(|i| group_style(i).1).collect();
        for (i, marker) in markers.iter().enumerate() {
            assert!(!markers[..i].contains(marker), "{marker:?}");
        }
    }
}
