//! So many at once, and no tenant more than its share: for what is held for long, of which one could take all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// At most `most` at once, and of each tenant at most `most_each`.
pub(crate) struct Shares {
    most: usize,
    most_each: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Only those that hold something.
    each: HashMap<String, usize>,
}

/// So many of them, until it is dropped.
pub(crate) struct Share {
    of: Arc<Shares>,
    tenant: String,
    count: usize,
}

impl Shares {
    pub(crate) fn new(most: usize, most_each: usize) -> Arc<Self> {
        Arc::new(Self { most, most_each, taken: Mutex::default() })
    }

    /// One for a tenant (`None`: who belongs to none); `None` if there is no room, or it has its share.
    pub(crate) fn take(self: &Arc<Self>, tenant: Option<&str>) -> Option<Share> {
        self.take_many(tenant, 1)
    }

    /// So many for a tenant, all of them or none; none at all is always there.
    pub(crate) fn take_many(self: &Arc<Self>, tenant: Option<&str>, count: usize) -> Option<Share> {
        let tenant = tenant.unwrap_or_default().to_owned();
        let has_room = self.enter(&tenant, count);
        has_room.then(|| Share { of: Arc::clone(self), tenant, count })
    }

    fn enter(&self, tenant: &str, count: usize) -> bool {
        if count == 0 {
            return true;
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.each.get(tenant).copied().unwrap_or_default();
        let has_room = count <= self.most - taken.all && count <= self.most_each - own;
        if has_room {
            taken.all += count;
            taken.each.insert(tenant.to_owned(), own + count);
        }
        has_room
    }
}

impl Share {
    /// Takes so many more; `false`, and none of them, if there is no room.
    pub(crate) fn more(&mut self, count: usize) -> bool {
        let has_room = self.of.enter(&self.tenant, count);
        if has_room {
            self.count += count;
        }
        has_room
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= self.count;
        if let Some(own) = taken.each.get_mut(&self.tenant) {
            *own -= self.count;
            if *own == 0 {
                taken.each.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tenant_takes_more_than_its_share_and_all_together_no_more_than_there_are() {
        let shares = Shares::new(3, 2);
        let first = shares.take(Some("a")).unwrap();
        let _second = shares.take(Some("a")).unwrap();
        assert!(shares.take(Some("a")).is_none(), "its share is taken");
        let third = shares.take(Some("b")).unwrap();
        assert!(shares.take(None).is_none(), "all are taken");
        drop(first);
        assert!(shares.take(Some("a")).is_some(), "a share that was given back");
        drop(third);
        assert_eq!(shares.taken.lock().unwrap().each.len(), 1, "who holds nothing is forgotten");
    }
    #[test]
    fn many_are_taken_together_or_not_at_all_and_given_back_together() {
        let shares = Shares::new(10, 6);
        let mut grown = shares.take_many(Some("a"), 0).unwrap();
        assert!(grown.more(4) && !grown.more(3), "its share is six");
        assert!(shares.take_many(Some("b"), 7).is_none(), "more than any may have");
        let _other = shares.take_many(Some("b"), 5).unwrap();
        assert!(!grown.more(2), "ten are all there are");
        assert!(grown.more(1));
        assert_eq!((grown.count(), shares.taken.lock().unwrap().all), (5, 10));
        drop(grown);
        let left = shares.taken.lock().unwrap();
        assert_eq!((left.all, left.each.len()), (5, 1));
    }
}
