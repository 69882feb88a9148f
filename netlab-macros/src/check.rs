//! Judges what was parsed, and makes of it a [`Test`] that cannot be wrong.

use std::time::Duration;

use netlab_topology::{parse_duration, suggestion};
use proc_macro2::{Ident, Span};
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, Safety, Signature, parse_quote};

use crate::args::{Arg, Args, Key};
use crate::errors::Errors;
use crate::function::Function;
use crate::parameters::{self, Parameter};
use crate::topology::{self, Source};

/// A test without mistakes.
pub struct Test {
    /// The `netlab` crate.
    pub krate: syn::Path,
    /// The function, with the attributes that are its own.
    pub function: Function,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// Its topology.
    pub topology: Source,
    /// Whether the topology touches the machine's own network; not known of a computed one.
    pub privileged: bool,
    /// `timeout`.
    pub timeout: Option<Duration>,
    /// `serial`.
    pub serial: Option<LitStr>,
    /// `#[ignore]` as written, and its reason.
    pub ignore: Option<(Attribute, LitStr)>,
    /// `#[should_panic]`.
    pub should_panic: ShouldPanic,
    /// `flavor` and `worker_threads`.
    pub flavor: Flavor,
}

/// `#[should_panic]`.
pub enum ShouldPanic {
    /// Not there.
    No,
    /// Without a message.
    Yes,
    /// With a message.
    With(LitStr),
}

/// The tokio runtime.
pub enum Flavor {
    /// `current_thread`, and where nothing is said.
    CurrentThread,
    /// `multi_thread` with its workers.
    MultiThread(Option<usize>),
}

/// The two flavors, named as tokio names them.
const FLAVORS: &str = "`\"current_thread\"` or `\"multi_thread\"`";

/// Checks everything. `errors` has what parsing found already.
///
/// # Errors
///
/// All mistakes together.
pub fn test(args: Args, mut function: Function, mut errors: Errors) -> Result<Test, Errors> {
    let found = &mut errors;
    let mut given = Given::of(args, found);
    signature(&function.sig, found);
    let ignore = ignore(&mut function.attrs, found);
    let should_panic = should_panic(&mut function.attrs, found);
    other_tests(&function.attrs, found);

    let krate = given.take(Key::Crate).and_then(|value| krate(&value, found));
    let timeout = given.take(Key::Timeout).and_then(|value| timeout(&value, found));
    let serial = given.take(Key::Serial).and_then(|value| serial(&value, found));
    let flavor = flavor(&mut given, &function.sig, found);
    let (topology, plan) = topology::read(given.take(Key::Topology), &function.sig.ident, found);
    let inputs = function.sig.inputs.iter();
    let parameters = inputs.filter_map(|arg| parameters::check(arg, plan.as_ref(), found)).collect();
    errors.none_or(Test {
        krate: krate.unwrap_or_else(|| parse_quote!(::netlab)),
        function,
        parameters,
        topology,
        privileged: plan.is_some_and(|plan| plan.machine().is_some()),
        timeout,
        serial,
        ignore,
        should_panic,
        flavor,
    })
}

/// The arguments by key, each at most once.
struct Given(Vec<(Key, Ident, Expr)>);

