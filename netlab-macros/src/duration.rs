//! Durations as people write them: a number and its unit.

use std::time::Duration;

/// Units and what one of each is in milliseconds.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000)];

/// Parses a whole number with a unit, as in `10s`.
///
/// # Errors
///
/// Says what is wrong with the text, and what would be right.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    if number.is_empty() || !unit.chars().all(char::is_alphabetic) {
        return Err("not a duration: write a whole number and its unit, as in `10s`".into());
    }
    if unit.is_empty() {
        return Err(format!("`{text}` has no unit: write {}", as_in(number)));
    }
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("`{unit}` is not a unit of time here: write {}", as_in(number)));
    };
    let millis = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
    match millis {
        Some(0) => Err("a test cannot end in no time: leave `timeout` out for the usual limit".into()),
        Some(millis) => Ok(Duration::from_millis(millis)),
        None => Err(format!("`{text}` is longer than can be counted")),
    }
}

fn as_in(number: &str) -> String {
    let all: Vec<_> = UNITS.iter().map(|(unit, _)| format!("`{number}{unit}`")).collect();
    let (last, rest) = all.split_last().expect("there are units");
    format!("{} or {last}", rest.join(", "))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn every_unit() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("10 s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("2min"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("1h"), Ok(Duration::from_secs(3600)));
    }

    #[test]
    fn what_is_no_duration() {
        for text in [
            "",
            "s",
            "-1s",
            "1.5s",
            "10",
            "10 parsecs",
            "1min30s",
            "0s",
            "99999999999999999999s",
            "18446744073709551615h",
            "10S",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
