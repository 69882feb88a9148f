//! How far a count may stray by chance.

use std::ops::RangeInclusive;

/// What a count of successes among `trials`, each with the given `probability`, stays within but for the given `risk`:
/// at most half of that lies on either side.
///
/// These are quantiles of the binomial distribution itself, not of the normal one that it comes near to for large counts.
pub(crate) fn range(trials: u64, probability: f64, risk: f64) -> RangeInclusive<u64> {
    if probability <= 0.0 || trials == 0 {
        return 0..=0;
    }
    if probability >= 1.0 {
        return trials..=trials;
    }
    let weights = Weights::around_the_mode(trials, probability);
    let tail = risk / 2.0 * weights.sum;
    let end = |weights: &mut dyn Iterator<Item = f64>| {
        let mut beyond = 0.0;
        weights
            .take_while(|weight| {
                beyond += weight;
                beyond <= tail
            })
            .count() as u64
    };
    let low = weights.first + end(&mut weights.list.iter().copied());
    let last = weights.first + weights.list.len() as u64 - 1;
    let high = last - end(&mut weights.list.iter().rev().copied());
    low..=high.max(low)
}

/// The distribution up to a constant factor, where it is not negligible.
struct Weights {
    first: u64,
    list: Vec<f64>,
    sum: f64,
}

impl Weights {
    /// Smaller by this than the largest, a weight is left out, as are all beyond it: less than any risk that can be told
    /// from never.
    const NEGLIGIBLE: f64 = 1e-40;

    fn around_the_mode(trials: u64, probability: f64) -> Self {
        let odds = probability / (1.0 - probability);
        let mode = (((trials + 1) as f64 * probability) as u64).min(trials);
        // From one count to the next the probability changes by this factor.
        let step = |count: u64| (trials - count) as f64 / (count + 1) as f64 * odds;
        let mut below = Vec::new();
        let (mut count, mut weight) = (mode, 1.0);
        while count > 0 {
            weight /= step(count - 1);
            if weight < Self::NEGLIGIBLE {
                break;
            }
            count -= 1;
            below.push(weight);
        }
        let first = count;
        let mut list: Vec<f64> = below.into_iter().rev().chain([1.0]).collect();
        let (mut count, mut weight) = (mode, 1.0);
        while count < trials {
            weight *= step(count);
            if weight < Self::NEGLIGIBLE {
                break;
            }
            count += 1;
            list.push(weight);
        }
        let sum = list.iter().sum();
        Self { first, list, sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_tables_of_the_distribution_say() {
        // P(X = 0) = P(X = 10) = 1/1024 for ten tosses of a coin; P(X <= 1) = 11/1024.
        assert_eq!(range(10, 0.5, 2.001 / 1024.0), 1..=9);
        assert_eq!(range(10, 0.5, 1.9 / 1024.0), 0..=10);
        assert_eq!(range(10, 0.5, 22.001 / 1024.0), 2..=8);
        // 5 % of 100 tosses: qbinom(0.025, 100, 0.5) = 40, and 60.
        assert_eq!(range(100, 0.5, 0.05), 40..=60);
        // For 30000 and a third, six standard deviations (81.6) are about one in a thousand million.
        let wide = range(30_000, 1.0 / 3.0, 2e-9);
        assert!((9_490..=9_530).contains(wide.start()) && (10_475..=10_515).contains(wide.end()), "{wide:?}");
    }

    #[test]
    fn certainties() {
        assert_eq!(range(10, 0.0, 0.01), 0..=0);
        assert_eq!(range(10, 1.0, 0.01), 10..=10);
        assert_eq!(range(0, 0.5, 0.01), 0..=0);
    }

    proptest! {
        #[test]
        fn less_risk_allows_more(trials in 1_u64..5_000, probability in 0.001..0.999_f64) {
            let (narrow, wide) = (range(trials, probability, 1e-2), range(trials, probability, 1e-6));
            prop_assert!(wide.start() <= narrow.start() && narrow.end() <= wide.end());
            let mean = trials as f64 * probability;
            prop_assert!((*wide.start() as f64) <= mean + 1.0 && mean - 1.0 <= *wide.end() as f64);
        }
    }
}
