//! The queue of trials: which starts next, and in which slot. Pure: independent of processes and clocks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Slot;
use sweep_experiment::records::State;

/// Different trials that fail in a row on a device until it is taken out of service.
const STREAK: usize = 3;

/// A waiting trial.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Task {
    /// Trial id.
    pub trial: String,
    /// Memory (MiB) it is expected to need, if known.
    pub memory_mib: Option<f64>,
    /// Memory (MiB) of a GPU that it would need there, if known.
    pub gpu_mib: Option<f64>,
}

/// The next step.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Start this trial in this slot.
    Start(Task, Slot),
    /// Wait until a trial ends.
    Wait,
    /// This trial does not fit into memory, even if nothing else took any.
    TooLarge(Task),
    /// No trial runs, and this one waits for other programs to release memory.
    Short(Task),
    /// Nothing is left to start or to wait for.
    Over,
}

/// Waiting trials, slots, and the health of the slots' devices.
#[derive(Debug)]
pub struct Queue {
    waiting: VecDeque<Task>,
    slots: Vec<Slot>,
    /// Indices of free slots.
    free: BTreeSet<usize>,
    /// Running trials and the indices of their slots.
    running: BTreeMap<String, usize>,
    /// Trials that failed in a row, by device.
    streaks: BTreeMap<String, BTreeSet<String>>,
    out_of_service: BTreeSet<String>,
    failures: usize,
    most_failures: Option<usize>,
    closed: bool,
}

impl Queue {
    /// An empty queue; the sweep ends after `most_failures` failures.
    #[must_use]
    pub fn new(slots: Vec<Slot>, most_failures: Option<usize>) -> Self {
        Self {
            waiting: VecDeque::new(),
            free: (0..slots.len()).collect(),
            slots,
            running: BTreeMap::new(),
            streaks: BTreeMap::new(),
            out_of_service: BTreeSet::new(),
            failures: 0,
            most_failures,
            closed: false,
        }
    }

    /// Appends a trial.
    pub fn push(&mut self, task: Task) {
        self.waiting.push_back(task);
    }

    /// Prepends a trial.
    pub fn push_first(&mut self, task: Task) {
        self.waiting.push_front(task);
    }

    /// Appends a failed trial again and no longer counts its failure.
    pub fn forgive(&mut self, task: Task) {
        self.failures = self.failures.saturating_sub(1);
        self.waiting.push_back(task);
    }

