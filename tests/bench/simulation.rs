//! A simulated cluster: nodes, a queue, a simulated clock, and the failures of real clusters. Slurm and the trials are
//! simulated; the runner, its files and its requests are real.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::fmt::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use landmark_sweep::definition::SweepDefinition;
use landmark_sweep::plan::{Trial, plan};
use landmark_sweep::records::{EpochRecord, State, TrialStatus};
use landmark_sweep::scheduler::slurm::{Cancel, Controller, Jobs, Refusal, Slurm};
use landmark_sweep::scheduler::{
    Dispatcher, Limits, PruneAction, Queue, Slot, Start, SweepCallbacks, SweepOutcome, Task, UserRequest,
};
use landmark_sweep::slurm::SlurmSpec;
use landmark_sweep::slurm::answers::{self, Job, JobState};
use landmark_sweep::store::{self, Store};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Size and faults of a cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) trials: usize,
    pub(crate) nodes: usize,
    pub(crate) slots: usize,
    /// Nodes on which every job dies at once.
    pub(crate) bad_nodes: usize,
    pub(crate) seed: u64,
}

/// Results of a simulated sweep.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) ending: SweepOutcome,
    /// Number of trials by final state.
    pub(crate) states: BTreeMap<&'static str, usize>,
    /// Seconds of the runner's own work, and those before all trials were submitted.
    pub(crate) runner: f64,
    pub(crate) ready: f64,
    /// Hours of the simulated clock.
    pub(crate) hours: f64,
    pub(crate) files: usize,
    pub(crate) polls: u64,
    pub(crate) counts: Counts,
    pub(crate) said: Vec<String>,
}

/// Counts of events on the cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub(crate) submissions: usize,
    pub(crate) starts: usize,
    /// Warned and requeued.
    pub(crate) warned: usize,
    pub(crate) node_failures: usize,
    pub(crate) killed: usize,
    /// Two jobs trained a trial at once, or a finished trial was trained again.
    pub(crate) doubled: usize,
    pub(crate) unanswered: usize,
}

const MINUTE: Duration = Duration::from_secs(60);
/// Slurm forgets a job that is over.
const MIN_JOB_AGE: Duration = Duration::from_secs(300);
/// Trials save this long before the end of their job.
const LIMIT: Duration = Duration::from_secs(2 * 3600);
/// Delay before a requeued job may start.
const BEGIN_TIME: Duration = Duration::from_secs(120);
/// Longest delay until other machines see what a node wrote.
const LAG: u64 = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Done,
    FailsByItself,
    Warned,
    NodeFails,
    NodeFailsForGood,
    Killed,
    BadNode,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    End((u64, u32), u32, End),
    Free((u64, u32)),
    Write(String, u64),
}

#[derive(Debug)]
struct SimTask {
    trial: String,
    state: JobState,
    node: Option<usize>,
    since: Duration,
    ended: Duration,
    /// Number of starts so far: events of earlier starts are void.
    starts: u32,
    reason: &'static str,
}

#[derive(Debug, Default)]
struct SimArray {
    comment: String,
    at_once: usize,
    running: usize,
    waiting: VecDeque<u32>,
    excluded: BTreeSet<usize>,
}

#[derive(Debug)]
struct SimTrial {
    left: Duration,
    attempts: u32,
    steps: u64,
    done: bool,
    trained_by: Option<(u64, u32)>,
}

struct Sim {
    size: Size,
    store: Store,
    rng: ChaCha8Rng,
    now: Rc<Cell<Duration>>,
    /// Time taken by the simulation itself.
    own: Rc<Cell<Duration>>,
    counts: Rc<RefCell<Counts>>,
    tasks: BTreeMap<(u64, u32), SimTask>,
    arrays: BTreeMap<u64, SimArray>,
    trials: BTreeMap<String, SimTrial>,
    free: Vec<usize>,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    writes: BTreeMap<u64, TrialStatus>,
    next: u64,
    outages: Vec<(Duration, Duration)>,
}

impl Sim {
    fn at(&mut self, when: Duration, event: Event) {
        self.next += 1;
        self.events.push(Reverse((when, self.next, event)));
    }

