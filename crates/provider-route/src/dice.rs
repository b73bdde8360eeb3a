//! Random numbers that any thread can draw without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// A stream of numbers: a counter, scrambled by the finaliser of SplitMix64 (Steele, Lea and
/// Flood, "Fast splittable pseudorandom number generators", 2014). One thread that draws from a
/// given seed always sees the same numbers.
#[derive(Debug)]
pub(crate) struct Dice(AtomicU64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Two different numbers below `sides`, which is at least two.
    pub(crate) fn pair(&self, sides: usize) -> (usize, usize) {
        let drawn = self.next();
        let first = below(drawn, sides);
        let step = 1 + below(drawn.rotate_left(32), sides.saturating_sub(1));
        (first, (first + step) % sides.max(1))
    }

    fn next(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// The low half of a random number, brought below `sides`.
fn below(random: u64, sides: usize) -> usize {
    let sides = sides.max(1);
    usize::try_from(random & u64::from(u32::MAX)).unwrap_or(0) % sides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_two_different_numbers_in_range_and_all_of_them_come_up() {
        let dice = Dice::new(7);
        for sides in 2..6 {
            let mut seen = vec![0; sides];
            for _ in 0..1_000 {
                let (a, b) = dice.pair(sides);
                assert_ne!(a, b);
                seen[a] += 1;
                seen[b] += 1;
            }
            assert!(seen.iter().all(|&n| n > 1_000 / sides), "{seen:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (a, b) = (Dice::new(3), Dice::new(3));
        for _ in 0..100 {
            assert_eq!(a.pair(10), b.pair(10));
        }
    }
}
