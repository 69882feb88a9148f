//! Times of a test's clock, in words.

use std::time::Duration;

/// A time on the clock, in seconds to the millisecond: what is compared with each other is written alike.
pub(crate) fn at(time: Duration) -> String {
    if time == Duration::MAX { "the end of time".to_owned() } else { format!("{:.3}s", time.as_secs_f64()) }
}
