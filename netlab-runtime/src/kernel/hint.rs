//! The way out of the refusals that are known.
//!
//! Kernel versions: masquerade and DNAT in the `inet` family came with 5.2 (`nft_masq`, `nft_nat`: "add inet support"),
//! `close_range`, which a sandbox is born with, in 5.9.

use std::io;

use netlab_topology::plan::{Action, Nft, Op};

use super::linux::DESCRIPTORS;

/// What to do about `error` of `op` in a lab of `places` namespaces.
pub(super) fn of(op: &Op, error: &io::Error, places: usize) -> Option<String> {
    if let Some(hint) = of_descriptors(error, places) {
        return Some(hint);
    }
    let errno = error.raw_os_error()?;
    match (op, errno) {
        (Op::AddNamespace { .. }, libc::ENOSPC) => Some(format!(
            "the limit of network namespaces is reached and this lab needs {places}: raise it with \
             `sysctl -w user.max_net_namespaces=N`, in the user namespace that this one was made in too"
        )),
        (Op::AddNamespace { .. }, libc::EPERM) => Some(
            "making namespaces needs CAP_SYS_ADMIN, which a sandbox has in its own user namespace: run the test through \
             netlab's runner, or as root"
                .to_owned(),
        ),
        (Op::AddNamespace { .. }, libc::EINVAL) => {
            Some("this kernel has no network namespaces: it needs CONFIG_NET_NS".to_owned())
        }
        (Op::AddVeth { .. }, libc::EOPNOTSUPP) => Some(needs("veth", "CONFIG_VETH")),
        (Op::AddBridge { .. }, libc::EOPNOTSUPP) => Some(needs("bridge", "CONFIG_BRIDGE")),
        (Op::AddVeth { master: Some(_), .. }, libc::EXFULL) => {
            Some("a bridge has at most 1023 ports (`BR_MAX_PORTS`): spread the nodes over several nets".to_owned())
        }
        (Op::AddAddress { addr, .. }, libc::EOPNOTSUPP | libc::EACCES | libc::EAFNOSUPPORT) if addr.addr().is_ipv6() => {
            Some("this kernel runs without IPv6: boot it without `ipv6.disable=1`, or leave IPv6 out of the topology".to_owned())
        }
        (Op::SetSysctl { key, .. }, libc::ENOENT) => Some(missing_sysctl(key)),
        (Op::SetSysctl { .. }, libc::EROFS) => Some(
            "this container has `/proc/sys` read-only, and parts of `/proc` masked, which a user namespace cannot undo: start it with \
             `--security-opt systempaths=unconfined` (Podman: `unmask=ALL`) or `--privileged`, or run the tests as its root"
                .to_owned(),
        ),
        (Op::Nft(change), libc::ENOENT | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::EINVAL) => {
            Some(missing_nft(change))
        }
        (_, libc::EPERM) => Some(
            "this needs CAP_NET_ADMIN, which a sandbox has in its own user namespace: run the test through netlab's runner, \
             or as root; in a container root has it with `--cap-add NET_ADMIN`"
                .to_owned(),
        ),
        _ => None,
    }
}

/// What to do when descriptors run out in a lab of `places` namespaces.
pub(super) fn of_descriptors(error: &io::Error, places: usize) -> Option<String> {
    let needed = places * DESCRIPTORS;
    match error.raw_os_error()? {
        libc::EMFILE => {
            let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
            let limit = limit.map_or_else(|_unknown| "unknown".to_owned(), |(soft, _hard)| soft.to_string());
            Some(format!(
                "this lab holds {needed} descriptors open ({DESCRIPTORS} for each of {places} namespaces) and the process \
                 may have {limit}: raise the limit with `ulimit -Hn {}` or more",
                (needed + 256).next_power_of_two()
            ))
        }
        libc::ENFILE => Some(format!(
            "the machine has no descriptors left and this lab needs {needed}: raise the limit with `sysctl -w fs.file-max=N`"
        )),
        _ => None,
    }
}

fn needs(module: &str, option: &str) -> String {
    format!("this kernel lacks `{module}`: load it as root with `modprobe {module}`, or enable {option}")
}

fn missing_sysctl(key: &str) -> String {
    if key.starts_with("net.ipv6.") && !std::path::Path::new("/proc/sys/net/ipv6").exists() {
        "this kernel runs without IPv6: boot it without `ipv6.disable=1`, or leave IPv6 out of the topology"
            .to_owned()
    } else {
        format!("this kernel has no `{key}`, or not in a network namespace: see `sysctl -a` in one")
    }
}

fn missing_nft(change: &Nft) -> String {
    let (what, modules, options) = match change {
        Nft::AddTable => ("nf_tables", "nf_tables", "CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET"),
        Nft::AddNatChain { .. } => ("NAT in nf_tables", "nft_chain_nat", "CONFIG_NFT_NAT"),
        Nft::AddRule { action: Action::Accept, .. } => {
            ("rules in nf_tables", "nf_tables", "CONFIG_NF_TABLES")
        }
        Nft::AddRule { action: Action::Masquerade, .. } => {
            ("masquerade in nf_tables", "nft_masq nft_chain_nat", "CONFIG_NFT_MASQ")
        }
        Nft::AddRule { action: Action::Dnat { .. }, .. } => {
            ("DNAT in nf_tables", "nft_nat nft_fib_inet", "CONFIG_NFT_NAT and CONFIG_NFT_FIB_INET")
        }
    };
    format!(
        "this kernel lacks {what}, which takes Linux 5.2 or newer with {options}: load it as root with \
         `modprobe -a {modules}`"
    )
}
