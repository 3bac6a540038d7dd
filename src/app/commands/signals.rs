//! Signals that ask a process to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGUSR2};
use signal_hook::iterator::Signals;

use sweep_core::error::{Error, Kind, Result};
use sweep_runner::scheduler::UserRequest;

/// The number of the signal that requested a stop; 0 if none did.
pub(super) type Signal = Arc<AtomicUsize>;

/// The flag that the first signal sets, to stop at the next step; the second signal ends the process at once.
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

/// Requests to stop a runner: the first signal asks it to stop trials gracefully, the second to stop them at once, and the
/// third ends it. Outside of [`StopRequests::handle_gracefully`], the first signal ends it.
#[derive(Debug)]
pub(super) struct StopRequests {
    count: Arc<AtomicUsize>,
    first: Signal,
    graceful: Arc<AtomicBool>,
}

impl StopRequests {
    /// Starts to watch; the receiver is woken by every request and by the end of every child process.
    pub(super) fn watch() -> Result<(Self, Receiver<()>)> {
        let requests = Self {
            count: Arc::new(AtomicUsize::new(0)),
            first: Arc::new(AtomicUsize::new(0)),
            graceful: Arc::new(AtomicBool::new(false)),
        };
        let (wake, wakeups) = sync_channel(1);
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGCHLD]).map_err(unwatched)?;
        let (count, first, graceful) =
            (Arc::clone(&requests.count), Arc::clone(&requests.first), Arc::clone(&requests.graceful));
        std::thread::spawn(move || {
            for signal in &mut signals {
                if signal != SIGCHLD {
                    let before = count.fetch_add(1, Ordering::Relaxed);
                    if before == 0 {
                        first.store(signal.unsigned_abs() as usize, Ordering::Relaxed);
                    }
                    if before >= 2 || !graceful.load(Ordering::Relaxed) {
                        signal_hook::low_level::exit(128 + signal);
                    }
                }
                // A full channel holds a wake-up already.
                let _ = wake.try_send(());
            }
        });
        Ok((requests, wakeups))
    }

    /// Whether signals from now on become requests instead of ending the process.
    pub(super) fn handle_gracefully(&self, graceful: bool) {
        self.graceful.store(graceful, Ordering::Relaxed);
    }

    /// The request of the signals so far.
    pub(super) fn wanted(&self) -> UserRequest {
        match self.count.load(Ordering::Relaxed) {
            0 => UserRequest::Continue,
            1 => UserRequest::Stop,
            _ => UserRequest::StopAtOnce,
        }
    }

    /// Number of the first signal.
    pub(super) fn signal(&self) -> i32 {
        i32::try_from(self.first.load(Ordering::Relaxed)).ok().filter(|signal| *signal > 0).unwrap_or(SIGINT)
    }
}

/// Requests a stop also on the signal that Slurm sends before a job's time is over.
pub(super) fn stop_on_job_warning(signal: &Signal) -> Result<()> {
    let flag = Arc::clone(signal);
    signal_hook::flag::register_usize(SIGUSR2, flag, SIGUSR2.unsigned_abs() as usize).map(drop).map_err(unwatched)
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of map_err")]
fn unwatched(e: std::io::Error) -> Error {
    Error::new(Kind::Computation, format!("cannot watch for signals: {e}"))
}
