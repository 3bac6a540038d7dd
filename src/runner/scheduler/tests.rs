//! The loop with an executor and a clock that are made up: what it asks of trials, and when.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use sweep_core::error::{Error, Result};
use sweep_experiment::definition::SweepDefinition;
use sweep_experiment::records::{EpochRecord, State, TrialStatus};
use sweep_experiment::store::Store;
use sweep_planning::plan::{Trial, plan};

const DEFINITION: &str = "name = \"t\"\nseeds = [0, 1, 2, 3]\n[trial]\nepochs = 2\nloss = { name = \"l1\" }\n\
    dataset = { name = \"phantom\", train = 2, val = 1, height = 32, width = 32 }\n\
    input = { height = 32, width = 32 }\nmodel = { name = \"unet\", filters = [4, 8] }";

/// How a made-up trial behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// Is done after three looks.
    Done,
    /// Never does anything, and does not listen.
    Deaf,
    /// Works until it is asked to stop.
    Endless,
    /// Dies of this signal.
    Dies(i32),
    /// Cannot write.
    Full,
}

/// Trials that are not there; a look at them takes a second of the made-up clock.
struct Mock {
    store: Store,
    ways: BTreeMap<String, Way>,
    running: BTreeMap<String, u64>,
    asked: Rc<RefCell<Vec<(String, Stop, Duration)>>>,
    now: Rc<Cell<Duration>>,
    pending: Vec<TrialEvent>,
}

impl Mock {
    fn write(&self, trial: &str, state: State, beat: u64) {
        let mut status = TrialStatus { state, attempts: 1, ..TrialStatus::pending(trial) };
        status.live.beat = beat;
        self.store.trial(trial).write_status(&status).unwrap();
    }

    fn end(&mut self, trial: &str, exit: Exit, tail: &str) {
        self.running.remove(trial);
        self.pending.push(TrialEvent { trial: trial.to_owned(), exit, tail: vec![tail.to_owned()], node: None });
    }
}

impl Executor for Mock {
    fn start(&mut self, start: &Start) -> Result<()> {
        self.write(&start.trial, State::Running, 0);
        self.running.insert(start.trial.clone(), 0);
        Ok(())
    }

    fn poll(&mut self, _wait: Duration) -> Result<Vec<TrialEvent>> {
        self.now.set(self.now.get() + Duration::from_secs(1));
        for (trial, looks) in self.running.clone() {
            self.running.insert(trial.clone(), looks + 1);
            match self.ways[&trial] {
                Way::Done if looks == 2 => {
                    self.write(&trial, State::Done, looks);
                    self.end(&trial, Exit::Code(0), "");
                }
                Way::Done | Way::Endless => self.write(&trial, State::Running, looks),
                Way::Deaf => {}
                Way::Dies(signal) => self.end(&trial, Exit::Signal(signal), "last words"),
                Way::Full => self.end(&trial, Exit::Code(2), "error: No space left"),
            }
        }
        Ok(std::mem::take(&mut self.pending))
    }

    fn cancel(&mut self, trial: &str, stop: Stop) -> Result<()> {
        self.asked.borrow_mut().push((trial.to_owned(), stop, self.now.get()));
        if stop == Stop::AtOnce {
            self.end(trial, Exit::Signal(9), "");
        } else if self.ways[trial] != Way::Deaf {
            self.write(trial, State::Interrupted, 99);
            self.end(trial, Exit::Code(143), "");
        }
        Ok(())
    }

    fn memory_mib(&self, _trial: Option<&str>) -> Option<f64> {
        None
    }
}

#[derive(Default)]
struct Watch {
    trials: Vec<Trial>,
    store: Option<Store>,
    ended: Vec<(String, State, String)>,
    said: Vec<String>,
    wanted: Option<Rc<Cell<UserRequest>>>,
    more: Vec<Task>,
    again: Vec<Task>,
    /// What is wanted at each tick to come, the first one first.
    script: Vec<UserRequest>,
}

