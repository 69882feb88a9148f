//! Durations as people write them.

use std::time::Duration;

/// Reads a duration: a number with a unit, as in `250ms`, `10s`, `1.5s`, `2m`, `1h`. A number alone is seconds.
///
/// # Errors
///
/// What is wrong with it, with what would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let wrong = || format!("`{text}` is not a duration such as `10s`, `1.5s`, `250ms` or `2m`");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds_of_unit = match unit.trim_start() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_not_a_number| wrong())?;
    let duration = Duration::try_from_secs_f64(number * seconds_of_unit).map_err(|_out_of_range| wrong())?;
    if duration.is_zero() {
        return Err(format!("`{text}` is no time at all; give a duration such as `10s`"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            (" 30 ", 30_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "ten", "10 years", "-1s", "1e99h", "1.2.3s", "0s", "∞"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
