//! What joins a lab to the machine's own network: `real`, `nic(...)`, `port=`, `dev=`.

use std::collections::BTreeMap;

use super::attributes::device_name;
use super::draft::{Draft, Interface, NicDraft};
use super::names::new_interface;
use crate::diagnostic::{Report, Span, Spanned};
use crate::model::{Attachment, Nic, WireAttributes};
use crate::plan::{NicUsage, Wire};

/// Notes the interface of the machine that a net is joined by.
pub(super) fn join(net: usize, draft: &mut Draft<'_>) {
    let uplink = &draft.nets[net].statement.uplink;
    let (name, usage) = match (&uplink.port, &uplink.dev) {
        (Some(port), _) => (port, NicUsage::Plugged { net, takeover: uplink.takeover.is_some() }),
        (None, Some(dev)) => (dev, NicUsage::Shared { net }),
        (None, None) => return,
    };
    let force = uplink.force.is_some();
    draft.nics.push(NicDraft { name, usage, force, end: None, subnets: Vec::new() });
}

/// Gives a node, the first one of its statement, an interface of the machine.
pub(super) fn attach<'t>(nic: &'t Spanned<Nic>, node: usize, draft: &mut Draft<'t>, report: &mut Report) {
    let Nic { name, force, .. } = &nic.value;
    let this = &draft.nodes[node];
    if let Some(count) = this.statement.and_then(|statement| statement.count).filter(|_| node != 0) {
        let label = format!("an array has {} nodes, and the machine one `{}`", count.value, name.value);
        report
            .error(name.span, format!("`{}` cannot be moved into an array", name.value), label)
            .help("declare the node that gets it by itself");
        draft.nodes[node].broken = true;
        return;
    }
    if let Some(real) = this.statement.and_then(|s| s.attributes.real).filter(|_| node == 0) {
        let line = report.line(real.span);
        let label = format!("the host is the machine's own network (`real`, line {line})");
        report
            .error(name.span, format!("`{}` is in the host already", name.value), label)
            .help(format!("to put nodes on what it is wired to, write `net NAME dev={}`", name.value));
        draft.nodes[node].broken = true;
        return;
    }
    let (index, interface) = (draft.nics.len(), this.interfaces.len());
    draft.nodes[node]
        .interfaces
        .push(Interface { nic: Some(&nic.value), ..new_interface(Wire::Nic(index), name.span) });
    draft.nics.push(NicDraft {
        name,
        usage: NicUsage::Moved { node, interface },
        force: force.is_some(),
        end: Some((node, interface)),
        subnets: Vec::new(),
    });
}

/// Checks all that has to do with the machine, but for addresses.
pub(super) fn check(draft: &Draft<'_>, report: &mut Report) {
    names(draft, report);
    for net in 0..draft.nets.len() {
        uplink(draft, net, report);
        attributes(draft, net, report);
    }
}

/// Every interface of the machine is used for one thing.
fn names(draft: &Draft<'_>, report: &mut Report) {
    let mut first: BTreeMap<&str, &NicDraft<'_>> = BTreeMap::new();
    for nic in &draft.nics {
        let Spanned { value: name, span } = nic.name;
        if !device_name(name, *span, report) {
            continue;
        }
        if let Some(other) = first.get(name.as_str()) {
            let line = report.line(other.name.span);
            let label = match other.usage {
                NicUsage::Moved { node, .. } => {
                    format!("line {line} moves it into `{}`", draft.nodes[node].name)
                }
                NicUsage::Plugged { net, .. } => {
                    format!("line {line} plugs it into `{}`", draft.nets[net].statement.name.value)
                }
                NicUsage::Shared { net } => {
                    format!("line {line} says that `{}` is on it", draft.nets[net].statement.name.value)
                }
            };
            report.error(*span, format!("the machine's `{name}` is used twice"), label);
        } else {
            first.insert(name, nic);
        }
    }
}

