//! The messages of an ONNX file, with the field numbers of
//! [onnx.proto](https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).

use sweep_core::protobuf::Message;

/// Version of the file's layout that goes with [`OPERATORS`].
const LAYOUT: i64 = 8;
/// Version of the operators. Version 15 is the first in which `Shape` takes a part of a shape and `BatchNormalization`
/// has its current form; runtimes since 2022 support 17.
const OPERATORS: i64 = 17;

/// Numbers of value types.
const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// A dimension of an input or output.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dimension {
    /// A fixed number.
    Fixed(usize),
    /// Any number of images.
    Batch,
}

/// Builds a graph operator by operator; values have names.
#[derive(Debug, Default)]
pub(super) struct Writer {
    operators: Vec<Message>,
    constants: Vec<Message>,
}

impl Writer {
    /// Adds an operator with one output, which also names the operator.
    pub(super) fn operator(&mut self, kind: &str, inputs: &[&str], output: &str, attributes: &[Message]) {
        let node = inputs.iter().fold(Message::new(), |node, input| node.text(1, input));
        let node = node.text(2, output).text(3, output).text(4, kind);
        self.operators.push(attributes.iter().fold(node, |node, attribute| node.message(5, attribute)));
    }

    /// Adds a constant tensor.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, shape, FLOAT, &raw);
    }

    /// Adds a constant list of whole numbers.
    pub(super) fn ints(&mut self, name: &str, values: &[i64]) {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, &[values.len()], INT64, &raw);
    }

    fn constant(&mut self, name: &str, shape: &[usize], kind: i64, raw: &[u8]) {
        let tensor = Message::new().ints(1, shape.iter().map(|side| *side as i64)).int(2, kind);
        self.constants.push(tensor.text(8, name).bytes(9, raw));
    }

    /// Encodes the file: one input and one output, each with name and shape; `properties` are texts by name.
    pub(super) fn finish(
        self,
        name: &str,
        input: (&str, &[Dimension]),
        output: (&str, &[Dimension]),
        properties: &[(String, String)],
    ) -> Vec<u8> {
        let graph = self.operators.iter().fold(Message::new(), |graph, node| graph.message(1, node)).text(2, name);
        let graph = self.constants.iter().fold(graph, |graph, tensor| graph.message(5, tensor));
        let graph = graph.message(11, &value(input)).message(12, &value(output));
        let model = Message::new().int(1, LAYOUT).text(2, env!("CARGO_PKG_NAME")).text(3, env!("CARGO_PKG_VERSION"));
        let model = model.message(7, &graph).message(8, &Message::new().text(1, "").int(2, OPERATORS));
        let property = |(key, value): &(String, String)| Message::new().text(1, key).text(2, value);
        properties.iter().fold(model, |model, of| model.message(14, &property(of))).finish()
    }
}

/// Name and type of an input or output.
fn value((name, shape): (&str, &[Dimension])) -> Message {
    let dimension = |dimension: &Dimension| match dimension {
        Dimension::Fixed(count) => Message::new().int(1, *count as i64),
        Dimension::Batch => Message::new().text(2, "batch"),
    };
    let shape = shape.iter().fold(Message::new(), |shape, side| shape.message(1, &dimension(side)));
    let tensor = Message::new().int(1, FLOAT).message(2, &shape);
    Message::new().text(1, name).message(2, &Message::new().message(1, &tensor))
}

/// A setting of an operator that is a number.
pub(super) fn float(name: &str, value: f32) -> Message {
    Message::new().text(1, name).float(2, value).int(20, 1)
}

/// A setting that is a whole number.
pub(super) fn int(name: &str, value: i64) -> Message {
    Message::new().text(1, name).int(3, value).int(20, 2)
}

/// A setting that is a word.
pub(super) fn word(name: &str, value: &str) -> Message {
    Message::new().text(1, name).text(4, value).int(20, 3)
}

/// A setting that is a list of whole numbers.
pub(super) fn list(name: &str, values: &[usize]) -> Message {
    Message::new().text(1, name).ints(8, values.iter().map(|value| *value as i64)).int(20, 7)
}
