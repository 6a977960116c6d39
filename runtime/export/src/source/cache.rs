//! Chunks that were decompressed for a part of them and may be asked for again: those used last are kept.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A chunk counts as so many bytes at least: what it takes besides its samples, and so that there are never very many.
const LEAST: usize = 4096;

fn cost(chunk: &[u8]) -> usize {
    chunk.len().max(LEAST)
}

/// At most so many bytes of chunks.
#[derive(Debug)]
pub(crate) struct Cache<K> {
    limit: usize,
    kept: Mutex<Kept<K>>,
}

#[derive(Debug)]
struct Kept<K> {
    chunks: HashMap<K, (u64, Arc<Vec<u8>>)>,
    bytes: usize,
    clock: u64,
}

impl<K: Hash + Eq + Clone> Cache<K> {
    /// Nothing yet.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, kept: Mutex::new(Kept { chunks: HashMap::new(), bytes: 0, clock: 0 }) }
    }

    /// A chunk that is kept.
    pub(crate) fn get(&self, key: &K) -> Option<Arc<Vec<u8>>> {
        let mut kept = self.kept();
        kept.clock += 1;
        let clock = kept.clock;
        let (used, chunk) = kept.chunks.get_mut(key)?;
        *used = clock;
        Some(Arc::clone(chunk))
    }

    /// Keeps a chunk, and forgets others where it has to.
    pub(crate) fn keep(&self, key: K, chunk: &Arc<Vec<u8>>) {
        if cost(chunk) > self.limit {
            return;
        }
        let mut kept = self.kept();
        kept.clock += 1;
        let entry = (kept.clock, Arc::clone(chunk));
        kept.bytes += cost(chunk);
        if let Some((_, before)) = kept.chunks.insert(key, entry) {
            kept.bytes -= cost(&before);
        }
        // There are few: a search costs less than what it frees.
        while kept.bytes > self.limit {
            let oldest = kept.chunks.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
            let Some((_, gone)) = oldest.and_then(|key| kept.chunks.remove(&key)) else { break };
            kept.bytes -= cost(&gone);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept<K>> {
        // Whoever panicked had no chunk half put away.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chunks_used_last_are_kept_and_no_more_than_fit() {
        let cache = Cache::new(25_000);
        let chunk = Arc::new(vec![0; 10_000]);
        cache.keep(1, &chunk);
        cache.keep(2, &chunk);
        assert!(cache.get(&1).is_some());
        cache.keep(3, &chunk);
        assert!(cache.get(&2).is_none());
        assert!(cache.get(&1).is_some() && cache.get(&3).is_some());
        cache.keep(3, &chunk);
        assert!(cache.get(&1).is_some());
        cache.keep(4, &Arc::new(vec![0; 25_001]));
        assert!(cache.get(&4).is_none() && cache.get(&3).is_some());
        // Small ones count more than they hold.
        (10..30).for_each(|key| cache.keep(key, &Arc::new(vec![0; 1])));
        assert_eq!((0..30).filter(|key| cache.get(key).is_some()).count(), 6);
    }
}
