//! Tokens to statements, by recursive descent.
//!
//! An error skips to the next item of the statement, or to the next statement, so that all errors come at once.
//! What could be read of a faulty statement is kept, so that its name is not unknown elsewhere as well.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::token::{Kind, Token, tokens};
use super::values;
use super::words::{On, words_on};
use crate::diagnostic::{Report, Span, Spanned, nearest};
use crate::model::{
    Attachment, LinkStatement, NetStatement, NodeAttributes, NodeStatement, Statement, Uplink, WireAttributes,
};

/// That an error has been reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported;

pub(super) type Parsed<T> = Result<T, Reported>;

/// What a text says.
pub(crate) struct Parse {
    pub statements: Vec<Statement>,
    /// For each statement, whether something in it could not be read.
    pub faulty: Vec<bool>,
    /// Whether all names it declares are among the statements, in spite of errors.
    pub complete: bool,
}

/// Reads a text; what is wrong goes into the report.
pub(crate) fn parse(text: &str, report: &mut Report) -> Parse {
    let tokens = tokens(text, report);
    let unclosed = !report.is_empty();
    let nets = tokens
        .windows(2)
        .filter(|pair| pair[0].kind == Kind::Word && pair[0].text == "net")
        .map(|pair| pair[1].text.clone().into_owned())
        .collect();
    let mut parser = Parser { tokens: &tokens, at: 0, report, nets, complete: true };
    let mut statements = Vec::new();
    let mut faulty = Vec::new();
    while parser.at < tokens.len() {
        let errors = parser.report.len();
        if parser.peek().kind == Kind::End {
            parser.at += 1;
        } else if let Ok(statement) = parser.statement() {
            statements.push(statement);
            faulty.push(parser.report.len() > errors);
        } else {
            parser.complete = false;
            parser.skip_statement();
        }
    }
    // What stands in a quote that is not closed is not what was meant.
    let complete = parser.complete && !unclosed;
    Parse { statements, faulty, complete }
}

pub(super) struct Parser<'p, 's> {
    tokens: &'p [Token<'s>],
    at: usize,
    pub(super) report: &'p mut Report,
    nets: BTreeSet<String>,
    complete: bool,
}

