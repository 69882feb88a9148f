//! The bus diagram: nodes in a row, a line for each net, a stem down from each node to each of its nets.

use super::canvas::Canvas;
use super::labels::{host_parts, is_drawn, line_of, moved, roles, subnets_of_nic, uplink};
use crate::plan::{Plan, Wire};

/// Columns between two stems of a node.
const STEP: usize = 3;

/// A net or link, as a line.
struct Line {
    name: String,
    /// At most one of each family.
    subnets: Vec<String>,
    is_net: bool,
    /// The interface of the machine that it leads to.
    uplink: String,
}

/// The way from a node down to a line.
struct Stem {
    x: usize,
    line: usize,
    label: String,
}

/// A node's box and stems, with `x` from the left of all nodes.
struct Cell {
    x: usize,
    width: usize,
    text: Vec<String>,
    stems: Vec<Stem>,
}

/// The drawing, if it is not wider than `width` columns.
pub(super) fn draw(plan: &Plan, width: usize) -> Option<String> {
    let lines = lines(plan);
    let (cells, nodes_width) = cells(plan)?;
    let margin = lines.iter().map(|line| line.name.len() + 1).max().unwrap_or(0);
    let tail = lines.iter().flat_map(|line| &line.subnets).map(|subnet| subnet.len() + 1).max().unwrap_or(0);
    let uplinks = lines.iter().map(|line| line.uplink.len()).max().unwrap_or(0);
    if margin + nodes_width + uplinks + tail > width {
        return None;
    }
    let mut canvas = Canvas::default();
    let height = cells.iter().map(|cell| cell.text.len()).max().unwrap_or(0) + 2;
    for cell in &cells {
        let mut text = cell.text.clone();
        text.resize(height - 2, String::new());
        canvas.boxed(margin + cell.x, 0, cell.width, &text);
    }
    let stems = || cells.iter().flat_map(|cell| &cell.stems);
    // Two rows for each line: addresses, and the line itself.
    let row = |line: usize| height + 2 * line + 1;
    for (i, line) in lines.iter().enumerate() {
        let y = row(i);
        let ends = stems().filter(|stem| stem.line == i).map(|stem| stem.x);
        let (from, to) = match line.is_net {
            true => (0, nodes_width.saturating_sub(1)),
            false if !line.uplink.is_empty() => (ends.min().unwrap_or(0), nodes_width.saturating_sub(1)),
            false => (ends.clone().min().unwrap_or(0), ends.max().unwrap_or(0)),
        };
        for x in from..=to {
            canvas.put(margin + x, y, if line.is_net { '═' } else { '─' });
        }
        canvas.text(0, y, &line.name);
        canvas.text(margin + nodes_width, y, &line.uplink);
        // The last stands beside the line, the one before it above.
        for (up, subnet) in line.subnets.iter().rev().enumerate() {
            canvas.text(margin + nodes_width + uplinks + 1, y - up, subnet);
        }
    }
    for stem in stems() {
        let (x, end) = (margin + stem.x, row(stem.line));
        canvas.put(x, height - 1, '┬');
        for y in height..end {
            canvas.put(x, y, '│');
        }
        canvas.text(x + 1, end - 1, &stem.label);
    }
    // The ends of stems come last, over the lines.
    for (i, line) in lines.iter().enumerate() {
        let ends: Vec<usize> = stems().filter(|stem| stem.line == i).map(|stem| stem.x).collect();
        for &x in &ends {
            let c = match (line.is_net, ends.iter().min() == Some(&x)) {
                (true, _) => '╧',
                (false, true) => '└',
                (false, false) => '┘',
            };
            canvas.put(margin + x, row(i), c);
        }
    }
    Some(canvas.into_text())
}

fn lines(plan: &Plan) -> Vec<Line> {
    let uplink = |wire| uplink(plan, wire).map(|uplink| format!("[{uplink}]")).unwrap_or_default();
    let nets = plan.nets().iter().enumerate().map(|(index, net)| Line {
        uplink: uplink(Wire::Net(index)),
        name: net.name.clone(),
        subnets: net.subnets.iter().map(ToString::to_string).collect(),
        is_net: true,
    });
    let links = plan.links().iter().map(|link| Line {
        uplink: String::new(),
        name: link.name.clone(),
        subnets: link.subnets.iter().map(ToString::to_string).collect(),
        is_net: false,
    });
    let nics = moved(plan).into_iter().map(|nic| Line {
        uplink: uplink(Wire::Nic(nic)),
        name: String::new(),
        subnets: subnets_of_nic(plan, nic),
        is_net: false,
    });
    nets.chain(links).chain(nics).collect()
}

/// All cells and their width together; nothing when there are too many to be worth it.
fn cells(plan: &Plan) -> Option<(Vec<Cell>, usize)> {
    let drawn: Vec<usize> = (0..plan.nodes().len()).filter(|node| is_drawn(plan, *node)).collect();
    if drawn.len() > 200 {
        return None;
    }
    let roles = roles(plan);
    let mut x = 1;
    let mut cells = Vec::new();
    for node in drawn {
        let cell = cell(plan, node, x, &roles[node]);
        let reach = cell.stems.iter().map(|stem| stem.x + 1 + stem.label.len());
        x = reach.chain([x + cell.width]).max().unwrap_or(x) + 2;
        cells.push(cell);
    }
    Some((cells, x - 1))
}

fn cell(plan: &Plan, index: usize, x: usize, role: &str) -> Cell {
    let node = &plan.nodes()[index];
    let mut text = vec![node.name.clone()];
    text.push(role.to_owned());
    text.extend(node.loopback.iter().map(|addr| addr.addr().to_string()));
    text.retain(|line| !line.is_empty());

    // The longest stem stands leftmost, so that no address stands in the way of a stem.
    let mut ends: Vec<(usize, String)> = node
        .interfaces
        .iter()
        .map(|interface| (line_of(plan, interface.wire), host_parts(interface)))
        .collect();
    ends.sort_by_key(|(line, _)| std::cmp::Reverse(*line));
    let stems_width = ends.len().saturating_sub(1) * STEP + 1;
    let inner = text.iter().map(String::len).max().unwrap_or(0).max(stems_width) + 2;
    let first = x + 1 + (inner - stems_width) / 2;
    let stems = ends
        .into_iter()
        .enumerate()
        .map(|(i, (line, label))| Stem { x: first + i * STEP, line, label })
        .collect();
    Cell { x, width: inner + 2, text, stems }
}
