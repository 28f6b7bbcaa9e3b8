//! A number that changes at moments, and its least or greatest value within a span of time.
//!
//! Kept in a tree over the moments: it takes one sort to build, memory in proportion to the changes, and the
//! logarithm of their number to ask. What does not belong here: what the number counts.

use crate::history::Moment;

/// Which end of a span's values is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// The least value.
    Least,
    /// The greatest.
    Most,
}

impl End {
    fn of(self, a: i64, b: i64) -> i64 {
        match self {
            Self::Least => a.min(b),
            Self::Most => a.max(b),
        }
    }
}

/// A number that changes at moments, 0 at first.
#[derive(Debug)]
pub(super) struct Steps {
    end: End,
    /// Ascending, each once, the first of them the beginning of time.
    moments: Vec<Moment>,
    /// A tree in a vector: the values are its second half, each node before them is the end of its two children.
    tree: Vec<i64>,
}

impl Steps {
    /// From what is added at which moment, in any order. What is added at the same moment counts as one change.
    pub(super) fn new(end: End, mut changes: Vec<(Moment, i64)>) -> Self {
        changes.sort_unstable_by_key(|change| change.0);
        let mut moments = vec![Moment(0)];
        let mut values = vec![0];
        let mut value = 0_i64;
        for (moment, change) in changes {
            value = value.saturating_add(change);
            if moments.last() == Some(&moment) {
                values.pop();
            } else {
                moments.push(moment);
            }
            values.push(value);
        }
        let count = values.len();
        let mut tree = vec![0; count];
        tree.append(&mut values);
        for node in (1..count).rev() {
            tree[node] = end.of(tree[2 * node], tree[2 * node + 1]);
        }
        Self { end, moments, tree }
    }

    /// The least or greatest value from `from` to `to`, both included.
    pub(super) fn within(&self, from: Moment, to: Moment) -> i64 {
        let count = self.moments.len();
        // The first moment is the beginning of time, so some moment is never later than `from`.
        let first = self.moments.partition_point(|moment| *moment <= from).saturating_sub(1);
        let beyond = self.moments.partition_point(|moment| *moment <= to).max(first + 1);
        let (mut left, mut right) = (first + count, beyond + count);
        let mut value = self.tree[left];
        while left < right {
            if left % 2 == 1 {
                value = self.end.of(value, self.tree[left]);
                left += 1;
            }
            if right % 2 == 1 {
                right -= 1;
                value = self.end.of(value, self.tree[right]);
            }
            left /= 2;
            right /= 2;
        }
        value
    }

    /// Each change: its moment and the value from then on.
    pub(super) fn changes(&self) -> impl Iterator<Item = (Moment, i64)> + '_ {
        self.moments.iter().copied().zip(self.tree[self.moments.len()..].iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_every_span_are_those_that_one_finds_by_looking_at_each_value() {
        let changes: Vec<(Moment, i64)> =
            [(5, 2), (3, 1), (9, -3), (5, 1), (12, 7), (9, 1), (20, -5), (21, -3), (30, 4)]
                .map(|(moment, change)| (Moment(moment), change))
                .to_vec();
        let value = |at: u64| changes.iter().filter(|change| change.0.0 <= at).map(|change| change.1).sum::<i64>();
        let least = Steps::new(End::Least, changes.clone());
        let most = Steps::new(End::Most, changes.clone());
        for from in 0..35 {
            for to in from..35 {
                let values = || (from..=to).map(value);
                assert_eq!(Some(least.within(Moment(from), Moment(to))), values().min(), "{from} to {to}");
                assert_eq!(Some(most.within(Moment(from), Moment(to))), values().max(), "{from} to {to}");
            }
        }
        assert_eq!(Steps::new(End::Most, Vec::new()).within(Moment(1), Moment(2)), 0, "nothing ever changed");
    }
}
