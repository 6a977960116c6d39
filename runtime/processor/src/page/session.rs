//! Who has shown a token to the page: a browser keeps a cookie instead, which is forgotten with this process.
//!
//! Invariants: what is kept are digests, a bounded number of them, for a bounded time; a cookie is no token: whoever has it
//! has nothing that is good anywhere else.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use axum::http::header::COOKIE as COOKIES;
use sha2::{Digest as _, Sha256};

/// The cookie's name.
pub(crate) const COOKIE: &str = "biomero";
/// How long it counts: a day's work.
pub(crate) const COUNTS: Duration = Duration::from_secs(12 * 3_600);
/// How many are kept; one more, and the oldest is forgotten.
const MOST: usize = 1_024;
/// How many random bytes a cookie is made of.
const BYTES: usize = 32;

/// Those who have shown a token.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

#[derive(Debug)]
struct Session {
    owner: String,
    begun: Instant,
}

impl Sessions {
    /// Begins one: the cookie.
    pub(crate) fn begin(&self, owner: &str, now: Instant) -> std::io::Result<String> {
        let mut bytes = [0_u8; BYTES];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let cookie: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.counts(now));
        if sessions.len() >= MOST
            && let Some(oldest) =
                sessions.iter().min_by_key(|(_, session)| session.begun).map(|(key, _)| *key)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(digest(&cookie), Session { owner: owner.to_owned(), begun: now });
        Ok(cookie)
    }

    /// Whose token was shown for it. It is looked up by its digest, so that how long it takes tells nothing.
    pub(crate) fn owner(&self, cookie: &str, now: Instant) -> Option<String> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions
            .get(&digest(cookie))
            .filter(|session| session.counts(now))
            .map(|session| session.owner.clone())
    }

    /// Ends it.
    pub(crate) fn end(&self, cookie: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest(cookie));
    }
}

impl Session {
    fn counts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begun) < COUNTS
    }
}

fn digest(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie.as_bytes()).into()
}

/// The cookie of a request.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIES).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_counts_until_it_is_ended_or_old() {
        let sessions = Sessions::default();
        let now = Instant::now();
        let one = sessions.begin("dashboard", now).expect("random numbers");
        let other = sessions.begin("notebook", now).expect("random numbers");
        assert_eq!(sessions.owner(&one, now).as_deref(), Some("dashboard"));
        assert_eq!(sessions.owner(&other, now).as_deref(), Some("notebook"));
        assert_eq!(sessions.owner(&one[1..], now), None);
        sessions.end(&one);
        assert_eq!(sessions.owner(&one, now), None);
        assert_eq!(sessions.owner(&other, now + COUNTS), None);
    }

    #[test]
    fn however_many_begin_the_oldest_are_forgotten() {
        let sessions = Sessions::default();
        let begun = Instant::now();
        let first = sessions.begin("a", begun).expect("random numbers");
        for second in 1..=MOST as u64 {
            sessions.begin("b", begun + Duration::from_secs(second)).expect("random numbers");
        }
        assert_eq!(sessions.owner(&first, begun), None);
        assert_eq!(sessions.0.lock().expect("no panic").len(), MOST);
    }
}
