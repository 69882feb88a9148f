//! What is tried in a sandbox, each in a network namespace that ends with it.

use std::io;

use netlab_topology::plan::{Action, Hook, Match, Nft};
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};

use super::check::{Check, Group};
use super::kinds::{self, Kind};
use crate::kernel::{self, NetlinkSocket, Refused};
use crate::sys::{bpf, namespace, tun};

/// Everything. The calling process is a worker.
pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![nf_tables()];
    checks.extend(kinds());
    checks.extend([tun(), bpf()]);
    checks
}

fn tun() -> Check {
    const WHY: &str = "VPNs and userspace stacks make such interfaces";
    match in_a_namespace(tun::make) {
        Ok(()) => Check::ok(Group::Kernel, "tun", WHY),
        Err(error) => {
            let mend = match error.kind() {
                io::ErrorKind::PermissionDenied => "`sudo chmod a+rw /dev/net/tun`",
                _ => "`sudo modprobe tun`; in a container: `--device /dev/net/tun`",
            };
            Check::missing(Group::Kernel, "tun", WHY, mend).found(format!("/dev/net/tun: {}", lower(&error)))
        }
    }
}

/// A system's error as our messages are written.
fn lower(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

/// Runs `work` in a network namespace that ends with it.
fn in_a_namespace<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    namespace::on_thread("netlab-doctor", || {
        namespace::unshare_net()?;
        work()
    })
    .flatten()
}

/// A table, then chains of NAT in it with the rules that labs have: each step takes another module.
fn nf_tables() -> Check {
    const WHY: &str = "routers with `nat` or `dnat` are made of it";
    const MEND: &str = "`sudo modprobe nf_tables nft_chain_nat nft_masq`, or a kernel with CONFIG_NF_TABLES, \
                        CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT and CONFIG_NFT_MASQ";
    let rule = |hook, matches, action| Nft::AddRule { hook, matches, action };
    let address = std::net::Ipv4Addr::new(192, 0, 2, 1).into();
    let steps = [
        ("a table", vec![Nft::AddTable]),
        (
            "a chain of NAT",
            vec![Nft::AddNatChain { hook: Hook::Postrouting }, Nft::AddNatChain { hook: Hook::Prerouting }],
        ),
        ("masquerading", vec![rule(Hook::Postrouting, Vec::new(), Action::Masquerade)]),
        (
            "port forwarding",
            vec![rule(
                Hook::Prerouting,
                vec![Match::ToLocalAddress, Match::DestinationPort(netlab_topology::plan::Proto::Tcp, 80)],
                Action::Dnat { addr: address, port: 80 },
            )],
        ),
    ];
    let tried = in_a_namespace(|| {
        let mut socket = NetlinkSocket::open(NETLINK_NETFILTER)?;
        let refused = steps.iter().find_map(|(what, ops)| {
            let refused = kernel::transaction(&mut socket, ops).err()?;
            Some(format!("{what}: {}", words(&refused)))
        });
        Ok(refused)
    });
    match tried {
        Ok(None) => {
            Check::ok(Group::Firewall, "nf_tables", WHY).found("a table, NAT, masquerading, port forwarding")
        }
        Ok(Some(refused)) => Check::missing(Group::Firewall, "nf_tables", WHY, MEND).found(refused),
        Err(error) => Check::missing(Group::Firewall, "nf_tables", WHY, MEND).found(lower(&error)),
    }
}

/// Queueing disciplines and kinds of interfaces.
fn kinds() -> Vec<Check> {
    let tried = in_a_namespace(|| {
        let mut socket = NetlinkSocket::open(NETLINK_ROUTE)?;
        let base = kinds::base(&mut socket).map_err(|refused| refused.error)?;
        Ok(kinds::all(base).into_iter().map(|kind| judged(&mut socket, kind)).collect())
    });
    tried.unwrap_or_else(|error| {
        let why = "nothing of it could be tried";
        let mend = "see what the system says";
        vec![Check::missing(Group::Interfaces, "veth", why, mend).found(lower(&error)).needed()]
    })
}

fn judged(socket: &mut NetlinkSocket, kind: Kind) -> Check {
    let Kind { group, name, why, module, option, make, remove } = kind;
    let made = socket.batch([make].into_iter());
    let removed = if made.is_ok() {
        remove.map_or(Ok(()), |remove| socket.batch([remove].into_iter()))
    } else {
        Ok(())
    };
    match made.and(removed) {
        Ok(()) => Check::ok(group, name, why),
        Err(refused) => {
            let unknown = matches!(refused.error.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP));
            let mend = format!("`sudo modprobe {module}`, or a kernel with {option}");
            let check = Check::missing(group, name, why, mend);
            if unknown { check } else { check.found(words(&refused)) }
        }
    }
}

fn words(refused: &Refused) -> String {
    match &refused.detail {
        Some(detail) => format!("{} ({detail})", lower(&refused.error)),
        None => lower(&refused.error),
    }
}

fn bpf() -> Check {
    const WHY: &str = "tests of eBPF programs load them";
    match bpf::load_nothing() {
        Ok(()) => Check::ok(Group::Kernel, "eBPF", WHY),
        Err(error) => Check::missing(
            Group::Kernel,
            "eBPF",
            WHY,
            match error.raw_os_error() {
                Some(libc::EPERM) => {
                    "run the tests as root; or, for socket filters only: \
                                      `sudo sysctl -w kernel.unprivileged_bpf_disabled=0`"
                }
                _ => "a kernel with CONFIG_BPF_SYSCALL, or a container that allows `bpf`",
            },
        )
        .found(lower(&error)),
    }
}
