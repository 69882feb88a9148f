//! The builders of statements.

use std::fmt::Display;

use crate::syntax::{net_of_attachment, nic_text, one_word, plain_or_quoted, sysctl_text};

/// The items of a statement, as text.
#[derive(Clone, Debug)]
struct Items(Vec<String>);

impl Items {
    fn add(mut self, item: impl Into<String>) -> Self {
        self.0.push(item.into());
        self
    }

    fn attribute(self, name: &str, value: impl Display) -> Self {
        self.add(format!("{name}={}", one_word(&value.to_string())))
    }

    fn offload(self, on: bool) -> Self {
        self.attribute("offload", if on { "on" } else { "off" })
    }
}

macro_rules! builder {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        #[must_use = "a builder does nothing unless it is given back"]
        pub struct $name(Items);

        impl $name {
            pub(super) fn new() -> Self {
                Self(Items(Vec::new()))
            }

            pub(super) fn into_text(self) -> String {
                self.0.0.join(" ")
            }
        }
    };
}

builder! {
    /// A net being built.
    NetBuilder
}

builder! {
    /// A link being built.
    LinkBuilder
}

builder! {
    /// A node or router being built, or an array of them.
    NodeBuilder
}

impl NetBuilder {
    /// Its subnet, one of each family at most. Without any, one is chosen.
    pub fn cidr(self, subnet: impl Display) -> Self {
        Self(self.0.add(one_word(&subnet.to_string())))
    }

    /// The largest packet it carries, in bytes.
    pub fn mtu(self, bytes: u32) -> Self {
        Self(self.0.attribute("mtu", bytes))
    }

    /// Makes an interface of the machine a port of its bridge.
    pub fn port(self, nic: impl AsRef<str>) -> Self {
        Self(self.0.add(format!("port={}", plain_or_quoted(nic.as_ref()))))
    }

    /// Gives its bridge the addresses and routes of that interface.
    pub fn takeover(self) -> Self {
        Self(self.0.add("takeover"))
    }

    /// Takes that interface although the machine is reached by it.
    pub fn force(self) -> Self {
        Self(self.0.add("force"))
    }

    /// Says that the net is what an interface of the machine is on.
    pub fn dev(self, nic: impl AsRef<str>) -> Self {
        Self(self.0.add(format!("dev={}", plain_or_quoted(nic.as_ref()))))
    }

    /// The MAC address of its bridge.
    pub fn mac(self, mac: impl Display) -> Self {
        Self(self.0.attribute("mac", mac))
    }

    /// Whether checksums and segmentation are left to the receiver; true unless said.
    pub fn offload(self, on: bool) -> Self {
        Self(self.0.offload(on))
    }
}

impl LinkBuilder {
    /// Its subnet, one of each family at most. Without any, one is chosen.
    pub fn cidr(self, subnet: impl Display) -> Self {
        Self(self.0.add(one_word(&subnet.to_string())))
    }

    /// The largest packet it carries, in bytes.
    pub fn mtu(self, bytes: u32) -> Self {
        Self(self.0.attribute("mtu", bytes))
    }

    /// Whether checksums and segmentation are left to the receiver; true unless said.
    pub fn offload(self, on: bool) -> Self {
        Self(self.0.offload(on))
    }
}

/// An attachment being built.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing unless it is given back"]
pub struct AttachmentBuilder {
    addrs: Vec<String>,
    attributes: Items,
}

impl AttachmentBuilder {
    fn new() -> Self {
        Self { addrs: Vec::new(), attributes: Items(Vec::new()) }
    }

    /// An address: whole, or the host part as `".11"` or `"::b"`. Those of an array count up from it.
    pub fn addr(mut self, addr: impl Display) -> Self {
        self.addrs.push(one_word(&addr.to_string()));
        self
    }

    /// The name of the interface.
    pub fn dev(mut self, name: impl Display) -> Self {
        self.attributes = self.attributes.attribute("dev", name);
        self
    }

    /// The largest packet it takes, in bytes.
    pub fn mtu(mut self, bytes: u32) -> Self {
        self.attributes = self.attributes.attribute("mtu", bytes);
        self
    }

    /// Its MAC address.
    pub fn mac(mut self, mac: impl Display) -> Self {
        self.attributes = self.attributes.attribute("mac", mac);
        self
    }

    /// Whether checksums and segmentation are left to the receiver; true unless said.
    pub fn offload(mut self, on: bool) -> Self {
        self.attributes = self.attributes.offload(on);
        self
    }

    fn into_item(self, net: &str) -> String {
        let mut text = net_of_attachment(net);
        if !self.addrs.is_empty() {
            text.push_str(&format!("={}", self.addrs.join(",")));
        }
        if !self.attributes.0.is_empty() {
            text.push_str(&format!("({})", self.attributes.0.join(" ")));
        }
        text
    }
}

/// An interface of the machine in a node, being built.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing unless it is given back"]
pub struct NicBuilder {
    addrs: Vec<String>,
    force: bool,
}

