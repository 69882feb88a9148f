//! The process that a test runs in: makes its view and its lab, runs the body, reports, and ends.
//!
//! Invariant: it ends by `_exit` (or `exit`, where coverage is measured). Nothing of the lab is destroyed here;
//! the kernel does that when init follows.

use std::any::Any;
use std::future::poll_fn;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use netlab_topology::plan::Place;
use netlab_topology::{Plan, Topology};
use tokio::runtime::{Builder, Runtime};

use super::report::{Orders, Report, Reporter};
use super::unavailable::Unavailable;
use super::{panics, parameters, retired, view};
use crate::lab::{self, Lab, in_a_sandbox};
use crate::machine::Machine;
use crate::registry::{Body, BodyResult, Flavor, ShouldPanic, TestDef, TopologySource};
use crate::settings;
use crate::sys::{environment, process, signal};

/// The variable that makes a process a worker: the path of its test.
pub(crate) const VARIABLE: &str = "NETLAB_WORKER";

/// This process as a worker.
#[derive(Debug)]
#[must_use = "a worker must run its test"]
pub struct Worker {
    path: String,
    report: OwnedFd,
    output: OwnedFd,
}

impl Worker {
    /// Whether this process was started to run one test; true once, for whom asks first.
    ///
    /// The variable that says so is removed, so that no program the test starts takes itself for a worker.
    pub fn here() -> Option<Self> {
        let path = settings::variable(VARIABLE)?;
        environment::remove(VARIABLE);
        let process::Inherited { report, output } = process::inherited()?;
        Some(Self { path, report, output })
    }

    /// The path of the test it is to run.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Runs the test, and ends the process.
    pub fn run(self, def: &TestDef) -> ! {
        let end = END.get_or_init(|| End { reporter: Reporter(self.report), pid: std::process::id() });
        let report = match take_over(self.output, def, end) {
            Ok(()) => run(def, &end.reporter),
            Err(error) => Report::Sandbox(format!("the sandbox could not be made ready: {error}")),
        };
        end.with(&report)
    }

    /// Says that the binary has no such test, and ends the process.
    pub fn unknown(self) -> ! {
        let report = Report::Sandbox(format!("the test binary, run again, has no test `{}`", self.path));
        End { reporter: Reporter(self.report), pid: std::process::id() }.with(&report)
    }
}

/// Ends the process of a test that cannot run here.
///
/// # Panics
///
/// This is not the process of a test.
#[track_caller]
pub(super) fn cannot_run(why: Unavailable) -> ! {
    let Some(end) = END.get() else { panic!("cannot run here: {why}") };
    end.with(&Report::Unavailable(why))
}

/// The end of this process, if it is a worker.
static END: OnceLock<End> = OnceLock::new();

/// The end of a worker.
#[derive(Debug)]
struct End {
    reporter: Reporter,
    /// The worker itself; a copy made by `fork` in the body has nothing to report.
    pid: u32,
}

impl End {
    fn with(&self, report: &Report) -> ! {
        if std::process::id() != self.pid {
            process::exit_at_once(0);
        }
        if let Err(error) = self.reporter.send(report) {
            // Then init tells the runner that this process ended without a report.
            eprintln!("netlab: the outcome could not be reported: {error}");
            process::exit_at_once(70);
        }
        // What the body left in buffers belongs to its output. Should a thread hold one of these locks for good,
        // the runner has the report and ends the sandbox.
        if let Err(error) = io::stdout().flush() {
            eprintln!("netlab: the rest of the standard output is lost: {error}");
        }
        process::flush_c_streams();
        if settings::variable("LLVM_PROFILE_FILE").is_some() {
            process::exit_with_handlers(0);
        }
        process::exit_at_once(0)
    }
}

/// Makes the process the test's own: its output, its name, its signals, its panics.
fn take_over(output: OwnedFd, def: &TestDef, end: &'static End) -> io::Result<()> {
    nix::unistd::dup2_stdout(&output)?;
    drop(output);
    // It was started as `/proc/self/exe`, and is called `exe`.
    std::fs::write("/proc/self/comm", def.name())?;
    retired::raise_descriptor_limit()?;
    signal::explain_crashes(settings::wants_backtrace())?;
    let body = std::thread::current().id();
    panics::watch(move |report| {
        // Without unwinding, the hook is the last that is heard of the body.
        if cfg!(panic = "abort") && std::thread::current().id() == body {
            match end.reporter.send(report) {
                Ok(()) => signal::keep_quiet(),
                Err(errno) => eprintln!("netlab: the panic could not be reported: {errno}"),
            }
        }
    });
    Ok(())
}

fn run(def: &TestDef, reporter: &Reporter) -> Report {
    let prepared = catch_unwind(AssertUnwindSafe(|| prepare(def, reporter)));
    let lab = match prepared {
        Ok(Ok(lab)) => lab,
        Ok(Err(report)) => return report,
        Err(payload) => return panics::caught(&*payload),
    };
    let runtime = match runtime(def.flavor) {
        Ok(runtime) => runtime,
        Err(error) => return Report::Sandbox(format!("no tokio runtime for the body: {error}")),
    };
    let result = run_body(&runtime, def.body, lab.clone());
    // Before the runtime and the lab are left to themselves: what programs did while the body ran counts.
    let programs = lab::conclude();
    if let Err(error) = lab.forget_neighbours() {
        eprintln!("netlab: {:#}", crate::error::Error::from(error));
    }
    // Neither is to be torn down in orderly fashion: that takes time, and the kernel does it.
    std::mem::forget(runtime);
    std::mem::forget(lab);
    match result {
        Ok(Ok(())) => match [programs, lab::unchecked()].into_iter().flatten().collect::<Vec<_>>() {
            held_against if held_against.is_empty() => Report::Returned,
            held_against => Report::Error(held_against.join(
                "
",
            )),
        },
        Ok(Err(error)) => Report::Error(error),
        Err(payload) => panics::caught(&*payload),
    }
}