    /// Whether the queue is open and a trial waits or runs.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let is_open = !self.closed && !self.is_failed();
        is_open && self.waiting.len() + self.running.len() > 0
    }

    /// Counts the failure of an earlier run.
    pub fn count_failure(&mut self) {
        self.failures += 1;
    }

    /// Closes the queue: no trial is started any more.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Removes the first waiting trial.
    pub fn give_up(&mut self) -> Option<Task> {
        self.waiting.pop_front()
    }

    /// Number of waiting trials.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Number of failures.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// Whether the limit of failures is reached.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.most_failures.is_some_and(|most| self.failures >= most)
    }

    /// The next step, given the memory (MiB) that is free, and that would be if nothing else took any.
    pub fn next(&mut self, free_mib: Option<f64>, total_mib: Option<f64>) -> Next {
        let wait = if self.running.is_empty() { Next::Over } else { Next::Wait };
        if self.closed || self.is_failed() || self.waiting.is_empty() {
            return wait;
        }
        let in_service = |index: &&usize| !self.out_of_service.contains(&self.slots[**index].device);
        let mut usable = self.free.iter().filter(in_service).copied().peekable();
        if usable.peek().is_none() {
            return wait;
        }
        let found = usable.find_map(|index| {
            let fits = |task: &Task| self.fits(task, &self.slots[index], free_mib);
            Some((index, self.waiting.iter().position(fits)?))
        });
        let Some((index, at)) = found else {
            let usable = self.slots.iter().filter(|slot| !self.out_of_service.contains(&slot.device));
            let could_fit = |task: &Task| usable.clone().any(|slot| self.fits(task, slot, total_mib));
            return match self.waiting.front() {
                Some(task) if self.running.is_empty() && total_mib.is_some() && could_fit(task) => {
                    Next::Short(task.clone())
                }
                Some(_) if self.running.is_empty() => self.waiting.pop_front().map_or(wait, Next::TooLarge),
                Some(_) => Next::Wait,
                None => wait,
            };
        };
        match self.waiting.remove(at) {
            Some(task) => {
                self.free.remove(&index);
                self.running.insert(task.trial.clone(), index);
                Next::Start(task, self.slots[index].clone())
            }
            None => wait,
        }
    }

    /// Memory (MiB) of the largest GPU slot in service, if that of all is known.
    #[must_use]
    pub fn largest_gpu_mib(&self) -> Option<u64> {
        let gpus = self.slots.iter().filter(|slot| slot.device != "cpu" && !self.out_of_service.contains(&slot.device));
        gpus.map(|slot| slot.memory_mib).collect::<Option<Vec<u64>>>()?.into_iter().max()
    }

    /// Whether a trial fits into a slot's memory. Where the need on a GPU is not known, that on a CPU is an estimate of it,
    /// and a trial that fits no GPU is tried on the largest one.
    fn fits(&self, task: &Task, slot: &Slot, free_mib: Option<f64>) -> bool {
        let capacity = |slot: &Slot| slot.memory_mib.map_or(f64::INFINITY, |memory| memory as f64);
        let need = match (task.memory_mib, task.gpu_mib) {
            (Some(need), _) if slot.device == "cpu" => return need <= free_mib.unwrap_or(f64::INFINITY),
            (_, Some(need)) if slot.device != "cpu" => return need <= capacity(slot),
            (Some(need), _) => need,
            (None, _) => return true,
        };
        let is_larger = |other: &Slot| {
            !self.out_of_service.contains(&other.device) && (other.device == "cpu" || capacity(other) > capacity(slot))
        };
        need <= capacity(slot) || !self.slots.iter().any(is_larger)
    }

    /// Records that a trial ended in a state. `suspicious`: its device, or the cluster's `node`, may be at fault. Returns the
    /// device or node if it is taken out of service now.
    pub fn ended(&mut self, trial: &str, state: State, suspicious: bool, node: Option<&str>) -> Option<String> {
        let index = self.running.remove(trial);
        self.free.extend(index);
        if state.is_failure() {
            self.failures += 1;
        }
        let device = node.unwrap_or(&self.slots.get(index?)?.device).to_owned();
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

    fn slot(device: &str) -> Slot {
        Slot::new(device, 1)
    }

    fn queue(devices: &[&str], trials: usize) -> Queue {
        let mut queue = Queue::new(devices.iter().map(|device| slot(device)).collect(), None);
        (0..trials).for_each(|i| queue.push(Task { trial: format!("t{i}"), ..Task::default() }));
        queue
    }

    fn start(queue: &mut Queue) -> (String, String) {
        match queue.next(None, None) {
            Next::Start(task, slot) => (task.trial, slot.device),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn trials_start_in_order_while_there_are_slots() {
        let mut queue = queue(&["cpu", "cpu"], 3);
        assert_eq!((start(&mut queue).0, start(&mut queue).0), ("t0".into(), "t1".into()));
        assert_eq!(queue.next(None, None), Next::Wait);
        queue.ended("t1", State::Done, false, None);
        assert_eq!(start(&mut queue).0, "t2");
        queue.ended("t0", State::Done, false, None);
        assert_eq!(queue.next(None, None), Next::Wait);
        queue.ended("t2", State::Diverged, false, None);
        assert_eq!((queue.next(None, None), queue.failures()), (Next::Over, 1));
    }

    #[test]
    fn three_different_trials_in_a_row_take_a_device_out() {
        let mut queue = queue(&["cuda:0", "cuda:1"], 9);
        for failed in 0..3 {
            let (trial, device) = start(&mut queue);
            assert_eq!(device, "cuda:0");
            let other = start(&mut queue);
            let out = queue.ended(&trial, State::Failed, true, None);
            assert_eq!(out, (failed == 2).then(|| "cuda:0".to_owned()));
            queue.ended(&other.0, State::Done, false, None);
        }
        assert_eq!(start(&mut queue).1, "cuda:1");
        assert_eq!(queue.next(None, None), Next::Wait, "cuda:0 gets no more");
    }

    #[test]
    fn one_success_forgives_and_with_no_device_left_it_is_over() {
        let mut queue = queue(&["cpu"], 9);
        for state in [State::Failed, State::TimedOut, State::Done, State::Failed, State::Failed] {
            let trial = start(&mut queue).0;
            assert_eq!(queue.ended(&trial, state, state.is_failure(), None), None);
        }
        let trial = start(&mut queue).0;
        assert_eq!(queue.ended(&trial, State::Failed, true, None), Some("cpu".into()));
        assert_eq!((queue.next(None, None), queue.waiting()), (Next::Over, 3));
    }

    #[test]
    fn a_trial_waits_for_memory_and_a_smaller_one_goes_first() {
        let mut queue = Queue::new(vec![slot("cpu"), slot("cpu"), slot("cpu")], None);
        for (trial, need) in [("large", 900.0), ("small", 100.0), ("huge", 5000.0)] {
            queue.push(Task { trial: trial.into(), memory_mib: Some(need), gpu_mib: None });
        }
        assert!(matches!(queue.next(Some(500.0), None), Next::Start(task, _) if task.trial == "small"));
        assert_eq!(queue.next(Some(400.0), None), Next::Wait);
        queue.ended("small", State::Done, false, None);
        assert!(matches!(queue.next(Some(1000.0), None), Next::Start(task, _) if task.trial == "large"));
        queue.ended("large", State::Done, false, None);
        assert!(matches!(queue.next(Some(1000.0), None), Next::TooLarge(task) if task.trial == "huge"));
        assert_eq!(queue.next(Some(1000.0), None), Next::Over);
    }

    #[test]
    fn a_trial_that_is_too_large_for_a_moment_waits() {
        let mut queue = Queue::new(vec![slot("cpu")], None);
        for (trial, need) in [("large", 900.0), ("huge", 5000.0)] {
            queue.push(Task { trial: trial.into(), memory_mib: Some(need), gpu_mib: None });
        }
        assert!(matches!(queue.next(Some(500.0), Some(1000.0)), Next::Short(task) if task.trial == "large"));
        assert!(matches!(queue.next(Some(950.0), Some(1000.0)), Next::Start(task, _) if task.trial == "large"));
        queue.ended("large", State::Done, false, None);
        assert!(matches!(queue.next(Some(950.0), Some(1000.0)), Next::TooLarge(task) if task.trial == "huge"));
    }

    #[test]
    fn a_failure_is_forgiven_where_the_trial_is_tried_again() {
        let mut queue = queue(&["cpu"], 2);
        let failed = start(&mut queue).0;
        queue.ended(&failed, State::Failed, true, None);
        queue.push_first(Task { trial: "first".into(), ..Task::default() });
        queue.forgive(Task { trial: failed.clone(), ..Task::default() });
        assert_eq!(queue.failures(), 0);
        let mut next = || {
            let trial = start(&mut queue).0;
            queue.ended(&trial, State::Done, false, None);
            trial
        };
        assert_eq!([next(), next(), next()], ["first".to_owned(), "t1".to_owned(), failed]);
        assert!(!queue.is_waiting());
    }

    #[test]
    fn trials_are_placed_by_the_memory_of_gpus_and_processor() {
        let gpu = |device: &str, capacity| Slot { memory_mib: Some(capacity), ..slot(device) };
        let pool = || vec![gpu("cuda:0", 1000), gpu("cuda:1", 4000), slot("cpu")];
        let place = |slots: Vec<Slot>, tasks: Vec<(f64, Option<f64>)>, free| {
            let mut queue = Queue::new(slots, None);
            for (i, (need, gpu_mib)) in tasks.into_iter().enumerate() {
                queue.push(Task { trial: format!("t{i}"), memory_mib: Some(need), gpu_mib });
            }
            let mut started = Vec::new();
            loop {
                match queue.next(Some(free), None) {
                    Next::Start(task, slot) => started.push(format!("{} on {}", task.trial, slot.device)),
                    Next::TooLarge(task) => started.push(format!("{} nowhere", task.trial)),
                    Next::Wait | Next::Over | Next::Short(_) => return started,
                }
            }
        };
        let needs = |slots, needs: &[f64], free| place(slots, needs.iter().map(|need| (*need, None)).collect(), free);
        let placed = needs(pool(), &[3000.0, 500.0, 9000.0], 16_000.0);
        assert_eq!(placed, ["t1 on cuda:0", "t0 on cuda:1", "t2 on cpu"], "each where it fits");
        let placed = needs(pool(), &[9000.0, 9500.0], 8000.0);
        assert_eq!(placed, ["t0 nowhere", "t1 nowhere"], "the CPU has too little memory too");
        // With GPUs alone, the largest one is tried: what it needs there is an estimate.
        assert_eq!(needs(pool()[..2].to_vec(), &[9000.0], 100.0), ["t0 on cuda:1"]);
        let unknown = vec![slot("cuda:0")];
        assert_eq!(needs(unknown, &[9000.0], 100.0), ["t0 on cuda:0"]);
        // Where the need on a GPU is known, it decides.
        let placed = place(pool()[..2].to_vec(), vec![(100.0, Some(9000.0)), (9000.0, Some(3000.0))], 100.0);
        assert_eq!(placed, ["t1 on cuda:1"]);
        assert_eq!(place(pool()[..2].to_vec(), vec![(100.0, Some(9000.0))], 100.0), ["t0 nowhere"]);
    }

    #[test]
    fn a_node_that_fails_three_trials_is_named_and_the_others_stay() {
        let mut queue = queue(&["slurm"; 9], 9);
        for failed in 0..3 {
            let trial = start(&mut queue).0;
            let out = queue.ended(&trial, State::Failed, true, Some("node7"));
            assert_eq!(out, (failed == 2).then(|| "node7".to_owned()));
            let other = start(&mut queue).0;
            assert_eq!(queue.ended(&other, State::Failed, true, Some(&format!("node{failed}"))), None);
        }
        assert_eq!(start(&mut queue).1, "slurm");
    }

    #[test]
    fn a_closed_queue_and_too_many_failures_start_nothing() {
        let mut closed = queue(&["cpu"], 2);
        closed.close();
        assert_eq!(closed.next(None, None), Next::Over);
        let mut failed = Queue::new(vec![slot("cpu")], Some(1));
        failed.push(Task { trial: "t".into(), ..Task::default() });
        failed.count_failure();
        assert!(failed.is_failed() && failed.next(None, None) == Next::Over);
    }
}
