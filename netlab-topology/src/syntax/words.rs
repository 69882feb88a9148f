//! The words of the language: which attribute belongs where, and which are reserved.
//!
//! Invariant: this table is the only place that lists attributes and what is not supported yet.

/// What an attribute can stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Net,
    Link,
    Attachment,
    Node,
    /// Within `nat(...)`.
    Nat,
    /// Within `nic(...)`.
    Nic,
    /// As the value of `firewall=`.
    Firewall,
}

impl On {
    pub fn name(self) -> &'static str {
        match self {
            Self::Net => "a net",
            Self::Link => "a link",
            Self::Attachment => "an attachment",
            Self::Node => "a node",
            Self::Nat => "`nat(...)`",
            Self::Nic => "`nic(...)`",
            Self::Firewall => "`firewall=`",
        }
    }
}

struct Word {
    name: &'static str,
    on: On,
    /// What it will do, when it does nothing yet.
    reserved: Option<&'static str>,
}

const fn known(name: &'static str, on: On) -> Word {
    Word { name, on, reserved: None }
}

const fn reserved(name: &'static str, on: On, will: &'static str) -> Word {
    Word { name, on, reserved: Some(will) }
}

const TABLE: &[Word] = &[
    known("mtu", On::Net),
    known("mac", On::Net),
    known("offload", On::Net),
    known("port", On::Net),
    known("takeover", On::Net),
    known("force", On::Net),
    known("dev", On::Net),
    known("mtu", On::Link),
    known("offload", On::Link),
    known("dev", On::Attachment),
    known("mtu", On::Attachment),
    known("mac", On::Attachment),
    known("offload", On::Attachment),
    known("via", On::Node),
    known("forward", On::Node),
    known("route", On::Node),
    known("addr", On::Node),
    known("nat", On::Node),
    known("dnat", On::Node),
    known("sysctl", On::Node),
    known("firewall", On::Node),
    known("real", On::Node),
    known("nic", On::Node),
    reserved("allow", On::Node, "let packets through the node's firewall"),
    reserved("deny", On::Node, "stop packets at the node's firewall"),
    known("from", On::Nat),
    reserved("full-cone", On::Nat, "map and filter independently of the endpoint (RFC 4787)"),
    reserved("restricted", On::Nat, "filter by address (RFC 4787)"),
    reserved("port-restricted", On::Nat, "filter by address and port (RFC 4787)"),
    reserved("symmetric", On::Nat, "map by address and port (RFC 4787)"),
    reserved("cgnat", On::Nat, "share addresses as carriers do (RFC 6888)"),
    known("force", On::Nic),
    known("nft", On::Firewall),
    known("iptables", On::Firewall),
];

/// Reserved on everything that carries packets.
const IMPAIRMENTS: &[(&str, &str)] = &[
    ("delay", "hold packets back"),
    ("jitter", "vary the delay"),
    ("loss", "lose packets"),
    ("rate", "limit the rate"),
    ("duplicate", "send packets twice"),
    ("reorder", "change the order of packets"),
    ("corrupt", "change bits of packets"),
    ("limit", "limit the queue"),
    ("profile", "apply a named set of impairments"),
    ("up", "act on what the node sends"),
    ("down", "act on what the node receives"),
];

/// What a word is at the place where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// An attribute.
    Attribute,
    /// Not supported yet; what it will do.
    Reserved(&'static str),
    /// An attribute of these instead.
    Misplaced(Vec<On>),
    /// No word of the language.
    Unknown,
}

/// What `name` means on `on`.
pub(crate) fn meaning(name: &str, on: On) -> Meaning {
    let mut elsewhere = Vec::new();
    for word in TABLE.iter().filter(|word| word.name == name) {
        if word.on == on {
            return word.reserved.map_or(Meaning::Attribute, Meaning::Reserved);
        }
        if word.reserved.is_none() && !matches!(word.on, On::Nat | On::Nic | On::Firewall) {
            elsewhere.push(word.on);
        }
    }
    if let Some((_, will)) = IMPAIRMENTS.iter().find(|(word, _)| *word == name) {
        return match on {
            On::Net | On::Link | On::Attachment => Meaning::Reserved(will),
            On::Node => Meaning::Misplaced(vec![On::Net, On::Link, On::Attachment]),
            On::Nat | On::Nic | On::Firewall => Meaning::Unknown,
        };
    }
    if elsewhere.is_empty() { Meaning::Unknown } else { Meaning::Misplaced(elsewhere) }
}

/// The attributes of `on` that work.
pub(crate) fn words_on(on: On) -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(move |word| word.on == on && word.reserved.is_none()).map(|word| word.name)
}

/// The attributes of a node that work.
pub(crate) fn node_words() -> impl Iterator<Item = &'static str> {
    words_on(On::Node)
}

/// Whether a name could be mistaken for an attribute where an attachment may stand.
pub(crate) fn is_word(name: &str) -> bool {
    meaning(name, On::Node) != Meaning::Unknown
}
