//! `sweep note` and `sweep tag`: what people say about sweeps and trials.

use crate::cli;
use sweep_core::error::{Error, Outcome, Result};
use sweep_core::{note, plain};
use sweep_experiment::provenance;

use super::say;
use super::target::Target;

/// Most characters of a note, which is a line in tables.
const LONGEST_NOTE: usize = 1000;
/// Most characters of a tag.
const LONGEST_TAG: usize = 64;

pub(super) fn note(flags: &cli::Note) -> Result<Outcome> {
    let target = Target::of(&flags.of)?;
    let trial = target.trial.as_deref();
    let Some(text) = flags.text.as_ref().map(|text| text.trim().to_owned()) else {
        if flags.remove {
            target.store.change_notes(&provenance::host(), |notes| notes.of_mut(trial).text = None)?;
        } else if let Some(text) = target.store.notes()?.of(trial).text {
            say(&plain::line(&text))?;
        } else {
            note!("{}: no note", target.name());
        }
        return Ok(Outcome::Done);
    };
    let wrong = |what: String, right: &str| Err(Error::definition(what).at("the note").remedy(right));
    if text.is_empty() {
        return wrong("it is empty".into(), "write a line of text, or remove the note with --remove");
    }
    if text.chars().any(char::is_control) {
        return wrong("it has a line break or another control character".into(), "write it in one line");
    }
    if text.chars().count() > LONGEST_NOTE {
        return wrong(
            format!("it is longer than {LONGEST_NOTE} characters"),
            "keep a longer text in a file of your own",
        );
    }
    target.store.change_notes(&provenance::host(), |notes| notes.of_mut(trial).text = Some(text))?;
    Ok(Outcome::Done)
}

pub(super) fn tag(flags: &cli::Tag) -> Result<Outcome> {
    let target = Target::of(&flags.of)?;
    let trial = target.trial.as_deref();
    if flags.tags.is_empty() && flags.remove.is_empty() {
        for tag in target.store.notes()?.of(trial).tags {
            say(&plain::line(&tag))?;
        }
        return Ok(Outcome::Done);
    }
    for tag in &flags.tags {
        let is_word = |c: char| c.is_alphanumeric() || "-_.:/".contains(c);
        if tag.is_empty() || tag.chars().count() > LONGEST_TAG || !tag.chars().all(is_word) {
            let right = format!("use up to {LONGEST_TAG} letters, digits and -_.:/ without spaces");
            return Err(Error::definition(format!("{tag:?} is not a tag")).remedy(right));
        }
        if flags.remove.contains(tag) {
            return Err(Error::definition("it is to be added and removed").at(format!("the tag {tag}")));
        }
    }
    let before = target.store.notes()?.of(trial).tags;
    if let Some(missing) = flags.remove.iter().find(|tag| !before.contains(*tag)) {
        let known: Vec<&str> = before.iter().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(Error::definition(format!("{} has no such tag", target.name()))
            .at(format!("--remove {missing}"))
            .remedy(format!("its tags: {known}")));
    }
    target.store.change_notes(&provenance::host(), |notes| {
        let tags = &mut notes.of_mut(trial).tags;
        tags.retain(|tag| !flags.remove.contains(tag));
        tags.extend(flags.tags.iter().cloned());
    })?;
    Ok(Outcome::Done)
}
