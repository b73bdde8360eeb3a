//! How many replicas the calls in flight need.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How a function follows its calls in flight (`com.openfaas.scale.type: capacity`).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Capacity {
    /// The fewest replicas while it is awake; at least 1.
    pub min: u64,
    /// The most replicas.
    pub max: u64,
    /// How many calls in flight one replica is for; at least 1.
    pub target: u32,
    /// Which part of that is to be used, above 0: with 0.9 a replica is added when nine of ten are.
    pub proportion: f64,
    /// A replica goes only when it was not needed for so long.
    pub down_window: Duration,
}

impl Capacity {
    /// The defaults of OpenFaaS between these bounds: 50 calls a replica, nine tenths of them used,
    /// a minute before a replica goes.
    #[must_use]
    pub fn new(min: u64, max: u64) -> Self {
        Self {
            min,
            max,
            target: 50,
            proportion: 0.9,
            down_window: Duration::from_secs(60),
        }
    }

    /// How many replicas so many calls need, within the bounds.
    ///
    /// ```
    /// use provider_route::Capacity;
    ///
    /// let mut rule = Capacity::new(1, 5);
    /// rule.target = 10;
    /// assert_eq!(rule.needed(0), 1);
    /// assert_eq!(rule.needed(9), 1);
    /// assert_eq!(rule.needed(10), 2);
    /// assert_eq!(rule.needed(1_000), 5);
    /// ```
    #[must_use]
    pub fn needed(&self, calls: usize) -> u64 {
        let share = f64::from(self.target) * self.proportion;
        let calls = f64::from(u32::try_from(calls).unwrap_or(u32::MAX));
        // Nine calls over 10 × 0.9 are one replica, whatever the last bit of 0.9 says.
        let needed = (calls / share - 1e-9).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` keeps within u64, and the bounds follow"
        )]
        let needed = needed as u64;
        needed.min(self.max).max(self.min)
    }
}

/// Follows the calls in flight of one function: up at once, down when fewer replicas were enough
/// throughout the window.
///
/// It is told the calls in flight and waiting at each look, so it works over any count of them.
///
/// ```
/// use std::time::Duration;
///
/// use provider_route::{Autoscaler, Capacity};
/// use tokio::time::Instant;
///
/// let mut rule = Capacity::new(1, 10);
/// rule.target = 5;
/// let start = Instant::now();
/// let mut scaler = Autoscaler::new(rule, start);
/// assert_eq!(scaler.look(start, 20, 1), 5);
/// let quiet = start + Duration::from_secs(30);
/// assert_eq!(scaler.look(quiet, 0, 5), 5, "it was needed half a minute ago");
/// assert_eq!(scaler.look(quiet + Duration::from_secs(60), 0, 5), 1);
/// ```
#[derive(Debug, Clone)]
pub struct Autoscaler {
    rule: Capacity,
    /// What was needed within the window, each entry less than the one before it and later.
    needs: VecDeque<(Instant, u64)>,
    /// Nothing is known of before.
    since: Instant,
}

impl Autoscaler {
    /// Follows that rule from now on. Where somebody else sets the number of replicas, begin anew: it
    /// is then not lowered before a whole window.
    #[must_use]
    pub fn new(rule: Capacity, now: Instant) -> Self {
        Self {
            rule,
            needs: VecDeque::new(),
            since: now,
        }
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> &Capacity {
        &self.rule
    }

    /// How many replicas the function is to have that has `present` ones, with so many calls in
    /// flight and waiting.
    pub fn look(&mut self, now: Instant, calls: usize, present: u64) -> u64 {
        let needed = self.rule.needed(calls);
        while self.needs.back().is_some_and(|(_, need)| *need <= needed) {
            self.needs.pop_back();
        }
        self.needs.push_back((now, needed));
        let window = self.rule.down_window;
        while self
            .needs
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > window)
        {
            self.needs.pop_front();
        }
        if needed >= present {
            return needed;
        }
        if now.duration_since(self.since) < window {
            return present;
        }
        // The first is the largest.
        let most = self.needs.front().map_or(needed, |(_, need)| *need);
        most.min(present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rule(min: u64, max: u64, target: u32) -> Capacity {
        Capacity {
            target,
            proportion: 1.0,
            ..Capacity::new(min, max)
        }
    }

    #[test]
    fn what_is_needed_is_the_calls_over_the_share_within_the_bounds() {
        let rule = rule(2, 8, 5);
        let needed: Vec<u64> = [0, 10, 11, 15, 16, 40, 41, usize::MAX]
            .into_iter()
            .map(|calls| rule.needed(calls))
            .collect();
        assert_eq!(needed, [2, 2, 3, 3, 4, 8, 8, 8]);
        let tenths = Capacity {
            target: 10,
            ..Capacity::new(1, 100)
        };
        assert_eq!(
            (tenths.needed(9), tenths.needed(10), tenths.needed(90)),
            (1, 2, 10)
        );
    }

    #[test]
    fn it_goes_up_at_once_and_down_to_the_most_of_the_window() {
        let start = Instant::now();
        let at = |seconds: u32| start + SECOND * seconds;
        let mut scaler = Autoscaler::new(rule(1, 10, 1), start);
        assert_eq!(scaler.look(at(0), 7, 1), 7);
        assert_eq!(scaler.look(at(10), 3, 7), 7);
        assert_eq!(scaler.look(at(50), 0, 7), 7);
        assert_eq!(scaler.look(at(60), 0, 7), 7);
        // The seven are out of the window, the three are not.
        assert_eq!(scaler.look(at(61), 0, 7), 3);
        assert_eq!(scaler.look(at(71), 0, 3), 1);
        assert_eq!(scaler.look(at(72), 9, 1), 9);
    }

    #[test]
    fn nothing_goes_down_before_a_whole_window_was_seen() {
        let start = Instant::now();
        let mut scaler = Autoscaler::new(rule(1, 10, 1), start);
        assert_eq!(scaler.look(start + 59 * SECOND, 0, 4), 4);
        assert_eq!(scaler.look(start + 60 * SECOND, 0, 4), 1);
    }

    #[test]
    fn the_history_stays_small() {
        let start = Instant::now();
        let mut scaler = Autoscaler::new(rule(1, 10, 1), start);
        for n in 0_u32..10_000 {
            let calls = usize::try_from(n * 7 % 11).unwrap();
            scaler.look(start + SECOND * n / 100, calls, 5);
            assert!(scaler.needs.len() <= 10);
        }
    }
}
