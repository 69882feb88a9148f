//! What a program says: line by line to its log, to the test's output, and the last of it kept at hand.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use regex_lite::Regex;

/// A line without an end is cut here, so that what never ends a line takes no more memory than this.
const LONGEST_LINE: usize = 16 * 1024;
/// How much of the end is kept in memory.
const TAIL_BYTES: usize = 16 * 1024;
/// The log is in memory, too: past this, what it holds becomes the old log, and the old one goes.
const LONGEST_LOG: u64 = 8 << 20;

/// The log of one program.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    length: u64,
    prefix: String,
    tail: VecDeque<String>,
    tail_bytes: usize,
    patterns: Vec<(Regex, bool)>,
    /// What went wrong with the file, told once.
    broken: bool,
}

/// The bytes of one stream that are no whole line yet.
#[derive(Debug, Default)]
pub(super) struct Partial(Vec<u8>);

impl Log {
    pub(super) fn create(path: PathBuf, prefix: String, patterns: Vec<Regex>) -> io::Result<Self> {
        let file = File::create(&path)?;
        let patterns = patterns.into_iter().map(|pattern| (pattern, false)).collect();
        Ok(Self {
            path,
            file,
            length: 0,
            prefix,
            tail: VecDeque::new(),
            tail_bytes: 0,
            patterns,
            broken: false,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The last lines, oldest first.
    pub(super) fn tail(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.tail.iter().map(String::as_str)
    }

    /// Whether a line has matched a pattern that the log was made with.
    pub(super) fn has_matched(&self, pattern: &str) -> bool {
        self.patterns.iter().any(|(known, matched)| *matched && known.as_str() == pattern)
    }

    /// Takes what a stream brought, and gives back what of it goes to the test's output.
    pub(super) fn take(&mut self, partial: &mut Partial, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            partial.0.extend_from_slice(piece);
            while partial.0.len() > LONGEST_LINE && !partial.0[..LONGEST_LINE].contains(&b'\n') {
                let rest = partial.0.split_off(LONGEST_LINE);
                self.line(&std::mem::replace(&mut partial.0, rest), &mut shown);
            }
            if partial.0.ends_with(b"\n") {
                self.line(&std::mem::take(&mut partial.0), &mut shown);
            }
        }
        self.rotate();
        shown
    }

    /// Takes what a stream left unfinished at its end.
    pub(super) fn finish(&mut self, partial: &mut Partial) -> Vec<u8> {
        let mut shown = Vec::new();
        if !partial.0.is_empty() {
            self.line(&std::mem::take(&mut partial.0), &mut shown);
        }
        shown
    }

    fn line(&mut self, line: &[u8], shown: &mut Vec<u8>) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut whole = line.to_vec();
        whole.push(b'\n');
        self.length += whole.len() as u64;
        shown.extend_from_slice(self.prefix.as_bytes());
        shown.extend_from_slice(&whole);
        let written = self.file.write_all(&whole);
        self.note(written);

        let text = String::from_utf8_lossy(line).into_owned();
        for (pattern, matched) in &mut self.patterns {
            *matched = *matched || pattern.is_match(&text);
        }
        self.tail_bytes += text.len() + 1;
        self.tail.push_back(text);
        while self.tail_bytes > TAIL_BYTES && self.tail.len() > 1 {
            self.tail_bytes -= self.tail.pop_front().map_or(0, |line| line.len() + 1);
        }
    }

    fn rotate(&mut self) {
        if self.length < LONGEST_LOG {
            return;
        }
        self.length = 0;
        let renewed = fs::rename(&self.path, self.path.with_extension("log.old"))
            .and_then(|()| File::create(&self.path))
            .map(|file| self.file = file);
        self.note(renewed);
    }

    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && !self.broken
        {
            self.broken = true;
            eprintln!("netlab: the log `{}` is not complete: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str) -> Log {
        let path = std::env::temp_dir().join(format!("netlab-log-{name}-{}", std::process::id()));
        let pattern = Regex::new("re+ady").unwrap();
        Log::create(path, "web nginx | ".to_owned(), vec![pattern]).unwrap()
    }

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        let mut log = log("pieces");
        let (mut out, mut err) = (Partial::default(), Partial::default());
        assert_eq!(log.take(&mut out, b"one\r\ntw"), b"web nginx | one\n");
        assert_eq!(log.take(&mut err, b"error\n"), b"web nginx | error\n");
        assert!(!log.has_matched("re+ady"));
        assert_eq!(log.take(&mut out, b"o, reeady\n\n"), b"web nginx | two, reeady\nweb nginx | \n");
        assert!(log.has_matched("re+ady"));
        assert_eq!(log.take(&mut out, b"end"), b"");
        assert_eq!(log.finish(&mut out), b"web nginx | end\n");
        assert_eq!(log.finish(&mut err), b"");
        assert_eq!(log.tail().collect::<Vec<_>>(), ["one", "error", "two, reeady", "", "end"]);
        assert_eq!(fs::read_to_string(log.path()).unwrap(), "one\nerror\ntwo, reeady\n\nend\n");
        fs::remove_file(log.path()).unwrap();
    }

    #[test]
    fn memory_is_bounded() {
        let mut log = log("bounded");
        let mut partial = Partial::default();
        let shown = log.take(&mut partial, &vec![b'x'; 3 * LONGEST_LINE]);
        assert!(partial.0.len() <= LONGEST_LINE);
        assert!(shown.len() < 3 * LONGEST_LINE + 100);
        assert_eq!(log.tail().len(), 1);
        for _ in 0..(LONGEST_LOG as usize / LONGEST_LINE + 2) {
            log.take(&mut partial, &vec![b'y'; LONGEST_LINE]);
        }
        assert!(fs::metadata(log.path()).unwrap().len() < LONGEST_LOG / 2);
        let old = log.path().with_extension("log.old");
        assert!(fs::metadata(&old).unwrap().len() <= LONGEST_LOG + LONGEST_LINE as u64);
        fs::remove_file(old).unwrap();
        fs::remove_file(log.path()).unwrap();
    }
}
