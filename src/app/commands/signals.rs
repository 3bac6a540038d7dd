//! Signals: what asks a process to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGUSR2};
use signal_hook::iterator::Signals;

use sweep_core::error::{Error, Kind, Result};
use sweep_runner::scheduler::UserRequest;

/// The signal that asked for a stop; 0 while none has.
pub(super) type Signal = Arc<AtomicUsize>;

/// The first signal asks for a stop at the next step; the second ends the process at once.
pub(super) fn stop_flag() -> Result<Signal> {
    let signal = Arc::new(AtomicUsize::new(0));
    let second = Arc::new(AtomicBool::new(false));
    for number in [SIGINT, SIGTERM] {
        let registered = signal_hook::flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&second))
            .and_then(|_| signal_hook::flag::register(number, Arc::clone(&second)))
            .and_then(|_| {
                signal_hook::flag::register_usize(number, Arc::clone(&signal), number.unsigned_abs() as usize)
            });
        registered.map_err(unwatched)?;
    }
    Ok(signal)
}

/// What users want of a runner: the first signal asks it to stop gently, the second at once, and the third does not ask.
/// While it does nothing that waits for an answer, the first ends it.
#[derive(Debug)]
pub(super) struct Wishes {
    count: Arc<AtomicUsize>,
    first: Signal,
    patient: Arc<AtomicBool>,
}

impl Wishes {
    /// Watches; the receiver wakes whenever there is something to look at: a wish, or a child that ended.
    pub(super) fn watch() -> Result<(Self, Receiver<()>)> {
        let wishes = Self {
            count: Arc::new(AtomicUsize::new(0)),
            first: Arc::new(AtomicUsize::new(0)),
            patient: Arc::new(AtomicBool::new(false)),
        };
        let (wake, woken) = sync_channel(1);
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGCHLD]).map_err(unwatched)?;
        let (count, first, patient) =
            (Arc::clone(&wishes.count), Arc::clone(&wishes.first), Arc::clone(&wishes.patient));
        std::thread::spawn(move || {
            for signal in &mut signals {
                if signal != SIGCHLD {
                    let before = count.fetch_add(1, Ordering::Relaxed);
                    if before == 0 {
                        first.store(signal.unsigned_abs() as usize, Ordering::Relaxed);
                    }
                    if before >= 2 || !patient.load(Ordering::Relaxed) {
                        signal_hook::low_level::exit(128 + signal);
                    }
                }
                // Full: a wake is under way already.
                let _ = wake.try_send(());
            }
        });
        Ok((wishes, woken))
    }

    /// Whether the runner looks at wishes from here on.
    pub(super) fn heed(&self, patient: bool) {
        self.patient.store(patient, Ordering::Relaxed);
    }

    pub(super) fn wanted(&self) -> UserRequest {
        match self.count.load(Ordering::Relaxed) {
            0 => UserRequest::Continue,
            1 => UserRequest::Stop,
            _ => UserRequest::StopAtOnce,
        }
    }

    /// The first signal.
    pub(super) fn signal(&self) -> i32 {
        i32::try_from(self.first.load(Ordering::Relaxed)).ok().filter(|signal| *signal > 0).unwrap_or(SIGINT)
    }
}

/// Asks for a stop on the warning that a job's time is nearly over, too.
pub(super) fn heed_warning(signal: &Signal) -> Result<()> {
    let flag = Arc::clone(signal);
    signal_hook::flag::register_usize(SIGUSR2, flag, SIGUSR2.unsigned_abs() as usize).map(drop).map_err(unwatched)
}

#[expect(clippy::needless_pass_by_value, reason = "of map_err")]
fn unwatched(e: std::io::Error) -> Error {
    Error::new(Kind::Computation, format!("cannot watch for signals: {e}"))
}
