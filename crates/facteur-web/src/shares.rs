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

/// One of them, until it is dropped.
pub(crate) struct Share {
    of: Arc<Shares>,
    tenant: String,
}

impl Shares {
    pub(crate) fn new(most: usize, most_each: usize) -> Arc<Self> {
        Arc::new(Self { most, most_each, taken: Mutex::default() })
    }

    /// One for a tenant (`None`: who belongs to none); `None` if there is no room, or it has its share.
    pub(crate) fn take(self: &Arc<Self>, tenant: Option<&str>) -> Option<Share> {
        let tenant = tenant.unwrap_or_default().to_owned();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.each.get(&tenant).copied().unwrap_or_default();
        if taken.all >= self.most || own >= self.most_each {
            return None;
        }
        taken.all += 1;
        taken.each.insert(tenant.clone(), own + 1);
        drop(taken);
        Some(Share { of: Arc::clone(self), tenant })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(own) = taken.each.get_mut(&self.tenant) {
            *own -= 1;
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
}
