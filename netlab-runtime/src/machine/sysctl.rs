//! Sysctls of the machine: what they were, and how they become it again.
//!
//! Forwarding is one key that sets many: that of every interface, and in IPv4 whether redirects are accepted
//! (`inet_forward_change` in net/ipv4/devinet.c, `addrconf_forward_change` in net/ipv6/addrconf.c). And a machine that
//! forwards IPv6 no longer listens to router advertisements, by which it may have its own default route, unless told to
//! (`accept_ra` 2, Documentation/networking/ip-sysctl.rst).

use std::collections::BTreeMap;
use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use super::undo::Why;
use crate::kernel::Sysctls;

const FORWARD_V4: &str = "net.ipv4.ip_forward";
const FORWARD_V6: &str = "net.ipv6.conf.all.forwarding";

/// Forwarding of one address family, as it was before it was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Forwarding {
    key: String,
    was: String,
    set: String,
    /// What it sets along: what each was, and what it is set to.
    along: BTreeMap<String, [String; 2]>,
}

/// What setting a key changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing: it is so already, or there is no such key yet, so that it goes with the interface that it is of.
    Nothing,
    /// This key only, which was so.
    One(String),
    /// Many keys.
    Many(Forwarding),
}

/// What setting a key to a value is about to change.
pub(super) fn effect(key: &str, value: &str) -> io::Result<Effect> {
    let mut sysctls = Sysctls::default();
    let was = match sysctls.read(key) {
        Ok(was) => was,
        // For a key that never is, the write says so.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Effect::Nothing),
        Err(error) => return Err(error),
    };
    if key != FORWARD_V4 && key != FORWARD_V6 {
        return Ok(if same(&was, value) { Effect::Nothing } else { Effect::One(was) });
    }
    let family = if key == FORWARD_V4 { "ipv4" } else { "ipv6" };
    let mut along = BTreeMap::new();
    for interface in interfaces(family)? {
        let of = format!("net.{family}.conf.{interface}.forwarding");
        if of != key && !(family == "ipv4" && interface == "all") {
            along.insert(of.clone(), [sysctls.read(&of)?, value.to_owned()]);
        }
    }
    if same(&was, value) && (key == FORWARD_V4 || along.values().all(|[was, set]| was == set)) {
        return Ok(Effect::Nothing);
    }
    if family == "ipv4" {
        let redirects = "net.ipv4.conf.all.accept_redirects";
        let set = if value == "0" { "1" } else { "0" };
        along.insert(redirects.to_owned(), [sysctls.read(redirects)?, set.to_owned()]);
    }
    Ok(Effect::Many(Forwarding { key: key.to_owned(), was, set: value.to_owned(), along }))
}

/// Keys that have to be 2 from now on, and are 1, for the machine to go on as it does when `key` becomes `value`.
pub(super) fn listening_to_routers(key: &str, value: &str) -> io::Result<Vec<String>> {
    if key != FORWARD_V6 || value == "0" {
        return Ok(Vec::new());
    }
    let mut sysctls = Sysctls::default();
    let mut keys = Vec::new();
    for interface in interfaces("ipv6")? {
        let accept = format!("net.ipv6.conf.{interface}.accept_ra");
        let forwards = format!("net.ipv6.conf.{interface}.forwarding");
        let is = |sysctls: &mut Sysctls, key, value| sysctls.read(key).is_ok_and(|now| now == value);
        if !matches!(interface.as_str(), "all" | "default" | "lo")
            && is(&mut sysctls, &accept, "1")
            && is(&mut sysctls, &forwards, "0")
        {
            keys.push(accept);
        }
    }
    Ok(keys)
}

/// The names that a family's `conf` has, as they stand in keys.
fn interfaces(family: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(format!("/proc/sys/net/{family}/conf"))? {
        names.push(entry?.file_name().to_string_lossy().replace('.', "/"));
    }
    names.sort();
    Ok(names)
}

/// Makes a key what it was, unless somebody else changed it meanwhile.
pub(super) fn restore(key: &str, was: &str, set: &str) -> Result<(), Why> {
    let mut sysctls = Sysctls::default();
    let now = match sysctls.read(key) {
        Ok(now) => now,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if same(&now, was) {
        return Ok(());
    }
    if !same(&now, set) {
        return Err(Why::Changed(format!(
            "it is `{now}` now, and was set to `{set}`; before, it was `{was}`"
        )));
    }
    Ok(sysctls.write(key, was)?)
}

impl Forwarding {
    /// Makes it what it was; what somebody else changed meanwhile stays as that one wants it.
    pub(super) fn restore(&self) -> Result<(), Why> {
        let mut sysctls = Sysctls::default();
        let mut wanted = BTreeMap::new();
        for (key, [was, set]) in &self.along {
            match sysctls.read(key) {
                Ok(now) => wanted.insert(key, if now == *set { was.clone() } else { now }),
                // Its interface is gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
        }
        let whole = restore(&self.key, &self.was, &self.set);
        for (key, wanted) in wanted {
            if sysctls.read(key).is_ok_and(|now| now != wanted) {
                sysctls.write(key, &wanted)?;
            }
        }
        whole
    }
}

/// Some have several values, with tabs between them where spaces were written.
fn same(one: &str, other: &str) -> bool {
    one.split_whitespace().eq(other.split_whitespace())
}
