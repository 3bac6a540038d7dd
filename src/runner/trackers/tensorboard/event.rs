//! TensorBoard's events as protocol buffers: scalars, an image, text, hyperparameters. Field numbers are those of
//! `event.proto`, `summary.proto`, `tensor.proto`, and of the HParams plugin's `plugin_data.proto`.

use sweep_core::protobuf::Message;
use sweep_experiment::records::State;

/// An event without its time, so that events of the same records are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event(Vec<u8>);

/// Length of an event's time in bytes: a key and a double.
const TIME: usize = 9;

const DT_FLOAT: i64 = 1;
const DT_STRING: i64 = 7;
const DATA_CLASS_TENSOR: i64 = 2;

impl Event {
    /// The first event of a file.
    pub(super) fn version() -> Self {
        Self(Message::new().text(3, "brain.Event:2").finish())
    }

    /// Scalars of an epoch.
    pub(super) fn scalars(epoch: u32, scalars: &[(&str, f64)]) -> Self {
        let values = scalars.iter().map(|(tag, value)| Message::new().text(1, tag).float(2, *value as f32));
        Self::summary(epoch, values)
    }

    /// A PNG image.
    pub(super) fn image(epoch: u32, tag: &str, (width, height): (u32, u32), png: &[u8]) -> Self {
        const RGB: i64 = 3;
        let image = Message::new().int(1, i64::from(height)).int(2, i64::from(width)).int(3, RGB).bytes(4, png);
        Self::summary(epoch, [Message::new().text(1, tag).message(4, &image)])
    }

    /// A text in Markdown.
    pub(super) fn text(tag: &str, text: &str) -> Self {
        let one = Message::new().message(2, &Message::new().int(1, 1));
        let tensor = Message::new().int(1, DT_STRING).message(2, &one).text(8, text);
        Self::summary(0, [plugin_value(tag, "text", &Message::new(), &tensor)])
    }

    /// The start of a trial with its hyperparameters. Trials are not averaged: each is a group of its own.
    pub(super) fn begins<'a>(trial: &str, values: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let about = values.fold(Message::new(), |about, (name, value)| {
            about.message(1, &Message::new().text(1, name).message(2, &typed(value)))
        });
        Self::hparams("_hparams_/session_start_info", 3, &about.text(4, trial))
    }

    /// The end of a trial.
    pub(super) fn ends(state: State) -> Self {
        let (success, failure) = (1, 2);
        let status = if state.is_failure() { failure } else { success };
        Self::hparams("_hparams_/session_end_info", 4, &Message::new().int(1, status))
    }

    fn hparams(tag: &str, field: u32, about: &Message) -> Self {
        let nothing = Message::new().int(1, DT_FLOAT).message(2, &Message::new().message(2, &Message::new()));
        Self::summary(0, [plugin_value(tag, "hparams", &Message::new().message(field, about), &nothing)])
    }

    fn summary(step: u32, values: impl IntoIterator<Item = Message>) -> Self {
        let summary = values.into_iter().fold(Message::new(), |summary, value| summary.message(1, &value));
        Self(Message::new().int(2, i64::from(step)).message(5, &summary).finish())
    }

    /// The event with its time, in seconds since 1970.
    pub(super) fn at(&self, seconds: f64) -> Vec<u8> {
        let mut bytes = Message::new().double(1, seconds).finish();
        bytes.extend(&self.0);
        bytes
    }

    /// Whether a record is this event, at any time.
    pub(super) fn is(&self, record: &[u8]) -> bool {
        record.get(TIME..) == Some(&self.0)
    }
}

/// The time of a written event.
pub(super) fn time_of(record: &[u8]) -> f64 {
    record.get(1..TIME).and_then(|bytes| bytes.try_into().ok()).map_or(0.0, f64::from_le_bytes)
}

fn plugin_value(tag: &str, plugin: &str, content: &Message, tensor: &Message) -> Message {
    let plugin = Message::new().text(1, plugin).message(2, content);
    let metadata = Message::new().message(1, &plugin).int(4, DATA_CLASS_TENSOR);
    Message::new().text(1, tag).message(8, tensor).message(9, &metadata)
}

/// A value of an axis as `google.protobuf.Value`: a number, a Boolean or text.
fn typed(value: &str) -> Message {
    match (value.parse::<f64>(), value) {
        (Ok(number), _) if number.is_finite() => Message::new().double(2, number),
        (_, "true" | "false") => Message::new().int(4, i64::from(value == "true")),
        _ => Message::new().text(3, value),
    }
}
