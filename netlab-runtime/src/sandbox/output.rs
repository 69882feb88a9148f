//! What a test wrote: all of it, up to a bound, beyond which the middle is left out.

use std::collections::VecDeque;

/// Bytes kept of the beginning.
const HEAD: usize = 1 << 20;
/// Bytes kept of the end.
const TAIL: usize = 8 << 20;

/// Captured output. The beginning and the end matter; the middle goes when there is more than fits.
#[derive(Clone, Debug, Default)]
pub struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: usize,
}

impl Output {
    /// Adds what has just been written.
    pub fn push(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
        self.left_out += excess;
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// The text, with a note where the middle was left out. What is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        let mut bytes = self.head.clone();
        if self.left_out > 0 {
            bytes.extend_from_slice(format!("\n[... {} bytes left out ...]\n", self.left_out).as_bytes());
        }
        let (front, back) = self.tail.as_slices();
        bytes.extend_from_slice(front);
        bytes.extend_from_slice(back);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        let mut output = Output::default();
        assert!(output.is_empty());
        output.push(b"first\n");
        for _ in 0..12 {
            output.push(&vec![b'.'; 1 << 20]);
        }
        output.push(b"last\n");
        let text = output.text();
        assert!(text.starts_with("first\n"));
        assert!(text.ends_with(".last\n"));
        let left_out = 12 * (1 << 20) + 11 - HEAD - TAIL;
        assert!(text.contains(&format!("[... {left_out} bytes left out ...]")));
        assert!(text.len() < HEAD + TAIL + 100);
    }

    #[test]
    fn little_is_kept_whole() {
        let mut output = Output::default();
        output.push(b"a");
        output.push(b"b\xff");
        assert_eq!(output.text(), "ab\u{fffd}");
    }
}