    fn is_away(&self) -> bool {
        self.outages.iter().any(|(from, time)| (*from..*from + *time).contains(&self.now.get()))
    }

    fn away<T>(&mut self) -> Result<T, Refusal> {
        self.counts.borrow_mut().unanswered += 1;
        Err(Refusal::Away("connect failure".to_owned()))
    }

    /// A file that a trial writes and other machines see later.
    fn write(&mut self, trial: &str, state: State, message: Option<&str>) {
        let known = &self.trials[trial];
        let mut status = TrialStatus { state, attempts: known.attempts, ..TrialStatus::pending(trial) };
        (status.live.step, status.live.beat) = (known.steps, known.steps);
        status.message = message.map(str::to_owned);
        let lag = Duration::from_secs(self.rng.random_range(0..LAG));
        self.next += 1;
        self.writes.insert(self.next, status);
        let number = self.next;
        self.at(self.now.get() + lag, Event::Write(trial.to_owned(), number));
    }

    /// Starts jobs that can start.
    fn schedule(&mut self) {
        let arrays: Vec<u64> = self.arrays.keys().copied().collect();
        for array in arrays {
            loop {
                let one = &self.arrays[&array];
                if one.waiting.is_empty() || one.running >= one.at_once {
                    break;
                }
                let node = (0..self.size.nodes).find(|node| self.free[*node] > 0 && !one.excluded.contains(node));
                let Some(node) = node else { break };
                let Some(index) = self.arrays.get_mut(&array).and_then(|one| one.waiting.pop_front()) else { break };
                self.start((array, index), node);
            }
        }
    }

    fn start(&mut self, key: (u64, u32), node: usize) {
        self.free[node] -= 1;
        if let Some(array) = self.arrays.get_mut(&key.0) {
            array.running += 1;
        }
        let now = self.now.get();
        let Some(task) = self.tasks.get_mut(&key) else { return };
        (task.state, task.node, task.since) = (JobState::Running, Some(node), now);
        task.starts += 1;
        let (name, starts) = (task.trial.clone(), task.starts);
        let mut counts = self.counts.borrow_mut();
        counts.starts += 1;
        if node < self.size.bad_nodes {
            drop(counts);
            return self.at(now + Duration::from_secs(3), Event::End(key, starts, End::BadNode));
        }
        let Some(trial) = self.trials.get_mut(&name) else { return };
        if trial.done || trial.trained_by.is_some() {
            // The trial's lock, or its state, stops the second process.
            counts.doubled += 1;
        }
        drop(counts);
        trial.trained_by = Some(key);
        trial.attempts += 1;
        let left = trial.left;
        let (end, after) = match self.rng.random_range(0..1000) {
            0..5 => (End::Killed, left.mul_f64(self.rng.random())),
            5..8 => (End::FailsByItself, left.mul_f64(self.rng.random())),
            8..20 => (End::NodeFails, left.mul_f64(self.rng.random())),
            20..24 => (End::NodeFailsForGood, left.mul_f64(self.rng.random())),
            _ => (End::Done, left),
        };
        let (end, after) = if after > LIMIT { (End::Warned, LIMIT) } else { (end, after) };
        self.write(&name, State::Running, None);
        self.at(now + after.max(Duration::from_secs(1)), Event::End(key, starts, end));
    }

