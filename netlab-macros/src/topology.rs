//! The `topology` argument: reads it, and plans it where it is text.

use std::path::Path;

use netlab_topology::{Plan, Topology};
use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;
use syn::{Expr, ExprLit, Lit, LitStr};

use crate::errors::Errors;

/// Where the topology comes from.
pub enum Source {
    /// Text in the attribute; empty without the argument: the host alone.
    Text(LitStr),
    /// A file, relative to the crate.
    File(LitStr),
    /// Something that gives a topology when the test runs.
    Computed(Expr),
}

/// Reads the argument of the test called `test`. The plan is there if the topology is text and is right.
pub fn read(value: Option<Expr>, test: &Ident, errors: &mut Errors) -> (Source, Option<Plan>) {
    let value = match value {
        None => return text(LitStr::new("", Span::call_site()), test, errors),
        Some(Expr::Group(group)) => *group.expr,
        Some(value) => value,
    };
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => match file_name(&literal) {
            Some(name) => file(&name, literal, errors),
            None => text(literal, test, errors),
        },
        Expr::Lit(_) | Expr::Array(_) | Expr::Tuple(_) => {
            errors.at(
                &value,
                "a topology is a text, the name of a `.topo` file, or the path of what gives one",
            );
            (Source::Computed(value), None)
        }
        Expr::Macro(_) => {
            errors.at(
                &value,
                "the attribute cannot see what a macro makes: write the text itself, name a file that ends in \
                 `.topo`, or give the path of a function that returns a `Topology`",
            );
            (Source::Computed(value), None)
        }
        value => (Source::Computed(value), None),
    }
}

/// The text, if it names a file.
fn file_name(literal: &LitStr) -> Option<String> {
    Some(literal.value()).filter(|text| text.ends_with(".topo") && !text.contains('\n'))
}

fn text(literal: LitStr, test: &Ident, errors: &mut Errors) -> (Source, Option<Plan>) {
    let plan = plan(&literal.value(), &format!("topology of `{}`", test.unraw()), &literal, errors);
    (Source::Text(literal), plan)
}

fn file(name: &str, literal: LitStr, errors: &mut Errors) -> (Source, Option<Plan>) {
    let plan = match load(name) {
        Ok(text) => plan(&text, name, &literal, errors),
        Err(reason) => {
            errors.at(&literal, reason);
            None
        }
    };
    (Source::File(literal), plan)
}

#[expect(clippy::disallowed_methods, reason = "cargo tells a macro by the environment which crate it is in")]
fn load(name: &str) -> Result<String, String> {
    if Path::new(name).is_absolute() {
        return Err(format!(
            "`{name}` is absolute: name a `.topo` file relative to the crate's `Cargo.toml`"
        ));
    }
    let Some(root) = std::env::var_os("CARGO_MANIFEST_DIR") else {
        return Err("a `.topo` file is looked for beside `Cargo.toml`, and this build is not by cargo".into());
    };
    std::fs::read_to_string(Path::new(&root).join(name)).map_err(|error| {
        format!("cannot read `{name}`: {error}; the name is relative to the crate's `Cargo.toml`")
    })
}

fn plan(text: &str, origin: &str, literal: &LitStr, errors: &mut Errors) -> Option<Plan> {
    match Topology::parse(text, origin).and_then(|topology| topology.plan()) {
        Ok(plan) => Some(plan),
        Err(diagnostics) => {
            for diagnostic in diagnostics {
                // The compiler writes `error: ` itself.
                let text = diagnostic.to_string();
                errors.at(literal, text.strip_prefix("error: ").unwrap_or(&text));
            }
            None
        }
    }
}