impl SweepCallbacks for Watch {
    fn request(&self) -> UserRequest {
        self.wanted.as_ref().map_or(UserRequest::Continue, |wanted| wanted.get())
    }
    fn prepare(&mut self, trial: &str) -> Result<()> {
        let trial = self.trials.iter().find(|known| known.id == trial).unwrap();
        self.store.as_ref().unwrap().trial(&trial.id).begin(trial.file()?)
    }
    fn started(&mut self, _start: &Start) {}
    fn alive(&mut self, _status: &TrialStatus) {}
    fn epoch(&mut self, _trial: &str, _record: &EpochRecord) -> Vec<(String, PruneAction)> {
        Vec::new()
    }
    fn again(&mut self) -> Result<Vec<Task>> {
        Ok(std::mem::take(&mut self.again))
    }
    fn ended(&mut self, status: &TrialStatus, _tail: &[String]) -> Result<Vec<Task>> {
        self.ended.push((status.trial.clone(), status.state, status.message.clone().unwrap_or_default()));
        Ok(std::mem::take(&mut self.more))
    }
    fn say(&mut self, line: &str) {
        self.said.push(line.to_owned());
    }
    fn note(&mut self, line: &str) {
        self.said.push(line.to_owned());
    }
    fn tick(&mut self) {
        if let (false, Some(wanted)) = (self.script.is_empty(), &self.wanted) {
            wanted.set(self.script.remove(0));
        }
    }
}

struct Outcome {
    ending: Result<SweepOutcome, Error>,
    ended: Vec<(String, State, String)>,
    said: Vec<String>,
    asked: Vec<(String, Stop, Duration)>,
    names: Vec<String>,
    waiting: usize,
    store: Store,
    _folder: tempfile::TempDir,
}

/// Runs a trial for each way, the first `at_once` in slots of their own; those beyond `first` come when one has ended.
fn drive(ways: &[Way], slots: usize, first: usize, limits: Limits, wanted: UserRequest) -> Outcome {
    scripted(ways, slots, first, limits, &[wanted])
}

/// As [`drive`]; what is wanted changes at every tick.
fn scripted(ways: &[Way], slots: usize, first: usize, limits: Limits, script: &[UserRequest]) -> Outcome {
    let wanted = script[0];
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path(), "t");
    let trials = plan(&SweepDefinition::parse("t", DEFINITION).unwrap()).unwrap();
    let names: Vec<String> = trials.iter().map(|trial| trial.id.clone()).collect();
    let task = |name: &String| Task { trial: name.clone(), memory_mib: None };
    let mut queue = Queue::new(vec![Slot::new("cpu", 1); slots], None);
    names.iter().take(first).for_each(|name| queue.push(task(name)));
    let (now, asked) = (Rc::new(Cell::new(Duration::ZERO)), Rc::default());
    let mut mock = Mock {
        store: store.clone(),
        ways: names.iter().cloned().zip(ways.iter().copied()).collect(),
        running: BTreeMap::new(),
        asked: Rc::clone(&asked),
        now: Rc::clone(&now),
        pending: Vec::new(),
    };
    let mut watch = Watch {
        trials,
        store: Some(store.clone()),
        wanted: Some(Rc::new(Cell::new(wanted))),
        more: names.iter().take(ways.len()).skip(first).map(task).collect(),
        script: script[1..].to_vec(),
        ..Watch::default()
    };
    let clock = || now.get();
    let mut drive = Dispatcher {
        store: &store,
        queue,
        executor: &mut mock,
        callbacks: &mut watch,
        limits,
        detach: false,
        clock: &clock,
    };
    let ending = drive.run();
    let waiting = drive.queue.waiting();
    let asked = asked.borrow().clone();
    Outcome { ending, ended: watch.ended, said: watch.said, asked, names, waiting, store, _folder: folder }
}

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits { trial: None, sweep: None, stall: 60 * SECOND, grace: 5 * SECOND, poll_interval: SECOND / 5 }
}

#[test]
fn every_trial_comes_to_its_end_and_new_ones_join() {
    let outcome = drive(&[Way::Done, Way::Dies(6), Way::Done], 1, 2, limits(), UserRequest::Continue);
    assert_eq!(outcome.ending, Ok(SweepOutcome::Completed));
    let states: Vec<State> = outcome.ended.iter().map(|(_, state, _)| *state).collect();
    assert_eq!(states, [State::Done, State::Failed, State::Done]);
    assert!(outcome.ended[1].2.contains("SIGABRT") && outcome.ended[1].2.contains("last words"));
    let written = outcome.store.trial(&outcome.names[1]).status().unwrap();
    assert_eq!((written.state, written.attempts), (State::Failed, 1));
}

