//! Tests of the dispatcher's loop with a simulated executor and clock: its requests to trials, and their times.

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

/// Behaviour of a simulated trial.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Behaviour {
    /// Is done after three polls.
    Done,
    /// Makes no progress and ignores requests.
    Deaf,
    /// Works until it is stopped.
    Endless,
    /// Is killed by this signal.
    Dies(i32),
    /// Cannot write its records.
    Full,
}

/// Simulated trials; a poll takes a second of the simulated clock.
struct Mock {
    store: Store,
    behaviours: BTreeMap<String, Behaviour>,
    running: BTreeMap<String, u64>,
    requests: Rc<RefCell<Vec<(String, Stop, Duration)>>>,
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
        for (trial, polls) in self.running.clone() {
            self.running.insert(trial.clone(), polls + 1);
            match self.behaviours[&trial] {
                Behaviour::Done if polls == 2 => {
                    self.write(&trial, State::Done, polls);
                    self.end(&trial, Exit::Code(0), "");
                }
                Behaviour::Done | Behaviour::Endless => self.write(&trial, State::Running, polls),
                Behaviour::Deaf => {}
                Behaviour::Dies(signal) => self.end(&trial, Exit::Signal(signal), "last words"),
                Behaviour::Full => self.end(&trial, Exit::Code(2), "error: No space left"),
            }
        }
        Ok(std::mem::take(&mut self.pending))
    }

    fn cancel(&mut self, trial: &str, stop: Stop) -> Result<()> {
        self.requests.borrow_mut().push((trial.to_owned(), stop, self.now.get()));
        if stop == Stop::AtOnce {
            self.end(trial, Exit::Signal(9), "");
        } else if self.behaviours[trial] != Behaviour::Deaf {
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
    messages: Vec<String>,
    wanted: Option<Rc<Cell<UserRequest>>>,
    more: Vec<Task>,
    again: Vec<Task>,
    /// The user's requests at the following ticks, in order.
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
        self.messages.push(line.to_owned());
    }
    fn note(&mut self, line: &str) {
        self.messages.push(line.to_owned());
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
    messages: Vec<String>,
    requests: Vec<(String, Stop, Duration)>,
    names: Vec<String>,
    waiting: usize,
    store: Store,
    _folder: tempfile::TempDir,
}

/// Runs one trial per behaviour, with this many slots; those beyond `first` are added when one has ended.
fn drive(behaviours: &[Behaviour], slots: usize, first: usize, limits: Limits, wanted: UserRequest) -> Outcome {
    scripted(behaviours, slots, first, limits, &[wanted])
}

/// Same as [`drive`], with a new request at every tick.
fn scripted(behaviours: &[Behaviour], slots: usize, first: usize, limits: Limits, script: &[UserRequest]) -> Outcome {
    let wanted = script[0];
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path(), "t");
    let trials = plan(&SweepDefinition::parse("t", DEFINITION).unwrap()).unwrap();
    let names: Vec<String> = trials.iter().map(|trial| trial.id.clone()).collect();
    let task = |name: &String| Task { trial: name.clone(), ..Task::default() };
    let mut queue = Queue::new(vec![Slot::new("cpu", 1); slots], None);
    names.iter().take(first).for_each(|name| queue.push(task(name)));
    let (now, requests) = (Rc::new(Cell::new(Duration::ZERO)), Rc::default());
    let mut mock = Mock {
        store: store.clone(),
        behaviours: names.iter().cloned().zip(behaviours.iter().copied()).collect(),
        running: BTreeMap::new(),
        requests: Rc::clone(&requests),
        now: Rc::clone(&now),
        pending: Vec::new(),
    };
    let mut watch = Watch {
        trials,
        store: Some(store.clone()),
        wanted: Some(Rc::new(Cell::new(wanted))),
        more: names.iter().take(behaviours.len()).skip(first).map(task).collect(),
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
    let requests = requests.borrow().clone();
    Outcome { ending, ended: watch.ended, messages: watch.messages, requests, names, waiting, store, _folder: folder }
}

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits { trial: None, sweep: None, stall: 60 * SECOND, grace: 5 * SECOND, poll_interval: SECOND / 5 }
}

