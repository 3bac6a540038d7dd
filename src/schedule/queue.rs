//! Which trial starts next, and where. Pure: knows nothing of processes and clocks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Place;
use crate::records::State;

/// So many different trials failing in a row on a device take it out of service.
const STREAK: usize = 3;

/// A trial that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Trial id.
    pub trial: String,
    /// Memory (MiB) it is expected to take on a processor, if that is known.
    pub memory_mib: Option<f64>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Start this trial here.
    Start(Task, Place),
    /// Nothing until something ends.
    Wait,
    /// This trial does not fit the memory even with nothing beside it.
    TooLarge(Task),
    /// Nothing any more.
    Over,
}

/// Trials that wait, places they can run at, and what their ends say of the places.
#[derive(Debug)]
pub struct Queue {
    waiting: VecDeque<Task>,
    places: Vec<Place>,
    /// Trials and the index of the place they run at.
    running: BTreeMap<String, usize>,
    /// Trials that failed in a row, by device.
    streaks: BTreeMap<String, BTreeSet<String>>,
    out_of_service: BTreeSet<String>,
    failures: usize,
    most_failures: Option<usize>,
    closed: bool,
}

impl Queue {
    /// Nothing waits yet; `most_failures` end the sweep.
    #[must_use]
    pub fn new(places: Vec<Place>, most_failures: Option<usize>) -> Self {
        Self {
            waiting: VecDeque::new(),
            places,
            running: BTreeMap::new(),
            streaks: BTreeMap::new(),
            out_of_service: BTreeSet::new(),
            failures: 0,
            most_failures,
            closed: false,
        }
    }

    /// Puts a trial at the end.
    pub fn push(&mut self, task: Task) {
        self.waiting.push_back(task);
    }

    /// A trial that failed before counts as one that failed now.
    pub fn count_failure(&mut self) {
        self.failures += 1;
    }

