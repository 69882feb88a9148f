//! What a node sends while a load runs.

use netlab_runtime::lab::{Counters, LabError, Node};

use crate::checks::{Sent, SentBy};

/// Watches what a node's interfaces send, from when it begins until it is asked.
///
/// ```no_run
/// # use netlab_lb::{LbTest, Load, Watch};
/// # async fn example(test: LbTest, lb: netlab_runtime::lab::Node) -> netlab_runtime::error::Result {
/// let watch = Watch::begin(&lb)?;
/// let traffic = test.send(Load::requests(60).answers_of(20_000)).await?;
/// traffic.return_path(&watch.sent()?).bypasses().holds()?;        // direct server return
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "what was counted is to be asked for: `.sent()`"]
pub struct Watch {
    node: Node,
    before: Counters,
}

impl Watch {
    /// Begins. What passes from now on is counted, whoever sends it: only one load at a time should.
    ///
    /// # Errors
    ///
    /// The kernel refused the question.
    pub fn begin(node: &Node) -> Result<Self, LabError> {
        Ok(Self { node: node.clone(), before: node.counters()? })
    }

    /// What its interfaces have sent since, but for `lo`.
    ///
    /// By hand: `ip -s link`.
    ///
    /// # Errors
    ///
    /// The kernel refused the question.
    pub fn sent(&self) -> Result<Sent, LabError> {
        let after = self.node.counters()?;
        let mut interfaces = Vec::new();
        for now in after.interfaces.iter().filter(|now| now.name != "lo") {
            // One that was not there before began with nothing.
            let before = self.before.interfaces.iter().find(|before| before.name == now.name);
            let (packets, bytes) = before.map_or((0, 0), |before| (before.tx_packets, before.tx_bytes));
            interfaces.push(SentBy {
                interface: now.name.clone(),
                packets: now.tx_packets.saturating_sub(packets),
                bytes: now.tx_bytes.saturating_sub(bytes),
            });
        }
        Ok(Sent { node: self.node.name().to_owned(), interfaces })
    }
}
