//! Positions of values in the arena: values with overlapping lifetimes are disjoint, others share memory.

/// A value's first and last step (both included) and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// First step that uses it.
    pub(crate) first: usize,
    /// Last step that uses it.
    pub(crate) last: usize,
    /// Length, in numbers.
    pub(crate) len: usize,
}

impl Lifetime {
    fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Offsets for all values, and the length of the arena. The longest value comes first; each gets the lowest offset that
/// is free for its whole life.
pub(crate) fn assign_offsets(values: &[Lifetime]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(values[*i].len), *i));
    let mut offsets = vec![0; values.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut total = 0;
    for i in order {
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|j| values[**j].overlaps(values[i]))
            .map(|j| (offsets[*j], offsets[*j] + values[*j].len))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if start >= offset + values[i].len {
                break;
            }
            offset = offset.max(end);
        }
        offsets[i] = offset;
        total = total.max(offset + values[i].len);
        placed.push(i);
    }
    (offsets, total)
}

/// Numbers between values that [`apart`] separates.
#[cfg(test)]
const GUARD: usize = 64;

/// Offsets that separate all values by guards: any number written between them is an error.
#[cfg(test)]
pub(crate) fn apart(values: &[Lifetime]) -> (Vec<usize>, usize) {
    let mut end = GUARD;
    let next = |value: &Lifetime| {
        let offset = end;
        end += value.len + GUARD;
        offset
    };
    (values.iter().map(next).collect(), end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_alive_together_lie_apart_and_others_share() {
        let life = |first, last, len| Lifetime { first, last, len };
        let values = [life(0, 3, 64), life(1, 2, 32), life(3, 5, 32), life(4, 6, 64), life(6, 7, 16), life(0, 7, 16)];
        let (offsets, total) = assign_offsets(&values);
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate().filter(|(j, b)| *j != i && a.overlaps(**b)) {
                let apart = offsets[i] + a.len <= offsets[j] || offsets[j] + b.len <= offsets[i];
                assert!(apart, "{i} and {j} share");
            }
        }
        assert_eq!(total, 64 + 32 + 16, "the most that is alive at once");
    }
}
