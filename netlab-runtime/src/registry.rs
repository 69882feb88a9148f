//! What the attribute makes of a test function: a [`TestDef`], collected at link time into [`TESTS`].
//!
//! These types are the contract between the code `#[netlab::test]` expands to and the runtime. They are public
//! for that code alone; nothing here is stable.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use netlab_topology::Topology;

use crate::error::Error;
use crate::lab::Lab;

/// Every `#[netlab::test]` of the binary, in no particular order.
#[linkme::distributed_slice]
pub static TESTS: [TestDef];

/// A test as written.
#[derive(Debug)]
pub struct TestDef {
    /// `module_path!()::function`, the crate's name first.
    pub path: &'static str,
    /// File and line of the attribute.
    pub file: &'static str,
    /// Line in `file`, from 1.
    pub line: u32,
    /// The topology.
    pub topology: TopologySource,
    /// What the function asks for, to be checked against a computed topology.
    pub parameters: &'static [Parameter],
    /// `timeout = "..."`.
    pub timeout: Option<Duration>,
    /// `serial = "group"`.
    pub serial: Option<&'static str>,
    /// `#[ignore]` (an empty reason) or `#[ignore = "reason"]`.
    pub ignore: Option<&'static str>,
    /// `#[should_panic]`.
    pub should_panic: ShouldPanic,
    /// The tokio runtime of the body.
    pub flavor: Flavor,
    /// The function.
    pub body: Body,
}

impl TestDef {
    /// Its name as the standard harness has it: the path without the crate's name.
    pub fn name(&self) -> &'static str {
        self.path.split_once("::").map_or(self.path, |(_, name)| name)
    }

    /// The function's own name.
    pub fn function(&self) -> &'static str {
        self.path.rsplit_once("::").map_or(self.path, |(_, name)| name)
    }
}

/// Where the topology of a test comes from.
#[derive(Debug)]
pub enum TopologySource {
    /// Text, checked at compile time.
    Text {
        /// The text itself.
        text: &'static str,
        /// The `.topo` file it was read from, as written in the attribute.
        file: Option<&'static str>,
        /// Whether the lab touches the machine's own network, so that the runner knows before anything is started.
        privileged: bool,
    },
    /// A function that computes it.
    Computed(fn() -> Topology),
}

/// A parameter of a test function.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: ParameterKind,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// `Lab`.
    Lab,
    /// `Node`.
    Node,
    /// `[Node; N]`.
    NodeArray(usize),
    /// `Vec<Node>`.
    NodeVec,
    /// `Net`.
    Net,
    /// `Link`.
    Link,
}

/// What `#[should_panic]` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShouldPanic {
    /// No attribute.
    No,
    /// Any panic.
    Yes,
    /// A panic whose message contains this.
    With(&'static str),
}

/// The tokio runtime that a body runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// One thread, the test's own.
    CurrentThread,
    /// A pool.
    MultiThread {
        /// How many threads; none: as many as there are processors.
        workers: Option<usize>,
    },
}

/// A test function behind a common signature.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// `fn`.
    Sync(fn(Lab) -> BodyResult),
    /// `async fn`.
    Async(fn(Lab) -> Pin<Box<dyn Future<Output = BodyResult>>>),
}

/// What a body came to, panics apart. The text is the returned error as `Debug` shows it.
pub type BodyResult = Result<(), String>;

/// What a test function may return: nothing, or a `Result` whose error can be shown, as with `#[test]`.
#[diagnostic::on_unimplemented(
    message = "a netlab test cannot return `{Self}`",
    label = "returns neither `()` nor a `Result` with a `Debug` error",
    note = "return `()`, `netlab::Result`, or any `Result<(), E>` where `E: std::fmt::Debug`"
)]
pub trait TestReturn {
    /// Makes it a result with the error's text.
    fn into_result(self) -> BodyResult;
}

impl TestReturn for () {
    fn into_result(self) -> BodyResult {
        Ok(())
    }
}

impl<T: TestReturn, E: std::fmt::Debug> TestReturn for Result<T, E> {
    fn into_result(self) -> BodyResult {
        self.map_err(|error| format!("{error:?}"))?.into_result()
    }
}

/// A handle that a test function may take as a parameter.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not something a lab can hand to a test",
    label = "not a handle",
    note = "parameters are `Lab`, `Node`, `[Node; N]`, `Vec<Node>`, `Net` and `Link`"
)]
pub trait FromLab: Sized {
    /// Takes the thing called `name` from the lab.
    ///
    /// A `_` in the name stands for a `-` of the topology where nothing has the name itself.
    ///
    /// # Errors
    ///
    /// The lab has no such thing, or it is of another kind; says what there is.
    fn from_lab(lab: &Lab, name: &str) -> Result<Self, Error>;
}

/// What [`FromLab`] gave, or why the body cannot run.
///
/// # Errors
///
/// The error's text, as `Debug` shows it.
pub fn taken<T>(handle: Result<T, Error>) -> Result<T, String> {
    handle.map_err(|error| format!("{error:?}"))
}
