//! A bounded memory of what was seen lately: the oldest is forgotten when it is full.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Remembers the last `capacity` keys, each with a value.
pub(super) struct Recent<V> {
    capacity: usize,
    entries: Mutex<Entries<V>>,
}

struct Entries<V> {
    order: VecDeque<String>,
    values: HashMap<String, V>,
}

impl<V: Clone> Recent<V> {
    pub(super) fn new(capacity: usize) -> Self {
        let entries = Entries {
            order: VecDeque::new(),
            values: HashMap::new(),
        };
        Self {
            capacity,
            entries: Mutex::new(entries),
        }
    }

    /// The value of a key that was seen; otherwise the key is remembered with `value`, and the answer is `None`.
    pub(super) fn seen(&self, key: &str, value: V) -> Option<V> {
        let mut entries = self.lock();
        if let Some(known) = entries.values.get(key) {
            return Some(known.clone());
        }
        if entries.order.len() >= self.capacity
            && let Some(oldest) = entries.order.pop_front()
        {
            entries.values.remove(&oldest);
        }
        entries.order.push_back(key.to_owned());
        entries.values.insert(key.to_owned(), value);
        None
    }

    /// Replaces the value of a key that is still remembered.
    pub(super) fn update(&self, key: &str, value: V) {
        if let Some(known) = self.lock().values.get_mut(key) {
            *known = value;
        }
    }

    /// As if it had never been seen.
    pub(super) fn forget(&self, key: &str) {
        let mut entries = self.lock();
        if entries.values.remove(key).is_some() {
            entries.order.retain(|known| known != key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries<V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_remembers_the_latest_and_forgets_the_oldest() {
        let recent = Recent::new(2);
        assert_eq!(recent.seen("a", 1), None);
        assert_eq!(recent.seen("a", 9), Some(1));
        recent.update("a", 2);
        assert_eq!(recent.seen("a", 9), Some(2));
        recent.forget("a");
        assert_eq!(recent.seen("a", 3), None);
        recent.seen("b", 4);
        recent.seen("c", 5);
        assert_eq!(recent.seen("a", 6), None, "the oldest had to go");
        let entries = recent.lock();
        assert_eq!(entries.order.len(), entries.values.len());
    }
}
