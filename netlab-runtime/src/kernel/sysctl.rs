//! Sysctls of a network namespace, as files under `/proc/sys`.
//!
//! The kernel resolves `/proc/sys/net` by the namespace of the thread that opens a file (`net_ctl_header_lookup` in
//! `net/sysctl_net.c`): the caller has to be in the right one.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

/// The sysctls of the namespace that the calling thread is in, for several accesses to them.
///
/// It keeps the directories `net/ipv4` and `net/ipv6` open: in their parent directory the entries of all namespaces stand
/// side by side under the same name, and looking one up goes through them all (`proc_sys_compare`).
#[derive(Debug, Default)]
pub(crate) struct Sysctls {
    families: Vec<(PathBuf, OwnedFd)>,
}

impl Sysctls {
    /// Sets `key` (`sysctl -w key=value`).
    ///
    /// A bridge setting that is missing is already what a lab wants: only the module `br_netfilter` has them, and without
    /// it no bridged frame sees the firewall.
    ///
    /// # Errors
    ///
    /// `ENOENT` for a key this kernel has not, `EINVAL` for a value it does not take.
    pub(crate) fn write(&mut self, key: &str, value: &str) -> io::Result<()> {
        match self.open(key, OFlag::O_WRONLY) {
            Ok(mut file) => file.write_all(value.as_bytes()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && key.starts_with("net.bridge.") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// As [`write`](Self::write), without writing what is so already, where writing is dear.
    ///
    /// Forwarding and IPv6 as a whole are changed under the lock of all network configuration, and a writer who does not
    /// get it at once tries again without sleeping (`restart_syscall` in `ipv4_sysctl_forward`,
    /// `addrconf_fixup_forwarding` and `addrconf_disable_ipv6`): with namespaces being made on another processor, most of a
    /// star's time would go there. Reading takes no lock. A new namespace mostly has these values; which it has depends on
    /// the machine (`net.core.devconf_inherit_init_net`).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub(crate) fn ensure(&mut self, key: &str, value: &str) -> io::Result<()> {
        // The other key that writing this one sets as well. IPv4's does so only when it changes itself.
        let other = match key {
            "net.ipv4.ip_forward" => key,
            "net.ipv6.conf.all.forwarding" => "net.ipv6.conf.default.forwarding",
            "net.ipv6.conf.all.disable_ipv6" => "net.ipv6.conf.default.disable_ipv6",
            _ => return self.write(key, value),
        };
        if self.read(key)? == value && (other == key || self.read(other)? == value) {
            return Ok(());
        }
        self.write(key, value)
    }

    /// The value of `key` (`sysctl -n key`), without the line's end.
    ///
    /// # Errors
    ///
    /// `ENOENT` for a key this kernel has not.
    pub(crate) fn read(&mut self, key: &str) -> io::Result<String> {
        let mut file = self.open(key, OFlag::O_RDONLY)?;
        // One read gives a value whole or cut (`proc_sys_call_handler`), and no value is longer than a page.
        let mut buffer = [0; 4096];
        let length = file.read(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned())
    }

    fn open(&mut self, key: &str, flags: OFlag) -> io::Result<File> {
        let path = path(key);
        let flags = flags | OFlag::O_CLOEXEC;
        let mut parts = path.iter();
        let family: PathBuf = parts.by_ref().take(2).collect();
        let rest = parts.as_path();
        if rest.as_os_str().is_empty() || !(family.ends_with("ipv4") || family.ends_with("ipv6")) {
            return Ok(open(&Path::new(ROOT).join(path), flags, Mode::empty())?.into());
        }
        let known = self.families.iter().position(|(of, _)| *of == family);
        let index = match known {
            Some(index) => index,
            None => {
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                let directory = open(&Path::new(ROOT).join(&family), flags, Mode::empty())?;
                self.families.push((family, directory));
                self.families.len() - 1
            }
        };
        Ok(openat(&self.families[index].1, rest, flags, Mode::empty())?.into())
    }
}

const ROOT: &str = "/proc/sys";

/// The file of a key below `/proc/sys`: dots separate, and a `/` stands for a dot within a name, as for `sysctl(8)`.
fn path(key: &str) -> PathBuf {
    let swapped: String = key
        .chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            other => other,
        })
        .collect();
    // A leading slash would lead out of `/proc/sys`.
    PathBuf::from(swapped.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::{Sysctls, path};

    #[test]
    fn a_slash_stands_for_a_dot_in_an_interface_name() {
        assert_eq!(path("net.ipv4.conf.eth0/7.rp_filter").to_str(), Some("net/ipv4/conf/eth0.7/rp_filter"));
    }

    #[test]
    fn keys_are_read_in_and_outside_the_families() {
        let mut sysctls = Sysctls::default();
        assert!(["0", "1"].contains(&sysctls.read("net.ipv4.ip_forward").unwrap().as_str()));
        assert!(!sysctls.read("net.ipv4.conf.all.rp_filter").unwrap().is_empty());
        assert!(!sysctls.read("kernel.ostype").unwrap().is_empty());
        assert_eq!(sysctls.families.len(), 1);
        assert_eq!(sysctls.read("net.ipv4.nonsense").unwrap_err().kind(), std::io::ErrorKind::NotFound);
        // Missing without br_netfilter, which is as good as off.
        sysctls.write("net.bridge.no-such-key", "0").unwrap();
    }
}
