//! `cargo netlab ps`.

use std::io;
use std::process::ExitCode;

use clap::Args;
use netlab::cli::alive::{Alive, Seen, look};
use netlab::cli::machine::runs;

use crate::text::{Screen, Style, padded};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Prints everything as JSON: labs with runner, worker, test, binary, uid, user, seconds and privileged; unseen, the
    /// number of processes that could not be looked into; and as_root.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let seen = look()?;
    let mut screen = Screen::new();
    if arguments.json {
        screen.line(&serde_json::to_string_pretty(&seen)?)?;
    } else {
        show(&mut screen, &seen)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(screen: &mut Screen, seen: &Seen) -> io::Result<()> {
    if seen.labs.is_empty() {
        screen.line("No lab is alive.")?;
    } else {
        table(screen, &seen.labs)?;
    }
    let dead = dead_runs()?;
    if dead > 0 {
        let runs = if dead == 1 { "A dead run".to_owned() } else { format!("{dead} dead runs") };
        screen.line(&format!("{runs} left changes on this machine: `cargo netlab gc` undoes them."))?;
    }
    let note = match (seen.unseen, seen.as_root) {
        (0, _) => return Ok(()),
        (_, false) => "Labs of other users can be seen by root only.".to_owned(),
        (1, true) => "One process could not be looked into, even by root.".to_owned(),
        (count, true) => format!("{count} processes could not be looked into, even by root."),
    };
    let note = screen.styled(Style::Dim, &note);
    screen.line(&note)
}

/// How many runs ended without undoing what they changed here.
fn dead_runs() -> io::Result<usize> {
    let runs = runs()?;
    Ok(runs.iter().filter(|run| run.alive == Some(false) && run.here && !run.changes.is_empty()).count())
}

fn table(screen: &mut Screen, labs: &[Alive]) -> io::Result<()> {
    const HEAD: [&str; 5] = ["RUNNER", "USER", "AGE", "NETWORK", "TEST"];
    let rows: Vec<[String; 5]> = labs.iter().map(row).collect();
    let widths: [usize; 4] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).chain([HEAD[column].len()]).max().unwrap_or(0)
    });
    let line = |cells: [&str; 5]| {
        let start: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| padded(cell, width)).collect();
        format!("{}  {}", start.join("  "), cells[4])
    };
    let head = screen.styled(Style::Bold, &line(HEAD));
    screen.line(&head)?;
    for (row, lab) in rows.iter().zip(labs) {
        screen.line(&line(row.each_ref().map(String::as_str)))?;
        let binary = screen.styled(Style::Dim, &lab.binary.display().to_string());
        screen.line(&format!("{}{binary}", " ".repeat(widths[0] + 2)))?;
    }
    Ok(())
}

fn row(lab: &Alive) -> [String; 5] {
    [
        lab.runner.to_string(),
        lab.user.clone().unwrap_or_else(|| lab.uid.to_string()),
        age(lab.seconds),
        if lab.privileged { "machine's" } else { "own" }.to_owned(),
        lab.test.clone(),
    ]
}

/// A duration in its two largest units.
fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn ages_read_well() {
        let read = [0, 59, 60, 3599, 3600, 86_399, 86_400, 90_061].map(age);
        assert_eq!(read, ["0s", "59s", "1m 0s", "59m 59s", "1h 0m", "23h 59m", "1d 0h", "1d 1h"]);
    }
}