/// What a net's `port`, `takeover`, `force` and `dev` need of each other.
fn uplink(draft: &Draft<'_>, net: usize, report: &mut Report) {
    let this = &draft.nets[net];
    let uplink = &this.statement.uplink;
    let name = &this.statement.name.value;
    if let (Some(port), Some(dev)) = (&uplink.port, &uplink.dev) {
        report
            .error(
                dev.span,
                format!("`{name}` has a port and a dev"),
                format!("`{}` is a port of its bridge, and with `dev=` a net has no bridge", port.value),
            )
            .help("plug the interface in with `port=`, or leave it where it is with `dev=`");
    }
    // What is missing may be hidden by an error.
    if uplink.port.is_none() && !this.broken {
        for (word, what) in [("takeover", uplink.takeover), ("force", uplink.force)] {
            let Some(what) = what else { continue };
            let (label, help) = match &uplink.dev {
                Some(dev) => (
                    format!("with `dev=`, `{}` stays where it is and keeps all it has", dev.value),
                    format!("leave `{word}` out, or plug the interface in: `port={}`", dev.value),
                ),
                None => (
                    "no interface of the machine is plugged into this net".to_owned(),
                    "write which interface, as in `port=eth1`".to_owned(),
                ),
            };
            report.error(what.span, format!("`{word}` needs a port"), label).help(help);
        }
    }
    if let (Some(port), Some(takeover)) = (&uplink.port, uplink.takeover)
        && !draft.nodes[0].broken
        && !(draft.host_is_real() && draft.host_is_on(net))
    {
        let label =
            format!("the bridge of `{name}` is not in the machine, where `{}` has its addresses", port.value);
        report
            .error(takeover.span, "there is no bridge that could take over", label)
            .help(format!("put the machine itself on the net: `node host real {name}`"));
    }
}

/// Attributes that have nothing to act on.
fn attributes(draft: &Draft<'_>, net: usize, report: &mut Report) {
    let this = &draft.nets[net];
    let Some(nic) = draft.nic_of(net).map(|nic| &nic.name.value) else { return };
    let mut cannot = |what: &str, span: Span, label: String| {
        report.error(span, format!("`{what}` cannot act here"), label);
    };
    let on_net = &this.statement.attributes;
    if let Some(mac) = on_net.mac.filter(|_| this.is_shared()) {
        cannot("mac", mac.span, format!("with `dev={nic}` the net has no bridge"));
    }
    if let Some(mac) = on_net.mac.filter(|_| this.takes_over()) {
        cannot("mac", mac.span, format!("the bridge takes over the address of `{nic}`"));
    }
    let no_offload = |attributes: &WireAttributes| attributes.offload.filter(|on| !on.value);
    let leaves = || format!("what leaves by `{nic}` is finished by that interface, or by its driver");
    if let Some(offload) = no_offload(on_net).filter(|_| this.is_shared()) {
        cannot("offload", offload.span, leaves());
    }
    for &(node, interface) in this.members.iter().filter(|(node, _)| draft.nodes[*node].speaks()) {
        let attachment = draft.nodes[node].interfaces[interface].attachment;
        let Some(Attachment { attributes, .. }) = attachment else { continue };
        let WireAttributes { dev, mtu, mac, offload } = attributes;
        if node == 0 && draft.host_is_real() && this.is_shared() {
            let given = [
                ("dev", dev.as_ref().map(|dev| dev.span)),
                ("mtu", mtu.map(|mtu| mtu.span)),
                ("mac", mac.map(|mac| mac.span)),
                ("offload", offload.map(|offload| offload.span)),
            ];
            for (what, span) in given.into_iter().filter_map(|(what, span)| Some((what, span?))) {
                cannot(what, span, format!("the host is on this net by `{nic}`, which stays as it is"));
            }
        } else if let Some(offload) = no_offload(attributes).filter(|_| this.is_shared()) {
            cannot("offload", offload.span, leaves());
        } else if let Some(mac) = mac.filter(|_| node == 0 && this.takes_over()) {
            cannot("mac", mac.span, format!("the bridge takes over the address of `{nic}`"));
        }
    }
}
