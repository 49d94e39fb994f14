//! Fairness inside a lane: weighted round-robin by tenant over what the lane holds. One tenant's campaign takes
//! its turn like everybody else; within a tenant the order of arrival stands.

use std::collections::{HashMap, VecDeque};

/// What waits, by tenant. A tenant of weight `n` gives `n` items at each of its turns.
#[derive(Debug)]
pub struct FairQueue<T> {
    /// Whose turn it is, first; each tenant that has items is here once.
    ring: VecDeque<String>,
    waiting: HashMap<String, VecDeque<T>>,
    /// How many more items the first of the ring may give.
    credit: u32,
    count: usize,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { ring: VecDeque::new(), waiting: HashMap::new(), credit: 0, count: 0 }
    }
}

impl<T> FairQueue<T> {
    /// How many items wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds an item behind those of its tenant.
    pub fn push(&mut self, tenant: &str, item: T) {
        self.count += 1;
        if let Some(items) = self.waiting.get_mut(tenant) {
            return items.push_back(item);
        }
        self.waiting.insert(tenant.to_owned(), VecDeque::from([item]));
        self.ring.push_back(tenant.to_owned());
    }

    /// Takes the next item; `weight` says how many items a tenant gives at each of its turns (0 counts as 1).
    pub fn pop(&mut self, weight: impl Fn(&str) -> u32) -> Option<T> {
        let tenant = self.ring.front()?;
        if self.credit == 0 {
            self.credit = weight(tenant).max(1);
        }
        self.credit -= 1;
        self.count -= 1;
        let items = self.waiting.get_mut(tenant)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.waiting.remove(tenant);
            self.ring.pop_front();
            self.credit = 0;
        } else if self.credit == 0 {
            self.ring.rotate_left(1);
        }
        item
    }

    /// Takes everything away.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::FairQueue;
    use proptest::prelude::*;

    fn drain(queue: &mut FairQueue<(usize, u32)>, weight: impl Fn(&str) -> u32) -> Vec<(usize, u32)> {
        std::iter::from_fn(|| queue.pop(&weight)).collect()
    }

    #[test]
    fn a_campaign_takes_its_turn_like_everybody_else() {
        let mut queue = FairQueue::default();
        (0..100).for_each(|number| queue.push("a", (0, number)));
        (0..3).for_each(|number| queue.push("b", (1, number)));
        let first: Vec<usize> =
            drain(&mut queue, |_| 1).into_iter().take(7).map(|(tenant, _)| tenant).collect();
        assert_eq!(first, [0, 1, 0, 1, 0, 1, 0]);
    }

    #[test]
    fn a_weight_is_so_many_turns() {
        let mut queue = FairQueue::default();
        (0..9).for_each(|number| queue.push("a", (0, number)));
        (0..9).for_each(|number| queue.push("b", (1, number)));
        let weight = |tenant: &str| if tenant == "a" { 3 } else { 0 };
        let order: Vec<usize> =
            drain(&mut queue, weight).into_iter().take(8).map(|(tenant, _)| tenant).collect();
        assert_eq!(order, [0, 0, 0, 1, 0, 0, 0, 1]);
    }

    proptest! {
        #[test]
        fn everything_comes_out_once_and_in_order_within_its_tenant(pushes in prop::collection::vec(0usize..4, 0..200), weights in prop::collection::vec(0u32..5, 4)) {
            let mut queue = FairQueue::default();
            let mut next = [0u32; 4];
            for tenant in &pushes {
                queue.push(&tenant.to_string(), (*tenant, next[*tenant]));
                next[*tenant] += 1;
            }
            prop_assert_eq!(queue.len(), pushes.len());
            let mut seen = [0u32; 4];
            for (tenant, number) in drain(&mut queue, |name| weights[name.parse::<usize>().unwrap()]) {
                prop_assert_eq!(number, seen[tenant]);
                seen[tenant] += 1;
            }
            prop_assert_eq!(seen, next);
            prop_assert!(queue.is_empty());
        }
    }
}
