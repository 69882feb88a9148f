//! Tests written out as the attribute would, one for each way a test can end.

use std::future::pending;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use netlab_runtime::lab::Lab;
use netlab_runtime::registry::{
    Body, BodyResult, Flavor, ShouldPanic, TESTS, TestDef, TestReturn, TopologySource,
};

const fn base(path: &'static str, body: Body) -> TestDef {
    TestDef {
        path,
        file: file!(),
        line: 1,
        topology: TopologySource::Text { text: "", file: None, privileged: false },
        parameters: &[],
        timeout: None,
        serial: None,
        ignore: None,
        should_panic: ShouldPanic::No,
        flavor: Flavor::CurrentThread,
        body,
    }
}

macro_rules! fixtures {
    ($($(#[$meta:meta])* fn $name:ident($($field:ident: $value:expr),*) $(-> $return:ty)? $body:block)*) => {$(
        const _: () = {
            fn body(_lab: Lab) -> BodyResult {
                $(#[$meta])*
                fn $name() $(-> $return)? $body
                TestReturn::into_result($name())
            }
            #[netlab_runtime::linkme::distributed_slice(TESTS)]
            #[linkme(crate = netlab_runtime::linkme)]
            static TEST: TestDef = TestDef {
                $($field: $value,)*
                ..base(concat!(module_path!(), "::", stringify!($name)), Body::Sync(body))
            };
        };
    )*};
}

fixtures! {
    fn passes() {
        println!("said by `passes`");
    }

    fn fails_an_assertion() {
        eprintln!("said before");
        assert_eq!(1 + 1, 3, "sums");
    }

    fn panics_in_a_thread_and_passes() {
        assert!(std::thread::spawn(|| panic!("in the thread")).join().is_err());
    }

    fn panic_handed_on_from_a_thread() {
        let thread = std::thread::spawn(|| -> u32 { panic!("handed on") });
        if let Err(payload) = thread.join() {
            std::panic::resume_unwind(payload);
        }
    }

    fn returns_an_error() -> Result<(), std::io::Error> {
        Err(std::io::Error::other("no luck"))
    }

    fn exits_zero() {
        exit(0);
    }

    fn exits_three() {
        exit(3);
    }

    fn aborts() {
        std::process::abort();
    }

    fn segfaults() {
        segfault();
    }

    fn segfaults_in_a_thread() {
        drop(std::thread::spawn(segfault).join());
    }

    fn overflows_the_stack() {
        println!("{}", overflow(1));
    }

    fn kills_itself() {
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap();
    }

    fn hangs_blocking(timeout: Some(Duration::from_secs(3))) {
        println!("last words");
        loop {
            std::thread::park();
        }
    }

    fn writes_from_everywhere(flavor: Flavor::MultiThread { workers: Some(2) }) {
        print!("without a newline, ");
        std::io::stdout().flush().unwrap();
        let status = Command::new("sh").args(["-c", "echo child to stdout; echo child to stderr >&2"]).status();
        assert!(status.unwrap().success());
        std::thread::spawn(|| println!("thread to stdout")).join().unwrap();
        eprintln!("stderr");
        print!("the end");
        panic!("to show the output");
    }

    fn writes_much() {
        let line = "x".repeat(1023);
        for _ in 0..64 * 1024 {
            println!("{line}");
        }
        panic!("after 64 MiB");
    }

    fn should_panic_and_does(should_panic: ShouldPanic::Yes) {
        panic!("as it should");
    }

    fn should_panic_with_these_words(should_panic: ShouldPanic::With("it should")) {
        panic!("as it should");
    }

    fn should_panic_with_other_words(should_panic: ShouldPanic::With("it must")) {
        panic!("as it should");
    }

    fn should_panic_and_does_not(should_panic: ShouldPanic::Yes) {}

    fn should_panic_and_exits(should_panic: ShouldPanic::Yes) {
        exit(101);
    }

    fn ignored_with_a_reason(ignore: Some("for a reason")) {
        println!("ran all the same");
    }

    fn ignored(ignore: Some("")) {}

    /// Whatever a test starts must see neither the runner's descriptors nor what makes a process a worker.
    fn children_inherit_nothing() {
        let output = Command::new("sh").args(["-c", "ls /proc/self/fd; env"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!text.contains("NETLAB_WORKER"), "{text}");
        // Three streams, and the directory being read.
        let descriptors = text.lines().filter(|line| line.parse::<u32>().is_ok()).count();
        assert_eq!(descriptors, 4, "{text}");
    }

    fn sees_its_own_machine() {
        assert_eq!(std::process::id(), 2);
        assert_eq!(nix::unistd::gethostname().unwrap(), "host");
        assert!(nix::unistd::geteuid().is_root());
        let interfaces: Vec<_> =
            std::fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!interfaces.iter().any(|name| name == "eth0"), "{interfaces:?}");
        assert!(!std::fs::read_to_string("/etc/resolv.conf").unwrap().contains("nameserver"));
        assert!(std::fs::read_to_string("/etc/nsswitch.conf").unwrap().contains("hosts: files dns"));
        let processes = std::fs::read_dir("/proc").unwrap();
        let processes = processes.filter(|entry| {
            entry.as_ref().unwrap().file_name().to_string_lossy().parse::<u32>().is_ok()
        });
        assert_eq!(processes.count(), 2);
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").unwrap(), "0\t0\n");
        let input = std::io::read_to_string(std::io::stdin()).unwrap();
        assert_eq!(input, "");
        // A name that nobody has is refused at once, by nobody but this machine.
        assert!(std::net::ToSocketAddrs::to_socket_addrs("nobody.example:80").is_err());
    }

    fn knows_its_hosts() {
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap();
        assert!(hosts.contains("localhost"), "{hosts}");
        let servers = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        assert!(!servers.contains("nameserver"), "{servers}");
        let switch = std::fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
        assert!(switch.is_empty() || switch.contains("hosts: files dns"), "{switch}");
        assert!(std::net::ToSocketAddrs::to_socket_addrs("localhost:80").is_ok());
    }

    fn forks_a_copy_of_itself() {
        // SAFETY: the child returns from the body like the parent, which is the mistake under test.
        let child = unsafe { libc::fork() };
        if child > 0 {
            let mut status = 0;
            // SAFETY: the status is a local.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            panic!("the parent's end");
        }
    }

    /// A daemon in a session of its own, deaf to what a daemon may be deaf to; then waits to be killed.
    fn leaves_a_daemon_and_waits() {
        leave_a_daemon();
        println!("waiting");
        loop {
            std::thread::park();
        }
    }

    fn waits_alone() {
        loop {
            std::thread::park();
        }
    }

    fn leaks_its_network() {
        crate::holder::hand_over(std::fs::File::open("/proc/self/ns/net").unwrap());
    }

    fn leaks_its_mounts_and_fails() {
        crate::holder::hand_over(std::fs::File::open("/proc/self/ns/mnt").unwrap());
        panic!("on purpose");
    }

    fn leaves_a_daemon() {
        leave_a_daemon();
    }

    fn waits_for_the_rows(serial: Some("held by the rows")) {}

    fn waits_in_a_lane_1(serial: Some("held by the rows, two at once")) {}

    fn waits_in_a_lane_2(serial: Some("held by the rows, two at once")) {}

    fn works_beside_who_waits() {}

    fn alone_in_its_group_1(serial: Some("netlab's own tests")) {
        alone();
    }

    fn alone_in_its_group_2(serial: Some("netlab's own tests")) {
        alone();
    }

    fn alone_in_its_group_3(serial: Some("netlab's own tests")) {
        alone();
    }
}

const _: () = {
    fn body(_lab: Lab) -> std::pin::Pin<Box<dyn Future<Output = BodyResult>>> {
        Box::pin(async {
            println!("last words");
            pending::<BodyResult>().await
        })
    }
    #[netlab_runtime::linkme::distributed_slice(TESTS)]
    #[linkme(crate = netlab_runtime::linkme)]
    static TEST: TestDef = TestDef {
        timeout: Some(Duration::from_secs(3)),
        ..base(concat!(module_path!(), "::hangs_async"), Body::Async(body))
    };
};

#[expect(clippy::disallowed_methods, reason = "a way to end that is under test")]
fn exit(code: i32) {
    std::process::exit(code);
}

fn segfault() {
    // SAFETY: none; that is the point.
    unsafe { std::ptr::without_provenance_mut::<u64>(0x18).write_volatile(1) };
}

#[expect(unconditional_recursion, reason = "a way to end that is under test")]
fn overflow(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    overflow(depth + 1) + frame[7]
}

fn leave_a_daemon() {
    let script = "trap '' TERM HUP INT; (setsid sh -c \"trap '' TERM HUP INT; echo here; exec sleep 600\" &)";
    let mut shell =
        Command::new("sh").args(["-c", script]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let output = shell.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
    assert_eq!(line, "here\n");
    assert!(shell.wait().unwrap().success());
}

/// Fails if another of the group is in here at the same time, in any process on this machine.
fn alone() {
    let directory = std::path::Path::new("/tmp/netlab-tests-alone");
    std::fs::create_dir(directory).unwrap();
    for _ in 0..1000 {
        std::thread::yield_now();
    }
    std::fs::remove_dir(directory).unwrap();
}
