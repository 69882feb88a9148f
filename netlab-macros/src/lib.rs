//! The `#[netlab::test]` attribute. Use it through the `netlab` crate, which documents it.
//!
//! ```text
//! tokens --args, function--> as written --check--> Test --expand--> tokens
//! ```
//!
//! Invariant: whatever is wrong is found by `check` and stands on the token at fault; `expand` cannot fail.

#![forbid(unsafe_code)]

mod args;
mod attribute;
mod check;
mod errors;
mod expand;
mod function;
mod parameters;
mod topology;

use proc_macro::TokenStream;

/// Makes a function a test that runs in a network of its own. Documented where `netlab` re-exports it.
#[proc_macro_attribute]
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    attribute::test(args.into(), &item.into()).into()
}
