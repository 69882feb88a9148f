//! The function's parameters, held against the plan.

use netlab_topology::{Plan, suggestion};
use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::{Expr, ExprLit, FnArg, GenericArgument, Lit, Pat, PatType, PathArguments, Type};

use crate::errors::Errors;

/// A parameter that has been checked.
pub struct Parameter {
    /// What it names in the topology, as written there where that is known.
    pub name: String,
    /// Its type as written.
    pub ty: Type,
    /// Which handle that is; none: a type of the user's own, for the compiler to judge.
    pub kind: Option<Kind>,
    /// How many nodes an array must have whose length is not written as a number, for the compiler to check.
    pub count: Option<usize>,
}

/// The handles, as far as they can be told by their names.
#[derive(Clone)]
pub enum Kind {
    /// `Lab`.
    Lab,
    /// `Node`.
    Node,
    /// `[Node; N]`, and the `N`.
    NodeArray(Expr),
    /// `Vec<Node>`.
    NodeVec,
    /// `Net`.
    Net,
    /// `Link`.
    Link,
}

/// Checks one argument of the function. Without a plan nothing is said of what the topology has.
pub fn check(arg: &FnArg, plan: Option<&Plan>, errors: &mut Errors) -> Option<Parameter> {
    let arg = match arg {
        FnArg::Typed(arg) => arg,
        FnArg::Receiver(receiver) => {
            errors.at(receiver, "a test is a free function, without `self`");
            return None;
        }
    };
    for attr in
        arg.attrs.iter().filter(|attr| attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr"))
    {
        errors.at(attr, "a parameter is always there: put the condition on the test");
    }
    let ident = named(arg, errors)?;
    let ident = ident.unraw().to_string();
    let wanted = ident.trim_start_matches('_');
    let kind = kind(&arg.ty);
    let things = plan.map(Things::of);
    let thing = things.as_ref().and_then(|things| things.find(&ident).or_else(|| things.find(wanted)));
    if let (Some(things), Some(kind)) = (&things, &kind)
        && let Err(error) = judge(arg, wanted, kind, thing, things)
    {
        errors.add(error);
    }
    Some(Parameter {
        name: thing.map_or(wanted, |thing| &thing.name).to_owned(),
        ty: (*arg.ty).clone(),
        count: match (&kind, thing.map(|thing| thing.sort)) {
            (Some(Kind::NodeArray(length)), Some(Sort::Array(count))) if literal(length).is_none() => {
                Some(count)
            }
            _ => None,
        },
        kind,
    })
}

/// The parameter's name, if its pattern is one.
fn named(arg: &PatType, errors: &mut Errors) -> Option<Ident> {
    match &*arg.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => Some(pat.ident.clone()),
        Pat::Wild(wild) => {
            errors.at(
                wild,
                "a parameter says by its name what it stands for: name it with a leading `_` if unused",
            );
            None
        }
        pat => {
            errors.at(pat, "a parameter says by its name what it stands for: take it apart in the body");
            None
        }
    }
}

