//! What a worker and the runner tell each other, as messages on a socket.
//!
//! The runner's first word is there before the worker is: what the worker may do to the machine ([`Orders`]). Then the worker
//! talks, and is answered where it asks for a namespace to be kept.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::unavailable::Unavailable;
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
    /// The body said that it needs what the machine lacks.
    Unavailable(Unavailable),
    /// The topology is wrong, or not what the test's parameters need.
    Topology(String),
    /// The lab could not be built.
    Build(String),
    /// The sandbox could not be made ready.
    Sandbox(String),
    /// The topology, which had to be computed, touches the machine, and this sandbox may not.
    Machine {
        /// Whether the host is the machine itself.
        real: bool,
    },
}

impl Report {
    fn to_bytes(&self) -> Vec<u8> {
        let together;
        let (kind, texts): (u8, [&str; 2]) = match self {
            Self::Returned => (b'R', ["", ""]),
            Self::Error(text) => (b'E', [text, ""]),
            Self::Panicked { message: None, location } => (b'p', ["", location.as_deref().unwrap_or("")]),
            Self::Panicked { message: Some(message), location } => {
                (b'P', [message, location.as_deref().unwrap_or("")])
            }
            Self::Unavailable(Unavailable { feature, missing, remedy }) => {
                together = format!("{missing}\0{remedy}");
                (b'U', [&together, feature.as_deref().unwrap_or("")])
            }
            Self::Topology(text) => (b'T', [text, ""]),
            Self::Build(text) => (b'B', [text, ""]),
            Self::Sandbox(text) => (b'S', [text, ""]),
            Self::Machine { real: true } => (b'M', ["real", ""]),
            Self::Machine { real: false } => (b'M', ["", ""]),
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
            b'U' => {
                let (missing, remedy) = text.split_once('\0')?;
                Self::Unavailable(Unavailable { feature: location, ..Unavailable::new(missing, remedy) })
            }
            b'T' => Self::Topology(text),
            b'B' => Self::Build(text),
            b'S' => Self::Sandbox(text),
            b'M' => Self::Machine { real: text == "real" },
            _ => return None,
        })
    }
}

fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

/// What a worker may do to the machine's own network.
#[derive(Debug)]
pub(super) enum Orders {
    /// Nothing: it has no way to it.
    Isolated,
    /// What it writes into the journal first.
    OnTheMachine {
        /// Whether the worker's host is the machine itself; otherwise it has a network of its own.
        real: bool,
        /// The machine's network namespace; to hold this descriptor is to hold the lock.
        machine: OwnedFd,
        /// The journal, open for appending.
        journal: OwnedFd,
    },
}

