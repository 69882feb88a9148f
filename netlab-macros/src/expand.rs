//! The code the attribute stands for. Only quoting: nothing here can fail.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{FnArg, ReturnType, Type};

use crate::check::{Flavor, ShouldPanic, Test};
use crate::errors::Errors;
use crate::function::Function;
use crate::parameters::{Kind, Parameter, wrong_length};
use crate::topology::Source;

/// What is not a function, as it was, with the reason why it cannot be a test.
pub fn refused(errors: &Errors, item: &TokenStream) -> TokenStream {
    quote!(#errors #item)
}

/// The mistakes, and the function as it was, so far as it can stand alone.
pub fn broken(errors: &Errors, function: &Function) -> TokenStream {
    let mut function = function.clone();
    if function.sig.receiver().is_some() {
        // What stays has no `self`, so what uses it must go.
        function.body = Group::new(Delimiter::Brace, quote!(::core::unreachable!()));
    }
    function.sig.inputs =
        function.sig.inputs.into_iter().filter(|arg| matches!(arg, FnArg::Typed(_))).collect();
    function.sig.variadic = None;
    // What a `const fn` may do is another question.
    function.sig.constness = None;
    let Function { attrs, vis, sig, body } = function;
    let attrs = attrs.iter().filter(|attr| {
        let last = attr.path().segments.last().map(|last| last.ident.to_string());
        !last.is_some_and(|last| matches!(last.as_str(), "test" | "ignore" | "should_panic"))
    });
    quote! {
        #errors
        #[allow(dead_code)]
        #(#attrs)* #vis #sig #body
    }
}

/// The `#[test]` of the standard harness, the definition for the registry, and the body it refers to.
pub fn test(test: &Test) -> TokenStream {
    let Test { krate, function, .. } = test;
    let private = quote!(#krate::__private);
    let ident = &function.sig.ident;
    let name = ident.unraw();
    let (vis, ignore) = (&function.vis, ignore_attr(test));
    // Named where the user's function is named, but by this macro: lints on names are not for it.
    let mut shown = ident.clone();
    shown.set_span(Span::call_site().located_at(ident.span()));
    let def = format_ident!("__NETLAB_TEST_{name}", span = Span::call_site());
    let body = format_ident!("__netlab_body_of_{name}", span = Span::call_site());
    let definition = definition(test, &private, &body);
    let body = body_fn(test, &private, &body);
    let lengths = lengths(&test.parameters);
    quote! {
        #[test]
        #ignore
        #vis fn #shown() {
            #private::run(&#def)
        }
        #[doc(hidden)]
        #[allow(non_upper_case_globals)]
        #[#private::linkme::distributed_slice(#private::TESTS)]
        #[linkme(crate = #private::linkme)]
        static #def: #private::TestDef = #definition;
        #body
        #lengths
    }
}

fn definition(test: &Test, private: &TokenStream, body: &Ident) -> TokenStream {
    // With the `r#` of a raw name, as the standard harness calls the test.
    let name = test.function.sig.ident.to_string();
    let topology = topology(&test.topology, test.privileged, &name, private);
    let parameters = test.parameters.iter().filter_map(|parameter| parameter_def(parameter, private));
    let timeout = option(test.timeout.map(|timeout| {
        let (seconds, nanos) = (timeout.as_secs(), timeout.subsec_nanos());
        quote!(::core::time::Duration::new(#seconds, #nanos))
    }));
    let serial = option(test.serial.as_ref());
    let ignore = option(test.ignore.as_ref().map(|(_, reason)| reason));
    let should_panic = match &test.should_panic {
        ShouldPanic::No => quote!(No),
        ShouldPanic::Yes => quote!(Yes),
        ShouldPanic::With(message) => quote!(With(#message)),
    };
    let flavor = match test.flavor {
        Flavor::CurrentThread => quote!(CurrentThread),
        Flavor::MultiThread(workers) => {
            let workers = option(workers);
            quote!(MultiThread { workers: #workers })
        }
    };
    let kind = if test.function.sig.asyncness.is_some() { quote!(Async) } else { quote!(Sync) };
    quote! {
        #private::TestDef {
            path: ::core::concat!(::core::module_path!(), "::", #name),
            file: ::core::file!(),
            line: ::core::line!(),
            topology: #topology,
            parameters: &[#(#parameters),*],
            timeout: #timeout,
            serial: #serial,
            ignore: #ignore,
            should_panic: #private::ShouldPanic::#should_panic,
            flavor: #private::Flavor::#flavor,
            body: #private::Body::#kind(#body),
        }
    }
}

fn topology(source: &Source, privileged: bool, test: &str, private: &TokenStream) -> TokenStream {
    match source {
        Source::Text(text) => quote! {
            #private::TopologySource::Text {
                text: #text,
                file: ::core::option::Option::None,
                privileged: #privileged,
            }
        },
        // Included rather than quoted, so that cargo builds again when the file changes.
        Source::File(name) => quote! {
            #private::TopologySource::Text {
                text: ::core::include_str!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/", #name)),
                file: ::core::option::Option::Some(#name),
                privileged: #privileged,
            }
        },
        Source::Computed(given) => {
            let taken = quote_spanned!(given.span()=> #private::GivesTopology::topology(#given, #test));
            quote!(#private::TopologySource::Computed(|| #taken))
        }
    }
}

fn parameter_def(parameter: &Parameter, private: &TokenStream) -> Option<TokenStream> {
    let name = &parameter.name;
    let kind = match parameter.kind.as_ref()? {
        Kind::Lab => quote!(Lab),
        Kind::Node => quote!(Node),
        Kind::NodeArray(length) => quote!(NodeArray(#length)),
        Kind::NodeVec => quote!(NodeVec),
        Kind::Net => quote!(Net),
        Kind::Link => quote!(Link),
    };
    Some(quote!(#private::Parameter { name: #name, kind: #private::ParameterKind::#kind }))
}

/// The function behind the signature of the registry. The user's own stands inside it as it is, one scope
/// deeper, so that `super::` and the like mean what they meant.
fn body_fn(test: &Test, private: &TokenStream, body: &Ident) -> TokenStream {
    let Function { attrs, sig, body: block, .. } = &test.function;
    let user = &sig.ident;
    let lab = Ident::new("lab", Span::mixed_site());
    let args = test.parameters.iter().map(|Parameter { name, ty, .. }| {
        let taken = quote_spanned!(ty.span()=> <#ty as #private::FromLab>::from_lab(&#lab, #name));
        quote!(#private::taken(#taken)?)
    });
    let awaited = sig.asyncness.is_some().then(|| quote!(.await));
    let call = quote!(#user(#(#args),*)#awaited);
    let result = result(call, &sig.output, private);
    let result_type = quote!(#private::BodyResult);
    let (returned, result) = if sig.asyncness.is_some() {
        (
            quote!(::std::pin::Pin<::std::boxed::Box<dyn ::core::future::Future<Output = #result_type>>>),
            quote!(::std::boxed::Box::pin(async move { #result })),
        )
    } else {
        (result_type, result)
    };
    quote! {
        #[doc(hidden)]
        #[allow(non_snake_case)]
        fn #body(#lab: #private::Lab) -> #returned {
            // As with `#[test]`, what a test is called with is not its author's choice.
            #[allow(clippy::needless_pass_by_value)]
            #(#attrs)*
            #sig #block
            #result
        }
    }
}

/// What came back as the registry's result; a mistake in the type stands on the type.
fn result(call: TokenStream, output: &ReturnType, private: &TokenStream) -> TokenStream {
    match output {
        ReturnType::Type(_, ty) if matches!(**ty, Type::Never(_)) => call,
        ReturnType::Type(_, ty) if !matches!(**ty, Type::ImplTrait(_)) => {
            let into = quote_spanned!(ty.span()=> <#ty as #private::TestReturn>::into_result);
            quote!(#into(#call))
        }
        _ => quote!(#private::TestReturn::into_result(#call)),
    }
}

/// Assertions that arrays whose length is an expression are as long as the topology says.
fn lengths(parameters: &[Parameter]) -> TokenStream {
    let asserts = parameters.iter().filter_map(|Parameter { name, kind, count, .. }| {
        let (Some(Kind::NodeArray(length)), Some(count)) = (kind, count) else { return None };
        let message = wrong_length(name, *count);
        Some(quote_spanned!(length.span()=> const _: () = ::core::assert!(#length == #count, #message);))
    });
    quote!(#(#asserts)*)
}

/// `#[ignore]` for the standard harness: the user's, else ours where there are no namespaces.
fn ignore_attr(test: &Test) -> TokenStream {
    match &test.ignore {
        Some((attr, _)) => attr.to_token_stream(),
        None => quote!(#[cfg_attr(not(target_os = "linux"), ignore = "netlab needs Linux")]),
    }
}

fn option(value: Option<impl ToTokens>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}
