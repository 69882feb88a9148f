//! Names of nodes in `/etc/hosts`.

use std::fmt::Write as _;

use netlab_topology::Plan;

/// A line for each address, the loopback's first. The host keeps its own name besides `localhost`.
///
/// One file serves all nodes; a resolver that finds several addresses for a name prefers those it has a route to
/// (RFC 6724, and `getaddrinfo(3)` asks the kernel in the caller's namespace).
pub(super) fn file(plan: &Plan) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    for node in plan.nodes() {
        let wired = node.interfaces.iter().flat_map(|interface| &interface.addrs);
        for addr in wired.chain(&node.loopback) {
            writeln!(text, "{}\t{}", addr.addr(), node.name)
                .expect("a string takes all that is written to it");
        }
    }
    text
}