    fn end(&mut self, key: (u64, u32), end: End) {
        let now = self.now.get();
        let Some(task) = self.tasks.get_mut(&key) else { return };
        let (name, ran) = (task.trial.clone(), now.saturating_sub(task.since));
        let node = task.node.take();
        task.ended = now;
        task.state = match end {
            End::Done => JobState::Completed,
            End::Warned | End::NodeFails => JobState::Waiting,
            End::NodeFailsForGood => JobState::NodeFailed,
            End::FailsByItself | End::Killed | End::BadNode => JobState::Failed,
        };
        task.reason = if task.state == JobState::Waiting { "BeginTime" } else { "None" };
        let again = task.state == JobState::Waiting;
        if let Some(array) = self.arrays.get_mut(&key.0) {
            array.running -= 1;
        }
        self.free[node.unwrap_or_default()] += 1;
        if again {
            self.at(now + BEGIN_TIME, Event::Free(key));
        }
        if end != End::BadNode
            && let Some(trial) = self.trials.get_mut(&name)
        {
            trial.trained_by = None;
            // A failing node loses the work since the last checkpoint.
            let kept = if matches!(end, End::Done | End::Warned) { ran } else { ran.mul_f64(0.8) };
            trial.steps += kept.as_secs();
            trial.left = trial.left.saturating_sub(kept);
            trial.done |= end == End::Done;
        }
        match end {
            End::Done => self.write(&name, State::Done, None),
            End::Warned => self.write(&name, State::Interrupted, None),
            End::FailsByItself => self.write(&name, State::Failed, Some("it could not go on")),
            End::Killed | End::NodeFails | End::NodeFailsForGood | End::BadNode => {}
        }
        let mut counts = self.counts.borrow_mut();
        match end {
            End::Warned => counts.warned += 1,
            End::NodeFails | End::NodeFailsForGood => counts.node_failures += 1,
            End::Killed => counts.killed += 1,
            _ => {}
        }
    }

    fn advance(&mut self, to: Duration) {
        while self.events.peek().is_some_and(|Reverse((when, ..))| *when <= to) {
            let Some(Reverse((when, _, event))) = self.events.pop() else { break };
            self.now.set(when);
            match event {
                Event::End(key, starts, end) => {
                    if self.tasks.get(&key).is_some_and(|task| task.starts == starts && task.state == JobState::Running)
                    {
                        self.end(key, end);
                        self.schedule();
                    }
                }
                Event::Free(key) => {
                    if let Some(array) = self.arrays.get_mut(&key.0) {
                        array.waiting.push_back(key.1);
                    }
                    self.schedule();
                }
                Event::Write(trial, number) => {
                    if let Some(status) = self.writes.remove(&number) {
                        self.store.trial(&trial).write_heartbeat(&status).unwrap();
                    }
                }
            }
        }
        self.now.set(to);
    }

    /// Runs a closure in time that does not count as the runner's.
    fn aside<T>(&mut self, what: impl FnOnce(&mut Self) -> T) -> T {
        let began = Instant::now();
        let result = what(self);
        self.own.set(self.own.get() + began.elapsed());
        result
    }
}

impl Controller for Sim {
    fn submit(&mut self, script: &Path) -> Result<u64, Refusal> {
        self.aside(|sim| {
            let away = sim.is_away();
            // The controller may have received a request before it went away.
            if away && sim.counts.borrow().unanswered % 2 == 1 {
                return sim.away();
            }
            let text = store::read_text(script).unwrap();
            let option = |name: &str| {
                let found = text
                    .lines()
                    .find_map(|line| line.strip_prefix("#SBATCH --")?.strip_prefix(name)?.strip_prefix('='));
                found.map(str::to_owned)
            };
            let trials = store::read_text(&script.with_extension("txt")).unwrap();
            let array = sim.arrays.len() as u64 + 1;
            let at_once =
                option("array").unwrap().split_once('%').map_or(usize::MAX, |(_, most)| most.parse().unwrap());
            let excluded = option("exclude").unwrap_or_default();
            let mut one = SimArray { comment: option("comment").unwrap(), at_once, ..SimArray::default() };
            one.excluded = excluded.split(',').filter_map(|node| node.strip_prefix('n')?.parse().ok()).collect();
            for (index, trial) in trials.lines().enumerate() {
                let task = SimTask {
                    trial: trial.to_owned(),
                    state: JobState::Waiting,
                    node: None,
                    since: Duration::ZERO,
                    ended: Duration::ZERO,
                    starts: 0,
                    reason: "Priority",
                };
                sim.tasks.insert((array, index as u32), task);
                one.waiting.push_back(index as u32);
            }
            sim.arrays.insert(array, one);
            sim.counts.borrow_mut().submissions += 1;
            sim.schedule();
            if away { sim.away() } else { Ok(array) }
        })
    }

