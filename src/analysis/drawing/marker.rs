//! Markers: small shapes that stand for data points.

/// Shape of a marker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MarkerShape {
    /// A disc.
    Circle,
    /// A square that stands on its side.
    Square,
    /// A triangle that points up.
    TriangleUp,
    /// A square that stands on its corner.
    Diamond,
    /// A triangle that points down.
    TriangleDown,
    /// Two diagonal bars.
    Cross,
    /// An upright cross.
    Plus,
}

/// Appearance of a data point, apart from its colour and size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Marker {
    /// Its shape.
    pub shape: MarkerShape,
    /// Whether it is filled or hollow. Crosses have no interior.
    pub filled: bool,
}
