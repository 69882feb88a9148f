//! Durations as people write them: a number and its unit.

use std::time::Duration;

/// Units and what one of each is in seconds.
const UNITS: [(&str, f64); 5] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("min", 60.0), ("h", 3600.0)];

/// Reads a number with a unit: `250ms`, `10s`, `1.5s`, `2m`, `1h`. The attribute's `timeout` and the settings are read by it.
///
/// # Errors
///
/// Says what is wrong with the text, and what would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let as_in = || format!("`{number}ms`, `{number}s`, `{number}m` or `{number}h`");
    let value = match number.parse::<f64>() {
        Ok(value) if unit.chars().all(char::is_alphabetic) => value,
        _ => return Err(format!("`{text}` is not a duration: write a number and its unit, as in `10s`")),
    };
    if unit.is_empty() {
        return Err(format!("`{text}` has no unit: write {}", as_in()));
    }
    let Some((_, seconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("`{unit}` is not a unit of time here: write {}", as_in()));
    };
    match Duration::try_from_secs_f64(value * seconds) {
        Ok(Duration::ZERO) => Err(format!("`{text}` is no time at all: write a duration such as `10s`")),
        Ok(duration) => Ok(duration),
        Err(_) => Err(format!("`{text}` is longer than can be counted")),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_duration;
    use std::time::Duration;

    #[test]
    fn every_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("10 s", 10_000),
            ("1.5s", 1_500),
            ("2m", 120_000),
            ("2min", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_duration() {
        for text in ["", "s", "-1s", "1.2.3s", ".", "10", "10 parsecs", "1m30s", "0s", "1e99h", "∞", "10S"]
        {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
        let long = format!("{}h", "9".repeat(40));
        assert_eq!(parse_duration(&long), Err(format!("`{long}` is longer than can be counted")));
    }
}