fn prepare(def: &TestDef, reporter: &Reporter) -> Result<Lab, Report> {
    let not_ready = |error: &dyn std::fmt::Display| {
        Report::Sandbox(format!("the sandbox could not be made ready: {error}"))
    };
    let orders = reporter.orders().map_err(|error| not_ready(&error))?;
    let plan = plan(def)?;
    if let TopologySource::Computed(_) = def.topology {
        parameters::check(&plan, def.parameters).map_err(Report::Topology)?;
    }
    let real = plan.machine() == Some(Place::HOST);
    let machine = match (plan.machine(), orders) {
        (None, Orders::Isolated | Orders::OnTheMachine { real: false, .. }) => None,
        (Some(_), Orders::OnTheMachine { real: granted, machine, journal }) if granted == real => {
            Some((machine, journal))
        }
        _ => return Err(Report::Machine { real }),
    };
    let view = if real {
        view::set_up_on_the_machine(&Lab::hosts_of_nodes(&plan))
    } else {
        view::set_up(&Lab::hosts_file(&plan))
    };
    view.map_err(|error| not_ready(&format_args!("{:#}", crate::error::Error::from(error))))?;
    in_a_sandbox();
    let lab = match machine {
        None => Lab::build_named(def.function(), plan),
        Some((machine, journal)) => {
            let mut machine = Machine::open(machine, journal).map_err(|error| not_ready(&error))?;
            let keep = |place: &str, namespace: BorrowedFd<'_>| reporter.keep(place, namespace);
            let lab = Lab::build_on_the_machine(def.function(), &plan, &mut machine, &keep);
            // Open as long as this process lives: the lock lasts until runner and sandbox are both gone.
            std::mem::forget(machine);
            lab
        }
    };
    let lab = lab.map_err(|error| Report::Build(format!("{error:#}")))?;
    let touched = lab.plan().machine();
    let places = (0..).map(Place).zip(lab.plan().places()).zip(lab.namespaces());
    // The machine's own is not the lab's to hand out.
    let ours = places.filter(|((place, _), _)| Some(*place) != touched);
    let ours: Vec<_> = ours.map(|((_, name), namespace)| (name.as_str(), namespace)).collect();
    // The runner lets them go when it suits. Without that they go with this process, which is only slower.
    if let Err(error) = reporter.send_namespaces(&ours) {
        eprintln!("netlab: the lab's namespaces could not be handed to the runner: {error}");
    }
    Ok(lab)
}

fn plan(def: &TestDef) -> Result<Plan, Report> {
    let topology = match def.topology {
        TopologySource::Text { text, file, .. } => {
            let origin = file.map_or_else(|| format!("topology of `{}`", def.function()), ToOwned::to_owned);
            Topology::parse(text, &origin)
        }
        TopologySource::Computed(make) => Ok(make()),
    };
    topology.and_then(|topology| topology.plan()).map_err(|wrong| Report::Topology(wrong.to_string()))
}

fn runtime(flavor: Flavor) -> io::Result<Runtime> {
    let mut builder = match flavor {
        Flavor::CurrentThread => Builder::new_current_thread(),
        Flavor::MultiThread { workers } => {
            let mut builder = Builder::new_multi_thread();
            if let Some(workers) = workers {
                builder.worker_threads(workers);
            }
            builder
        }
    };
    builder.enable_all().on_thread_start(|| {
        // Without it, a crash there has a message and no backtrace.
        drop(signal::alternate_stack());
    });
    builder.build()
}

fn run_body(runtime: &Runtime, body: Body, lab: Lab) -> Result<BodyResult, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(|| match body {
        Body::Sync(function) => {
            let _context = runtime.enter();
            __rust_begin_short_backtrace(function, lab)
        }
        Body::Async(function) => {
            let mut future = function(lab);
            runtime.block_on(poll_fn(|context| __rust_begin_short_backtrace_of_future(&mut future, context)))
        }
    }))
}

type BodyFuture = Pin<Box<dyn Future<Output = BodyResult>>>;

/// Backtraces end at functions whose names begin so.
#[inline(never)]
fn __rust_begin_short_backtrace(body: fn(Lab) -> BodyResult, lab: Lab) -> BodyResult {
    let result = body(lab);
    // Not a tail call, which would leave no frame.
    std::hint::black_box(());
    result
}

#[inline(never)]
fn __rust_begin_short_backtrace_of_future(
    future: &mut BodyFuture,
    context: &mut Context<'_>,
) -> Poll<BodyResult> {
    let result = future.as_mut().poll(context);
    std::hint::black_box(());
    result
}

/// Whether the runner should ask for backtraces where the user did not say: not where a panic is expected.
pub(super) fn backtrace_by_default(def: &TestDef) -> bool {
    def.should_panic == ShouldPanic::No
}
