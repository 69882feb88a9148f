//! The matrix as trials, and as a table in the documentation.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use libtest_mimic::{Completion, Trial};

use crate::cell::{self, Column};
use crate::many;
use crate::rows::ROWS;
use crate::subject::Kind;

/// The cells that were run here: whether nothing was left, and what was to be told was told.
static RESULTS: Mutex<BTreeMap<(&str, Column), bool>> = Mutex::new(BTreeMap::new());

const BEGIN: &str = "<!-- the matrix, as tests/teardown.rs found it -->\n";
const END: &str = "<!-- end of the matrix -->\n";

/// Every cell as a trial; the long ones first.
pub fn trials() -> Vec<Trial> {
    let many = many::ROWS.iter().flat_map(|&(row, _)| {
        let columns = many::columns(row);
        columns.map(move |column| {
            Trial::ignorable_test(format!("{column}::{row}"), move || cell::run(column, row))
        })
    });
    let cells = ROWS.iter().flat_map(|row| {
        Column::all().map(move |column| {
            Trial::ignorable_test(format!("{column}::{}", row.name), move || {
                let result = cell::run(column, row.name);
                let done = match &result {
                    Ok(Completion::Completed) => Some(true),
                    Ok(Completion::Ignored { .. }) => None,
                    Err(_) => Some(false),
                };
                if let Some(done) = done {
                    let mut results = RESULTS.lock().unwrap_or_else(PoisonError::into_inner);
                    results.insert((row.name, column), done);
                }
                result
            })
        })
    });
    many.chain(cells).collect()
}

fn document() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/teardown.md"))
}

/// Whether the documentation says of the cells that were run here what came of them. With `NETLAB_BLESS=1` it will.
pub fn agrees() -> bool {
    let text = fs::read_to_string(document()).expect("the documentation has a page on teardown");
    let (head, rest) = text.split_once(BEGIN).expect("the page has a place for the matrix");
    let (table, tail) = rest.split_once(END).expect("the matrix has an end");
    let found = render(table);
    if found == table {
        return true;
    }
    #[expect(clippy::disallowed_methods, reason = "this is no setting of netlab's")]
    if std::env::var_os("NETLAB_BLESS").is_some() {
        fs::write(document(), format!("{head}{BEGIN}{found}{END}{tail}")).expect("the page can be written");
        return true;
    }
    eprintln!("docs/teardown.md differs from what was found; NETLAB_BLESS=1 writes this there:\n\n{found}");
    false
}

/// The tables, with what is known from elsewhere where a cell was not run here.
fn render(known: &str) -> String {
    let tables = [Kind::Isolated, Kind::Privileged].map(|kind| {
        let title = format!("\n### Labs that are {kind}\n\n");
        let known =
            known.split_once(&title).map_or("", |(_, rest)| rest.split("\n### ").next().unwrap_or(""));
        format!("{title}{}", table(kind, known))
    });
    format!("{}\n", tables.concat())
}

fn table(kind: Kind, known: &str) -> String {
    let results = RESULTS.lock().unwrap_or_else(PoisonError::into_inner);
    let columns: Vec<Column> = Column::all().filter(|column| column.kind == kind).collect();
    let mut table = "| a test that ends by | is told as |".to_owned();
    for column in &columns {
        table.push_str(&format!(
            " {} |",
            column.to_string().replacen(&format!("{kind}::"), "", 1).replace("::", ", ")
        ));
    }
    table.push_str(&format!("\n|---|---|{}\n", "---|".repeat(columns.len())));
    for row in ROWS {
        let known: Vec<&str> = known
            .lines()
            .find(|line| line.starts_with(&format!("| {} |", row.title)))
            .map(|line| line.trim_end_matches('|').split('|').skip(3).map(str::trim).collect())
            .unwrap_or_default();
        table.push_str(&format!("| {} | {} |", row.title, row.told()));
        for (place, column) in columns.iter().enumerate() {
            let cell = match results.get(&(row.name, *column)) {
                Some(true) => "clean",
                Some(false) => "**FAILED**",
                None => known.get(place).copied().unwrap_or("?"),
            };
            table.push_str(&format!(" {cell} |"));
        }
        table.push('\n');
    }
    table
}
