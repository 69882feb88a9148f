//! The rows of the matrix: a way for a test to end, and what is to be told of it.

use std::os::unix::process::ExitStatusExt;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;

use crate::faults;
use crate::subject::{Harness, Kind, Ran, SHARED, Subject, Target, Underway, run};

/// A way to end.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name among the tests.
    pub name: &'static str,
    /// What the matrix calls it.
    pub title: &'static str,
    way: Way,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// This fixture, by itself.
    Alone(&'static str, Told),
    /// A signal to one that waits.
    Signal(Target, Signal),
    /// The build of the lab is refused, at each step in turn.
    Refused,
    /// Nothing can be written to where temporary files, reports and state go.
    FullDisk,
}

/// What a run is to say.
#[derive(Clone, Copy, Debug)]
enum Told {
    Passed,
    /// The test failed, with this reason.
    Failed(&'static str),
    /// The runner died of this.
    Died(Signal),
}

impl Told {
    /// What the matrix says.
    fn word(self) -> String {
        match self {
            Self::Passed => "passed".to_owned(),
            Self::Failed(_) => "failed".to_owned(),
            Self::Died(signal) => format!("dies of {signal}"),
        }
    }
}

const fn alone(name: &'static str, title: &'static str, told: Told) -> Row {
    Row { name, title, way: Way::Alone(name, told) }
}

const fn signal(name: &'static str, title: &'static str, target: Target, signal: Signal) -> Row {
    Row { name, title, way: Way::Signal(target, signal) }
}

/// All rows.
pub const ROWS: &[Row] = &[
    alone("returns", "return", Told::Passed),
    alone("returns_an_error", "returned error", Told::Failed("returned an error: on purpose")),
    alone("panics", "panic", Told::Failed("panicked at ")),
    alone("panics_in_a_node", "panic in a node's thread", Told::Failed("panicked at ")),
    alone("panics_while_panicking", "panic while panicking", Told::Failed("killed by SIGABRT")),
    alone("fails_in_a_task", "failed assertion in a spawned task", Told::Failed("returned an error: ")),
    alone("times_out_in_async_code", "timeout in async code", Told::Failed("timed out after 500ms")),
    alone("times_out_in_a_blocking_call", "timeout in blocking code", Told::Failed("timed out after 500ms")),
    alone("loops_forever", "infinite loop", Told::Failed("timed out after 500ms")),
    alone("exits", "`process::exit`", Told::Failed("exited with code 0 before it returned")),
    alone("aborts", "abort", Told::Failed("killed by SIGABRT")),
    alone("faults", "segmentation fault", Told::Failed("killed by SIGSEGV")),
    alone("overflows_the_stack", "stack overflow", Told::Failed("killed by SIGABRT")),
    alone("exhausts_memory", "memory limit", Told::Failed("killed by SIGABRT")),
    alone("leaves_a_stopped_child", "stopped child", Told::Passed),
    alone("leaves_a_daemon", "daemon: forked twice, deaf to SIGTERM, holds stdout", Told::Passed),
    alone("leaves_a_child_elsewhere", "child in a session and namespaces of its own", Told::Passed),
    Row { name: "is_refused", title: "build error at op k, for every k", way: Way::Refused },
    signal("int_to_the_test", "SIGINT to the test", Target::Test, Signal::SIGINT),
    signal("term_to_the_test", "SIGTERM to the test", Target::Test, Signal::SIGTERM),
    signal("hup_to_the_test", "SIGHUP to the test", Target::Test, Signal::SIGHUP),
    signal("kill_to_the_test", "SIGKILL to the test", Target::Test, Signal::SIGKILL),
    signal("int_to_init", "SIGINT to the sandbox's init", Target::Init, Signal::SIGINT),
    signal("term_to_init", "SIGTERM to the sandbox's init", Target::Init, Signal::SIGTERM),
    signal("hup_to_init", "SIGHUP to the sandbox's init", Target::Init, Signal::SIGHUP),
    signal("kill_to_init", "SIGKILL to the sandbox's init", Target::Init, Signal::SIGKILL),
    signal("int_to_the_runner", "SIGINT to the runner", Target::Runner, Signal::SIGINT),
    signal("term_to_the_runner", "SIGTERM to the runner", Target::Runner, Signal::SIGTERM),
    signal("hup_to_the_runner", "SIGHUP to the runner", Target::Runner, Signal::SIGHUP),
    signal("kill_to_the_runner", "SIGKILL to the runner", Target::Runner, Signal::SIGKILL),
    signal("int_to_the_group", "SIGINT to the process group (Ctrl-C)", Target::Group, Signal::SIGINT),
    signal("term_to_the_group", "SIGTERM to the process group", Target::Group, Signal::SIGTERM),
    signal("hup_to_the_group", "SIGHUP to the process group", Target::Group, Signal::SIGHUP),
    signal("kill_to_the_group", "SIGKILL to the process group", Target::Group, Signal::SIGKILL),
    Row {
        name: "finds_a_full_disk",
        title: "full disk for temporary files, reports and state",
        way: Way::FullDisk,
    },
];

impl Row {
    /// What the matrix says is told.
    pub fn told(&self) -> String {
        match self.way {
            Way::Alone(_, told) => told.word(),
            Way::Signal(target, signal) => told_of(target, signal).word(),
            Way::Refused | Way::FullDisk => "failed".to_owned(),
        }
    }

