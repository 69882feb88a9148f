//! The attribute's arguments as written: parsed, not judged.

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, Lit, Token};

/// An argument that the attribute knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The topology: text, file, or what computes one.
    Topology,
    /// How long the test may take.
    Timeout,
    /// The group of tests that run one at a time.
    Serial,
    /// Where the `netlab` crate is.
    Crate,
    /// The tokio runtime.
    Flavor,
    /// The threads of a `multi_thread` runtime.
    WorkerThreads,
}

impl Key {
    /// Every key with its name. Everything that lists keys takes them from here.
    pub const ALL: [(&'static str, Self); 6] = [
        ("topology", Self::Topology),
        ("timeout", Self::Timeout),
        ("serial", Self::Serial),
        ("crate", Self::Crate),
        ("flavor", Self::Flavor),
        ("worker_threads", Self::WorkerThreads),
    ];
}

/// The arguments, in the order written.
#[derive(Default)]
pub struct Args(pub Vec<Arg>);

/// One argument.
pub enum Arg {
    /// `name = value`.
    Named(Ident, Expr),
    /// Anything else.
    Bare(Expr),
}

impl Parse for Args {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let args = Punctuated::<Arg, Token![,]>::parse_terminated(input)?;
        Ok(Self(args.into_iter().collect()))
    }
}

impl Parse for Arg {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if !input.peek(Ident::peek_any) || !(input.peek2(Token![=]) || input.peek2(Lit)) {
            return input.parse().map(Self::Bare);
        }
        let name = input.call(Ident::parse_any)?;
        let equals: Option<Token![=]> = input.parse()?;
        if equals.is_none() || input.is_empty() || input.peek(Token![,]) {
            return Err(syn::Error::new_spanned(
                &name,
                format!("an argument is `name = value`: write `{name} = ...`"),
            ));
        }
        Ok(Self::Named(name, input.parse()?))
    }
}
