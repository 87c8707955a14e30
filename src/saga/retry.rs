//! How long to wait before trying again.

use std::time::Duration;

/// Exponential backoff with jitter, within a budget of attempts.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Before the second attempt.
    pub base: Duration,
    /// Never longer than this, unless the other side asks for more.
    pub max: Duration,
    /// So many in all; then the step has failed.
    pub attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            max: Duration::from_secs(60),
            attempts: 8,
        }
    }
}

impl RetryPolicy {
    /// The wait after `failed` attempts; `None` if the budget is spent. What the other side asked for is kept to, and jittered upwards
    /// only, so that all waiters don't come back at once and none comes back early.
    pub fn wait(&self, failed: u32, asked_for: Option<Duration>) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        let ours = self
            .base
            .saturating_mul(1 << failed.saturating_sub(1).min(16))
            .min(self.max);
        let jittered = ours.mul_f64(0.5 + fastrand::f64() / 2.0);
        Some(match asked_for {
            Some(asked_for) => asked_for.saturating_add(self.base.mul_f64(fastrand::f64())),
            None => jittered,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_end_with_the_budget() {
        let policy = RetryPolicy {
            base: Duration::from_secs(1),
            max: Duration::from_secs(5),
            attempts: 5,
        };
        for (failed, most) in [(1, 1), (2, 2), (3, 4), (4, 5)] {
            let most = Duration::from_secs(most);
            let wait = policy.wait(failed, None).unwrap();
            assert!(wait <= most && wait >= most / 2, "{failed}: {wait:?}");
        }
        assert_eq!(policy.wait(5, None), None);
    }

    #[test]
    fn what_the_other_side_asks_for_is_kept_to() {
        let hour = Duration::from_secs(3600);
        assert!(RetryPolicy::default().wait(1, Some(hour)).unwrap() >= hour);
    }
}
