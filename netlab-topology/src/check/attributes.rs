//! What can be said of attributes one by one, without knowing the lab.

use crate::diagnostic::{Report, Spanned};
use crate::model::{Firewall, NodeStatement, Statement, WireAttributes};
use crate::name::{IfName, MacAddr};

/// Names that mean something else to the kernel: `lo`, the directories beside those of interfaces in
/// `/proc/sys/net/ipv4/conf`, and the fallback devices that a namespace may begin with
/// (`net.core.fb_tunnels_only_for_init_net`).
const KERNEL_NAMES: [&str; 12] = [
    "lo", "all", "default", "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0",
    "ip6gre0",
];

/// Smallest MTU of an interface with IPv4 (`ETH_MIN_MTU`, RFC 791) and largest of a veth
/// (`ETH_MAX_MTU`, both in `include/uapi/linux/if_ether.h`), in bytes.
const MTU: std::ops::RangeInclusive<u32> = 68..=65535;

/// Smallest MTU with IPv6 (`IPV6_MIN_MTU`, RFC 8200 section 5), in bytes.
pub(super) const MIN_MTU_V6: u32 = 1280;

/// Checks the attributes of every statement. What is missing is not judged in those that are faulty.
pub(super) fn check(statements: &[Statement], faulty: &[bool], report: &mut Report) {
    for (i, statement) in statements.iter().enumerate() {
        let whole = !faulty.get(i).copied().unwrap_or(false);
        match statement {
            Statement::Net(net) => wire(&net.attributes, report),
            Statement::Link(link) => wire(&link.attributes, report),
            Statement::Node(node) => {
                for attachment in &node.attachments {
                    wire(&attachment.attributes, report);
                }
                self::node(node, whole, report);
            }
        }
    }
}

fn wire(attributes: &WireAttributes, report: &mut Report) {
    if let Some(Spanned { value, span }) = attributes.mtu
        && !MTU.contains(&value)
    {
        let label = format!("expected {} to {} bytes", MTU.start(), MTU.end());
        report.error(span, format!("an mtu of {value} is impossible"), label);
    }
    if let Some(Spanned { value, span }) = attributes.mac
        && !value.is_unicast()
    {
        let label = match value {
            MacAddr([0, 0, 0, 0, 0, 0]) => "expected an address that is not zero",
            _ => "the first byte is odd, which makes it a group address",
        };
        report.error(span, format!("`{value}` cannot be the address of an interface"), label);
    }
    if let Some(Spanned { value, span }) = &attributes.dev {
        device_name(value, *span, report);
    }
}

/// Reports a name that no interface of ours can have.
pub(super) fn device_name(name: &str, span: crate::diagnostic::Span, report: &mut Report) -> bool {
    let message = || format!("`{name}` cannot name an interface");
    match IfName::new(name) {
        Err(error) => {
            report.error(span, message(), error.to_string());
            false
        }
        Ok(_) if KERNEL_NAMES.contains(&name) => {
            report.error(span, message(), "the kernel uses that name itself");
            false
        }
        Ok(_) => true,
    }
}

fn node(node: &NodeStatement, whole: bool, report: &mut Report) {
    let name = &node.name.value;
    let attributes = &node.attributes;
    if let Some(forward) = attributes.forward.filter(|_| node.router) {
        report.error(forward.span, "`forward` means nothing on a router", "a router forwards already");
    }
    if let Some(real) = attributes.real.filter(|_| name != "host") {
        report
            .error(
                real.span,
                format!("`{name}` cannot be real"),
                "only the host can be the machine's own network",
            )
            .help("write `node host real`; to move an interface of the machine in, `nic(eth1)=10.1.1.83/24`");
    }
    if let (Some(_), Some(Spanned { value: Firewall::Nft, span })) = (attributes.real, attributes.firewall) {
        report
            .error(span, "the machine's own rules are made with iptables", "its owner looks for them there")
            .help("leave this out, or write `firewall=iptables`");
    }
    if whole && !node.router && attributes.forward.is_none() {
        let nat = attributes.nats.first().map(|nat| ("nat", nat.span));
        let dnat = attributes.dnats.first().map(|dnat| ("dnat", dnat.span));
        let real = if attributes.real.is_some() { " real" } else { "" };
        for (what, span) in nat.into_iter().chain(dnat) {
            report
                .error(
                    span,
                    format!("`{name}` does not forward"),
                    format!("`{what}` acts on what a node forwards"),
                )
                .help(format!("declare it `router {name}{real}`, or add `forward`"));
        }
    }
}
