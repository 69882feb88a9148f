//! The sysctls a user sets: which keys there can be, and when they can be set.

use std::collections::BTreeSet;

use super::draft::{Draft, Interface, Sysctls};
use crate::diagnostic::{Report, enumerate};
use crate::model::Sysctl;
use crate::name::IfName;
use crate::plan::{Family, device_of_key};

/// Sorts the sysctls of every node.
pub(super) fn resolve(draft: &mut Draft<'_>, report: &mut Report) {
    let mut quiet = report.quiet();
    for node in &mut draft.nodes {
        let Some(statement) = node.statement else { continue };
        let report = if node.speaks() { &mut *report } else { &mut quiet };
        let mut sysctls = Sysctls::default();
        let mut seen = BTreeSet::new();
        for sysctl in &statement.attributes.sysctls {
            let Sysctl { key, value } = &sysctl.value;
            if !seen.insert(&key.value) {
                report.error(key.span, format!("`{}` is set twice", key.value), "once is enough");
                continue;
            }
            if let Some(fault) = fault(&key.value) {
                report.error(key.span, format!("`{}` cannot be set", key.value), fault);
                continue;
            }
            if value.value.contains(char::is_control) {
                report.error(value.span, "this value cannot be set", "expected one line of text");
                continue;
            }
            let device = device_of_key(&key.value);
            let of_kernel = device.as_deref().is_none_or(|device| matches!(device, "all" | "default" | "lo"));
            // Which interfaces the machine has is known when the lab is built.
            let found = node.interfaces.iter().find(|i| device.as_deref() == i.name().map(IfName::as_str));
            if !of_kernel && !node.is_real() && found.is_none() {
                if !node.broken {
                    let names: Vec<&str> =
                        node.interfaces.iter().filter_map(|i| Some(i.name()?.as_str())).collect();
                    let label = match names.is_empty() {
                        true => format!("`{}` is on no net", node.name),
                        false => format!("interfaces here: {}", enumerate(names)),
                    };
                    report.error(key.span, format!("`{}` has no such interface", node.name), label);
                }
                continue;
            }
            if key.value.starts_with("net.ipv6.")
                && key.value.ends_with(".disable_ipv6")
                && value.value == "1"
            {
                let has_v6 = |interface: &Interface<'_>| interface.addr(Family::V6).is_some();
                let impossible = match found {
                    Some(interface) => has_v6(interface),
                    None => device.as_deref() != Some("lo") && node.interfaces.iter().any(has_v6),
                };
                if impossible {
                    let label = "this makes its IPv6 addresses impossible";
                    report.error(sysctl.span, format!("`{}` has IPv6 addresses", node.name), label);
                    continue;
                }
            }
            let list = if found.is_none() { &mut sysctls.early } else { &mut sysctls.late };
            list.push((key.value.clone(), value.value.clone()));
        }
        node.sysctls = sysctls;
    }
}

/// Why a key cannot be set, if so.
fn fault(key: &str) -> Option<&'static str> {
    if !key.starts_with("net.") {
        return Some("only keys under `net.` belong to a namespace");
    }
    let whole = key.split('.').all(|part| !part.is_empty() && !part.split('/').all(str::is_empty));
    let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-' | '_' | '~'));
    (!whole || !plain).then_some("expected words with dots between, as in `net.ipv4.ip_forward`")
}
