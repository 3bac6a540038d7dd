//! Which trial of a plan trains for which. Pure.

use std::collections::BTreeMap;

/// A trial of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// What it shares with others: [`super::shared_training`].
    pub shared: Option<String>,
    /// Whether it is to be trained and has no records yet.
    pub is_new: bool,
    /// Followers that it keeps records for.
    pub keeps: Vec<String>,
}

/// The leader of each follower, by their indices. A trial follows the one that keeps records for it; else the first new one that
/// shares its training, which follows none itself.
#[must_use]
pub fn leaders(members: &[Member]) -> BTreeMap<usize, usize> {
    let (mut keepers, mut first) = (BTreeMap::new(), BTreeMap::new());
    for (index, member) in members.iter().enumerate() {
        keepers.extend(member.keeps.iter().map(|id| (id.as_str(), index)));
    }
    let mut leader_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (index, member) in members.iter().enumerate().filter(|(_, member)| member.is_new) {
        let Some(shared) = &member.shared else { continue };
        // A leader is none's follower when it gets one, so that none waits for itself.
        let keeper = keepers.get(member.id.as_str()).copied().filter(|keeper| {
            *keeper != index && members[*keeper].shared.as_ref() == Some(shared) && !leader_of.contains_key(keeper)
        });
        match keeper.or_else(|| first.get(shared).copied()) {
            Some(leader) => drop(leader_of.insert(index, leader)),
            None => drop(first.insert(shared, index)),
        }
    }
    leader_of
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, shared: &str, is_new: bool, keeps: &[&str]) -> Member {
        let keeps = keeps.iter().map(|id| (*id).to_owned()).collect();
        Member { id: id.to_owned(), shared: (!shared.is_empty()).then(|| shared.to_owned()), is_new, keeps }
    }

    fn of(members: &[Member]) -> Vec<(usize, usize)> {
        leaders(members).into_iter().collect()
    }

    #[test]
    fn the_first_new_trial_leads_those_that_share_its_training() {
        let new = |id: &str, shared: &str| member(id, shared, true, &[]);
        assert_eq!(
            of(&[new("a", "x"), new("b", "y"), new("c", "x"), new("d", "y"), new("e", "x")]),
            [(2, 0), (3, 1), (4, 0)]
        );
        assert_eq!(of(&[new("a", ""), new("b", "")]), [], "they share nothing");
        let begun = member("a", "x", false, &[]);
        assert_eq!(of(&[begun, new("b", "x"), new("c", "x")]), [(2, 1)], "what has begun cannot take on followers");
    }

    #[test]
    fn a_trial_follows_the_one_that_keeps_its_records() {
        let keeps = member("a", "x", false, &["c"]);
        let new = |id: &str| member(id, "x", true, &[]);
        assert_eq!(of(&[new("b"), new("c"), keeps.clone(), new("d")]), [(1, 2), (3, 0)]);
        let other = Member { shared: Some("y".into()), ..keeps };
        assert_eq!(of(&[other, new("c")]), [], "a definition that changed shares nothing with it");
        let circle = [member("a", "x", true, &["b"]), member("b", "x", true, &["a"])];
        assert_eq!(of(&circle), [(0, 1)], "none waits for itself");
        assert_eq!(of(&[member("a", "x", true, &["a"])]), []);
    }
}