impl Given {
    fn of(args: Args, errors: &mut Errors) -> Self {
        let mut given = Self(Vec::new());
        for arg in args.0 {
            match arg {
                Arg::Named(name, value) => given.put(name, value, errors),
                Arg::Bare(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => {
                    errors.at(text, "an argument has a name: write `topology = \"...\"`");
                }
                Arg::Bare(other) => {
                    errors.at(
                        other,
                        format!("an argument is `name = value`, with one of these names: {}", keys()),
                    );
                }
            }
        }
        given
    }

    fn put(&mut self, name: Ident, value: Expr, errors: &mut Errors) {
        let Some((_, key)) = Key::ALL.into_iter().find(|(known, _)| name == known) else {
            let known = suggestion("arguments", &name.to_string(), Key::ALL.map(|(known, _)| known));
            errors.at(&name, format!("unknown argument `{name}`; {known}"));
            return;
        };
        if self.0.iter().any(|(earlier, ..)| *earlier == key) {
            errors.at(&name, format!("`{name}` is given twice"));
        } else {
            self.0.push((key, name, value));
        }
    }

    fn take(&mut self, key: Key) -> Option<Expr> {
        self.take_named(key).map(|(_, value)| value)
    }

    fn take_named(&mut self, key: Key) -> Option<(Ident, Expr)> {
        let at = self.0.iter().position(|(given, ..)| *given == key)?;
        let (_, name, value) = self.0.remove(at);
        Some((name, value))
    }
}

fn keys() -> String {
    Key::ALL.map(|(name, _)| name).join(", ")
}

/// What a signature may not have.
fn signature(sig: &Signature, errors: &mut Errors) {
    if let Some(constness) = &sig.constness {
        errors.at(constness, "a test cannot be a `const fn`: remove `const`");
    }
    if !matches!(sig.safety, Safety::Default) {
        errors.at(&sig.safety, "a test cannot be `unsafe`: put an `unsafe` block inside");
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, "a test cannot be `extern`: remove this");
    }
    if !sig.generics.params.is_empty() {
        errors.at(&sig.generics, "a test cannot be generic: nothing chooses what it would run with");
    } else if let Some(clause) = &sig.generics.where_clause {
        errors.at(clause, "a test cannot be generic: nothing chooses what it would run with");
    }
    if let Some(variadic) = &sig.variadic {
        errors.at(variadic, "a test cannot be variadic: each of its parameters is something in the topology");
    }
}

/// Takes `#[ignore]` out of the attributes.
fn ignore(attrs: &mut Vec<Attribute>, errors: &mut Errors) -> Option<(Attribute, LitStr)> {
    let attr = take_attr(attrs, "ignore", errors)?;
    let reason = match &attr.meta {
        Meta::Path(_) => Some(LitStr::new("", Span::call_site())),
        Meta::NameValue(pair) => string(&pair.value),
        Meta::List(_) => None,
    };
    if reason.is_none() {
        errors.at(&attr, "write `#[ignore]` or `#[ignore = \"the reason\"]`");
    }
    reason.map(|reason| (attr, reason))
}

/// Takes `#[should_panic]` out of the attributes.
fn should_panic(attrs: &mut Vec<Attribute>, errors: &mut Errors) -> ShouldPanic {
    let Some(attr) = take_attr(attrs, "should_panic", errors) else {
        return ShouldPanic::No;
    };
    let message = match &attr.meta {
        Meta::Path(_) => return ShouldPanic::Yes,
        Meta::NameValue(pair) => string(&pair.value),
        Meta::List(list) => expected(list),
    };
    if let Some(message) = message {
        return ShouldPanic::With(message);
    }
    errors.at(&attr, "write `#[should_panic]` or `#[should_panic(expected = \"part of the message\")]`");
    ShouldPanic::No
}

/// The message in `(expected = "message")`.
fn expected(list: &syn::MetaList) -> Option<LitStr> {
    let pairs =
        list.parse_args_with(Punctuated::<syn::MetaNameValue, syn::Token![,]>::parse_terminated).ok()?;
    match pairs.iter().collect::<Vec<_>>()[..] {
        [pair] if pair.path.is_ident("expected") => string(&pair.value),
        _ => None,
    }
}

fn take_attr(attrs: &mut Vec<Attribute>, name: &str, errors: &mut Errors) -> Option<Attribute> {
    let mut found = None;
    for attr in attrs.extract_if(.., |attr| attr.path().is_ident(name)) {
        if found.is_some() {
            errors.at(attr, format!("`#[{name}]` is here twice"));
        } else {
            found = Some(attr);
        }
    }
    found
}

