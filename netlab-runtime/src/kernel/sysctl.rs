//! Sysctls of the calling thread's network namespace, as files under `/proc/sys`.
//!
//! The kernel resolves `/proc/sys/net` by the namespace of the thread that opens a file (`net_ctl_header_lookup` in
//! `net/sysctl_net.c`): the caller has to be in the right one.

use std::fs;
use std::io;
use std::path::PathBuf;

/// Sets `key` (`sysctl -w key=value`).
///
/// A bridge setting that is missing is already what a lab wants: only the module `br_netfilter` has them, and without
/// it no bridged frame sees the firewall.
///
/// # Errors
///
/// `ENOENT` for a key this kernel has not, `EINVAL` for a value it does not take.
pub(crate) fn write(key: &str, value: &str) -> io::Result<()> {
    match fs::write(path(key), value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && key.starts_with("net.bridge.") => Ok(()),
        outcome => outcome,
    }
}

/// The value of `key` (`sysctl -n key`), without the line's end.
///
/// # Errors
///
/// `ENOENT` for a key this kernel has not.
pub(crate) fn read(key: &str) -> io::Result<String> {
    let mut value = fs::read_to_string(path(key))?;
    value.truncate(value.trim_end().len());
    Ok(value)
}

/// The file of a key: dots separate, and a `/` stands for a dot within a name, as for `sysctl(8)`.
fn path(key: &str) -> PathBuf {
    let swapped: String = key
        .chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            other => other,
        })
        .collect();
    PathBuf::from("/proc/sys").join(swapped)
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn a_slash_stands_for_a_dot_in_an_interface_name() {
        assert_eq!(
            path("net.ipv4.conf.eth0/7.rp_filter").to_str(),
            Some("/proc/sys/net/ipv4/conf/eth0.7/rp_filter")
        );
    }
}
