//! A process outside of every sandbox that takes a descriptor from whoever hands it one, and keeps it.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;

use netlab_runtime::sys::fdpass;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The variable with the path of its socket.
pub const SOCKET: &str = "NETLAB_TESTS_HOLDER";

#[expect(clippy::disallowed_methods, reason = "this is no setting of netlab's")]
fn path() -> String {
    std::env::var(SOCKET).unwrap()
}

/// Says when it listens; holds one descriptor until its standard input ends.
pub fn run() -> ExitCode {
    let listener = UnixListener::bind(path()).unwrap();
    println!("listening");
    let (mut stream, _) = listener.accept().unwrap();
    let held = receive(&stream);
    std::io::Write::write_all(&mut stream, b"held").unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(held);
    ExitCode::SUCCESS
}

fn receive(stream: &UnixStream) -> OwnedFd {
    poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
    fdpass::receive(stream.as_fd(), &mut [0; 8]).unwrap().1.pop().unwrap()
}

/// Hands it a descriptor; returns when it has it.
pub fn hand_over(fd: impl AsFd) {
    let mut stream = UnixStream::connect(path()).unwrap();
    fdpass::send(stream.as_fd(), b"x", &[fd.as_fd()]).unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
}
