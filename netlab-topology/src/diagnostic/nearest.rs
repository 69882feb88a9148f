//! What the user may have meant.

/// Names shown before a list is cut.
const SHOWN: usize = 12;

/// Edits (insertions, deletions, replacements, and exchanges of neighbours) between two texts, ignoring case.
fn distance(a: &str, b: &str) -> usize {
    let letters = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<Vec<char>>();
    let (a, b) = (letters(a), letters(b));
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut edits = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                let exchanged: usize = before[j - 2];
                edits = edits.min(exchanged + 1);
            }
            row.push(edits);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// The known name that is nearest to a wrong one, if any is near: at most a third of it wrong, or one letter.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = wrong.chars().count();
    let limit = (length / 3).max(1);
    // Texts whose lengths differ by more cannot be nearer; this also bounds the work on long nonsense.
    known
        .into_iter()
        .filter(|name| name.chars().count().abs_diff(length) <= limit && length <= 64)
        .map(|name| (distance(wrong, name), name))
        .filter(|&(edits, name)| edits <= limit && edits < name.chars().count())
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, name)| name)
}

/// `a, b, c`, cut when long.
pub(crate) fn enumerate<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let mut text = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(", ... ({} in all)", names.len()));
    }
    text
}

/// What there is, for an error about a name that is not among it: ``nets here: lan, wan (did you mean `lan`?)``.
pub fn suggestion<'a>(what: &str, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        return format!("there are no {what} here");
    }
    let near = nearest(wrong, known.iter().copied());
    let list = format!("{what} here: {}", enumerate(known));
    match near {
        Some(near) => format!("{list} (did you mean `{near}`?)"),
        None => list,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(distance("lam", "lan"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("WAN", "wan"), 0);
        assert_eq!(distance("nta", "nat"), 1);
        assert_eq!(distance("ab", ""), 2);
    }

    #[test]
    fn nearest_is_near_or_nothing() {
        assert_eq!(nearest("lam", ["wan", "lan"]), Some("lan"));
        assert_eq!(nearest("zzz", ["wan", "lan"]), None);
        assert_eq!(nearest("x", ["a"]), None, "replacing a whole name is no typing mistake");
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..20).map(|i| format!("n{i}")).collect();
        let text = enumerate(names.iter().map(String::as_str));
        assert!(text.ends_with("n11, ... (20 in all)"), "{text}");
    }
}
