//! Trials that share a training because they differ in their decoder alone: which of them trains, and which wait for its
//! records.

use std::collections::{BTreeMap, BTreeSet};

use sweep_core::error::Result;
use sweep_experiment::store::TrialFile;
use sweep_runner::scheduler::Action;
use sweep_training::followers::{self, Member, has_checkpoint, leaders, shared_training, take_over};

use super::sweep_state::{Entry, SweepState};

/// Leaders of the plan's trials.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    /// Leader of each follower, by their indices in the plan.
    leader_of: BTreeMap<usize, usize>,
    /// Followers that were queued when their leader ended.
    released: BTreeSet<usize>,
}

impl Sharing {
    /// The followers of a trial.
    fn of(&self, leader: usize) -> impl Iterator<Item = usize> {
        self.leader_of.iter().filter(move |(_, of)| **of == leader).map(|(follower, _)| *follower)
    }
}

impl SweepState<'_> {
    /// Finds the leaders of the trials from index `first` on. Trials that are pruned by their errors share nothing.
    pub(super) fn find_leaders(&mut self, first: usize) -> Result<()> {
        if !self.shares_trainings || self.definition.prune.is_some() {
            return Ok(());
        }
        let members = self.entries[first..].iter().map(|entry| self.member(entry)).collect::<Result<Vec<_>>>()?;
        let found = leaders(&members).into_iter().map(|(follower, leader)| (first + follower, first + leader));
        self.sharing.leader_of.extend(found);
        Ok(())
    }

    fn member(&self, entry: &Entry) -> Result<Member> {
        let (trial, folder) = (&entry.trial, self.store.trial(&entry.trial.id));
        let is_cleared = matches!(entry.action, Action::StartAnew | Action::Restore);
        let has_begun = !is_cleared && has_checkpoint(&folder);
        let is_served = !self.retry.rerun && !self.ancestors_of(trial)?.is_empty();
        let is_new = entry.action != Action::Skip && !has_begun && !is_served;
        let keeps = if is_cleared { Vec::new() } else { folder.followers()? };
        Ok(Member { id: trial.id.clone(), shared: shared_training(&trial.config, &trial.content)?, is_new, keeps })
    }

    /// Whether a trial waits for the end of its leader.
    pub(super) fn waits(&self, index: usize) -> bool {
        let leader = self.sharing.leader_of.get(&index).and_then(|leader| self.entries.get(*leader));
        leader.is_some_and(|leader| leader.action != Action::Skip)
    }

    /// The trials that waited for the end of this one, once.
    pub(super) fn released_by(&mut self, trial: &str) -> Vec<usize> {
        let Some(leader) = self.index(trial).filter(|index| self.entries[*index].state.is_settled()) else {
            return Vec::new();
        };
        let is_due = |follower: &usize| self.entries[*follower].action != Action::Skip;
        let due: Vec<usize> = self.sharing.of(leader).filter(is_due).collect();
        due.into_iter().filter(|follower| self.sharing.released.insert(*follower)).collect()
    }

    /// Number of trials to be trained that wait for no other.
    pub(super) fn trainings(&self) -> usize {
        let is_training = |index: &usize| self.entries[*index].action != Action::Skip && !self.waits(*index);
        (0..self.entries.len()).filter(is_training).count()
    }

    /// Makes a trial that is about to begin evaluate for its followers.
    pub(super) fn lead(&self, trial: &str) -> Result<()> {
        let (Some(index), folder) = (self.index(trial), self.store.trial(trial)) else { return Ok(()) };
        if has_checkpoint(&folder) {
            return Ok(());
        }
        let waiting = self.sharing.of(index).filter(|follower| self.entries[*follower].action != Action::Skip);
        let files = waiting.map(|follower| self.entries[follower].trial.file()).collect::<Result<Vec<TrialFile>>>()?;
        followers::lead(&folder, &files)
    }

    /// Gives a follower that has no records yet those that its leader kept for it; its folder must exist.
    pub(super) fn follow(&self, trial: &str) -> Result<Option<&str>> {
        let folder = self.store.trial(trial);
        let Some(index) = self.index(trial).filter(|_| !has_checkpoint(&folder)) else { return Ok(None) };
        let Some(leader) = self.sharing.leader_of.get(&index).map(|leader| &self.entries[*leader].trial) else {
            return Ok(None);
        };
        let planned = &self.entries[index].trial;
        let taken = take_over(&self.store.trial(&leader.id), &folder, &planned.file()?, &planned.config)?;
        Ok(taken.then_some(leader.id.as_str()))
    }
}
