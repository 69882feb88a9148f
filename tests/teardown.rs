//! The teardown matrix: every way a test can end, under every harness, as root and as an ordinary user, and what is left then.
//!
//! A cell of the matrix is a sandbox whose host plays the machine: it has a network, processes, mounts and folders of its own. In there
//! the tests of `tests/fixtures/outcomes` are run as their user would run them, and everything is compared with what was there before.
//! So all cells run at the same time, anywhere, and no cell sees another.
//!
//! The matrix is in `docs/teardown.md`; `NETLAB_BLESS=1` writes it there, otherwise what this run found has to match.

#[path = "teardown/cell.rs"]
mod cell;
#[path = "teardown/faults.rs"]
mod faults;
#[path = "teardown/fixtures.rs"]
mod fixtures;
#[path = "teardown/many.rs"]
mod many;
#[path = "teardown/matrix.rs"]
mod matrix;
#[path = "teardown/rows.rs"]
mod rows;
#[path = "teardown/snapshot.rs"]
mod snapshot;
#[path = "teardown/subject.rs"]
mod subject;

use std::num::NonZeroUsize;
use std::process::ExitCode;

use netlab_runtime::sandbox::{Worker, raise_descriptor_limit};

fn main() -> ExitCode {
    if many::is_holder() {
        return many::hold();
    }
    if let Some(worker) = Worker::here() {
        match cell::of_path(worker.path()) {
            Some(def) => worker.run(def),
            None => worker.unknown(),
        }
    }
    let mut arguments = libtest_mimic::Arguments::from_args();
    // Most of the time a cell waits: for a limit to pass, or for the kernel to clear up.
    let processors = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    arguments.test_threads = arguments.test_threads.or(Some(processors * 4));
    if !arguments.list {
        raise_descriptor_limit().expect("the limit of open descriptors can be read");
        fixtures::prepare();
    }
    let conclusion = libtest_mimic::run(&arguments, matrix::trials());
    if arguments.list || matrix::agrees() { conclusion.exit_code() } else { ExitCode::from(101) }
}
