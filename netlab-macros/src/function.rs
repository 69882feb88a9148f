//! The function under the attribute as written. Its body stays a lump of tokens: nothing in it is our business,
//! and what `syn` does not know yet may stand in it.

use proc_macro2::{Delimiter, Group, TokenTree};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Signature, Visibility};

/// A function item.
#[derive(Clone)]
pub struct Function {
    /// Attributes without ours.
    pub attrs: Vec<Attribute>,
    /// Its visibility.
    pub vis: Visibility,
    /// All before the body.
    pub sig: Signature,
    /// The body, braces included.
    pub body: Group,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        const NO_FUNCTION: &str = "`#[netlab::test]` goes on a function";
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let start = input.span();
        let Ok(sig) = input.parse() else {
            return Err(syn::Error::new(start, NO_FUNCTION));
        };
        match input.parse()? {
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace && input.is_empty() => {
                Ok(Self { attrs, vis, sig, body })
            }
            other => Err(syn::Error::new(other.span(), "a test needs a body")),
        }
    }
}
