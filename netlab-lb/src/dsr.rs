//! A backend that answers past its balancer.

use std::net::IpAddr;

use netlab_runtime::lab::{LabError, Node};

/// Makes a node a backend that answers past its balancer (direct server return, or direct routing): it takes what comes for the
/// service's address, answers from it, and keeps silent when its neighbours ask who has it. That is the balancer's to answer: a backend
/// that does gets requests that the balancer never sees. Call it once for each address of the service.
///
/// What it does, in this order, so that the address is never there and asked for without the rest:
///
/// | by hand | why |
/// |---|---|
/// | `sysctl -w net.ipv4.conf.all.arp_ignore=1` | no ARP request is answered but for addresses of the interface it came in by; that on `lo` is none |
/// | `sysctl -w net.ipv4.conf.all.arp_announce=2` | its own ARP requests, such as for the client it answers, say another address of its own; with the service's in them, whoever hears them takes this node for it |
/// | `sysctl -w net.ipv4.conf.{all,IF}.rp_filter=0` | requests are taken also where the way back to the client leaves by another interface than they came in by |
/// | `ip addr add VIP/32 dev lo` (IPv6: `/128`) | packets to it are the node's own |
///
/// The first three are for IPv4 alone. IPv6 has no such settings and needs none: a neighbour solicitation is answered only for an
/// address that the interface has by which it came (`ndisc_recv_ns` in `net/ipv6/ndisc.c` looks it up on that device), and the
/// address is on `lo`, where no duplicates are looked for either. On any other interface of the backend it would be answered for.
///
/// Sources: `arp_ignore`, `arp_announce` and `rp_filter` in the kernel's `Documentation/networking/ip-sysctl.rst`, by which the larger of
/// `all` and the interface's own value counts (so nothing has to be set for `lo`, as recipes have it: no request comes in by it); the LVS
/// HOWTO's chapter on the ARP problem, for which the two were made.
///
/// The prefix is the whole address: with a shorter one, the node would take all of that net for its own.
///
/// ```no_run
/// # use netlab_runtime::lab::Node;
/// # fn example(web: [Node; 3]) -> netlab_runtime::error::Result {
/// for backend in &web {
///     netlab_lb::dsr(backend, [10, 1, 0, 80])?;
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// A setting is refused; the node has the address already; it is the machine itself, of which nothing is changed.
///
/// # Teardown
///
/// It goes with the lab.
pub fn dsr(node: &Node, vip: impl Into<IpAddr>) -> Result<(), LabError> {
    let vip = vip.into();
    // The machine's addresses are refused, and so its settings are left alone.
    if vip.is_ipv4() && !node.is_the_machine() {
        node.set_sysctl("net.ipv4.conf.all.arp_ignore", 1)?;
        node.set_sysctl("net.ipv4.conf.all.arp_announce", 2)?;
        node.set_sysctl("net.ipv4.conf.all.rp_filter", 0)?;
        for interface in node.ifaces()?.iter().filter(|interface| !interface.loopback) {
            // A dot in a key is a separator, and a dot in a name is written as a slash (sysctl(8)).
            let name = interface.name.replace('.', "/");
            node.set_sysctl(&format!("net.ipv4.conf.{name}.rp_filter"), 0)?;
        }
    }
    node.add_address("lo", vip)
}
