//! The whole way of an attribute: parse, stop, check, stop, expand.

use proc_macro2::TokenStream;

use crate::args::Args;
use crate::check;
use crate::errors::Errors;
use crate::expand;
use crate::function::Function;

/// Expands `#[netlab::test(args)] item`. With mistakes, gives their messages, and the function as it was: what
/// else uses it, or is used by it, then adds no messages of its own.
pub fn test(args: TokenStream, item: &TokenStream) -> TokenStream {
    let function = match syn::parse2::<Function>(item.clone()) {
        Ok(function) => function,
        Err(error) => return expand::refused(&error.into(), item),
    };
    let mut errors = Errors::default();
    let args = syn::parse2::<Args>(args).unwrap_or_else(|error| {
        errors.add(error);
        Args::default()
    });
    match check::test(args, function.clone(), errors) {
        Ok(test) => expand::test(&test),
        Err(errors) => expand::broken(&errors, &function),
    }
}