/// Attributes that make a test of the function once more.
fn other_tests(attrs: &[Attribute], errors: &mut Errors) {
    for attr in attrs {
        let path = attr.path();
        if path.segments.last().is_none_or(|last| last.ident != "test") {
            continue;
        }
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let message = match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["test"] => "`#[netlab::test]` makes a test of the function: remove `#[test]`",
            ["netlab", "test"] => "`#[netlab::test]` is here twice",
            _ => {
                "`#[netlab::test]` makes a test of the function, and gives an `async fn` its runtime: remove this"
            }
        };
        errors.at(attr, message);
    }
}

fn krate(value: &Expr, errors: &mut Errors) -> Option<syn::Path> {
    if let Expr::Path(path) = value
        && path.qself.is_none()
    {
        return Some(path.path.clone());
    }
    errors.at(value, "`crate` is a path, as in `crate = my_crate::netlab`");
    None
}

fn timeout(value: &Expr, errors: &mut Errors) -> Option<Duration> {
    let text = text(value, "`timeout` is a text with a number and its unit, as in `\"10s\"`", errors)?;
    match parse_duration(&text.value()) {
        Ok(duration) => Some(duration),
        Err(reason) => {
            errors.at(text, reason);
            None
        }
    }
}

fn serial(value: &Expr, errors: &mut Errors) -> Option<LitStr> {
    const NAME: &str =
        "`serial` is the name of a group, as in `\"database\"`: tests of one group run one at a time";
    let group = text(value, NAME, errors)?;
    if group.value().trim().is_empty() {
        errors.at(group, NAME);
        return None;
    }
    Some(group)
}

fn flavor(given: &mut Given, sig: &Signature, errors: &mut Errors) -> Flavor {
    let flavor = given.take_named(Key::Flavor);
    let workers = given.take_named(Key::WorkerThreads);
    if sig.asyncness.is_none() {
        for (name, _) in [&flavor, &workers].into_iter().flatten() {
            errors
                .at(name, format!("`{name}` is about the runtime of an `async fn`, and this `fn` has none"));
        }
        return Flavor::CurrentThread;
    }
    let multi = match &flavor {
        None => false,
        Some((_, value)) => match string(value).map(|flavor| flavor.value()).as_deref() {
            Some("current_thread") => false,
            Some("multi_thread") => true,
            _ => {
                errors.at(value, format!("`flavor` is {FLAVORS}"));
                return Flavor::CurrentThread;
            }
        },
    };
    let Some((name, value)) = workers else {
        return if multi { Flavor::MultiThread(None) } else { Flavor::CurrentThread };
    };
    if !multi {
        errors.at(name, "`worker_threads` needs `flavor = \"multi_thread\"`");
        return Flavor::CurrentThread;
    }
    Flavor::MultiThread(worker_threads(&value, errors))
}

fn worker_threads(value: &Expr, errors: &mut Errors) -> Option<usize> {
    let number = match ungrouped(value) {
        Expr::Lit(ExprLit { lit: Lit::Int(int), .. }) => int.base10_parse().ok(),
        _ => None,
    };
    if number.is_none_or(|number: usize| number == 0) {
        errors.at(value, "`worker_threads` is a number from 1, as in `worker_threads = 2`");
    }
    number
}

/// The text that `value` is, or `message` as a mistake.
fn text(value: &Expr, message: &str, errors: &mut Errors) -> Option<LitStr> {
    let text = string(value);
    if text.is_none() {
        errors.at(value.to_token_stream(), message);
    }
    text
}

fn string(value: &Expr) -> Option<LitStr> {
    match ungrouped(value) {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.clone()),
        _ => None,
    }
}

/// The expression without the invisible brackets that `macro_rules` puts around what it passes on.
fn ungrouped(value: &Expr) -> &Expr {
    match value {
        Expr::Group(group) => ungrouped(&group.expr),
        value => value,
    }
}