/// Which handle a type is, going by its last name.
fn kind(ty: &Type) -> Option<Kind> {
    match ty {
        Type::Group(group) => kind(&group.elem),
        Type::Paren(paren) => kind(&paren.elem),
        Type::Array(array) if is_node(&array.elem) => Some(Kind::NodeArray(array.len.clone())),
        Type::Path(path) if path.qself.is_none() => {
            let last = path.path.segments.last()?;
            match (&last.arguments, last.ident.to_string().as_str()) {
                (PathArguments::None, "Lab") => Some(Kind::Lab),
                (PathArguments::None, "Node") => Some(Kind::Node),
                (PathArguments::None, "Net") => Some(Kind::Net),
                (PathArguments::None, "Link") => Some(Kind::Link),
                (PathArguments::AngleBracketed(args), "Vec") => match args.args.first() {
                    Some(GenericArgument::Type(element)) if is_node(element) => Some(Kind::NodeVec),
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_node(ty: &Type) -> bool {
    matches!(kind(ty), Some(Kind::Node))
}

/// Whether the topology has for `wanted` what the type asks for.
fn judge(
    arg: &PatType,
    wanted: &str,
    kind: &Kind,
    thing: Option<&Thing>,
    things: &Things,
) -> syn::Result<()> {
    if matches!(kind, Kind::Lab) {
        return Ok(());
    }
    let Some(Thing { name, sort }) = thing else {
        return Err(syn::Error::new_spanned(&arg.pat, things.unknown(wanted, kind)));
    };
    let is = match (kind, sort) {
        (Kind::Node, Sort::Node)
        | (Kind::NodeVec, Sort::Array(_))
        | (Kind::Net, Sort::Net)
        | (Kind::Link, Sort::Link) => return Ok(()),
        (Kind::NodeArray(length), Sort::Array(count)) => {
            return match literal(length) {
                Some(number) if number != *count => {
                    Err(syn::Error::new_spanned(length, wrong_length(name, *count)))
                }
                _ => Ok(()),
            };
        }
        (_, Sort::Node) => "a node: write `Node`".to_owned(),
        (_, Sort::Net) => "a net: write `Net`".to_owned(),
        (_, Sort::Link) => "a link: write `Link`".to_owned(),
        (Kind::Node, Sort::Array(count)) => format!(
            "{count} nodes: write `[Node; {count}]` or `Vec<Node>`, or name one of them, as in `{name}1: Node`"
        ),
        (_, Sort::Array(count)) => format!("{count} nodes: write `[Node; {count}]` or `Vec<Node>`"),
    };
    Err(syn::Error::new_spanned(&arg.ty, format!("`{name}` is {is}")))
}

/// What is wrong with an array of another length.
pub fn wrong_length(name: &str, count: usize) -> String {
    format!("`{name}` is {count} nodes: write `[Node; {count}]`")
}

/// The number that an array's length is, where it is written as one.
fn literal(length: &Expr) -> Option<usize> {
    match length {
        Expr::Group(group) => literal(&group.expr),
        Expr::Lit(ExprLit { lit: Lit::Int(int), .. }) => int.base10_parse().ok(),
        _ => None,
    }
}

/// Something with a name in a topology.
struct Thing {
    name: String,
    sort: Sort,
}

#[derive(Clone, Copy)]
enum Sort {
    Node,
    Array(usize),
    Net,
    Link,
}

/// Everything a parameter can name.
struct Things(Vec<Thing>);

impl Things {
    fn of(plan: &Plan) -> Self {
        let thing = |name: &String, sort| Thing { name: name.clone(), sort };
        let nodes = plan.nodes().iter().map(|node| thing(&node.name, Sort::Node));
        let arrays = plan.arrays().iter().map(|array| thing(&array.name, Sort::Array(array.members.len())));
        let nets = plan.nets().iter().map(|net| thing(&net.name, Sort::Net));
        let links = plan.links().iter().map(|link| thing(&link.name, Sort::Link));
        Self(nodes.chain(arrays).chain(nets).chain(links).collect())
    }

    /// The thing of this name, or of the name with `-` for `_`: a topology's names may have a `-`, Rust's not.
    fn find(&self, name: &str) -> Option<&Thing> {
        let exact = self.0.iter().find(|thing| thing.name == name);
        exact.or_else(|| self.0.iter().find(|thing| thing.name.replace('-', "_") == name))
    }

    fn unknown(&self, wanted: &str, kind: &Kind) -> String {
        let (sort, plural): (fn(Sort) -> bool, _) = match kind {
            Kind::Net => (|sort| matches!(sort, Sort::Net), "nets"),
            Kind::Link => (|sort| matches!(sort, Sort::Link), "links"),
            Kind::NodeArray(_) | Kind::NodeVec => (|sort| matches!(sort, Sort::Array(_)), "arrays of nodes"),
            Kind::Node | Kind::Lab => (|sort| matches!(sort, Sort::Node), "nodes"),
        };
        let names: Vec<_> = self
            .0
            .iter()
            .filter(|thing| sort(thing.sort))
            .map(|thing| thing.name.replace('-', "_"))
            .collect();
        let known = suggestion(plural, wanted, names.iter().map(String::as_str));
        format!("the topology has no `{wanted}`; {known}")
    }
}
