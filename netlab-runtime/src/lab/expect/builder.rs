//! Collects expectations.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::check;
use super::expected::{Expected, Said};
use super::service::Service;
use super::ticket::Ticket;
use super::unmet::Unmet;
use crate::lab::{Lab, Node};

/// How long expectations may take to come true unless said otherwise.
const DEADLINE: Duration = Duration::from_secs(5);

/// Expectations of who reaches whom, made by [`Lab::expect`], to be ended with [`check`](Self::check).
///
/// Each is looked at over every IP version of which both sides have an address; see [`Service`].
#[must_use = "expectations prove nothing until `check` is called and awaited"]
#[derive(Debug)]
pub struct Expectations {
    lab: Lab,
    said: Vec<Said>,
    deadline: Duration,
    ticket: Ticket,
}

/// That something is not reached, which proves nothing by itself: a network that is not there reaches nothing either. Say who
/// does reach it, or what else is reached.
#[must_use = "that something is not reached proves nothing unless something is: say `.while_reached_by(&node)`, or `.while_reaching(service)`"]
#[derive(Debug)]
pub struct NeedsPositiveControl {
    expectations: Expectations,
    from: Node,
    to: Service,
}

impl Lab {
    /// Collects expectations of who reaches whom, to be checked all at once:
    ///
    /// ```no_run
    /// # async fn example(lab: netlab_runtime::lab::Lab, client: netlab_runtime::lab::Node, web: netlab_runtime::lab::Node,
    /// #     db: netlab_runtime::lab::Node) -> netlab_runtime::error::Result {
    /// lab.expect()
    ///     .reaches(&client, web.tcp(80))
    ///     .not_reaches(&client, db.tcp(5432)).while_reached_by(&web)
    ///     .mtu(&client, &web, 1500)
    ///     .check().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// Expectations that are never checked fail the test.
    #[track_caller]
    pub fn expect(&self) -> Expectations {
        Expectations { lab: self.clone(), said: Vec::new(), deadline: DEADLINE, ticket: Ticket::new() }
    }
}

impl Expectations {
    /// `from` reaches `to`: a TCP connection comes about, a UDP datagram or an echo request is answered, by that node and no
    /// other. Of a program of the test's, that the connection comes about is enough, and any answer over UDP: a program that does not
    /// answer to the datagram `netlab?` counts as not reached.
    pub fn reaches(self, from: &Node, to: impl Into<Service>) -> Self {
        self.and(from, to, Expected::Reached)
    }

    /// `from` does not reach `to`, for whatever reason. What does has to be said next, as in
    /// `.not_reaches(&a, b.tcp(80)).while_reached_by(&c)`: otherwise it does not compile.
    pub fn not_reaches(self, from: &Node, to: impl Into<Service>) -> NeedsPositiveControl {
        let to = to.into();
        self.ticket.add(format!("{} -> {to} {}", from.name(), Expected::NotReached));
        NeedsPositiveControl { expectations: self, from: from.clone(), to }
    }

    /// `from` reaches `to`, and is seen there as `source`: behind NAT, as the router.
    ///
    /// The check's own listener says whom it saw. Of a TCP port that something else listens on, the node's table of sockets is
    /// asked for a connection of the same source port.
    pub fn sees_source(self, from: &Node, to: impl Into<Service>, source: impl Into<IpAddr>) -> Self {
        self.and(from, to, Expected::Source(source.into()))
    }

    /// Of `probes` ICMP echoes from `from` to `to`, the share that is lost is within `bounds` (0 to 1).
    ///
    /// They are sent once, after all else holds: what is counted again until it fits proves nothing. For bounds that an honest network
    /// leaves once in a million runs, allow five times the square root of `p (1 - p) / probes` on either side of the loss `p`.
    pub fn loses(
        self,
        from: &Node,
        to: impl Into<Service>,
        bounds: RangeInclusive<f64>,
        probes: u32,
    ) -> Self {
        self.and(from, to, Expected::Loss { bounds, probes })
    }

    /// The largest packet that gets from `from` to `to` unfragmented has `bytes` bytes, IP header included. The way back may
    /// fragment.
    ///
    /// By hand: `ping -M do -s SIZE`, again and again.
    pub fn mtu(self, from: &Node, to: impl Into<Service>, bytes: u32) -> Self {
        self.and(from, to, Expected::Mtu(bytes))
    }

    /// How long it may take until all hold: 5 seconds unless said otherwise, multiplied by `NETLAB_TIMEOUT_SCALE`.
    pub fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Checks all at once, again and again until they hold together or the time is over.
    ///
    /// What is not to be reached is tried as soon as all that is to be reached is, and given at least 300 ms and 20 times as long as
    /// that took.
    ///
    /// # Errors
    ///
    /// Not all hold: a table of all of them, expected beside seen. So it is when nothing was expected.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn check(self) -> Result<(), Unmet> {
        let outcome = check::check(&self.lab, &self.said, self.deadline).await;
        self.ticket.checked();
        outcome
    }

    /// As [`check`](Self::check), blocking the calling thread: for tests without a runtime.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn check_blocking(self) -> Result<(), Unmet> {
        let outcome = check::check_blocking(&self.lab, &self.said, self.deadline);
        self.ticket.checked();
        outcome
    }

    fn and(mut self, from: &Node, to: impl Into<Service>, expected: Expected) -> Self {
        let to = to.into();
        self.ticket.add(format!("{} -> {to} {expected}", from.name()));
        self.said.push(Said { from: from.clone(), to, expected });
        self
    }
}

impl NeedsPositiveControl {
    /// Another node reaches the same at the same time.
    pub fn while_reached_by(self, other: &Node) -> Expectations {
        let control = self.to.clone();
        self.with_control(other, control)
    }

    /// The node itself reaches something else at the same time: another port, say.
    pub fn while_reaching(self, other: impl Into<Service>) -> Expectations {
        let from = self.from.clone();
        self.with_control(&from, other.into())
    }

    fn with_control(self, from: &Node, to: Service) -> Expectations {
        let Self { mut expectations, from: kept_out, to: target } = self;
        expectations.said.push(Said { from: kept_out, to: target, expected: Expected::NotReached });
        expectations.and(from, to, Expected::Control)
    }
}
