//! Which clients change their backend when the backends change.

use std::collections::BTreeMap;

use super::table::Table;
use super::verdict::Verdict;
use crate::observation::{Key, KeyValue};
use crate::traffic::Traffic;

/// The same keys before and after a change of the backends.
#[derive(Clone, Debug)]
#[must_use = "ask it: `.at_most(..)`"]
pub struct Disruption<'t> {
    before: &'t Traffic,
    after: &'t Traffic,
    key: Key,
    left: Vec<String>,
    joined: Vec<String>,
}

/// The backend of each key: the one that answered it last.
fn owners(traffic: &Traffic, key: Key) -> BTreeMap<KeyValue, &str> {
    let groups = traffic.answers_by(key).into_iter();
    groups.filter_map(|(value, answers)| Some((value, answers.last()?.1.backend.as_str()))).collect()
}

impl Traffic {
    /// Compares with traffic of the same keys after a change; say which with [`left`](Disruption::left) and
    /// [`joined`](Disruption::joined), or neither for a change of order alone.
    pub fn disruption<'t>(&'t self, after: &'t Self, key: Key) -> Disruption<'t> {
        Disruption { before: self, after, key, left: Vec::new(), joined: Vec::new() }
    }
}

impl Disruption<'_> {
    /// This backend has left.
    pub fn left(mut self, backend: impl Into<String>) -> Self {
        self.left.push(backend.into());
        self
    }

    /// This backend has joined.
    pub fn joined(mut self, backend: impl Into<String>) -> Self {
        self.joined.push(backend.into());
        self
    }

    /// At most this part of the keys (0 to 1) moved without reason: neither because its backend had left, nor to one that joined.
    /// Consistent hashing gives 0 (rendezvous, ring) or little (Maglev: about 1 % on leaving, Eisenbud et al., NSDI 2016).
    pub fn at_most(self, part: f64) -> Verdict {
        const CHECK: &str = "disruption";
        let (before, after) = (owners(self.before, self.key), owners(self.after, self.key));
        let (mut stayed, mut owner_left, mut to_joined, mut without) = (0_u64, 0_u64, 0_u64, 0_u64);
        let mut example = None;
        let mut still = 0;
        for (value, old) in &before {
            let Some(new) = after.get(value) else { continue };
            if self.left.iter().any(|left| left == new) {
                still += 1;
            } else if old == new {
                stayed += 1;
            } else if self.left.iter().any(|left| left == old) {
                owner_left += 1;
            } else if self.joined.iter().any(|joined| joined == new) {
                to_joined += 1;
            } else {
                without += 1;
                example.get_or_insert_with(|| format!("for example {value}, from {old} to {new}"));
            }
        }
        let total = stayed + owner_left + to_joined + without + still;
        let bound = (total as f64 * part).floor() as u64;
        let name = self.key.name();
        let mut table = Table::new(
            format!("of {total} seen before and after, each {name} once"),
            ["", "seen", "allowed"],
        );
        let any = || "any".to_owned();
        let mut row = |what: &str, seen: u64, allowed: String, wrong: Option<String>| {
            table.row([what.to_owned(), seen.to_string(), allowed], wrong);
        };
        row("stayed", stayed, any(), None);
        row("moved, because its backend left", owner_left, any(), None);
        row("moved to a backend that joined", to_joined, any(), None);
        row(
            "moved without reason",
            without,
            format!("0..={bound}"),
            (without > bound).then(|| example.unwrap_or_default()),
        );
        if !self.left.is_empty() {
            let wrong = (still > 0).then(|| format!("{} still answers", self.left.join(", ")));
            row("at a backend that left", still, "0..=0".to_owned(), wrong);
        }
        if total == 0 {
            table.note("no key was answered both before and after: there is nothing to judge");
            return Verdict::nothing_to_judge(CHECK, table);
        }
        Verdict::of(CHECK, table)
    }
}

/// Two instances of a balancer choose the same backend for every key that both have answered.
pub fn same_choice(one: &Traffic, other: &Traffic, key: Key) -> Verdict {
    const CHECK: &str = "same choice";
    let (one, other) = (owners(one, key), owners(other, key));
    let mut table = Table::new(
        format!("two instances choose the same backend for every {}", key.name()),
        [key.name(), "by one", "by the other"],
    )
    .showing(10);
    let mut both = 0;
    for (value, first) in &one {
        let Some(second) = other.get(value) else { continue };
        both += 1;
        if first != second {
            let cells = [value.to_string(), (*first).to_owned(), (*second).to_owned()];
            table.row(cells, Some("differs".to_owned()));
        }
    }
    table.note(format!("{both} seen by both"));
    if both == 0 {
        return Verdict::nothing_to_judge(CHECK, table);
    }
    Verdict::of(CHECK, table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{answered, traffic};

    fn by(owner: impl Fn(u64) -> &'static str) -> Traffic {
        traffic((0..90).map(|n| answered(n, owner(n))))
    }

    fn modulo(n: u64) -> &'static str {
        ["web1", "web2", "web3"][n as usize % 3]
    }

    #[test]
    fn moves_with_and_without_reason_are_counted_apart() {
        let before = by(modulo);
        let consistent = by(|n| if n % 3 == 2 { "web1" } else { modulo(n) });
        assert!(before.disruption(&consistent, Key::Source).left("web3").at_most(0.0).is_ok());
        let rehashed = by(|n| ["web1", "web2"][n as usize % 2]);
        let verdict = before.disruption(&rehashed, Key::Source).left("web3").at_most(0.01);
        insta::assert_snapshot!(verdict, @r"
        disruption does not hold: of 90 seen before and after, each source address once
                                           seen  allowed
          stayed                             30  any
          moved, because its backend left    30  any
          moved to a backend that joined      0  any
          moved without reason               30  0..=0    <- for example 10.0.0.3, from web1 to web2
          at a backend that left              0  0..=0
        ");
        let joined = by(|n| if n % 4 == 0 { "web4" } else { modulo(n) });
        assert!(before.disruption(&joined, Key::Source).joined("web4").at_most(0.0).is_ok());
        assert!(!before.disruption(&joined, Key::Source).at_most(0.0).is_ok());
    }

    #[test]
    fn a_backend_that_left_may_not_answer() {
        let before = by(modulo);
        let verdict = before.disruption(&before, Key::Source).left("web3").at_most(1.0);
        assert!(verdict.to_string().contains("web3 still answers"), "{verdict}");
    }

    #[test]
    fn instances_that_differ_are_told_where() {
        let one = by(modulo);
        assert!(same_choice(&one, &one.clone(), Key::Source).is_ok());
        let other = by(|n| if n == 5 { "web1" } else { modulo(n) });
        assert!(same_choice(&one, &other, Key::Source).to_string().contains("10.0.0.5"));
        assert!(!same_choice(&one, &traffic([]), Key::Source).is_ok());
    }
}
