//! A plan as a picture for a terminal.

mod bus;
mod canvas;
mod labels;
mod tree;

use crate::plan::Plan;

/// Width of a drawing where nobody says otherwise, in columns.
pub const DRAWING_WIDTH: usize = 100;

impl Plan {
    /// Draws the lab: nodes in a row, nets as lines below them, and which node is on which net with which address.
    ///
    /// What does not fit into `width` columns is listed instead, net by net. The text ends with a line's end.
    pub fn draw(&self, width: usize) -> String {
        bus::draw(self, width).unwrap_or_else(|| tree::draw(self))
    }
}
