//! Attributes of nets, links, attachments and nodes.

use std::net::IpAddr;

use super::parser::{Parsed, Parser};
use super::token::{Kind, Token};
use super::values;
use super::words::{Meaning, On, meaning, words_on};
use crate::diagnostic::{Span, Spanned, suggestion};
use crate::model::{
    Dnat, Firewall, Hop, Nat, Nic, NodeAttributes, Origin, Route, Sysctl, Target, Uplink, Via, WireAttributes,
};

impl<'s> Parser<'_, 's> {
    /// Whether a word is an attribute of `on`; an error when it is one only elsewhere, or not yet.
    fn is_attribute(&mut self, word: &Token<'s>, on: On) -> Parsed<bool> {
        match meaning(&word.text, on) {
            Meaning::Attribute => Ok(true),
            Meaning::Unknown => Ok(false),
            Meaning::Reserved(will) => self.fail(
                word.span,
                format!("`{}` is not supported yet", word.text),
                format!("it will {will}"),
            ),
            Meaning::Misplaced(on_others) => {
                let others: Vec<&str> = on_others.iter().map(|on| on.name()).collect();
                let message = format!("`{}` means nothing on {}", word.text, on.name());
                self.fail(word.span, message, format!("it belongs on {}", others.join(" or ")))
            }
        }
    }

    /// Puts a value where it belongs, once.
    fn set<T>(&mut self, slot: &mut Option<Spanned<T>>, name: &Token<'s>, value: Spanned<T>) -> Parsed<()> {
        if slot.is_some() {
            return self.fail(name.span, format!("`{}` is given twice", name.text), "once is enough");
        }
        *slot = Some(value);
        Ok(())
    }

    /// An attribute of what carries packets, all of which have the form `NAME=VALUE`.
    pub(super) fn wire_attribute(&mut self, on: On, attributes: &mut WireAttributes) -> Parsed<()> {
        let word = self.text("an attribute")?;
        if word.kind == Kind::Quoted || !self.is_attribute(&word, on)? {
            let label = suggestion(&format!("attributes of {}", on.name()), &word.text, words_on(on));
            return self.fail(word.span, format!("unknown attribute `{}`", word.text), label);
        }
        self.expect(Kind::Equals, &format!("`=`, as in `{}=...`", word.text))?;
        match &*word.text {
            "dev" => {
                let value = self.name("the name of an interface")?;
                self.set(&mut attributes.dev, &word, value)
            }
            "mtu" => {
                let value =
                    self.value("a size", |text| values::number(text, "the largest packet in bytes"))?;
                self.set(&mut attributes.mtu, &word, value)
            }
            "mac" => {
                let value = self.value("a MAC address", |text| {
                    text.parse().map_err(|error: crate::name::MacAddrError| error.to_string())
                })?;
                self.set(&mut attributes.mac, &word, value)
            }
            _ => {
                let value = self.value("`on` or `off`", |text| match text {
                    "on" => Ok(true),
                    "off" => Ok(false),
                    _ => Err("expected `on` or `off`".to_owned()),
                })?;
                self.set(&mut attributes.offload, &word, value)
            }
        }
    }

    /// `port=IF`, `dev=IF`, `takeover` or `force`, of a net.
    pub(super) fn uplink(&mut self, uplink: &mut Uplink) -> Parsed<()> {
        let word = self.next();
        let flag = Spanned::new((), word.span);
        match &*word.text {
            "takeover" => self.set(&mut uplink.takeover, &word, flag),
            "force" => self.set(&mut uplink.force, &word, flag),
            name => {
                let slot = if name == "port" { &mut uplink.port } else { &mut uplink.dev };
                self.expect(Kind::Equals, &format!("`=`, as in `{name}=eth1`"))?;
                let value = self.name("the name of an interface of the machine")?;
                self.set(slot, &word, value)
            }
        }
    }

    /// An attribute of a node, whose word has been read; no attribute is a net.
    pub(super) fn node_attribute(
        &mut self,
        word: &Token<'s>,
        attributes: &mut NodeAttributes,
    ) -> Parsed<bool> {
        if !self.is_attribute(word, On::Node)? {
            return Ok(false);
        }
        match &*word.text {
            "real" => self.set(&mut attributes.real, word, Spanned::new((), word.span))?,
            "nic" => {
                let nic = self.nic(word)?;
                attributes.nics.push(nic);
            }
            "forward" => self.set(&mut attributes.forward, word, Spanned::new((), word.span))?,
            "via" => {
                self.expect(Kind::Equals, "`=`, as in `via=gw`")?;
                let token = self.text("a router, an address or `none`")?;
                let via = match token.text.parse::<IpAddr>() {
                    Ok(addr) if token.kind == Kind::Word => Via::Addr(addr),
                    _ if token.kind == Kind::Word && token.text == "none" => Via::None,
                    _ => Via::Node(token.text.into_owned()),
                };
                attributes.vias.push(Spanned::new(via, token.span));
            }
            "addr" => {
                self.expect(Kind::Equals, "`=`, as in `addr=8.8.8.8/32`")?;
                loop {
                    attributes.addrs.push(self.value("an address", values::addr_or_subnet)?);
                    if self.eat(Kind::Comma).is_none() {
                        break;
                    }
                }
            }
            "firewall" => {
                self.expect(Kind::Equals, "`=`, as in `firewall=nft`")?;
                let token = self.text("`nft` or `iptables`")?;
                if !self.is_attribute(&token, On::Firewall)? {
                    let label = "expected `nft` or `iptables`";
                    return self.fail(token.span, format!("unknown firewall `{}`", token.text), label);
                }
                let firewall = if token.text == "iptables" { Firewall::Iptables } else { Firewall::Nft };
                self.set(&mut attributes.firewall, word, Spanned::new(firewall, token.span))?;
            }
            "route" => {
                let route = self.in_parentheses(word, Self::route)?;
                attributes.routes.push(route);
            }
            "nat" => {
                let nat = self.in_parentheses(word, Self::nat)?;
                attributes.nats.push(nat);
            }
            "dnat" => {
                let dnat = self.in_parentheses(word, Self::dnat)?;
                attributes.dnats.push(dnat);
            }
            _ => {
                let sysctl = self.in_parentheses(word, Self::sysctl)?;
                attributes.sysctls.push(sysctl);
            }
        }
        Ok(true)
    }

    /// `nic(eth1)`, `nic(eth1 force)=10.1.1.83/24,2001:db8::53/64`
    fn nic(&mut self, word: &Token<'s>) -> Parsed<Spanned<Nic>> {
        let mut nic = self.in_parentheses(word, |this, _word| {
            let name = this.name("the name of an interface of the machine")?;
            let mut nic = Nic { name, force: None, addrs: Vec::new() };
            while matches!(this.peek().kind, Kind::Word | Kind::Quoted) {
                let word = this.next();
                if word.kind == Kind::Quoted || !this.is_attribute(&word, On::Nic)? {
                    let label = suggestion("attributes", &word.text, words_on(On::Nic));
                    return this.fail(word.span, format!("unknown attribute `{}`", word.text), label);
                }
                this.set(&mut nic.force, &word, Spanned::new((), word.span))?;
            }
            Ok(nic)
        })?;
        if self.eat(Kind::Equals).is_some() {
            loop {
                let addr = self.value("an address", values::addr_with_prefix)?;
                nic.span = nic.span.to(addr.span);
                nic.value.addrs.push(addr);
                if self.eat(Kind::Comma).is_none() {
                    break;
                }
            }
        }
        Ok(nic)
    }

    fn in_parentheses<T>(
        &mut self,
        word: &Token<'s>,
        inner: impl FnOnce(&mut Self, Span) -> Parsed<T>,
    ) -> Parsed<Spanned<T>> {
        self.expect(Kind::Open, &format!("`(`, as in `{}(...)`", word.text))?;
        let value = inner(self, word.span)?;
        let end = self.expect(Kind::Close, "`)`")?;
        Ok(Spanned::new(value, word.span.to(end)))
    }

    fn route(&mut self, _word: Span) -> Parsed<Route> {
        let destination = self.value("a subnet", |text| match text {
            "default" => Err("the default route is `via=`, outside `route`".to_owned()),
            _ => values::addr_or_subnet(text).or_else(|_wrong| values::subnet(text)),
        })?;
        let key = self.text("`via=` or `dev=`")?;
        if !matches!((key.kind, &*key.text), (Kind::Word, "via" | "dev")) {
            let label = "expected `via=` with a node or an address, or `dev=` with a net";
            return self.fail(key.span, format!("unexpected `{}`", key.text), label);
        }
        self.expect(Kind::Equals, "`=`")?;
        let token = self.text("a node, an address or a net")?;
        let hop = match token.text.parse::<IpAddr>() {
            _ if key.text == "dev" => Hop::Wire(token.text.into_owned()),
            Ok(addr) if token.kind == Kind::Word => Hop::Addr(addr),
            _ => Hop::Node(token.text.into_owned()),
        };
        Ok(Route { destination, hop: Spanned::new(hop, token.span) })
    }

    fn nat(&mut self, _word: Span) -> Parsed<Nat> {
        let net = self.name("the net that packets leave by")?;
        let mut nat = Nat { net, from: None };
        while matches!(self.peek().kind, Kind::Word | Kind::Quoted) {
            let word = self.next();
            if word.kind == Kind::Quoted || !self.is_attribute(&word, On::Nat)? {
                let label = suggestion("attributes", &word.text, words_on(On::Nat));
                return self.fail(word.span, format!("unknown attribute `{}`", word.text), label);
            }
            self.expect(Kind::Equals, "`=`, as in `from=lan`")?;
            let token = self.text("a net or a subnet")?;
            let from = match token.text.parse() {
                Ok(subnet) if token.kind == Kind::Word => Origin::Subnet(subnet),
                _ => Origin::Net(token.text.into_owned()),
            };
            self.set(&mut nat.from, &word, Spanned::new(from, token.span))?;
        }
        Ok(nat)
    }

    fn dnat(&mut self, _word: Span) -> Parsed<Dnat> {
        let port = self.value("a port with its protocol", values::port_and_proto)?;
        let (port, proto) = (Spanned::new(port.value.0, port.span), port.value.1);
        self.expect(Kind::Arrow, "`->`, as in `dnat(8080/tcp -> web:80)`")?;
        let (target, target_port) = self.target()?;
        let mut dnat = Dnat { port, proto, target, target_port, from: None };
        while matches!(self.peek().kind, Kind::Word | Kind::Quoted) {
            let word = self.next();
            if word.kind == Kind::Quoted || word.text != "from" {
                let label = "expected `from=` with a net, or `)`";
                return self.fail(word.span, format!("unknown attribute `{}`", word.text), label);
            }
            self.expect(Kind::Equals, "`=`, as in `from=wan`")?;
            let from = self.name("a net")?;
            self.set(&mut dnat.from, &word, from)?;
        }
        Ok(dnat)
    }

    /// `NODE`, `NODE:PORT`, `192.0.2.1:80`, `[2001:db8::1]:80`
    fn target(&mut self) -> Parsed<(Spanned<Target>, Option<Spanned<u16>>)> {
        if let Some(open) = self.eat(Kind::OpenBracket) {
            let addr = self.value("an IPv6 address", |text| {
                text.parse().map(IpAddr::V6).map_err(|_parse| "expected an IPv6 address".to_owned())
            })?;
            let close = self.expect(Kind::CloseBracket, "`]`")?;
            return Ok((Spanned::new(Target::Addr(addr.value), open.to(close)), self.joined_port()?));
        }
        let token = self.text("a node or an address")?;
        if token.kind == Kind::Quoted {
            return Ok((
                Spanned::new(Target::Node(token.text.into_owned()), token.span),
                self.joined_port()?,
            ));
        }
        if token.text.matches(':').count() > 1 {
            let message = format!("`{}` is ambiguous", token.text);
            return self.fail(
                token.span,
                message,
                "write an IPv6 address in brackets, as in `[2001:db8::1]:80`",
            );
        }
        let (name, port) = match token.text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (&*token.text, None),
        };
        let name_span = Span::new(token.span.start, token.span.start + name.len());
        if name.is_empty() {
            return self.fail(
                token.span,
                "a target is missing",
                "expected a node or an address before the port",
            );
        }
        let target = values::ipv4(name).map_or_else(|| Target::Node(name.to_owned()), Target::Addr);
        let port = match port {
            Some(port) => Some(self.port(port, Span::new(name_span.end + 1, token.span.end))?),
            None => None,
        };
        Ok((Spanned::new(target, name_span), port))
    }

    /// A `:80` directly behind.
    fn joined_port(&mut self) -> Parsed<Option<Spanned<u16>>> {
        let token = self.peek().clone();
        match token.text.strip_prefix(':') {
            Some(port) if token.kind == Kind::Word && self.is_joined() => {
                self.next();
                self.port(port, Span::new(token.span.start + 1, token.span.end)).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn port(&mut self, text: &str, span: Span) -> Parsed<Spanned<u16>> {
        match values::port(text) {
            Ok(port) => Ok(Spanned::new(port, span)),
            Err(wrong) if text.is_empty() => self.fail(span, "the port is missing", wrong),
            Err(wrong) => self.fail(span, format!("`{text}` is not a port"), wrong),
        }
    }

    fn sysctl(&mut self, _word: Span) -> Parsed<Sysctl> {
        let key = self.name("a key, as in `net.ipv4.ip_forward`")?;
        self.expect(Kind::Equals, "`=` and a value")?;
        let mut value: Option<Spanned<String>> = None;
        while !matches!(self.peek().kind, Kind::Close | Kind::Open | Kind::End) {
            let apart = !self.is_joined();
            let token = self.next();
            match &mut value {
                Some(value) => {
                    if apart {
                        value.value.push(' ');
                    }
                    value.value.push_str(&token.text);
                    value.span = value.span.to(token.span);
                }
                None => value = Some(Spanned::new(token.text.into_owned(), token.span)),
            }
        }
        match value {
            Some(value) => Ok(Sysctl { key, value }),
            None => self.unexpected("a value"),
        }
    }
}