impl<'s> Parser<'_, 's> {
    // Moving on. The last token is an end, and no statement goes past its end.

    pub(super) fn peek(&self) -> &Token<'s> {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    /// Whether the next token follows the last one without white space.
    pub(super) fn is_joined(&self) -> bool {
        self.at > 0 && self.tokens[self.at - 1].span.end == self.peek().span.start
    }

    pub(super) fn next(&mut self) -> Token<'s> {
        let token = self.peek().clone();
        if token.kind != Kind::End {
            self.at += 1;
        }
        token
    }

    pub(super) fn eat(&mut self, kind: Kind) -> Option<Span> {
        (self.peek().kind == kind).then(|| self.next().span)
    }

    fn skip_statement(&mut self) {
        while self.peek().kind != Kind::End {
            self.at += 1;
        }
    }

    /// Skips the rest of a faulty item: up to a word that follows white space, outside parentheses.
    fn skip_item(&mut self, began: usize) {
        let mut depth = 0_usize;
        for token in &self.tokens[began..self.at] {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        loop {
            match self.peek().kind {
                Kind::End => return,
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                Kind::Word | Kind::Quoted if depth == 0 && self.at > began && !self.is_joined() => return,
                _ => {}
            }
            self.at += 1;
        }
    }

    // What is expected.

    pub(super) fn fail<T>(
        &mut self,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Parsed<T> {
        self.report.error(span, message, label);
        Err(Reported)
    }

    /// Fails because of the next token.
    pub(super) fn unexpected<T>(&mut self, expected: &str) -> Parsed<T> {
        let token = self.peek();
        let span = token.span;
        let message = match token.kind {
            Kind::End => "the statement ends too early".to_owned(),
            _ => format!("unexpected `{}`", token.text),
        };
        self.fail(span, message, format!("expected {expected}"))
    }

    pub(super) fn expect(&mut self, kind: Kind, what: &str) -> Parsed<Span> {
        match self.eat(kind) {
            Some(span) => Ok(span),
            None => self.unexpected(what),
        }
    }

    /// A word or a quoted text.
    pub(super) fn text(&mut self, what: &str) -> Parsed<Token<'s>> {
        match self.peek().kind {
            Kind::Word | Kind::Quoted => Ok(self.next()),
            _ => self.unexpected(what),
        }
    }

    pub(super) fn name(&mut self, what: &str) -> Parsed<Spanned<String>> {
        let token = self.text(what)?;
        Ok(Spanned::new(token.text.into_owned(), token.span))
    }

    /// A value read by one of [`values`].
    pub(super) fn value<T>(
        &mut self,
        what: &str,
        read: impl FnOnce(&str) -> Result<T, values::Wrong>,
    ) -> Parsed<Spanned<T>> {
        let token = self.text(what)?;
        match read(&token.text) {
            Ok(value) => Ok(Spanned::new(value, token.span)),
            Err(wrong) => self.fail(token.span, format!("`{}` is not {what}", token.text), wrong),
        }
    }

    // Statements.

    fn statement(&mut self) -> Parsed<Statement> {
        let token = self.next();
        match (token.kind, &*token.text) {
            (Kind::Word, "net") => self.net().map(Statement::Net),
            (Kind::Word, "link") => self.link().map(Statement::Link),
            (Kind::Word, "node") => self.node(false).map(Statement::Node),
            (Kind::Word, "router") => self.node(true).map(Statement::Node),
            _ => {
                let words = ["net", "link", "node", "router"];
                let mut label = "a statement begins with `net`, `link`, `node` or `router`".to_owned();
                if let Some(near) = nearest(&token.text, words) {
                    label.push_str(&format!(" (did you mean `{near}`?)"));
                }
                self.fail(token.span, format!("unknown statement `{}`", token.text), label)
            }
        }
    }

    fn net(&mut self) -> Parsed<NetStatement> {
        let quoted = self.peek().kind == Kind::Quoted;
        let name = self.name("the name of the net")?;
        if !quoted && name.value.parse::<IpNet>().is_ok() {
            return self.fail(
                name.span,
                "this net has no name",
                "expected the name of the net before its subnet",
            );
        }
        let mut uplink = Uplink::default();
        let (subnets, attributes) = self.wire_items(On::Net, &mut uplink);
        Ok(NetStatement { name, subnets, attributes, uplink })
    }

    fn link(&mut self) -> Parsed<LinkStatement> {
        let nodes = [self.name("the name of a node")?, self.name("the name of the node at the other end")?];
        let (subnets, attributes) = self.wire_items(On::Link, &mut Uplink::default());
        Ok(LinkStatement { nodes, subnets, attributes })
    }

    /// The subnets and attributes of a net or a link; only a net has an uplink.
    fn wire_items(&mut self, on: On, uplink: &mut Uplink) -> (Vec<Spanned<IpNet>>, WireAttributes) {
        let mut subnets: Vec<Spanned<IpNet>> = Vec::new();
        let mut attributes = WireAttributes::default();
        while self.peek().kind != Kind::End {
            let began = self.at;
            if self.wire_item(on, &mut subnets, &mut attributes, uplink).is_err() {
                self.skip_item(began);
            }
        }
        (subnets, attributes)
    }

    fn wire_item(
        &mut self,
        on: On,
        subnets: &mut Vec<Spanned<IpNet>>,
        attributes: &mut WireAttributes,
        uplink: &mut Uplink,
    ) -> Parsed<()> {
        let token = self.peek();
        if on == On::Net
            && token.kind == Kind::Word
            && matches!(&*token.text, "port" | "takeover" | "force" | "dev")
        {
            return self.uplink(uplink);
        }
        let is_subnet = token.kind == Kind::Word
            && (token.text.contains([':', '.', '/']) || token.text.starts_with(|c: char| c.is_ascii_digit()));
        if !is_subnet {
            return self.wire_attribute(on, attributes);
        }
        let subnet = self.value("a subnet", values::subnet)?;
        let is_v4 = subnet.value.addr().is_ipv4();
        if let Some(first) = subnets.iter().find(|s| s.value.addr().is_ipv4() == is_v4) {
            let family = if is_v4 { "IPv4" } else { "IPv6" };
            let label = format!("`{}` is its {family} subnet already", first.value);
            return self.fail(subnet.span, format!("a second {family} subnet"), label);
        }
        subnets.push(subnet);
        Ok(())
    }

    fn node(&mut self, router: bool) -> Parsed<NodeStatement> {
        let name = self.name("the name of the node")?;
        let mut count = None;
        if self.peek().kind == Kind::OpenBracket {
            let began = self.at;
            match self.count() {
                Ok(number) => count = Some(number),
                Err(Reported) => {
                    // How many there are is unknown, and so are their names.
                    self.complete = false;
                    self.skip_item(began);
                }
            }
        }
        let mut attachments = Vec::new();
        let mut attributes = NodeAttributes::default();
        while self.peek().kind != Kind::End {
            let began = self.at;
            if self.node_item(&mut attachments, &mut attributes).is_err() {
                self.skip_item(began);
            }
        }
        Ok(NodeStatement { router, name, count, attachments, attributes })
    }

    fn count(&mut self) -> Parsed<Spanned<u32>> {
        self.expect(Kind::OpenBracket, "`[`")?;
        let count = self.value("a count", |text| values::number(text, "how many nodes, as in `web[3]`"))?;
        self.expect(Kind::CloseBracket, "`]`")?;
        Ok(count)
    }

    fn node_item(
        &mut self,
        attachments: &mut Vec<Attachment>,
        attributes: &mut NodeAttributes,
    ) -> Parsed<()> {
        let token = self.text("a net or an attribute")?;
        if token.kind == Kind::Word && self.node_attribute(&token, attributes)? {
            return Ok(());
        }
        // `nta(wan)` is rather a mistyped attribute than a net with attributes.
        if token.kind == Kind::Word
            && self.peek().kind == Kind::Open
            && !self.nets.contains(&*token.text)
            && let Some(near) = nearest(&token.text, words_on(On::Node))
        {
            let message = format!("unknown attribute `{}`", token.text);
            return self.fail(token.span, message, format!("did you mean `{near}`?"));
        }
        let mut attachment = Attachment {
            net: Spanned::new(token.text.into_owned(), token.span),
            addrs: Vec::new(),
            attributes: WireAttributes::default(),
        };
        let parsed = self.attachment_rest(&mut attachment);
        attachments.push(attachment);
        parsed
    }

    /// An attachment behind its net. What was read stays, so that the node is on its net in spite of an error.
    fn attachment_rest(&mut self, attachment: &mut Attachment) -> Parsed<()> {
        if self.eat(Kind::Equals).is_some() {
            loop {
                attachment.addrs.push(self.value("an address", values::attachment_addr)?);
                if self.eat(Kind::Comma).is_none() {
                    break;
                }
            }
        }
        if self.eat(Kind::Open).is_some() {
            while !matches!(self.peek().kind, Kind::Close | Kind::End) {
                self.wire_attribute(On::Attachment, &mut attachment.attributes)?;
            }
            self.expect(Kind::Close, "an attribute or `)`")?;
        }
        Ok(())
    }
}
