//! What the test binary does when it is a program of its own tests: servers and daemons that are everywhere it is.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;

use nix::sys::socket::{MsgFlags, accept, send};
use nix::unistd::close;

/// The argument that makes this binary a program; what it is to do comes after it.
pub const AS: &str = "--as";

/// Does what the arguments say, if they say that this is to be a program.
pub fn program() -> Option<ExitCode> {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() != Some(AS) {
        return None;
    }
    let role = arguments.next().unwrap_or_default();
    let rest: Vec<_> = arguments.collect();
    let rest: Vec<_> = rest.iter().map(String::as_str).collect();
    let done = match (role.as_str(), &rest[..]) {
        ("tcp", [addr]) => TcpListener::bind(addr).and_then(|listener| greet(&listener)),
        ("tcp-in-a-child", [addr]) => in_a_child(addr),
        ("udp", [addr]) => UdpSocket::bind(addr).and_then(|socket| socket.recv(&mut [0; 16]).map(drop)),
        ("passed", []) => passed(),
        ("notify", []) => notify(),
        ("http", [addr, switch]) => TcpListener::bind(addr).and_then(|listener| http(&listener, switch)),
        _ => Err(io::Error::other(format!("no such role: {role} {rest:?}"))),
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{role}: {error}");
            ExitCode::FAILURE
        }
    })
}

/// Says who it is to whoever connects.
fn greet(listener: &TcpListener) -> io::Result<()> {
    loop {
        write!(listener.accept()?.0, "{} {}", variable("NETLAB_NODE"), std::process::id())?;
    }
}

/// A daemon of the old kind: its child does the work, in a session of its own, and is nobody's child soon.
fn in_a_child(addr: &str) -> io::Result<()> {
    let script = format!("setsid /proc/{}/exe {AS} tcp {addr} & wait", std::process::id());
    std::process::Command::new("sh").args(["-c", &script]).status().map(drop)
}

/// The protocol of sd_listen_fds_with_names(3).
fn passed() -> io::Result<()> {
    if variable("LISTEN_PID") != std::process::id().to_string() {
        return Err(io::Error::other(format!("LISTEN_PID is {}", variable("LISTEN_PID"))));
    }
    println!("{} sockets: {}", variable("LISTEN_FDS"), variable("LISTEN_FDNAMES"));
    loop {
        let connection = accept(3)?;
        let answer = format!("{} {}", variable("NETLAB_NODE"), std::process::id());
        send(connection, answer.as_bytes(), MsgFlags::empty())?;
        close(connection)?;
    }
}

/// The protocol of sd_notify(3).
fn notify() -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    let path = variable("NOTIFY_SOCKET");
    socket.send_to(b"STATUS=warming up\n", &path)?;
    // Goes on when it is told to.
    io::stdin().read_exact(&mut [0])?;
    socket.send_to(b"READY=1\nSTATUS=warm\n", &path)?;
    loop {
        std::thread::park();
    }
}

/// Healthy once there is the file `switch`.
fn http(listener: &TcpListener, switch: &str) -> io::Result<()> {
    loop {
        let mut stream = listener.accept()?.0;
        let request = read_request(&mut stream)?;
        let status = match (request.starts_with("GET /health "), fs::exists(switch)?) {
            (false, _) => "404 Not Found",
            (true, false) => "503 Service Unavailable",
            (true, true) => "200 OK",
        };
        println!("answered {status}");
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")?;
    }
}

fn read_request(stream: &mut TcpStream) -> io::Result<String> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        request.extend(byte);
    }
    Ok(String::from_utf8_lossy(&request).into_owned())
}

#[expect(clippy::disallowed_methods, reason = "what is read here is no setting of netlab's")]
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
