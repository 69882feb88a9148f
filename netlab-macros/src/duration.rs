//! Durations as people write them: a number and its unit.

use std::time::Duration;

/// Units and what one of each is in seconds; the same as in `NETLAB_TIMEOUT`, where seconds are understood.
const UNITS: [(&str, f64); 5] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("min", 60.0), ("h", 3600.0)];

/// Parses a number with a unit, as in `10s`.
///
/// # Errors
///
/// Says what is wrong with the text, and what would be right.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let as_in = || format!("`{number}ms`, `{number}s`, `{number}m` or `{number}h`");
    let value = match number.parse::<f64>() {
        Ok(value) if unit.chars().all(char::is_alphabetic) => value,
        _ => return Err("not a duration: write a number and its unit, as in `10s`".into()),
    };
    if unit.is_empty() {
        return Err(format!("`{text}` has no unit: write {}", as_in()));
    }
    let Some((_, seconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("`{unit}` is not a unit of time here: write {}", as_in()));
    };
    match Duration::try_from_secs_f64(value * seconds) {
        Ok(Duration::ZERO) => {
            Err("a test cannot end in no time: leave `timeout` out for the usual limit".into())
        }
        Ok(duration) => Ok(duration),
        Err(_) => Err(format!("`{text}` is longer than can be counted")),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
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
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_duration() {
        for text in ["", "s", "-1s", "1.2.3s", ".", "10", "10 parsecs", "1m30s", "0s", "1e99h", "∞", "10S"]
        {
            assert!(parse(text).is_err(), "{text:?}");
        }
        let long = format!("{}h", "9".repeat(40));
        assert_eq!(parse(&long), Err(format!("`{long}` is longer than can be counted")));
    }
}