impl NicBuilder {
    /// An address, with the prefix length of the subnet it is on.
    pub fn addr(mut self, addr: impl Display) -> Self {
        self.addrs.push(one_word(&addr.to_string()));
        self
    }

    /// Takes it although the machine is reached by it.
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }
}

impl NodeBuilder {
    /// Puts it on a net, with addresses that are chosen.
    pub fn on(self, net: impl AsRef<str>) -> Self {
        self.attach(net, |attachment| attachment)
    }

    /// Puts it on a net, with an address: whole, or the host part as `".11"` or `"::b"`.
    pub fn at(self, net: impl AsRef<str>, addr: impl Display) -> Self {
        self.attach(net, |attachment| attachment.addr(addr))
    }

    /// Puts it on a net, with all that can be said about that.
    pub fn attach(
        self,
        net: impl AsRef<str>,
        attachment: impl FnOnce(AttachmentBuilder) -> AttachmentBuilder,
    ) -> Self {
        Self(self.0.add(attachment(AttachmentBuilder::new()).into_item(net.as_ref())))
    }

    /// Its default route: through a router, an address, or `"none"`. At most one of each family.
    pub fn via(self, via: impl Display) -> Self {
        Self(self.0.attribute("via", via))
    }

    /// Makes it forward; a router does anyway.
    pub fn forward(self) -> Self {
        Self(self.0.add("forward"))
    }

    /// A route to a subnet through a node or an address.
    pub fn route(self, destination: impl Display, via: impl Display) -> Self {
        let (destination, via) = (destination.to_string(), via.to_string());
        Self(self.0.add(format!("route({} via={})", one_word(&destination), one_word(&via))))
    }

    /// A route to a subnet that is on the wire of a net.
    pub fn route_on(self, destination: impl Display, net: impl AsRef<str>) -> Self {
        let net = plain_or_quoted(net.as_ref());
        Self(self.0.add(format!("route({} dev={net})", one_word(&destination.to_string()))))
    }

    /// An extra address, on `lo`.
    pub fn addr(self, addr: impl Display) -> Self {
        Self(self.0.attribute("addr", addr))
    }

    /// Masquerades what leaves by a net.
    pub fn nat(self, net: impl AsRef<str>) -> Self {
        Self(self.0.add(format!("nat({})", plain_or_quoted(net.as_ref()))))
    }

    /// Masquerades what comes from a net or subnet and leaves by a net.
    pub fn nat_from(self, net: impl AsRef<str>, from: impl Display) -> Self {
        let (net, from) = (plain_or_quoted(net.as_ref()), one_word(&from.to_string()));
        Self(self.0.add(format!("nat({net} from={from})")))
    }

    /// Passes a port on, as in `dnat("8080/tcp", "web1:80")`.
    pub fn dnat(self, port: impl Display, target: impl Display) -> Self {
        let port = one_word(&port.to_string());
        Self(self.0.add(format!("dnat({port} -> {})", target_text(&target.to_string()))))
    }

    /// Passes a port on for what arrives from a net.
    pub fn dnat_from(self, port: impl Display, target: impl Display, from: impl AsRef<str>) -> Self {
        let (port, from) = (one_word(&port.to_string()), plain_or_quoted(from.as_ref()));
        Self(self.0.add(format!("dnat({port} -> {} from={from})", target_text(&target.to_string()))))
    }

    /// Sets a sysctl under `net.`.
    pub fn sysctl(self, key: impl AsRef<str>, value: impl Display) -> Self {
        Self(self.0.add(sysctl_text(key.as_ref(), &value.to_string())))
    }

    /// Makes it the machine's own network; only the host can be.
    pub fn real(self) -> Self {
        Self(self.0.add("real"))
    }

    /// Moves an interface of the machine into it.
    pub fn nic(self, name: impl AsRef<str>) -> Self {
        self.nic_with(name, |nic| nic)
    }

    /// Moves an interface of the machine into it, with an address such as `"10.1.1.83/24"`.
    pub fn nic_at(self, name: impl AsRef<str>, addr: impl Display) -> Self {
        self.nic_with(name, |nic| nic.addr(addr))
    }

    /// Moves an interface of the machine into it, with all that can be said about that.
    pub fn nic_with(self, name: impl AsRef<str>, nic: impl FnOnce(NicBuilder) -> NicBuilder) -> Self {
        let NicBuilder { addrs, force } = nic(NicBuilder { addrs: Vec::new(), force: false });
        Self(self.0.add(nic_text(name.as_ref(), force, &addrs)))
    }

    /// What its rules are made with: `"nft"` or `"iptables"`.
    pub fn firewall(self, name: impl Display) -> Self {
        Self(self.0.attribute("firewall", name))
    }
}

/// A target with an IPv6 address in brackets, or any other as one word.
fn target_text(target: &str) -> String {
    match target.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((addr, port)) => {
            let port = if port.is_empty() { String::new() } else { one_word(port) };
            format!("[{}]{port}", one_word(addr))
        }
        None => one_word(target),
    }
}
