//! Writer of the Protocol Buffers wire format: a message is a sequence of fields, each a key (number and wire type) and a
//! value. Field numbers come from the format that is written.
//!
//! <https://protobuf.dev/programming-guides/encoding>

/// A message, built field by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    /// Creates a message without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an integer: `int64`, `uint64`, `int32`, `bool` or an `enum`.
    #[must_use]
    pub fn int(mut self, field: u32, value: i64) -> Self {
        self.key(field, 0);
        varint(&mut self.0, value as u64);
        self
    }

    /// Adds a `float`.
    #[must_use]
    pub fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Adds a `double`.
    #[must_use]
    pub fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Adds `bytes`.
    #[must_use]
    pub fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.key(field, 2);
        varint(&mut self.0, value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// Adds a `string`.
    #[must_use]
    pub fn text(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// Adds a nested message; several with the same field number are a list.
    #[must_use]
    pub fn message(self, field: u32, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }

    /// Adds a packed list of integers.
    #[must_use]
    pub fn ints(self, field: u32, values: impl IntoIterator<Item = i64>) -> Self {
        let mut packed = Vec::new();
        values.into_iter().for_each(|value| varint(&mut packed, value as u64));
        self.bytes(field, &packed)
    }

    /// The message's bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u32, kind: u64) {
        varint(&mut self.0, u64::from(field) << 3 | kind);
    }
}

/// Appends a base-128 varint: seven bits per byte, the lowest first; the eighth bit is set if more bytes follow.
fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_specification_shows_them() {
        // The examples of the encoding guide: 150 in field 1, "testing" in field 2, that message in field 3, and a packed
        // list of 3, 270 and 86942 in field 6.
        let number = Message::new().int(1, 150);
        assert_eq!(number.clone().finish(), [0x08, 0x96, 0x01]);
        assert_eq!(Message::new().text(2, "testing").finish(), *b"\x12\x07testing");
        assert_eq!(Message::new().message(3, &number).finish(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let packed = Message::new().ints(6, [3, 270, 86942]).finish();
        assert_eq!(packed, [0x32, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05]);
        // Negative integers take ten bytes; floating-point numbers are little-endian.
        assert_eq!(Message::new().int(1, -2).finish(), [8, 0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        assert_eq!(
            Message::new().float(1, 1.5).double(2, -1.0).finish(),
            [0x0d, 0, 0, 0xc0, 0x3f, 0x11, 0, 0, 0, 0, 0, 0, 0xf0, 0xbf]
        );
    }
}
