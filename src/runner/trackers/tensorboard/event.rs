//! What TensorBoard is told, as its protocol buffers: scalars, a picture, text, hyper-parameters. Numbers of fields are
//! those of `event.proto`, `summary.proto`, `tensor.proto`, and of the HParams plugin's `plugin_data.proto`.

use sweep_core::protobuf::Message;
use sweep_experiment::records::State;

/// An event without its time: all that two writings of the same records have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event(Vec<u8>);

/// Bytes of an event's time: a key and a double.
const TIME: usize = 9;

const DT_FLOAT: i64 = 1;
const DT_STRING: i64 = 7;
const DATA_CLASS_TENSOR: i64 = 2;

impl Event {
    /// The first event of a file.
    pub(super) fn version() -> Self {
        Self(Message::new().text(3, "brain.Event:2").finish())
    }

    /// Numbers of an epoch.
    pub(super) fn scalars(epoch: u32, scalars: &[(&str, f64)]) -> Self {
        let values = scalars.iter().map(|(tag, value)| Message::new().text(1, tag).float(2, *value as f32));
        Self::summary(epoch, values)
    }

    /// A picture in PNG.
    pub(super) fn picture(epoch: u32, tag: &str, (width, height): (u32, u32), png: &[u8]) -> Self {
        const RGB: i64 = 3;
        let picture = Message::new().int(1, i64::from(height)).int(2, i64::from(width)).int(3, RGB).bytes(4, png);
        Self::summary(epoch, [Message::new().text(1, tag).message(4, &picture)])
    }

    /// A text in Markdown.
    pub(super) fn text(tag: &str, text: &str) -> Self {
        let one = Message::new().message(2, &Message::new().int(1, 1));
        let tensor = Message::new().int(1, DT_STRING).message(2, &one).text(8, text);
        Self::summary(0, [of_plugin(tag, "text", &Message::new(), &tensor)])
    }

    /// That a trial has these values of hyper-parameters. Trials are not averaged: each is a group of its own.
    pub(super) fn begins<'a>(trial: &str, values: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let about = values.fold(Message::new(), |about, (name, value)| {
            about.message(1, &Message::new().text(1, name).message(2, &typed(value)))
        });
        Self::hparams("_hparams_/session_start_info", 3, &about.text(4, trial))
    }

    /// How a trial ended.
    pub(super) fn ends(state: State) -> Self {
        let (success, failure) = (1, 2);
        let status = if state.is_failure() { failure } else { success };
        Self::hparams("_hparams_/session_end_info", 4, &Message::new().int(1, status))
    }

    fn hparams(tag: &str, field: u32, about: &Message) -> Self {
        let nothing = Message::new().int(1, DT_FLOAT).message(2, &Message::new().message(2, &Message::new()));
        Self::summary(0, [of_plugin(tag, "hparams", &Message::new().message(field, about), &nothing)])
    }

    fn summary(step: u32, values: impl IntoIterator<Item = Message>) -> Self {
        let summary = values.into_iter().fold(Message::new(), |summary, value| summary.message(1, &value));
        Self(Message::new().int(2, i64::from(step)).message(5, &summary).finish())
    }

    /// The event at a time, in seconds since 1970.
    pub(super) fn at(&self, seconds: f64) -> Vec<u8> {
        let mut bytes = Message::new().double(1, seconds).finish();
        bytes.extend(&self.0);
        bytes
    }

    /// Whether a record is this event, at whatever time.
    pub(super) fn is(&self, record: &[u8]) -> bool {
        record.get(TIME..) == Some(&self.0)
    }
}

/// The time of an event that was written.
pub(super) fn time_of(record: &[u8]) -> f64 {
    record.get(1..TIME).and_then(|bytes| bytes.try_into().ok()).map_or(0.0, f64::from_le_bytes)
}

fn of_plugin(tag: &str, plugin: &str, content: &Message, tensor: &Message) -> Message {
    let plugin = Message::new().text(1, plugin).message(2, content);
    let metadata = Message::new().message(1, &plugin).int(4, DATA_CLASS_TENSOR);
    Message::new().text(1, tag).message(8, tensor).message(9, &metadata)
}

/// A value on an axis as `google.protobuf.Value`: a number or a truth value where it is one.
fn typed(value: &str) -> Message {
    match (value.parse::<f64>(), value) {
        (Ok(number), _) if number.is_finite() => Message::new().double(2, number),
        (_, "true" | "false") => Message::new().int(4, i64::from(value == "true")),
        _ => Message::new().text(3, value),
    }
}
