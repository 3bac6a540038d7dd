//! Layouts of structures that exist twice: in the kernels' CUDA sources and in Rust.

/// Size of a structure and its fields, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of the structure.
    pub size: usize,
    /// All fields.
    pub fields: Vec<Field>,
}

/// Position of a field in its structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The field's name.
    pub name: String,
    /// Offset in bytes.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
}

/// Size in bytes of the field that a function returns.
#[must_use]
pub fn field_size<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

/// Asserts that a structure has the layout of its counterpart in the kernels: the same fields in the same order, with the
/// same offsets and sizes. The counterpart is named by itself or by a kernel that takes it.
///
/// Both lists are complete: the C++ compiler rejects a `FIELDS` that misses a field (`kernels/layout.cuh`), and the
/// Rust compiler an incomplete list here.
///
/// # Panics
/// When the layouts differ.
#[macro_export]
macro_rules! assert_layout {
    ($emulator:expr, $name:expr, $Structure:ident { $($field:ident),* $(,)? }) => {{
        // Without `..`, so that no field may be left out.
        let _ = |structure: &$Structure| {
            let $Structure { $($field: _),* } = structure;
        };
        let fields = vec![$($crate::Field {
            name: stringify!($field).to_owned(),
            offset: ::std::mem::offset_of!($Structure, $field),
            size: $crate::field_size(|structure: &$Structure| &structure.$field),
        }),*];
        let layout = $crate::Layout { size: size_of::<$Structure>(), fields };
        assert_eq!($emulator.layout($name), Some(layout), "the kernels' (left) and Rust's (right) layout of {}", $name);
    }};
}
