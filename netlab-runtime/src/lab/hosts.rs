//! Names of nodes in `/etc/hosts`.

use std::fmt::Write as _;

use netlab_topology::Plan;

/// The loopback's names, then those of the nodes.
///
/// One file serves all nodes; a resolver that finds several addresses for a name prefers those it has a route to
/// (RFC 6724: `getaddrinfo(3)` asks the kernel in the caller's namespace).
pub(super) fn file(plan: &Plan) -> String {
    format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{}", nodes(plan))
}

/// A line for each address of each node.
pub(super) fn nodes(plan: &Plan) -> String {
    let mut text = String::new();
    for entry in plan.hosts() {
        writeln!(text, "{entry}").expect("a string takes all that is written to it");
    }
    text
}
