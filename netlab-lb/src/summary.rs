//! A load in numbers, and as a small chart.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::observation::Observation;
use crate::traffic::Traffic;

/// Latency, throughput and errors of a load. Its `Display` is text for a terminal, at most 80 columns wide.
#[derive(Clone, Debug)]
pub struct Summary {
    requests: usize,
    answered: usize,
    misses: Vec<(String, u64)>,
    span: Duration,
    /// In microseconds.
    latency: Histogram<u64>,
    /// Answers in each of as many equal parts of the time.
    over_time: Vec<u64>,
}

/// Columns of the chart over time.
const PARTS: usize = 60;
/// Significant figures of latencies (`hdrhistogram`: 3 is 0.1 %).
const FIGURES: u8 = 3;
/// The longest latency that is told from longer ones: an hour, in microseconds.
const LONGEST: u64 = 3_600_000_000;

impl Traffic {
    /// The load in numbers.
    pub fn summary(&self) -> Summary {
        let mut latency = match Histogram::new_with_max(LONGEST, FIGURES) {
            Ok(histogram) => histogram,
            Err(error) => {
                unreachable!("{FIGURES} figures up to {LONGEST} are what a histogram may have: {error}")
            }
        };
        let begin = self.observations().first().map_or(Duration::ZERO, |first| first.sent);
        let end = self.observations().iter().map(Observation::done).max().unwrap_or(begin);
        let span = end.saturating_sub(begin);
        let mut over_time = vec![0; PARTS];
        for (observation, _) in self.answers() {
            let micros = u64::try_from(observation.took.as_micros()).unwrap_or(u64::MAX);
            latency.saturating_record(micros.max(1));
            let since = observation.done().saturating_sub(begin).as_nanos();
            let part = (since * PARTS as u128).checked_div(span.as_nanos()).unwrap_or(0) as usize;
            over_time[part.min(PARTS - 1)] += 1;
        }
        Summary {
            requests: self.observations().len(),
            answered: self.answers().count(),
            misses: self
                .misses_by_kind()
                .into_iter()
                .map(|(miss, count)| (miss.to_string(), count))
                .collect(),
            span,
            latency,
            over_time,
        }
    }
}

impl Summary {
    /// How many requests were sent.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// How many were answered.
    pub fn answered(&self) -> usize {
        self.answered
    }

    /// From the first request sent to the last answer or failure.
    pub fn span(&self) -> Duration {
        self.span
    }

    /// Answers in a second.
    pub fn throughput(&self) -> f64 {
        if self.span.is_zero() { 0.0 } else { self.answered as f64 / self.span.as_secs_f64() }
    }

    /// What this part of the answers (0 to 1) was at least as fast as; zero if nothing was answered.
    pub fn latency(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.latency.value_at_quantile(quantile))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests in {:.2?}, {} answered ({:.0}/s)",
            self.requests,
            self.span,
            self.answered,
            self.throughput()
        )?;
        for (miss, count) in &self.misses {
            write!(f, ", {count} {miss}")?;
        }
        if self.answered == 0 {
            return Ok(());
        }
        write!(f, "\n  latency  ")?;
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
            write!(f, "  {name} {:.1?}", self.latency(quantile))?;
        }
        let most = self.over_time.iter().copied().max().unwrap_or(0).max(1);
        write!(f, "\n  answers    ")?;
        for &count in &self.over_time {
            // An empty part is a gap, and shows as one.
            const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
            let bar = if count == 0 { ' ' } else { BARS[((count * 8).div_ceil(most) as usize - 1).min(7)] };
            write!(f, "{bar}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::checks::sample::{answered, missed, traffic};
    use crate::observation::Miss;

    #[test]
    fn a_load_in_numbers() {
        let summary =
            traffic(
                (0..120).map(|n| {
                    if (40..60).contains(&n) { missed(n, Miss::Refused) } else { answered(n, "web1") }
                }),
            )
            .summary();
        assert_eq!((summary.requests(), summary.answered()), (120, 100));
        assert_eq!(summary.latency(0.5).as_micros(), 500);
        insta::assert_snapshot!(summary, @r"
        120 requests in 119.50ms, 100 answered (837/s), 20 refused
          latency    p50 500.0µs  p90 500.0µs  p99 500.0µs  max 500.0µs
          answers    ████████████████████          ██████████████████████████████
        ");
    }

    #[test]
    fn latencies_far_apart() {
        // A histogram that grows by itself takes what it does not yet have room for to be the largest that it has.
        let took = [3_000, 200, 5_000_000, 90_000, 400];
        let summary = traffic((0..).zip(took).map(|(number, micros)| crate::Observation {
            took: Duration::from_micros(micros),
            ..answered(number, "web1")
        }))
        .summary();
        let near = |quantile: f64, micros: f64| {
            let latency = summary.latency(quantile).as_micros() as f64;
            assert!((latency / micros - 1.0).abs() < 0.001, "{quantile}: {latency}");
        };
        near(0.2, 200.0);
        near(0.5, 3_000.0);
        near(1.0, 5_000_000.0);
    }

    #[test]
    fn an_empty_load() {
        assert_eq!(traffic([]).summary().to_string(), "0 requests in 0.00ns, 0 answered (0/s)");
    }
}
