//! Text to model and back.

mod attributes;
mod parser;
mod print;
mod token;
mod values;
mod words;

pub(crate) use parser::{Parse, parse};
pub(crate) use print::{
    Row, net_of_attachment, nic_text, one_word, plain_or_quoted, print, print_rows, sysctl_text,
};
pub(crate) use words::{is_word, node_words};