    fn jobs(&mut self, _name: &str) -> Result<Vec<Job>, Refusal> {
        let answer = self.aside(|sim| {
            if sim.is_away() {
                return sim.away();
            }
            let now = sim.now.get();
            let mut text = String::new();
            for ((array, index), task) in &sim.tasks {
                if task.state.is_over() && now > task.ended + MIN_JOB_AGE {
                    continue;
                }
                let state = match task.state {
                    JobState::Waiting => "PENDING",
                    JobState::Running => "RUNNING",
                    JobState::Completed => "COMPLETED",
                    JobState::NodeFailed => "NODE_FAIL",
                    JobState::Cancelled => "CANCELLED",
                    _ => "FAILED",
                };
                let node = task.node.map_or_else(String::new, |node| format!("n{node}"));
                let comment = &sim.arrays[array].comment;
                let _ = writeln!(text, "{array}_{index}|{state}|{comment}|{node}|{}", task.reason);
            }
            Ok(text)
        })?;
        Ok(answers::jobs(&answer))
    }

    fn history(&mut self, _arrays: &[u64]) -> Result<Vec<(u64, u32, JobState, String)>, Refusal> {
        Err(Refusal::Refused("Slurm accounting storage is disabled".to_owned()))
    }

    fn exit_code(&mut self, _job: &str) -> Option<String> {
        None
    }

    fn cancel(&mut self, jobs: &[String], _how: Cancel) -> Result<(), Refusal> {
        self.aside(|sim| {
            for job in jobs {
                let (array, index) = job.split_once('_').unwrap();
                let key = (array.parse().unwrap(), index.parse().unwrap());
                if let Some(task) = sim.tasks.get_mut(&key).filter(|task| task.state == JobState::Waiting) {
                    (task.state, task.ended) = (JobState::Cancelled, sim.now.get());
                    sim.arrays.get_mut(&key.0).unwrap().waiting.retain(|waiting| *waiting != key.1);
                }
            }
            Ok(())
        })
    }

    fn exclude(&mut self, array: u64, nodes: &[String]) -> Result<(), Refusal> {
        let nodes = nodes.iter().filter_map(|node| node.strip_prefix('n')?.parse().ok());
        self.arrays.get_mut(&array).unwrap().excluded = nodes.collect();
        Ok(())
    }

    fn largest_array(&mut self) -> Option<usize> {
        Some(1001)
    }

    fn now(&self) -> Duration {
        self.now.get()
    }

    fn wait(&mut self, time: Duration) {
        self.aside(|sim| sim.advance(sim.now.get() + time));
    }
}

struct Watch<'a> {
    store: &'a Store,
    trials: BTreeMap<String, Trial>,
    states: BTreeMap<&'static str, usize>,
    said: Vec<String>,
}

impl SweepCallbacks for Watch<'_> {
    fn request(&self) -> UserRequest {
        UserRequest::Continue
    }
    fn prepare(&mut self, trial: &str) -> landmark_sweep::error::Result<()> {
        self.store.trial(trial).begin(self.trials[trial].file()?)
    }
    fn started(&mut self, _start: &Start) {}
    fn alive(&mut self, _status: &TrialStatus) {}
    fn epoch(&mut self, _trial: &str, _record: &EpochRecord) -> Vec<(String, PruneAction)> {
        Vec::new()
    }
    fn ended(&mut self, status: &TrialStatus, _tail: &[String]) -> landmark_sweep::error::Result<Vec<Task>> {
        *self.states.entry(status.state.name()).or_default() += 1;
        Ok(Vec::new())
    }
    fn again(&mut self) -> landmark_sweep::error::Result<Vec<Task>> {
        Ok(Vec::new())
    }
    fn say(&mut self, line: &str) {
        self.said.push(line.to_owned());
    }
    fn note(&mut self, line: &str) {
        self.said.push(line.to_owned());
    }
    fn tick(&mut self) {}
}

/// Definition with this many trials.
fn planned(trials: usize) -> Vec<Trial> {
    let seeds: Vec<String> = (0..trials).map(|seed| seed.to_string()).collect();
    let definition = format!(
        "name = \"s\"\nseeds = [{}]\n[trial]\nepochs = 1\nloss = {{ name = \"l1\" }}\n\
         dataset = {{ name = \"phantom\", train = 2, val = 1, height = 32, width = 32 }}\n\
         input = {{ height = 32, width = 32 }}\nmodel = {{ name = \"unet\", filters = [4, 8] }}",
        seeds.join(", ")
    );
    plan(&SweepDefinition::parse("s", &definition).unwrap()).unwrap()
}

