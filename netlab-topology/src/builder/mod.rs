//! A topology in code, with the nouns of the language.

mod items;
mod statements;

pub use items::{AttachmentBuilder, LinkBuilder, NetBuilder, NicBuilder, NodeBuilder};
pub use statements::Builder;
