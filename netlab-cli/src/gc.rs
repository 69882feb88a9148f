//! `cargo netlab gc`.

use std::error::Error as _;
use std::io;
use std::process::ExitCode;

use clap::Args;
use netlab::cli::machine::{Fate, SweepError, Swept, sweep};
use serde_json::{Value, json};

use crate::text::Screen;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Says what would be undone, and undoes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Prints a list as JSON: run, test, pid, and fate (would-be-undone, undone, dropped or unreadable) with its changes,
    /// left or why.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let swept = match found(arguments) {
        Ok(swept) => swept,
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("error: {error}{cause}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let mut screen = Screen::new();
    if arguments.json {
        let entries: Vec<_> = swept.iter().map(entry).collect();
        screen.line(&serde_json::to_string_pretty(&entries)?)?;
    } else if swept.is_empty() {
        screen.line("Nothing is left of dead runs.")?;
    } else {
        swept.iter().try_for_each(|swept| screen.line(&swept.to_string()))?;
    }
    Ok(if swept.iter().all(is_done) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where there is nothing to do, neither privilege nor the lock is needed.
fn found(arguments: &Arguments) -> Result<Vec<Swept>, SweepError> {
    let found = sweep(true)?;
    if arguments.dry_run || found.is_empty() { Ok(found) } else { sweep(false) }
}

/// Whether nothing is left to try again.
fn is_done(swept: &Swept) -> bool {
    match &swept.fate {
        Fate::WouldBeUndone(_) | Fate::Dropped(_) => true,
        Fate::Undone { left, .. } => left.iter().all(|left| !left.again),
        Fate::Unreadable(_) => false,
    }
}

fn entry(Swept { run, test, pid, fate }: &Swept) -> Value {
    let mut entry = match fate {
        Fate::WouldBeUndone(changes) => json!({ "fate": "would-be-undone", "changes": changes }),
        Fate::Undone { changes, left } => {
            let left: Vec<_> = left
                .iter()
                .map(|left| json!({ "what": left.what, "why": left.why, "again": left.again }))
                .collect();
            json!({ "fate": "undone", "changes": changes, "left": left })
        }
        Fate::Dropped(why) => json!({ "fate": "dropped", "why": why }),
        Fate::Unreadable(why) => json!({ "fate": "unreadable", "why": why }),
    };
    entry["run"] = json!(run);
    entry["test"] = json!(test);
    entry["pid"] = json!(pid);
    entry
}
