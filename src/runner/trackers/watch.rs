//! Tells trackers of a sweep while it runs, beside whatever runs it: what a tracker does, or that it is away, holds up no
//! training and fails none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::Trackers;
use super::tracker_sync::TrackerSync;
use sweep_core::error::Error;
use sweep_experiment::provenance;
use sweep_experiment::store::{LockResult, Lock, Store};

/// Between two looks at the trials.
const LOOK: Duration = Duration::from_secs(2);
/// After a first failure; twice as long after each further one.
const PAUSE: Duration = Duration::from_secs(4);
/// But no longer than this.
const LONGEST: Duration = Duration::from_secs(60);
/// When all trials have ended, a tracker that is away is waited for so long.
const PATIENCE: Duration = Duration::from_secs(15);

/// Trackers that are told of a sweep.
pub struct Tracking {
    said: Receiver<String>,
    /// Grows with every trial that was told of.
    told: Arc<AtomicUsize>,
    /// Dropped when the sweep is over.
    over: Sender<()>,
}

impl Tracking {
    /// Begins to tell these of a sweep.
    #[must_use]
    pub fn start(trackers: Trackers, store: &Store) -> Self {
        let ((say, said), (over, is_over)) = (channel(), channel());
        let (store, told) = (store.clone(), Arc::new(AtomicUsize::new(0)));
        let desks: Vec<Teller> = trackers.0.into_iter().map(|desk| Teller::new(desk.counting(&told))).collect();
        std::thread::spawn(move || tell(&store, desks, &is_over, &say));
        Self { said, told, over }
    }

    /// What the user should know and was not told yet.
    pub fn said(&self) -> Vec<String> {
        self.said.try_iter().collect()
    }

    /// Tells trackers of all there is, as far as they are there; what the user should know.
    #[must_use]
    pub fn finish(self) -> Vec<String> {
        drop(self.over);
        let (mut told, mut said) = (usize::MAX, Vec::new());
        loop {
            match self.said.recv_timeout(2 * PATIENCE) {
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Disconnected) => return said,
                // It may have much to tell, and is at it.
                Err(RecvTimeoutError::Timeout) if self.told.load(Ordering::Relaxed) != told => {
                    told = self.told.load(Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => {
                    said.push("a tracker does not answer; the next run, or sweep export, tells it the rest".to_owned());
                    return said;
                }
            }
        }
    }
}

/// A tracker, and when it is told next.
struct Teller {
    desk: TrackerSync,
    next: Instant,
    failures: u32,
    trouble: Option<Error>,
}

impl Teller {
    fn new(desk: TrackerSync) -> Self {
        Self { desk, next: Instant::now(), failures: 0, trouble: None }
    }

    /// Tells it; whether it knows all.
    fn tell(&mut self, store: &Store, over: bool, say: &Sender<String>) -> bool {
        // That nobody listens any more is no reason to stop telling.
        let say = |line: String| drop(say.send(line));
        let told = self.desk.pass(store, over);
        self.desk.notes().into_iter().for_each(say);
        match told {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    say("tracking goes on: the tracker knows all there is".to_owned());
                }
                self.failures = 0;
                self.next = Instant::now() + LOOK;
                true
            }
            Err(error) => {
                self.next = Instant::now() + LONGEST.min(PAUSE * 2_u32.saturating_pow(self.failures.min(10)));
                self.failures += 1;
                if self.trouble.as_ref() != Some(&error) {
                    say(format!("not tracked for now, training goes on: {error}"));
                    self.trouble = Some(error);
                }
                false
            }
        }
    }
}

fn tell(store: &Store, mut tellers: Vec<Teller>, is_over: &Receiver<()>, say: &Sender<String>) {
    let mut lock: Option<Lock> = None;
    let mut busy = false;
    loop {
        let over = matches!(is_over.recv_timeout(LOOK / 4), Err(RecvTimeoutError::Disconnected));
        if lock.is_none() {
            match store.lock_tracking(&provenance::host()) {
                Ok(LockResult::Held(held)) => lock = Some(held),
                _ if over => return,
                _ if busy => continue,
                _ => {
                    busy = true;
                    drop(say.send("another process tells trackers of this sweep; it is waited for".to_owned()));
                    continue;
                }
            }
        }
        if over {
            return tell_all(store, &mut tellers, say);
        }
        for teller in &mut tellers {
            if teller.next <= Instant::now() {
                teller.tell(store, false, say);
            }
        }
    }
}

/// A last time, and until they know all or patience is over.
fn tell_all(store: &Store, tellers: &mut [Teller], say: &Sender<String>) {
    for teller in tellers {
        let (mut known, mut since) = (teller.desk.known(), Instant::now());
        while !teller.tell(store, true, say) {
            if teller.desk.known() > known {
                (known, since) = (teller.desk.known(), Instant::now());
            }
            if since.elapsed() + PAUSE > PATIENCE {
                drop(say.send("the next run, or sweep export, tells the tracker the rest".to_owned()));
                break;
            }
            std::thread::sleep(PAUSE);
        }
    }
}
