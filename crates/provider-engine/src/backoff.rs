//! How long to wait before an instance is started again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(60);

/// The pause after so many failures in a row: 250 ms, doubled each time up to a minute, give or
/// take a tenth so that functions which failed together do not start together.
pub(crate) fn pause(failures: u32, rng: &mut fastrand::Rng) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    let pause = FIRST.saturating_mul(doubled).min(LONGEST);
    pause.mul_f64(0.9 + 0.2 * rng.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_failed_together_do_not_start_together() {
        let mut rng = fastrand::Rng::with_seed(1);
        let gaps: Vec<Duration> = (0..100).map(|_| pause(5, &mut rng)).collect();
        let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        assert!((3_600..3_800).contains(&least.as_millis()), "{least:?}");
        assert!((4_200..4_400).contains(&most.as_millis()), "{most:?}");
    }

    #[test]
    fn the_gaps_grow_to_a_minute_and_eleven_seconds_see_two_to_twelve_starts() {
        for seed in 0..100 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let gaps: Vec<Duration> = (1..20).map(|n| pause(n, &mut rng)).collect();
            assert!(gaps.windows(2).take(8).all(|pair| pair[0] < pair[1]));
            assert!(gaps.iter().all(|gap| *gap <= LONGEST.mul_f64(1.1)));
            let mut at = Duration::ZERO;
            let starts = 1 + gaps
                .iter()
                .filter(|gap| {
                    at += **gap;
                    at <= Duration::from_secs(11)
                })
                .count();
            assert!((2..=12).contains(&starts), "{starts}");
        }
    }
}
