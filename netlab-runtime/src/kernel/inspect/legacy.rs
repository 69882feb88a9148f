//! What `iptables-legacy` has (`CONFIG_NETFILTER_XTABLES_LEGACY`), which nf_tables knows nothing of.

use std::fs;
use std::io;

/// The families, and where the kernel lists their tables (`net/netfilter/x_tables.c`, `xt_proto_init`).
const LISTS: [(&str, &str); 2] =
    [("ip", "/proc/thread-self/net/ip_tables_names"), ("ip6", "/proc/thread-self/net/ip6_tables_names")];

/// The tables of `iptables-legacy` and `ip6tables-legacy` in the calling thread's namespace, as in `ip filter`. One is there as soon
/// as anybody has looked at it, also without rules.
///
/// The kernel lists them for root of the user namespace; of a network namespace that was made in one step with its user namespace,
/// as that of the host in a sandbox with one user, for nobody (`proc_set_user` finds no such root yet). Then the one entry says so.
pub(crate) fn legacy_tables() -> io::Result<Vec<String>> {
    let mut tables = Vec::new();
    for (family, list) in LISTS {
        match fs::read_to_string(list) {
            Ok(names) => tables.extend(names.lines().map(|name| format!("{family} {name}"))),
            // A kernel without them.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                tables.push(format!("{family} (not listed by the kernel here)"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(tables)
}
