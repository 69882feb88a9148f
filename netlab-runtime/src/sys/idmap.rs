//! Which users and groups the process's user namespace has.

use std::fs;
use std::io;

/// Users or groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    /// Users: `/proc/self/uid_map`.
    User,
    /// Groups: `/proc/self/gid_map`.
    Group,
}

/// The ids of a user namespace (`user_namespaces(7)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap(Vec<std::ops::Range<u64>>);

impl IdMap {
    /// That of the calling process.
    ///
    /// # Errors
    ///
    /// `/proc` is not mounted.
    pub fn own(id: Id) -> io::Result<Self> {
        let file = match id {
            Id::User => "/proc/self/uid_map",
            Id::Group => "/proc/self/gid_map",
        };
        Ok(Self::parse(&fs::read_to_string(file)?))
    }

    fn parse(text: &str) -> Self {
        let range = |line: &str| {
            let mut fields = line.split_ascii_whitespace().map(|field| field.parse::<u64>().ok());
            let (first, _outside, count) = (fields.next()??, fields.next()??, fields.next()??);
            Some(first..first + count)
        };
        Self(text.lines().filter_map(range).collect())
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether there is this one.
    pub fn contains(&self, id: u32) -> bool {
        self.0.iter().any(|range| range.contains(&id.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_says_who_is_in_it() {
        let range = IdMap::parse("         0       1000          1\n         1     100000      65536\n");
        assert_eq!((range.count(), range.contains(65_536), range.contains(65_537)), (65_537, true, false));
        let one = IdMap::parse("0 1000 1\n");
        assert_eq!((one.count(), one.contains(0), one.contains(33)), (1, true, false));
        assert!(IdMap::parse("0 0 4294967295\n").contains(65_534));
        assert_eq!(IdMap::parse("").count(), 0);
    }
}
