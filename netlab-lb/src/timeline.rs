//! Who answered when, as a chart.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::clock::at;
use crate::observation::Observation;
use crate::traffic::Traffic;

/// Answers over time, a line for each backend, and one for the requests that failed. Its `Display` is text for a terminal, at most
/// 100 columns wide where names are short.
///
/// ```text
///                        ▼ web2 is killed           ▼ web2 is started
///   web1    ▃▃▃▃▃▃▃▃▃▃▃▃▃▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▃▃▃▃▃▃▃▃▃▃▃▃  160
///   web2    ▃▃▃▃▃▃▃▃▃▃▃▃▃                              ▃▃▃▃▃▃▃▃▃▃▃▃   80
///   failed               ▁                                             1
///           0.210s                                              1.410s
/// ```
#[derive(Clone, Debug)]
#[must_use = "a timeline is to be shown: `println!(\"{timeline}\")`"]
pub struct Timeline {
    begin: Duration,
    span: Duration,
    rows: Vec<Row>,
    marks: Vec<(usize, String)>,
}

#[derive(Clone, Debug)]
struct Row {
    name: String,
    /// In each of as many equal parts of the time.
    counts: [u64; PARTS],
}

/// Columns of the chart.
const PARTS: usize = 60;
/// What the line of failed requests is called.
const FAILED: &str = "failed";

impl Traffic {
    /// Who answered when.
    pub fn timeline(&self) -> Timeline {
        let begin = self.observations().first().map_or(Duration::ZERO, |first| first.sent);
        let end = self.observations().iter().map(Observation::done).max().unwrap_or(begin);
        let mut timeline =
            Timeline { begin, span: end.saturating_sub(begin), rows: Vec::new(), marks: Vec::new() };
        let mut rows: BTreeMap<(bool, &str), [u64; PARTS]> = BTreeMap::new();
        for observation in self.observations() {
            let row = observation.backend().map_or((true, FAILED), |backend| (false, backend));
            rows.entry(row).or_insert([0; PARTS])[timeline.part(observation.done())] += 1;
        }
        timeline.rows =
            rows.into_iter().map(|((_, name), counts)| Row { name: name.to_owned(), counts }).collect();
        timeline
    }
}

impl Timeline {
    /// Marks a time of the load with what happened then.
    pub fn mark(mut self, time: Duration, what: impl Into<String>) -> Self {
        self.marks.push((self.part(time), what.into()));
        self.marks.sort_by_key(|(part, _)| *part);
        self
    }

    /// The part of the whole that a time is in.
    fn part(&self, time: Duration) -> usize {
        let since = time.saturating_sub(self.begin).as_nanos();
        let part = (since * PARTS as u128).checked_div(self.span.as_nanos()).unwrap_or(0);
        usize::try_from(part).map_or(PARTS - 1, |part| part.min(PARTS - 1))
    }

    /// The marks as lines: as few as there can be, without one in the way of another.
    fn lines_of_marks(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for (part, what) in &self.marks {
            let text = format!("▼ {what}");
            let fits = |line: &String| line.chars().count() < part + usize::from(*part == 0);
            let line = match lines.iter().position(fits) {
                Some(line) => &mut lines[line],
                None => {
                    lines.push(String::new());
                    let last = lines.len() - 1;
                    &mut lines[last]
                }
            };
            let gap = part - line.chars().count();
            *line += &" ".repeat(gap);
            *line += &text;
        }
        // The first is the lowest, next to the chart.
        lines.reverse();
        lines
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        if self.rows.is_empty() {
            return f.write_str("  nothing was sent");
        }
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let most = self.rows.iter().flat_map(|row| row.counts).max().unwrap_or(0).max(1);
        for line in self.lines_of_marks() {
            writeln!(f, "  {:width$}  {line}", "")?;
        }
        for row in &self.rows {
            // An empty part shows as one.
            let bar = |&count: &u64| match count {
                0 => ' ',
                _ => BARS[((count * 8).div_ceil(most) as usize).clamp(1, 8) - 1],
            };
            let chart: String = row.counts.iter().map(bar).collect();
            let total: u64 = row.counts.iter().sum();
            writeln!(f, "  {:<width$}  {chart}  {total:>5}", row.name)?;
        }
        let (begin, end) = (at(self.begin), at(self.begin.saturating_add(self.span)));
        write!(f, "  {:width$}  {begin}{end:>rest$}", "", rest = PARTS.saturating_sub(begin.len()))
    }
}

#[cfg(test)]
mod tests {
    use crate::checks::sample::{answered, at, missed, traffic};
    use crate::observation::Miss;

    #[test]
    fn an_outage_is_seen() {
        let outage = traffic((0..240).map(|n| match n {
            80 => missed(n, Miss::Reset),
            81..160 => answered(n, "web1"),
            _ => answered(n, ["web1", "web2"][n as usize % 2]),
        }));
        let chart = outage.timeline().mark(at(160), "web2 is started").mark(at(80), "web2 is killed");
        insta::assert_snapshot!(chart, @r"
                                      ▼ web2 is killed    ▼ web2 is started
          web1    ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▆███████████████████▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄    159
          web2    ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄                    ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄     80
          failed                      ▂                                             1
                  0.000s                                                0.239s
        ");
    }

    #[test]
    fn marks_that_lie_together_get_lines_of_their_own() {
        let short = traffic((0..60).map(|n| answered(n, "web1")));
        let chart =
            short.timeline().mark(at(10), "drained").mark(at(12), "killed").mark(at(900), "after all of it");
        insta::assert_snapshot!(chart, @r"
                            ▼ killed
                          ▼ drained                                        ▼ after all of it
          web1  ████████████████████████████████████████████████████████████     60
                0.000s                                                0.059s
        ");
    }

    #[test]
    fn nothing_to_show() {
        assert_eq!(traffic([]).timeline().mark(at(5), "never").to_string(), "  nothing was sent");
    }
}
