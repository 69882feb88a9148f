//! Text to model and back.

mod attributes;
mod parser;
mod print;
mod token;
mod values;
mod words;

pub(crate) use parser::parse;
pub(crate) use print::print;
pub(crate) use words::{is_word, node_words};
