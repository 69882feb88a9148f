//! Why a lab could not be built.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use netlab_topology::plan::Step;

use super::calls::Failure;
use super::ready::Late;

/// A lab that could not be built: which lab, which node, which operation; its [source](StdError::source) says what the
/// kernel answered and, for causes that are known, the way out. The alternate `Display` (`{:#}`) shows both.
///
/// Nothing of the lab is left: its namespaces are gone. Only what was made in the host's own namespace ends later, with
/// the sandbox.
pub struct BuildError(Box<Inner>);

struct Inner {
    lab: String,
    node: String,
    operation: Operation,
    refusal: Refusal,
}

enum Operation {
    Command(String),
    Other(String),
}

/// What the kernel answered.
struct Refusal {
    error: io::Error,
    detail: Option<String>,
    hint: Option<String>,
}

impl BuildError {
    /// The node in whose namespace it happened.
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// The operation, as the equivalent command, if one was refused; none if the lab was built but did not come up.
    pub fn operation(&self) -> Option<&str> {
        match &self.0.operation {
            Operation::Command(command) => Some(command),
            Operation::Other(_) => None,
        }
    }

    /// The kernel's error.
    pub fn io_error(&self) -> &io::Error {
        &self.0.refusal.error
    }

    pub(super) fn step(lab: &str, node: &str, step: &Step, failure: Failure, hint: Option<String>) -> Self {
        let Failure { error, detail, .. } = failure;
        Self::new(lab, node, Operation::Command(step.op.to_string()), Refusal { error, detail, hint })
    }

    pub(super) fn host(lab: &str, node: &str, error: io::Error, places: usize) -> Self {
        let operation =
            Operation::Other("its network namespace and a netlink socket could not be opened".to_owned());
        let hint = super::hint::of_descriptors(&error, places);
        Self::new(lab, node, operation, Refusal { error, detail: None, hint })
    }

    /// The process is in no sandbox: a lab would be built into the machine's own network.
    pub(crate) fn outside_a_sandbox(lab: &str, node: &str) -> Self {
        let operation =
            Operation::Other("this is the machine's own network, where no lab is built".to_owned());
        let hint = Some("build it in a function under `#[netlab::test]`, which runs in a sandbox".to_owned());
        let error = io::ErrorKind::PermissionDenied.into();
        Self::new(lab, node, operation, Refusal { error, detail: None, hint })
    }

    /// The lab touches the machine, and this sandbox may not.
    pub(crate) fn without_the_machine(lab: &str, node: &str) -> Self {
        let operation = Operation::Other("this test may not touch the machine's own network".to_owned());
        let hint =
            Some("give the topology to `#[netlab::test]`, which makes the test a privileged one".to_owned());
        let error = io::ErrorKind::PermissionDenied.into();
        Self::new(lab, node, operation, Refusal { error, detail: None, hint })
    }

    /// What is on the machine is not what the lab needs.
    pub(crate) fn unfit(lab: &str, node: &str, error: io::Error) -> Self {
        let operation = Operation::Other("nothing was begun on the machine".to_owned());
        Self::new(lab, node, operation, Refusal { error, detail: None, hint: None })
    }

    pub(super) fn late(lab: &str, node: &str, late: Late) -> Self {
        let what = late.what.unwrap_or_else(|| "its interfaces could not be watched".to_owned());
        let operation = Operation::Other(what);
        Self::new(lab, node, operation, Refusal { error: late.error, detail: None, hint: None })
    }

    fn new(lab: &str, node: &str, operation: Operation, refusal: Refusal) -> Self {
        Self(Box::new(Inner { lab: lab.to_owned(), node: node.to_owned(), operation, refusal }))
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { lab, node, operation, .. } = &*self.0;
        write!(f, "lab `{lab}`: node `{node}`: ")?;
        match operation {
            Operation::Command(command) => write!(f, "`{command}`"),
            Operation::Other(what) => f.write_str(what),
        }?;
        if f.alternate() { write!(f, ": {}", self.0.refusal) } else { Ok(()) }
    }
}

/// With its cause: this is what a failed `unwrap` shows.
impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl StdError for BuildError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0.refusal)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lower(f, &self.error)?;
        if let Some(detail) = &self.detail {
            write!(f, " (the kernel says: {detail})")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Refusal {}

/// An error of the system in the style of all messages, which start with a small letter.
pub(crate) fn write_lower(f: &mut fmt::Formatter<'_>, error: &io::Error) -> fmt::Result {
    let text = error.to_string();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => write!(f, "{}{}", first.to_lowercase(), chars.as_str()),
        None => Ok(()),
    }
}
