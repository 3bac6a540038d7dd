//! `sweep serve`: a live report in the browser.

use std::path::Path;

use crate::cli;
use sweep_core::error::{Error, Outcome, Result};
use sweep_core::note;
use sweep_experiment::store;
use sweep_serve::Options;

use super::say;

/// Fewest characters of a token that nobody guesses.
const SHORTEST: usize = 16;

pub(super) fn serve(flags: &cli::Serve) -> Result<Outcome> {
    let token = flags.token_file.as_deref().map(token).transpose()?;
    let options =
        Options { folder: flags.results.clone(), host: flags.host, port: flags.port, token, control: flags.control };
    sweep_serve::serve(&options.guarded(), &|address| {
        note!("shows {} until Ctrl-C; open", flags.results.display());
        say(address)
    })?;
    Ok(Outcome::Done)
}

/// The token in a file: one line of letters, digits, `-`, `_` and `.`, because it becomes part of an address and a cookie.
fn token(file: &Path) -> Result<String> {
    let text = store::read_text(file)?;
    let token = text.trim();
    let is_plain = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if token.len() < SHORTEST || !is_plain {
        return Err(Error::input(format!(
            "a token has {SHORTEST} or more letters, digits, `-`, `_` and `.`, in one line"
        ))
        .at(file.display())
        .remedy("write one with: openssl rand -hex 16"));
    }
    Ok(token.to_owned())
}