    /// Runs it, and judges what is told.
    ///
    /// `check` sees to it that the machine is as it was.
    pub fn run(&self, subject: Subject<'_>, check: &mut dyn FnMut()) {
        match self.way {
            Way::Alone(test, told) => judge(subject.harness, told, &run(subject.command(test))),
            Way::Signal(target, signal) => {
                let mut underway = Underway::start(subject.command("waits"));
                underway.signal(target, signal);
                let told = told_of(target, signal);
                if matches!(told, Told::Passed) {
                    underway.go();
                }
                judge(subject.harness, told, &underway.end());
                if subject.kind == Kind::Privileged && matches!(told, Told::Died(Signal::SIGKILL)) {
                    // Nobody is left to mend the machine; the next run does.
                    let next = run(subject.command("does_nothing"));
                    judge(subject.harness, Told::Passed, &next);
                }
            }
            Way::Refused => faults::at_every_step(subject, check),
            Way::FullDisk => full_disk(subject),
        }
    }
}

/// What is to be told after a signal.
fn told_of(target: Target, signal: Signal) -> Told {
    match (target, signal) {
        (Target::Test, Signal::SIGINT) => Told::Failed("killed by SIGINT"),
        (Target::Test, Signal::SIGTERM) => Told::Failed("killed by SIGTERM"),
        (Target::Test, Signal::SIGHUP) => Told::Failed("killed by SIGHUP"),
        (Target::Test, _) => Told::Failed("killed by SIGKILL"),
        (Target::Init, Signal::SIGKILL) => Told::Failed("killed from outside"),
        // It is deaf to these, as every init is to what it does not ask for.
        (Target::Init, _) => Told::Passed,
        (Target::Runner | Target::Group, signal) => Told::Died(signal),
    }
}

fn judge(harness: Harness, told: Told, ran: &Ran) {
    let failed = if harness == Harness::Nextest { 100 } else { 101 };
    match told {
        Told::Passed => assert_eq!(ran.status.code(), Some(0), "{ran}"),
        Told::Failed(reason) => {
            assert_eq!(ran.status.code(), Some(failed), "{ran}");
            assert!(ran.says(reason), "no `{reason}`: {ran}");
        }
        Told::Died(signal) => {
            if harness == Harness::Nextest {
                assert_eq!(ran.status.code(), Some(failed), "{ran}");
                assert!(ran.says(signal.as_str()), "{ran}");
            } else {
                assert_eq!(ran.status.signal(), Some(signal as i32), "{ran}");
            }
            let farewell = format!("netlab: ended by {signal}; 1 test was running\n");
            let farewell = if signal == Signal::SIGKILL { "" } else { farewell.trim_end() };
            assert!(ran.says(farewell) && !ran.says("netlab: killed by"), "{ran}");
        }
    }
}

/// Every folder that anything might be written to is a filesystem without room.
fn full_disk(subject: Subject<'_>) {
    let full = format!("{SHARED}/full");
    let mut mounted = vec![full.as_str()];
    if subject.kind == Kind::Privileged {
        // Where its journals may be.
        std::fs::create_dir_all("/run/netlab").expect("we are root");
        mounted.extend(["/run/netlab", "/tmp"]);
    }
    for folder in &mounted {
        // The folder of journals has to be one that only root may write to.
        let mode = if *folder == "/run/netlab" { "755" } else { "1777" };
        let options = Some(format!("size=64k,mode={mode}"));
        mount(Some("full"), *folder, Some("tmpfs"), MsFlags::empty(), options.as_deref())
            .expect("we are root");
        let fill = std::fs::write(format!("{folder}/ballast"), vec![0; 1 << 20]);
        assert!(fill.is_err(), "it has room");
    }
    for (test, reason) in [("fills_the_disk", "No space left on device"), ("panics", "panicked at ")] {
        let mut command = subject.command(test);
        for variable in ["TMPDIR", "HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"] {
            command.env(variable, &full);
        }
        // Without a journal the machine is not touched.
        let reason =
            if subject.kind == Kind::Privileged { "the machine cannot be changed safely" } else { reason };
        judge(subject.harness, Told::Failed(reason), &run(command));
    }
    for folder in mounted {
        umount2(folder, MntFlags::empty()).expect("nobody uses it");
    }
    if subject.kind == Kind::Privileged {
        std::fs::remove_dir("/run/netlab").expect("it is empty");
    }
}
