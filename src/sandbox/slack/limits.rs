//! Slack's rate limits, as buckets that refill: a message a second in each channel with three at once, fifty updates a minute.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// In each channel.
const POSTS: Rate = Rate {
    every: Duration::from_secs(1),
    at_once: 3,
};
/// In the workspace.
const UPDATES: Rate = Rate {
    every: Duration::from_millis(1200),
    at_once: 50,
};

struct Rate {
    /// From one call to the next, in the long run.
    every: Duration,
    /// Calls that need not wait after a pause.
    at_once: u32,
}

/// Until when each allowance is used up, if it were used without haste.
#[derive(Debug, Default)]
pub(super) struct Limits(BTreeMap<String, Instant>);

impl Limits {
    /// Takes one call from its allowance, or tells in how many seconds there will be one again.
    pub(super) fn take(&mut self, method: &str, channel: &str, now: Instant) -> Result<(), u64> {
        let (rate, key) = match method {
            "chat.postMessage" | "chat.postEphemeral" => (POSTS, channel),
            "chat.update" => (UPDATES, "update"),
            _ => return Ok(()),
        };
        let used_until = self.0.entry(key.to_owned()).or_insert(now);
        let ahead = used_until.saturating_duration_since(now);
        let wait = ahead.saturating_sub(rate.every * (rate.at_once - 1));
        if wait > Duration::ZERO {
            return Err(u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX));
        }
        *used_until = now + ahead + rate.every;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowances_run_out_and_come_back() {
        let (mut limits, begun) = (Limits::default(), Instant::now());
        let mut take = |method: &str, channel: &str, millis: u64| {
            limits.take(method, channel, begun + Duration::from_millis(millis))
        };
        for _ in 0..3 {
            assert_eq!(take("chat.postMessage", "C1", 0), Ok(()));
        }
        assert_eq!(take("chat.postMessage", "C1", 0), Err(1));
        assert_eq!(take("chat.postMessage", "C2", 0), Ok(()));
        assert_eq!(take("chat.postMessage", "C1", 1000), Ok(()));
        assert_eq!(take("chat.postMessage", "C1", 1500), Err(1));
        for _ in 0..50 {
            assert_eq!(take("chat.update", "C1", 2000), Ok(()));
        }
        assert_eq!(take("chat.update", "C2", 2000), Err(2));
        assert_eq!(take("chat.update", "C2", 3200), Ok(()));
        assert_eq!(take("conversations.history", "C1", 0), Ok(()));
    }
}
