//! `cargo netlab doctor`.

use std::io;
use std::process::ExitCode;

use clap::Args;
use netlab::cli::doctor::{Check, Report, State, examine};

use crate::text::{Screen, Style, WIDTH, padded, wrap};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Prints everything as JSON: kernel, user, labs_can_run, and checks with group, name, state (ok, missing or note),
    /// found, why, mend and needed.
    #[arg(long)]
    json: bool,
}

/// The column of what was found: behind the state and the name.
const COLUMN: usize = 35;
const STATE: usize = 9;

pub(crate) fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let report = examine();
    let mut screen = Screen::new();
    if arguments.json {
        screen.line(&serde_json::to_string_pretty(&report)?)?;
    } else {
        show(&mut screen, &report)?;
    }
    Ok(if report.labs_can_run { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(screen: &mut Screen, report: &Report) -> io::Result<()> {
    let Report { kernel, architecture, user, .. } = report;
    screen.line(&format!(
        "netlab {} on Linux {kernel} ({architecture}), as {user}",
        env!("CARGO_PKG_VERSION")
    ))?;
    let mut group = None;
    for check in &report.checks {
        if group != Some(check.group) {
            group = Some(check.group);
            let title = screen.styled(Style::Bold, check.group.title());
            screen.line("")?;
            screen.line(&title)?;
        }
        show_check(screen, check)?;
    }
    screen.line("")?;
    let verdict = verdict(report);
    for line in wrap(&verdict, WIDTH) {
        let style = if report.labs_can_run { Style::Good } else { Style::Bad };
        let line = screen.styled(style, &line);
        screen.line(&line)?;
    }
    Ok(())
}

fn show_check(screen: &mut Screen, check: &Check) -> io::Result<()> {
    let style = match check.state {
        State::Ok => Style::Good,
        State::Missing => Style::Bad,
        State::Note => Style::Dim,
    };
    let state = screen.styled(style, &padded(&check.state.to_string(), STATE - 1));
    let start = format!("{state} {}", padded(&check.name, COLUMN - STATE - 3));
    let mut lines = wrap(if check.found.is_empty() { &check.why } else { &check.found }, WIDTH - COLUMN);
    if check.state == State::Missing && !check.found.is_empty() {
        let why = wrap(&format!("why: {}", check.why), WIDTH - COLUMN);
        lines.extend(why.iter().map(|line| screen.styled(Style::Dim, line)));
    }
    let mut lines = lines.into_iter();
    screen.line(&format!("  {start} {}", lines.next().unwrap_or_default()))?;
    for line in lines {
        screen.line(&format!("{}{line}", " ".repeat(COLUMN)))?;
    }
    check.mend.as_ref().map_or(Ok(()), |mend| show_mend(screen, mend))
}

/// From further left than what was found, and a command in one piece.
fn show_mend(screen: &mut Screen, mend: &str) -> io::Result<()> {
    const INDENT: usize = STATE;
    for (index, line) in wrap(mend, WIDTH - INDENT - 4).into_iter().enumerate() {
        let arrow = if index == 0 { "->" } else { "  " };
        let line = screen.styled(Style::Bold, &line);
        screen.line(&format!("  {}{arrow} {line}", " ".repeat(INDENT)))?;
    }
    Ok(())
}

fn verdict(report: &Report) -> String {
    if !report.labs_can_run {
        return "Labs cannot run here; what is marked `missing` above under Labs or Settings says why."
            .to_owned();
    }
    match report.checks.iter().filter(|check| check.state == State::Missing).count() {
        0 => "Labs can run here, and nothing is missing.".to_owned(),
        1 => "Labs can run here. One thing is missing, which only some tests need.".to_owned(),
        count => format!("Labs can run here. {count} things are missing, which only some tests need."),
    }
}
