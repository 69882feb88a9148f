//! Whether this process may change the machine's own network, and what would let it.
//!
//! The machine is the network namespace that the runner is in. Capabilities count in the user namespace that owns it
//! (`ns_capable` in kernel/capability.c): root of a container, or of `unshare -r`, may be nobody to the network it uses.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::unavailable::{Unavailable, as_root};
use crate::sys::{ioctl, namespace, process};

/// Says whether labs on the machine's own network can be had here.
///
/// # Errors
///
/// What is missing, with the remedy.
pub fn may_change_the_machine() -> Result<(), Unavailable> {
    let machine = namespace::current_net();
    judge(machine.and_then(|machine| owned(machine.as_fd())), process::may_administer_networks())
}

/// Whether a network namespace belongs to this process's user namespace, or to one made within it.
fn owned(network: BorrowedFd<'_>) -> io::Result<bool> {
    match ioctl::owner_of_namespace(network) {
        Ok(_owner) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(false),
        Err(error) => Err(error),
    }
}

fn judge(owned: io::Result<bool>, capable: bool) -> Result<(), Unavailable> {
    const NEEDED: &str = "a lab on the machine's own network takes CAP_NET_ADMIN and CAP_SYS_ADMIN";
    match (owned, capable) {
        (Ok(true), true) => Ok(()),
        (Ok(_), false) => Err(Unavailable::new(format!("{NEEDED}, which this process has not"), as_root())),
        (Ok(false), true) => Err(Unavailable::new(
            format!(
                "{NEEDED} in the user namespace that owns this network, and this process has them only in a user namespace \
                 of its own"
            ),
            format!(
                "leave that user namespace, or give it a network of its own (`unshare -rn`); {}",
                as_root()
            ),
        )),
        (Err(error), _) => Err(Unavailable::new(
            format!("{NEEDED}, and who owns this network cannot be known: {error}"),
            as_root(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_the_command_that_gives_it() {
        assert_eq!(judge(Ok(true), true), Ok(()));
        let ordinary = judge(Ok(false), false).unwrap_err().to_string();
        assert!(
            ordinary.contains("CAP_NET_ADMIN and CAP_SYS_ADMIN, which this process has not"),
            "{ordinary}"
        );
        assert!(ordinary.contains("_RUNNER='sudo -E' cargo test"), "{ordinary}");
        let namespaced = judge(Ok(false), true).unwrap_err().to_string();
        assert!(namespaced.contains("only in a user namespace of its own"), "{namespaced}");
        assert!(judge(Err(io::Error::other("no nsfs")), true).unwrap_err().to_string().contains("no nsfs"));
    }

    #[test]
    fn a_network_made_here_is_owned_here() {
        // Whoever owns the network of this process, asking gives an answer.
        owned(namespace::current_net().unwrap().as_fd()).unwrap();
    }
}