    /// Starts nothing any more.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Trials that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Failures so far.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// Whether as many trials failed as may.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.most_failures.is_some_and(|most| self.failures >= most)
    }

    /// What to do now, with so much memory (MiB) left for further trials.
    pub fn next(&mut self, free_mib: Option<f64>) -> Next {
        let wait = if self.running.is_empty() { Next::Over } else { Next::Wait };
        if self.closed || self.is_failed() || self.waiting.is_empty() {
            return wait;
        }
        let usable = |(index, place): &(usize, &Place)| {
            !self.out_of_service.contains(&place.device) && !self.running.values().any(|taken| taken == index)
        };
        let Some((index, place)) = self.places.iter().enumerate().find(usable) else { return wait };
        let place = place.clone();
        // Only a processor's memory is known here.
        let free = free_mib.filter(|_| place.device == "cpu").unwrap_or(f64::INFINITY);
        let fits = |task: &Task| task.memory_mib.is_none_or(|need| need <= free);
        let Some(at) = self.waiting.iter().position(fits) else {
            return match self.waiting.pop_front() {
                Some(task) if self.running.is_empty() => Next::TooLarge(task),
                Some(task) => {
                    self.waiting.push_front(task);
                    Next::Wait
                }
                None => wait,
            };
        };
        match self.waiting.remove(at) {
            Some(task) => {
                self.running.insert(task.trial.clone(), index);
                Next::Start(task, place)
            }
            None => wait,
        }
    }

    /// Takes note that a trial ended so, and whether that may be its device's fault; the device that is taken out of
    /// service for it, if one is.
    pub fn ended(&mut self, trial: &str, state: State, suspicious: bool) -> Option<String> {
        let index = self.running.remove(trial);
        if state.is_failure() {
            self.failures += 1;
        }
        let device = self.places.get(index?)?.device.clone();
        let streak = self.streaks.entry(device.clone()).or_default();
        if suspicious {
            streak.insert(trial.to_owned());
            return (streak.len() >= STREAK && self.out_of_service.insert(device.clone())).then_some(device);
        }
        if state.is_settled() {
            streak.clear();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(device: &str) -> Place {
        Place { device: device.into(), threads: 1 }
    }

    fn queue(devices: &[&str], trials: usize) -> Queue {
        let mut queue = Queue::new(devices.iter().map(|device| place(device)).collect(), None);
        (0..trials).for_each(|i| queue.push(Task { trial: format!("t{i}"), memory_mib: None }));
        queue
    }

    fn start(queue: &mut Queue) -> (String, String) {
        match queue.next(None) {
            Next::Start(task, place) => (task.trial, place.device),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn trials_start_in_order_while_there_are_places() {
        let mut queue = queue(&["cpu", "cpu"], 3);
        assert_eq!((start(&mut queue).0, start(&mut queue).0), ("t0".into(), "t1".into()));
        assert_eq!(queue.next(None), Next::Wait);
        queue.ended("t1", State::Done, false);
        assert_eq!(start(&mut queue).0, "t2");
        queue.ended("t0", State::Done, false);
        assert_eq!(queue.next(None), Next::Wait);
        queue.ended("t2", State::Diverged, false);
        assert_eq!((queue.next(None), queue.failures()), (Next::Over, 1));
    }

    #[test]
    fn three_different_trials_in_a_row_take_a_device_out() {
        let mut queue = queue(&["cuda:0", "cuda:1"], 9);
        for failed in 0..3 {
            let (trial, device) = start(&mut queue);
            assert_eq!(device, "cuda:0");
            let other = start(&mut queue);
            let out = queue.ended(&trial, State::Failed, true);
            assert_eq!(out, (failed == 2).then(|| "cuda:0".to_owned()));
            queue.ended(&other.0, State::Done, false);
        }
        assert_eq!(start(&mut queue).1, "cuda:1");
        assert_eq!(queue.next(None), Next::Wait, "cuda:0 gets no more");
    }

    #[test]
    fn one_success_forgives_and_with_no_device_left_it_is_over() {
        let mut queue = queue(&["cpu"], 9);
        for state in [State::Failed, State::TimedOut, State::Done, State::Failed, State::Failed] {
            let trial = start(&mut queue).0;
            assert_eq!(queue.ended(&trial, state, state.is_failure()), None);
        }
        let trial = start(&mut queue).0;
        assert_eq!(queue.ended(&trial, State::Failed, true), Some("cpu".into()));
        assert_eq!((queue.next(None), queue.waiting()), (Next::Over, 3));
    }

    #[test]
    fn a_trial_waits_for_memory_and_a_smaller_one_goes_first() {
        let mut queue = Queue::new(vec![place("cpu"), place("cpu"), place("cpu")], None);
        for (trial, need) in [("large", 900.0), ("small", 100.0), ("huge", 5000.0)] {
            queue.push(Task { trial: trial.into(), memory_mib: Some(need) });
        }
        assert!(matches!(queue.next(Some(500.0)), Next::Start(task, _) if task.trial == "small"));
        assert_eq!(queue.next(Some(400.0)), Next::Wait);
        queue.ended("small", State::Done, false);
        assert!(matches!(queue.next(Some(1000.0)), Next::Start(task, _) if task.trial == "large"));
        queue.ended("large", State::Done, false);
        assert!(matches!(queue.next(Some(1000.0)), Next::TooLarge(task) if task.trial == "huge"));
        assert_eq!(queue.next(Some(1000.0)), Next::Over);
    }

    #[test]
    fn a_closed_queue_and_too_many_failures_start_nothing() {
        let mut closed = queue(&["cpu"], 2);
        closed.close();
        assert_eq!(closed.next(None), Next::Over);
        let mut failed = Queue::new(vec![place("cpu")], Some(1));
        failed.push(Task { trial: "t".into(), memory_mib: None });
        failed.count_failure();
        assert!(failed.is_failed() && failed.next(None) == Next::Over);
    }
}