/// Runs a sweep of this many trials on a cluster of this size, with this `[slurm]`.
pub(crate) fn simulate(size: Size, spec: SlurmSpec, folder: &Path) -> Outcome {
    let trials = planned(size.trials);
    let store = Store::new(folder, "s");
    let mut rng = ChaCha8Rng::seed_from_u64(size.seed);
    let (now, own) = (Rc::new(Cell::new(Duration::ZERO)), Rc::new(Cell::new(Duration::ZERO)));
    let counts = Rc::new(RefCell::new(Counts::default()));
    let mut sim_trials = BTreeMap::new();
    for trial in &trials {
        // From ten minutes to some hours, mostly below one hour.
        let minutes = 10.0 + 30.0 * -(1.0 - rng.random::<f64>()).ln();
        let left = MINUTE.mul_f64(minutes);
        let one = SimTrial { left, attempts: 0, steps: 0, done: false, trained_by: None };
        sim_trials.insert(trial.id.clone(), one);
    }
    let sim = Sim {
        size,
        store: store.clone(),
        rng,
        now: Rc::clone(&now),
        own: Rc::clone(&own),
        counts: Rc::clone(&counts),
        tasks: BTreeMap::new(),
        arrays: BTreeMap::new(),
        trials: sim_trials,
        free: vec![size.slots; size.nodes],
        events: BinaryHeap::new(),
        writes: BTreeMap::new(),
        next: 0,
        // At the start, and twice later.
        outages: [(0, 1), (20, 4), (90, 12)].map(|(from, time)| (MINUTE * from, MINUTE * time)).to_vec(),
    };
    let jobs = |token: &str| Jobs {
        name: "sweep-s".to_owned(),
        token: token.to_owned(),
        from: folder.to_owned(),
        program: "/bin/true".into(),
        device: "cpu".to_owned(),
        threads: None,
    };
    let fill = || {
        let mut queue = Queue::new(vec![Slot::new("slurm", 1); size.trials], None);
        for trial in &trials {
            queue.push(Task { trial: trial.id.clone(), ..Task::default() });
        }
        queue
    };
    let began = Instant::now();
    let mut slurm = Slurm::open(spec.clone(), jobs("first"), store.clone(), sim).unwrap();
    let mut watch = Watch {
        store: &store,
        trials: trials.iter().map(|trial| (trial.id.clone(), trial.clone())).collect(),
        states: BTreeMap::new(),
        said: Vec::new(),
    };
    let clock = || now.get();
    let limits = Limits {
        trial: None,
        sweep: None,
        stall: Duration::from_secs(1 << 20),
        grace: MINUTE * 5,
        poll_interval: Duration::from_secs(10),
    };
    // Submission comes first, as with --detach: its time is counted separately.
    let mut drive = Dispatcher {
        store: &store,
        queue: fill(),
        executor: &mut slurm,
        callbacks: &mut watch,
        limits,
        detach: true,
        clock: &clock,
    };
    drive.run().unwrap();
    let ready = began.elapsed().saturating_sub(own.get()).as_secs_f64();
    let polls = slurm.polls;
    // Another runner takes over, knowing only the folder.
    let mut slurm = Slurm::open(spec, jobs("second"), store.clone(), slurm.into_controller()).unwrap();
    let mut drive = Dispatcher {
        store: &store,
        queue: fill(),
        executor: &mut slurm,
        callbacks: &mut watch,
        limits,
        detach: false,
        clock: &clock,
    };
    let ending = drive.run().unwrap();
    let runner = began.elapsed().saturating_sub(own.get()).as_secs_f64();
    let counts = counts.borrow().clone();
    Outcome {
        ending,
        states: watch.states,
        runner,
        ready,
        hours: now.get().as_secs_f64() / 3600.0,
        files: files(store.root()),
        polls: polls + slurm.polls,
        counts,
        said: watch.said,
    }
}

fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}
