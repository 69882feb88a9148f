//! What a worker tells the runner, as messages on a socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use crate::sys::fdpass;

/// The longest message; longer texts are cut, since they are in the captured output as well.
pub(super) const LONGEST: usize = 64 * 1024;

/// What became of the body, or of the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The body returned, without an error.
    Returned,
    /// The body returned this error.
    Error(String),
    /// The body panicked.
    Panicked {
        /// The payload, if it was text.
        message: Option<String>,
        /// `file:line:column`, if known.
        location: Option<String>,
    },
    /// The topology is wrong, or not what the test's parameters need.
    Topology(String),
    /// The lab could not be built.
    Build(String),
    /// The sandbox could not be made ready.
    Sandbox(String),
}

impl Report {
    fn to_bytes(&self) -> Vec<u8> {
        let (kind, texts): (u8, [&str; 2]) = match self {
            Self::Returned => (b'R', ["", ""]),
            Self::Error(text) => (b'E', [text, ""]),
            Self::Panicked { message: None, location } => (b'p', ["", location.as_deref().unwrap_or("")]),
            Self::Panicked { message: Some(message), location } => {
                (b'P', [message, location.as_deref().unwrap_or("")])
            }
            Self::Topology(text) => (b'T', [text, ""]),
            Self::Build(text) => (b'B', [text, ""]),
            Self::Sandbox(text) => (b'S', [text, ""]),
        };
        let [text, location] = texts;
        let location = cut(location, 4096);
        let text = cut(text, LONGEST - 4096 - 8);
        let mut bytes = vec![kind];
        bytes.extend_from_slice(location.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        let location = String::from_utf8_lossy(&rest[..end]).into_owned();
        let location = Some(location).filter(|location| !location.is_empty());
        let text = String::from_utf8_lossy(&rest[end + 1..]).into_owned();
        Some(match kind {
            b'R' => Self::Returned,
            b'E' => Self::Error(text),
            b'p' => Self::Panicked { message: None, location },
            b'P' => Self::Panicked { message: Some(text), location },
            b'T' => Self::Topology(text),
            b'B' => Self::Build(text),
            b'S' => Self::Sandbox(text),
            _ => return None,
        })
    }
}

fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

/// The worker's end.
#[derive(Debug)]
pub(super) struct Reporter(pub(super) OwnedFd);

impl Reporter {
    /// Sends the report.
    pub(super) fn send(&self, report: &Report) -> Result<(), Errno> {
        fdpass::send(self.0.as_fd(), &report.to_bytes(), &[])
    }

    /// Sends the lab's namespaces with their names, for the runner to let go when it suits.
    pub(super) fn send_namespaces(&self, namespaces: &[(&str, BorrowedFd<'_>)]) -> Result<(), Errno> {
        namespaces.chunks(fdpass::MAX).try_for_each(|part| {
            let (names, descriptors): (Vec<&str>, Vec<BorrowedFd<'_>>) = part.iter().copied().unzip();
            fdpass::send(self.0.as_fd(), format!("N{}", names.join("\n")).as_bytes(), &descriptors)
        })
    }
}

/// A message as the runner receives it.
#[derive(Debug)]
pub(super) enum Message {
    /// A report.
    Report(Report),
    /// Namespaces of the lab, with the names of their nodes.
    Namespaces(Vec<(String, OwnedFd)>),
    /// Not one of ours.
    Unknown,
    /// Nobody is left to send.
    End,
}

/// Receives a message without waiting; `EAGAIN` when there is none.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Message, Errno> {
    let (length, descriptors) = fdpass::receive(socket, buffer)?;
    Ok(match &buffer[..length] {
        [] => Message::End,
        [b'N', names @ ..] => {
            let names = String::from_utf8_lossy(names);
            Message::Namespaces(names.split('\n').map(str::to_owned).zip(descriptors).collect())
        }
        bytes => Report::from_bytes(bytes).map_or(Message::Unknown, Message::Report),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_come_back_as_they_were() {
        let text = || "two\nlines\0and a zero".to_owned();
        for report in [
            Report::Returned,
            Report::Error(text()),
            Report::Error(String::new()),
            Report::Panicked { message: None, location: None },
            Report::Panicked { message: None, location: Some("a.rs:1:2".to_owned()) },
            Report::Panicked { message: Some(text()), location: Some("a.rs:1:2".to_owned()) },
            Report::Panicked { message: Some(String::new()), location: None },
            Report::Topology(text()),
            Report::Build(text()),
            Report::Sandbox(text()),
        ] {
            assert_eq!(Report::from_bytes(&report.to_bytes()), Some(report));
        }
        assert_eq!(Report::from_bytes(b""), None);
        assert_eq!(Report::from_bytes(b"X\0"), None);
    }

    #[test]
    fn long_texts_fit_a_message() {
        let bytes = Report::Error("é".repeat(LONGEST)).to_bytes();
        assert!(bytes.len() <= LONGEST);
        assert!(matches!(Report::from_bytes(&bytes), Some(Report::Error(text)) if text.len() > LONGEST / 2));
    }
}