#[test]
fn every_trial_comes_to_its_end_and_new_ones_join() {
    let outcome = drive(&[Behaviour::Done, Behaviour::Dies(6), Behaviour::Done], 1, 2, limits(), UserRequest::Continue);
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
    let outcome = drive(&[Behaviour::Deaf, Behaviour::Done], 1, 2, limits, UserRequest::Continue);
    assert_eq!(outcome.ending, Ok(SweepOutcome::Completed));
    let [(_, gently, first), (_, at_once, second)] = outcome.requests.as_slice() else {
        panic!("{:?}", outcome.requests)
    };
    assert_eq!((*gently, *at_once), (Stop::Gently, Stop::AtOnce));
    assert!(*first >= 10 * SECOND && *first <= 12 * SECOND && *second <= *first + 6 * SECOND, "{:?}", outcome.requests);
    assert_eq!(outcome.ended[0].1, State::TimedOut);
    assert_eq!(outcome.ended[1].1, State::Done);
}

#[test]
fn times_that_are_over_stop_one_or_all() {
    let one =
        drive(&[Behaviour::Endless], 1, 1, Limits { trial: Some(20 * SECOND), ..limits() }, UserRequest::Continue);
    assert_eq!((one.ending, one.ended[0].1), (Ok(SweepOutcome::Completed), State::TimedOut));
    let behaviours = [Behaviour::Endless, Behaviour::Endless, Behaviour::Done];
    let all = drive(&behaviours, 2, 3, Limits { sweep: Some(20 * SECOND), ..limits() }, UserRequest::Continue);
    assert_eq!(all.ending, Ok(SweepOutcome::TimedOut));
    assert!(all.ended.iter().all(|(_, state, _)| *state == State::Interrupted) && all.ended.len() == 2);
    assert_eq!(all.waiting, 1, "nothing is started any more");
}

#[test]
fn three_deaths_in_a_row_are_the_devices() {
    let outcome = drive(&[Behaviour::Dies(9); 4], 1, 4, limits(), UserRequest::Continue);
    assert_eq!((outcome.ending, outcome.ended.len(), outcome.waiting), (Ok(SweepOutcome::Completed), 3, 1));
    assert!(outcome.messages.iter().any(|line| line.contains("cpu is out of service")), "{:?}", outcome.messages);
}

#[test]
fn a_wish_to_stop_is_granted_before_anything_starts() {
    let outcome = drive(&[Behaviour::Done], 1, 1, limits(), UserRequest::Stop);
    assert_eq!((outcome.ending, outcome.waiting), (Ok(SweepOutcome::Stopped), 1));
}

#[test]
fn a_pause_stops_what_runs_and_it_goes_on_first() {
    let script = [&[UserRequest::Continue][..], &[UserRequest::Pause; 20], &[UserRequest::Continue]].concat();
    let outcome = scripted(&[Behaviour::Done, Behaviour::Done], 1, 2, limits(), &script);
    assert_eq!(outcome.ending, Ok(SweepOutcome::Completed));
    let ended: Vec<(&String, State)> = outcome.ended.iter().map(|(trial, state, _)| (trial, *state)).collect();
    let [a, b, ..] = outcome.names.as_slice() else { panic!("two trials") };
    assert_eq!(ended, [(a, State::Interrupted), (a, State::Done), (b, State::Done)]);
    assert_eq!(outcome.requests.len(), 1, "nothing was started meanwhile: {:?}", outcome.requests);
    // A paused sweep can be stopped.
    let script = [&[UserRequest::Continue][..], &[UserRequest::Pause; 5], &[UserRequest::Stop]].concat();
    let outcome = scripted(&[Behaviour::Endless, Behaviour::Done], 1, 2, limits(), &script);
    assert_eq!((outcome.ending, outcome.waiting), (Ok(SweepOutcome::Stopped), 2));
}

#[test]
fn results_that_cannot_be_written_end_the_sweep_and_stop_what_runs() {
    let outcome = drive(&[Behaviour::Endless, Behaviour::Full], 2, 2, limits(), UserRequest::Continue);
    let error = outcome.ending.unwrap_err();
    assert!(error.message.contains("No space left") && error.remedy.is_some());
    assert!(outcome.requests.iter().any(|(trial, stop, _)| *trial == outcome.names[0] && *stop == Stop::Gently));
}