/// Leaves the worker's orders on the runner's end of the socket, before there is a worker.
pub(super) fn give_orders(
    socket: BorrowedFd<'_>,
    machine: Option<(bool, [BorrowedFd<'_>; 2])>,
) -> Result<(), Errno> {
    match machine {
        None => fdpass::send(socket, b"I", &[]),
        Some((true, descriptors)) => fdpass::send(socket, b"R", &descriptors),
        Some((false, descriptors)) => fdpass::send(socket, b"M", &descriptors),
    }
}

/// Answers a worker that asked for a namespace to be kept.
pub(super) fn answer(socket: BorrowedFd<'_>, kept: Result<(), String>) -> Result<(), Errno> {
    match kept {
        Ok(()) => fdpass::send(socket, b"K", &[]),
        Err(why) => fdpass::send(socket, format!("!{}", cut(&why, LONGEST - 1)).as_bytes(), &[]),
    }
}

/// The worker's end.
#[derive(Debug)]
pub(super) struct Reporter(pub(super) OwnedFd);

impl Reporter {
    /// Reads the orders; once, before anything else.
    pub(super) fn orders(&self) -> io::Result<Orders> {
        let mut buffer = [0; 8];
        let (length, descriptors) = fdpass::receive(self.0.as_fd(), &mut buffer)?;
        match (&buffer[..length], <[OwnedFd; 2]>::try_from(descriptors)) {
            (b"I", _) => Ok(Orders::Isolated),
            (kind @ (b"M" | b"R"), Ok([machine, journal])) => {
                Ok(Orders::OnTheMachine { real: kind == b"R", machine, journal })
            }
            _ => Err(io::Error::other("the runner's orders could not be understood")),
        }
    }

    /// Has the runner keep a namespace beyond the end of the sandbox, and waits until it does.
    pub(super) fn keep(&self, place: &str, namespace: BorrowedFd<'_>) -> io::Result<()> {
        fdpass::send(self.0.as_fd(), format!("K{place}").as_bytes(), &[namespace])?;
        let mut buffer = vec![0; LONGEST];
        loop {
            match fdpass::receive(self.0.as_fd(), &mut buffer) {
                Ok((0, _)) => return Err(io::ErrorKind::BrokenPipe.into()),
                Ok((length, _)) if buffer[..length] == *b"K" => return Ok(()),
                Ok((length, _)) => return Err(io::Error::other(String::from_utf8_lossy(&buffer[1..length]))),
                Err(Errno::EAGAIN) => wait_readable(self.0.as_fd())?,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

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
    /// A namespace to be kept, for which the worker waits.
    Keep {
        /// The place's name in the lab.
        place: String,
        /// The namespace.
        namespace: OwnedFd,
    },
    /// Not one of ours.
    Unknown,
    /// Nobody is left to send.
    End,
}

/// Receives a message without waiting; `EAGAIN` when there is none.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Message, Errno> {
    let (length, mut descriptors) = fdpass::receive(socket, buffer)?;
    Ok(match &buffer[..length] {
        [] => Message::End,
        [b'N', names @ ..] => {
            let names = String::from_utf8_lossy(names);
            Message::Namespaces(names.split('\n').map(str::to_owned).zip(descriptors).collect())
        }
        [b'K', place @ ..] => match descriptors.pop() {
            Some(namespace) => {
                Message::Keep { place: String::from_utf8_lossy(place).into_owned(), namespace }
            }
            None => Message::Unknown,
        },
        bytes => Report::from_bytes(bytes).map_or(Message::Unknown, Message::Report),
    })
}

fn wait_readable(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    match poll(&mut [PollFd::new(socket, PollFlags::POLLIN)], PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    fn pair() -> (OwnedFd, Reporter) {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        (ours, Reporter(theirs))
    }

    #[test]
    fn orders_arrive_before_anything_is_asked() {
        let (runner, worker) = pair();
        give_orders(runner.as_fd(), None).unwrap();
        give_orders(runner.as_fd(), Some((true, [runner.as_fd(), runner.as_fd()]))).unwrap();
        give_orders(runner.as_fd(), Some((false, [runner.as_fd(), runner.as_fd()]))).unwrap();
        assert!(matches!(worker.orders(), Ok(Orders::Isolated)));
        assert!(matches!(worker.orders(), Ok(Orders::OnTheMachine { real: true, .. })));
        assert!(matches!(worker.orders(), Ok(Orders::OnTheMachine { real: false, .. })));
    }

    #[test]
    fn who_asks_for_a_namespace_to_be_kept_waits_for_the_answer() {
        let (runner, worker) = pair();
        for (answered, expected) in [(Ok(()), "kept"), (Err("no room".to_owned()), "no room")] {
            std::thread::scope(|scope| {
                let asked = scope.spawn(|| worker.keep("blue", worker.0.as_fd()));
                wait_readable(runner.as_fd()).unwrap();
                let message = receive(runner.as_fd(), &mut [0; 64]).unwrap();
                assert!(matches!(message, Message::Keep { place, .. } if place == "blue"));
                assert!(!asked.is_finished());
                answer(runner.as_fd(), answered).unwrap();
                let told =
                    asked.join().unwrap().map_or_else(|error| error.to_string(), |()| "kept".to_owned());
                assert_eq!(told, expected);
            });
        }
        drop(runner);
        assert!(worker.keep("blue", worker.0.as_fd()).is_err());
    }

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
            Report::Unavailable(Unavailable::new("no luck", "try again")),
            Report::Unavailable(Unavailable {
                feature: Some("ipvs".to_owned()),
                ..Unavailable::new("no module", "")
            }),
            Report::Topology(text()),
            Report::Build(text()),
            Report::Sandbox(text()),
            Report::Machine { real: true },
            Report::Machine { real: false },
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