#[test]
fn a_trial_that_hangs_is_asked_and_then_ended_by_the_steady_clock_alone() {
    let limits = Limits { stall: 10 * SECOND, ..limits() };
    let outcome = drive(&[Way::Deaf, Way::Done], 1, 2, limits, UserRequest::Continue);
    assert_eq!(outcome.ending, Ok(SweepOutcome::Completed));
    let [(_, gently, first), (_, at_once, second)] = outcome.asked.as_slice() else { panic!("{:?}", outcome.asked) };
    assert_eq!((*gently, *at_once), (Stop::Gently, Stop::AtOnce));
    assert!(*first >= 10 * SECOND && *first <= 12 * SECOND && *second <= *first + 6 * SECOND, "{:?}", outcome.asked);
    assert_eq!(outcome.ended[0].1, State::TimedOut);
    assert_eq!(outcome.ended[1].1, State::Done);
}

#[test]
fn times_that_are_over_stop_one_or_all() {
    let one = drive(&[Way::Endless], 1, 1, Limits { trial: Some(20 * SECOND), ..limits() }, UserRequest::Continue);
    assert_eq!((one.ending, one.ended[0].1), (Ok(SweepOutcome::Completed), State::TimedOut));
    let ways = [Way::Endless, Way::Endless, Way::Done];
    let all = drive(&ways, 2, 3, Limits { sweep: Some(20 * SECOND), ..limits() }, UserRequest::Continue);
    assert_eq!(all.ending, Ok(SweepOutcome::TimedOut));
    assert!(all.ended.iter().all(|(_, state, _)| *state == State::Interrupted) && all.ended.len() == 2);
    assert_eq!(all.waiting, 1, "nothing is started any more");
}

#[test]
fn three_deaths_in_a_row_are_the_devices() {
    let outcome = drive(&[Way::Dies(9); 4], 1, 4, limits(), UserRequest::Continue);
    assert_eq!((outcome.ending, outcome.ended.len(), outcome.waiting), (Ok(SweepOutcome::Completed), 3, 1));
    assert!(outcome.said.iter().any(|line| line.contains("cpu is out of service")), "{:?}", outcome.said);
}

#[test]
fn a_wish_to_stop_is_granted_before_anything_starts() {
    let outcome = drive(&[Way::Done], 1, 1, limits(), UserRequest::Stop);
    assert_eq!((outcome.ending, outcome.waiting), (Ok(SweepOutcome::Stopped), 1));
}

#[test]
fn a_pause_stops_what_runs_and_it_goes_on_first() {
    let script = [&[UserRequest::Continue][..], &[UserRequest::Pause; 20], &[UserRequest::Continue]].concat();
    let outcome = scripted(&[Way::Done, Way::Done], 1, 2, limits(), &script);
    assert_eq!(outcome.ending, Ok(SweepOutcome::Completed));
    let ended: Vec<(&String, State)> = outcome.ended.iter().map(|(trial, state, _)| (trial, *state)).collect();
    let [a, b, ..] = outcome.names.as_slice() else { panic!("two trials") };
    assert_eq!(ended, [(a, State::Interrupted), (a, State::Done), (b, State::Done)]);
    assert_eq!(outcome.asked.len(), 1, "nothing was started meanwhile: {:?}", outcome.asked);
    // What is paused can be stopped.
    let script = [&[UserRequest::Continue][..], &[UserRequest::Pause; 5], &[UserRequest::Stop]].concat();
    let outcome = scripted(&[Way::Endless, Way::Done], 1, 2, limits(), &script);
    assert_eq!((outcome.ending, outcome.waiting), (Ok(SweepOutcome::Stopped), 2));
}

#[test]
fn results_that_cannot_be_written_end_the_sweep_and_stop_what_runs() {
    let outcome = drive(&[Way::Endless, Way::Full], 2, 2, limits(), UserRequest::Continue);
    let error = outcome.ending.unwrap_err();
    assert!(error.message.contains("No space left") && error.remedy.is_some());
    assert!(outcome.asked.iter().any(|(trial, stop, _)| *trial == outcome.names[0] && *stop == Stop::Gently));
}
